// Numbers on axes.

/** Round values in [low, high], about `count` of them. */
export function ticks(low: number, high: number, count: number): number[] {
  const step = tickStep(high - low, count);
  const result: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9) + 0; i * step <= high + step * 1e-9; i++) result.push(i * step);
  return result;
}

function tickStep(span: number, count: number): number {
  if (!(span > 0)) return 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((each) => each * power >= rough) ?? 10;
  return factor * power;
}

export interface Unit {
  name: string;
  /** How many of what is measured make one. */
  size: number;
}

/** The unit in which the values up to `most` are readable. */
export function bytesUnit(most: number): Unit {
  if (most >= 2e9) return { name: 'GB', size: 1e9 };
  if (most >= 2e6) return { name: 'MB', size: 1e6 };
  return most >= 2e3 ? { name: 'kB', size: 1e3 } : { name: 'B', size: 1 };
}

/** Of milliseconds. */
export function timeUnit(most: number): Unit {
  if (most >= 2000) return { name: 's', size: 1000 };
  return most >= 2 ? { name: 'ms', size: 1 } : { name: 'µs', size: 0.001 };
}

/** Without the noise of floating point. */
export function label(value: number): string {
  return String(Number(value.toPrecision(6)));
}

export function amount(value: number, unit: Unit): string {
  return `${Number((value / unit.size).toPrecision(3))} ${unit.name}`;
}
