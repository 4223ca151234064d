// When a handle keeps the process alive: by libuv's rule while it is referenced and does something, not while it is
// merely open.
import { addActive } from './host.js';

export const Doing = { listening: 1, connecting: 2, reading: 4, writing: 8, shuttingDown: 16 } as const;

export class Liveness {
  #doing = 0;
  #referenced = true;
  #counted = false;

  get referenced(): boolean {
    return this.#referenced;
  }

  begin(what: number): void {
    this.#doing |= what;
    this.#count();
  }

  end(what: number): void {
    this.#doing &= ~what;
    this.#count();
  }

  reference(referenced: boolean): void {
    this.#referenced = referenced;
    this.#count();
  }

  #count(): void {
    const counts = this.#referenced && this.#doing !== 0;
    if (counts === this.#counted) return;
    this.#counted = counts;
    addActive(counts ? 1 : -1);
  }
}
