// The writing half of a handle. What the stack takes at once is done; the rest waits here until there is room. net and
// http call with a request and look at the state words; C++ (TLS, http2) calls with a request that must end later.
import { AsyncResource } from 'node:async_hooks';
import { EAGAIN, ECANCELED } from './errors.js';
import { streamWrap, type Request } from './internals.js';
import { Doing, type Liveness } from './liveness.js';
import { native, stringUnits } from './native.js';

type Done = (status: number) => void;

interface Waiting {
  bytes: Uint8Array;
  done: Done | null; // of the write whose last bytes these are
}

/** Some of net's callers pass strings between the buffers. */
export type Chunks = readonly Uint8Array[] | readonly (Uint8Array | string)[];

const noState = { streamBaseState: new Int32Array(8), kBytesWritten: 0, kLastWriteWasAsync: 1, kLastWriteErr: 2 };
const { streamBaseState: state, kBytesWritten, kLastWriteWasAsync, kLastWriteErr } = streamWrap ?? noState;

export class Writer {
  readonly #liveness: Liveness;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #afterwards: Done | null = null;
  /** By JavaScript callers; C++ counts its own. */
  bytesWritten = 0;

  constructor(liveness: Liveness) {
    this.#liveness = liveness;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  latin1(id: number, request: Request | null, text: string): number | Request {
    if (this.#waitingBytes > 0 || text.length > stringUnits)
      return this.buffer(id, request, Buffer.from(text, 'latin1'));
    const taken = native().writeLatin1(id, text);
    return taken === EAGAIN ? this.buffer(id, request, Buffer.from(text, 'latin1')) : this.#settle(taken);
  }

  utf8(id: number, request: Request | null, text: string): number | Request {
    if (this.#waitingBytes > 0 || text.length > stringUnits) return this.buffer(id, request, Buffer.from(text));
    const taken = native().writeUtf8(id, text);
    return taken === EAGAIN ? this.buffer(id, request, Buffer.from(text)) : this.#settle(taken);
  }

  buffer(id: number, request: Request | null, bytes: Uint8Array): number | Request {
    const taken = this.#write(id, bytes);
    if (taken < 0 || taken === bytes.length) return this.#settle(taken);
    return this.#defer(request, [bytes.subarray(taken)], bytes.length);
  }

  /** net's writev: buffers alone, or each chunk followed by its encoding. */
  chunks(id: number, request: Request | null, chunks: readonly unknown[], allBuffers: boolean): number | Request {
    if (allBuffers) return this.#buffers(id, request, chunks as readonly Uint8Array[]);
    const buffers: Uint8Array[] = [];
    for (let i = 0; i < chunks.length; i += 2) {
      const chunk = chunks[i] as Uint8Array | string;
      buffers.push(typeof chunk === 'string' ? Buffer.from(chunk, chunks[i + 1] as BufferEncoding) : chunk);
    }
    return this.#buffers(id, request, buffers);
  }

  #buffers(id: number, request: Request | null, buffers: readonly Uint8Array[]): number | Request {
    let total = 0;
    for (const bytes of buffers) total += bytes.length;
    const rest = this.#writeMany(id, buffers);
    if (typeof rest === 'number') return this.#settle(rest < 0 ? rest : total);
    return this.#defer(request, rest, total);
  }

  /** From C++: `done` is called later, never from within. */
  fromCpp(id: number, buffers: readonly Uint8Array[], done: Done): number {
    const rest = this.#writeMany(id, buffers);
    if (typeof rest !== 'number') this.#wait(rest, done);
    else if (rest < 0) return rest;
    else process.nextTick(done, 0);
    return 0;
  }

  /** Write what can be written; returns 0, an error, or what is left. */
  #writeMany(id: number, buffers: readonly Uint8Array[]): number | Uint8Array[] {
    for (const [index, bytes] of buffers.entries()) {
      const taken = this.#write(id, bytes);
      if (taken < 0) return taken;
      if (taken < bytes.length) return [bytes.subarray(taken), ...buffers.slice(index + 1)];
    }
    return 0;
  }

  #write(id: number, bytes: Uint8Array): number {
    return this.#waitingBytes > 0 ? 0 : native().writeBuffer(id, bytes);
  }

  /** All is written, or the write has failed. */
  #settle(result: number): number {
    state[kLastWriteWasAsync] = 0;
    state[kBytesWritten] = Math.max(result, 0);
    this.bytesWritten += Math.max(result, 0);
    return Math.min(result, 0);
  }

  /** Some of it waits: from Node 26 on the caller has no request yet and takes one from here. */
  #defer(given: Request | null, rest: Uint8Array[], total: number): number | Request {
    const request: Request = given ?? { writeStatus: null };
    const context = new AsyncResource('WRITEWRAP');
    this.#wait(rest, (status) => {
      context.runInAsyncScope(() => request.oncomplete?.(status));
    });
    this.bytesWritten += total;
    state[kBytesWritten] = total;
    state[kLastWriteWasAsync] = 1;
    if (kLastWriteErr !== undefined) state[kLastWriteErr] = 0;
    return given ? 0 : request;
  }

  #wait(rest: readonly Uint8Array[], done: Done): void {
    for (const [index, bytes] of rest.entries()) {
      this.#waiting.push({ bytes, done: index === rest.length - 1 ? done : null });
      this.#waitingBytes += bytes.length;
    }
    this.#liveness.begin(Doing.writing);
  }

  /** There is room again, or the connection is dead. */
  onWritable(id: number, error: number): void {
    if (error < 0) {
      this.fail(error);
      return;
    }
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      const taken = native().writeBuffer(id, first.bytes);
      if (taken < 0) {
        this.fail(taken);
        return;
      }
      this.#waitingBytes -= taken;
      if (taken < first.bytes.length) {
        first.bytes = first.bytes.subarray(taken);
        return;
      }
      this.#waiting.shift();
      first.done?.(0);
    }
    this.#end(0);
  }

  /** End all that waits. */
  fail(error: number): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const each of waiting) each.done?.(error);
    this.#end(error);
  }

  #end(status: number): void {
    this.#liveness.end(Doing.writing);
    const afterwards = this.#afterwards;
    this.#afterwards = null;
    afterwards?.(status);
  }

  /** Call `then` when all that waits is written or has failed: now when nothing waits. */
  afterAll(then: Done): void {
    if (this.#waiting.length === 0) then(0);
    else this.#afterwards = then;
  }

  cancel(): void {
    this.fail(ECANCELED);
  }
}
