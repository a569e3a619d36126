import { expect, test } from "vitest";
import { groupBy, spreadOf } from "../src/statistics.ts";

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
