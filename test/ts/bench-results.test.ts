// The arithmetic of `npm run bench`: medians, ratios, spread.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
// @ts-expect-error plain JavaScript without declarations
import { Results, median, quantile, relativeSpread } from '../../tools/bench/results.mjs';

test('the median of an even count lies between the two in the middle', () => {
  assert.is(median([4, 1, 3, 2]), 2.5);
  assert.is(median([7]), 7);
  assert.is(quantile([1, 2, 3, 4, 5], 0.25), 2);
});

test('the spread is the interquartile range over the median', () => {
  assert.is(relativeSpread([1, 2, 3, 4, 5]), 2 / 3);
  assert.is(relativeSpread([2, 2, 2]), 0);
});

test('the ratio is the median of the ratios of the rounds, not the ratio of the medians', () => {
  const results = new Results();
  for (const [ours, baseline] of [
    [1, 10],
    [9, 10],
    [10, 100],
  ]) {
    results.add({ case: 'veth/64', metric: 'us', better: 'lower', ours, baseline });
  }
  assert.equal(results.summarize(), [
    { case: 'veth/64', metric: 'us', better: 'lower', ours: 9, baseline: 10, ratio: 0.1, rounds: 3, spread: 4 },
  ]);
});

test('a result without a baseline has neither ratio nor spread', () => {
  const results = new Results();
  results.add({ case: 'idle', metric: 'bytes', better: 'lower', ours: 1234.567 });
  assert.equal(results.summarize(), [{ case: 'idle', metric: 'bytes', better: 'lower', ours: 1235, rounds: 1 }]);
});

test('cases and metrics are kept apart, in the order of their first round', () => {
  const results = new Results();
  results.add({ case: 'a', metric: 'x', better: 'lower', ours: 1, baseline: 1 });
  results.add({ case: 'a', metric: 'y', better: 'higher', ours: 2, baseline: 1 });
  results.add({ case: 'b', metric: 'x', better: 'lower', ours: 3, baseline: 1 });
  assert.equal(
    results.summarize().map((result: { case: string; ratio: number }) => [result.case, result.ratio]),
    [
      ['a', 1],
      ['a', 2],
      ['b', 3],
    ],
  );
});

test.run();
