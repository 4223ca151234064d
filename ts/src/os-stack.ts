// Giving a socket or a server to the OS stack after all: net made it with a handle of ours before its address was
// known, so the owner gets a real handle in its place.
import { EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL } from './errors.js';
import { findSymbol, OsTcp, ownerKeyOfNet, type JSStream, type OsHandle, type Owner } from './internals.js';

/** What bind was asked for. */
export interface Local {
  address: string;
  port: number;
  flags: number;
}

/** A handle of the OS stack that is bound, or the error. A machine without IPv6 gets IPv4, as from net. */
export function bindOs(type: number, { address, port, flags }: Local, six: boolean): OsHandle | number {
  const real = new OsTcp(type);
  let error = six ? real.bind6(address, port, flags) : real.bind(address, port, flags);
  if ((error === EAFNOSUPPORT || error === EADDRNOTAVAIL || error === EINVAL) && address === '::') {
    error = real.bind('0.0.0.0', port, flags);
  }
  if (error === 0) return real;
  real.close();
  return error;
}

/** Handles of the OS's class that are meant: a patched net lets them pass (patch.ts). */
export const chosen = new WeakSet();

/** `owner` connects with `real`. */
export function connectWith(owner: Owner, real: OsHandle, referenced: boolean): void {
  const reinitialize = findSymbol(owner, 'kReinitializeHandle');
  if (!reinitialize) throw new Error('multistack: this Node cannot exchange the handle of a socket');
  // Without this, what the program wrote or ended before the connection would be forgotten.
  chosen.add(real);
  owner._undestroy = () => undefined;
  (owner[reinitialize] as (handle: OsHandle) => void).call(owner, real);
  delete owner._undestroy;
  if (owner.listenerCount('session') > 0) owner._handle?.enableSessionCallbacks?.();
  if (owner.listenerCount('keylog') > 0) owner._handle?.enableKeylogCallback?.();
  setOwner(real, owner);
  if (!referenced) real.unref();
}

/** `owner` listens with `real`, which is bound, in place of `ours`. */
export function listenWith(owner: Owner, ours: { onconnection?: unknown }, real: OsHandle): void {
  owner._handle = real;
  real.onconnection = ours.onconnection;
  setOwner(real, owner);
}

/** `real` holds a descriptor that the program has brought: take the place of `ours` as soon as net names the owner. */
export function replaceWhenOwned(ours: JSStream & { onconnection?: unknown }, real: OsHandle): void {
  Object.defineProperty(ours, ownerKeyOfNet(), {
    configurable: true,
    set(owner: Owner) {
      listenWith(owner, ours, real);
    },
  });
}

function setOwner(real: OsHandle, owner: Owner): void {
  (real as unknown as Record<symbol, unknown>)[ownerKeyOfNet()] = owner;
}
