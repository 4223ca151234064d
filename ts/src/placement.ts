// Which stack a socket goes to, decided when its address is known: by policy, by who holds the destination, and by
// whether there is a user stack at all.
import { EINVAL, isCoded } from './errors.js';
import { currentPolicy, host, hostOfPeers } from './host.js';
import type { Owner } from './internals.js';

/** A stack, or the error (-errno) that there is no user stack where one must be. */
export type Placement = 'user' | 'os' | number;

/** Servers that stay on the OS stack whatever the policy says (a cluster's, whose connections cross processes). */
export const osOnly = new WeakSet();

/** Servers whose next listen takes the address over from who offers it (hand-over.ts). */
export const successors = new WeakSet();

export function isOsOnly(owner: Owner | undefined): boolean {
  return owner !== undefined && osOnly.has(owner);
}

export function placeListener(owner: Owner | undefined, address: string, port: number): Placement {
  if (isOsOnly(owner)) return 'os';
  const route = currentPolicy().decide('listen', address, port);
  if (route === 'os') return route;
  const error = openHost(route === 'auto' ? undefined : owner, 'listen');
  if (error === 0) return 'user';
  return route === 'auto' ? 'os' : error;
}

export function placeConnection(owner: Owner | undefined, address: string, port: number): Placement {
  const route = currentPolicy().decide('connect', address, port);
  if (route === 'auto') return hostOfPeers()?.holds(address, port) ? 'user' : 'os';
  if (route === 'os') return route;
  const error = openHost(owner, 'connect');
  return error === 0 ? route : error;
}

/** Open the host; what fails is told in full by the error that `owner` will emit for the returned number. */
function openHost(owner: Owner | undefined, syscall: string): number {
  try {
    host();
    return 0;
  } catch (error) {
    if (!isCoded(error)) throw error;
    if (owner) explain(owner, syscall, error.message);
    return error.errno ?? EINVAL;
  }
}

/** net makes its error of a number alone; give it the message before it is emitted. */
function explain(owner: Owner, syscall: string, message: string): void {
  owner.emit = (event, ...values) => {
    Reflect.deleteProperty(owner, 'emit');
    const [error] = values;
    if (event === 'error' && isCoded(error)) error.message = `${syscall} ${error.code}: ${message}`;
    return owner.emit(event, ...values);
  };
}
