// Whether there is a multistackd that this user's programs would run on.
import { Control, defaultSocket } from '../../control.js';
import { isCoded } from '../../errors.js';

export interface DaemonVerdict {
  /** Of its control socket. */
  path: string;
  state: 'reachable' | 'none' | 'forbidden' | 'failed';
  pid?: number;
  uid?: number;
  detail: string;
}

/** Who answers at the socket, or why nobody does. */
export type DaemonFacts = { pid: number; uid: number } | { code: string; message: string };

/** The socket that MULTISTACK names, else the one where programs look when nothing is said. */
export function daemonPath({ MULTISTACK: wish }: NodeJS.ProcessEnv): string {
  return wish?.startsWith('unix:') ? wish.slice('unix:'.length) : defaultSocket;
}

export async function daemonFacts(path: string): Promise<DaemonFacts> {
  try {
    const control = await Control.open(path);
    try {
      return (await control.channels()).daemon;
    } finally {
      control.close();
    }
  } catch (error) {
    if (!isCoded(error)) throw error;
    return error;
  }
}

export function judgeDaemon(path: string, facts: DaemonFacts): DaemonVerdict {
  if ('pid' in facts) {
    const { pid, uid } = facts;
    return { path, state: 'reachable', pid, uid, detail: `${path}: process ${pid} of uid ${uid}; no privilege needed` };
  }
  const { code, message } = facts;
  if (code === 'ENOENT') return { path, state: 'none', detail: `none at ${path}` };
  const state = code === 'EACCES' || code === 'EPERM' ? 'forbidden' : 'failed';
  return { path, state, detail: message };
}
