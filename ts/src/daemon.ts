// Which multistackd, if any, carries this process's sockets.
import { accessSync, constants } from 'node:fs';
import { invalidValue } from './errors.js';

/** Where a multistackd is looked for when nothing was said. */
export const defaultSocket = '/run/multistack/default';

export interface WantedDaemon {
  /** Its port spec, `unix:PATH`. */
  spec: string;
  /** Whether it was named: then it has to be there. */
  must: boolean;
}

const isDaemon = (spec: string): boolean => spec.startsWith('unix:');

/**
 * What MULTISTACK and the port specs mean; `ports` is undefined when nothing was said of them. A spec goes before
 * MULTISTACK, which goes before devices.
 */
export function wantedDaemon(ports: readonly string[] | undefined): WantedDaemon | undefined {
  const named = ports?.find(isDaemon);
  if (named !== undefined) {
    if (ports?.length !== 1) {
      throw invalidValue(`multistack: ${named}: a multistackd carries the devices, so it is the only port to be named`);
    }
    return { spec: named, must: true };
  }
  const wish = process.env['MULTISTACK'] ?? '';
  if (isDaemon(wish)) return { spec: wish, must: true };
  if (wish !== '' && wish !== 'embedded') {
    throw invalidValue(`MULTISTACK=${wish}: allowed: unix:PATH (of a multistackd's socket), embedded`);
  }
  const may = wish === '' && ports === undefined && isWritable(defaultSocket);
  return may ? { spec: `unix:${defaultSocket}`, must: false } : undefined;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
