import { expect, test } from "vitest";
import { momentsOf } from "../../src/engine/moments.ts";

test("moments by hand", () => {
  expect(momentsOf([3, -4])).toEqual({ sumSquares: 25, max: 4, count: 2 });
  expect(momentsOf([])).toEqual({ sumSquares: 0, max: 0, count: 0 });
});

test("squares of float32 numbers neither overflow nor vanish", () => {
  expect(momentsOf(Float32Array.of(1e30)).sumSquares).toBeCloseTo(1e60, -55);
  expect(momentsOf(Float32Array.of(1e-30)).sumSquares).toBeGreaterThan(0.99e-60);
});

test.each([[[NaN, 1]], [[1, NaN]], [[1, NaN, 5]]])("NaN anywhere shows in both: %j", (values) => {
  expect(momentsOf(values)).toEqual({ sumSquares: NaN, max: NaN, count: values.length });
});

test("an infinity shows in both", () => {
  expect(momentsOf([1, -Infinity, 2])).toEqual({ sumSquares: Infinity, max: Infinity, count: 3 });
});
