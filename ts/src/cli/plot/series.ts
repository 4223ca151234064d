// What is drawn, in bounded memory: marks that would fall on the same pixels are one.

/** A bar at `time` from `low` to `high`. */
export interface Bar {
  time: number;
  low: number;
  high: number;
}

/** Above so many the time axis is cut into bins, and what is in one bin is drawn as one. */
export const marksMax = 20_000;
const binsMax = 4_000;

/** How wide a bin is for `count` marks in `span`; 0: each mark for itself. */
export function binWidth(count: number, span: number): number {
  return count > marksMax ? span / binsMax : 0;
}

/** Vertical bars. In one bin those that touch are joined. */
export class Bars {
  readonly items: Bar[] = [];
  readonly #bin: number;
  #binStart = -Infinity;
  #first = 0; // the first item of the present bin

  constructor(bin: number) {
    this.#bin = bin;
  }

  add(time: number, low: number, high: number): void {
    if (this.#bin > 0) {
      if (time >= this.#binStart + this.#bin) {
        this.#binStart = time;
        this.#first = this.items.length;
      }
      for (let i = this.items.length - 1; i >= this.#first && i >= this.items.length - 8; i--) {
        const item = this.items[i];
        if (low > item.high || high < item.low) continue;
        item.low = Math.min(item.low, low);
        item.high = Math.max(item.high, high);
        return;
      }
      if (this.items.length >= 8 * marksMax) return; // scattered beyond what can be seen
    }
    this.items.push({ time, low, high });
  }
}

type Point = [time: number, value: number];

/** Points of a line. Of one bin the first, the least, the greatest and the last are kept. */
export class Line {
  readonly #points: Point[] = [];
  readonly #bin: number;
  #binStart = -Infinity;
  #pending: Point[] = []; // first, least, greatest, last

  constructor(bin: number) {
    this.#bin = bin;
  }

  add(time: number, value: number): void {
    if (this.#bin === 0) {
      const last = this.#points.at(-1);
      const before = this.#points.at(-2);
      // A value that stays needs its two ends.
      if (last && before && last[1] === value && before[1] === value) last[0] = time;
      else this.#points.push([time, value]);
      return;
    }
    if (time >= this.#binStart + this.#bin) {
      this.#flush();
      this.#binStart = time;
    }
    const [first = [time, value], least = first, greatest = first] = this.#pending;
    const point: Point = [time, value];
    this.#pending = [first, value < least[1] ? point : least, value > greatest[1] ? point : greatest, point];
  }

  #flush(): void {
    const kept = this.#pending.sort((a, b) => a[0] - b[0]);
    for (const point of kept) {
      const last = this.#points.at(-1);
      if (last?.[0] !== point[0] || last[1] !== point[1]) this.#points.push(point);
    }
    this.#pending = [];
  }

  /** In the order of time. */
  points(): readonly (readonly [time: number, value: number])[] {
    this.#flush();
    return this.#points;
  }
}
