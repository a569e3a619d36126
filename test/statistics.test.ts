import { expect, test } from "vitest";
import { groupBy, logMedian, median, rankCorrelation, runningMedian, spreadOf } from "../src/statistics.ts";

test("a spread is of the finite values, with the sample standard deviation", () => {
  expect(spreadOf([1, NaN, 3, Infinity])).toEqual({ mean: 2, sd: Math.SQRT2, n: 2 });
  expect(spreadOf([4])).toEqual({ mean: 4, sd: NaN, n: 1 });
  expect(spreadOf([])).toEqual({ mean: NaN, sd: NaN, n: 0 });
});

test("groups come in the order of their first item", () => {
  const groups = groupBy(["b1", "a1", "b2"], (item) => item[0]!);
  expect([...groups]).toEqual([
    ["b", ["b1", "b2"]],
    ["a", ["a1"]],
  ]);
});

test("the log-median is the middle value, or the geometric mean of the two middle ones; a zero is no hole", () => {
  expect(logMedian([9, 1, 4])).toBe(4);
  expect(logMedian([0.001, 0.1])).toBeCloseTo(0.01, 12);
  expect(logMedian([1e-200, 1e-200, 1e200, 1e200])).toBeCloseTo(1, 12); // the product of neither pair overflows
  expect(logMedian([0, 1])).toBe(0);
  expect(logMedian([0, 0])).toBe(0);
  expect(logMedian([])).toBeNaN();
});

test("a running median keeps an edge, drops an outlier, and looks over fewer neighbours at the ends", () => {
  expect(runningMedian([1, 1, 1, 9, 9, 9], 1)).toEqual([1, 1, 1, 9, 9, 9]);
  expect(runningMedian([1, 2, 90, 4, 5], 1)).toEqual([1.5, 2, 4, 5, 4.5]);
  expect(runningMedian([3, 1, 2], 5)).toEqual([2, 2, 2]);
  const values = Array.from({ length: 60 }, (_, i) => (i * 37) % 11); // with repeated values
  expect(runningMedian(values, 4)).toEqual(values.map((_, i) => median(values.slice(Math.max(0, i - 4), i + 5))));
});

test("Spearman's rank correlation is Pearson's of the ranks, ties and infinities included", () => {
  // numpy.corrcoef of the ranks [1, 2.5, 2.5, 4, 6, 5] and [2, 1, 4, 3, 6, 5].
  expect(rankCorrelation([1, 2, 2, 3, 5, 4], [2, 1, 4, 3, Infinity, 5])).toBeCloseTo(0.8116794499134279, 12);
  expect(rankCorrelation([1, 2, 3], [10, 20, 15])).toBeCloseTo(0.5, 12);
  expect(rankCorrelation([1, 2, 3], [3, 3, 3])).toBeNaN();
  expect(rankCorrelation([1, 2], [1, 2])).toBeNaN();
});
