// Rounds become results: medians, the median of the rounds' ratios, and how far the ratios lie apart.

/** Linear interpolation between the order statistics. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const rest = position - below;
  return sorted[below] + (rest === 0 ? 0 : rest * (sorted[below + 1] - sorted[below]));
}

export function median(values) {
  return quantile(values, 0.5);
}

/** The interquartile range over the median. */
export function relativeSpread(values) {
  return (quantile(values, 0.75) - quantile(values, 0.25)) / median(values);
}

/** Collects what each round measured. */
export class Results {
  #series = new Map();

  /**
   * One measurement of one round. `baseline` is measured in the same round, or left out where there is none.
   * @param {{ case: string, metric: string, better: 'lower' | 'higher', ours: number, baseline?: number }} measured
   */
  add({ case: name, metric, better, ours, baseline }) {
    const key = `${name}\n${metric}`;
    if (!this.#series.has(key)) this.#series.set(key, { case: name, metric, better, ours: [], baseline: [] });
    const series = this.#series.get(key);
    series.ours.push(ours);
    if (baseline !== undefined) series.baseline.push(baseline);
  }

  /** In the form of the JSON that `npm run bench -- NAME --json` prints. */
  summarize() {
    return [...this.#series.values()].map(({ case: name, metric, better, ours, baseline }) => {
      const result = { case: name, metric, better, ours: round(median(ours)) };
      if (baseline.length !== ours.length) return { ...result, rounds: ours.length };
      const ratios = ours.map((value, i) => value / baseline[i]);
      return {
        ...result,
        baseline: round(median(baseline)),
        ratio: round(median(ratios)),
        rounds: ours.length,
        spread: round(relativeSpread(ratios)),
      };
    });
  }
}

/** Four significant digits: no measurement here is better than that. */
function round(value) {
  return Number(value.toPrecision(4));
}
