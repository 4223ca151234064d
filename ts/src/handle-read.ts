// The reading half of a handle: bytes, the end and errors, given to whoever reads this stream.
import { slab } from './host.js';
import { ownerOf, streamWrap, type JSStream } from './internals.js';

const cachedViews = 4096;
const views: Buffer[] = [];

/** The first bytes of the slab: short views are kept, since requests of one program are much of a size. */
function view(bytes: number): Buffer {
  if (bytes >= cachedViews) return slab.subarray(0, bytes);
  return (views[bytes] ??= slab.subarray(0, bytes));
}

/** `count` as the addon tells it: bytes in the slab, 0: the end, < 0: the error. */
export function deliverRead(handle: JSStream, count: number, readByCpp: boolean): void {
  if (count > 0) handle.readBuffer(view(count));
  else if (count === 0) handle.emitEOF();
  else deliverError(handle, count, readByCpp);
}

/**
 * JSStream has no way to emit an error, so net's own callback is called as C++ would: `onread` with the error in the
 * state. Over TLS on a handle of its own that is the TLS handle's. A stream that is wrapped by TLS later (STARTTLS)
 * ends for TLS instead: its raw socket has no listener for errors, and TLS none that can be reached.
 */
function deliverError(handle: JSStream, error: number, readByCpp: boolean): void {
  const owner = ownerOf(handle);
  const target = owner?._handle ?? handle;
  if (readByCpp && target === handle) {
    handle.emitEOF();
    owner?.destroy?.();
  } else if (streamWrap) {
    streamWrap.streamBaseState[streamWrap.kReadBytesOrError] = error;
    target.onread?.(undefined);
  } else {
    owner?.destroy?.(readError(error));
  }
}

function readError(error: number): Error {
  const { getSystemErrorName } = process.getBuiltinModule('node:util');
  const code = getSystemErrorName(error);
  return Object.assign(new Error(`read ${code}`), { errno: error, code, syscall: 'read' });
}
