// Errors as Node users know them: a `code`, and a message of one line that says what to do.
import os from 'node:os';

const { errno } = os.constants;

/** libuv's numbers: -errno, and one of its own for the end of a stream. */
export const EBADF = -errno.EBADF;
export const EAGAIN = -errno.EAGAIN;
export const EINVAL = -errno.EINVAL;
export const ENETDOWN = -errno.ENETDOWN;
export const ENOTCONN = -errno.ENOTCONN;
export const EADDRINUSE = -errno.EADDRINUSE;
export const EADDRNOTAVAIL = -errno.EADDRNOTAVAIL;
export const EAFNOSUPPORT = -errno.EAFNOSUPPORT;
export const ECANCELED = -errno.ECANCELED;
export const ENOTSUP = -errno.ENOTSUP;

/** An error with a `code`. */
export interface CodedError extends Error {
  code: string;
  /** -errno, where the error is the system's. */
  errno?: number;
}

/** An argument, an option or an environment variable has a value that is not allowed. */
export function invalidValue(message: string): CodedError {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_VALUE' });
}

/** An argument is of a type that is not allowed. */
export function invalidType(message: string): CodedError {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}

/** A call came at a time when it cannot be done. */
export function invalidState(message: string): CodedError {
  return Object.assign(new Error(message), { code: 'ERR_INVALID_STATE' });
}

/** Whether `error` carries a code, as all that this package throws on purpose do. */
export function isCoded(error: unknown): error is CodedError {
  return error instanceof Error && typeof (error as Partial<CodedError>).code === 'string';
}
