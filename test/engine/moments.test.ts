import { expect, test } from "vitest";
import { momentsOf } from "../../src/engine/moments.ts";
import { stream } from "../../src/random.ts";

test("moments by hand", () => {
  expect(momentsOf([3, -4])).toEqual({ sumSquares: 25, max: 4, count: 2 });
  expect(momentsOf([])).toEqual({ sumSquares: 0, max: 0, count: 0 });
});

test("squares of float32 numbers neither overflow nor vanish", () => {
  expect(momentsOf(Float32Array.of(1e30)).sumSquares).toBeCloseTo(1e60, -55);
  expect(momentsOf(Float32Array.of(1e-30)).sumSquares).toBeGreaterThan(0.99e-60);
});

test.each([[[NaN, 1]], [[1, NaN]], [[1, NaN, 5]], [[1, 2, 3, 4, 5, NaN]]])(
  "NaN anywhere shows in both: %j",
  (values) => {
    const broken = { sumSquares: NaN, max: NaN, count: values.length };
    expect(momentsOf(values)).toEqual(broken);
    expect(momentsOf(Float32Array.from(values))).toEqual(broken);
  },
);

test("an infinity shows in both", () => {
  for (const values of [[1, -Infinity, 2], Float32Array.of(1, -Infinity, 2)])
    expect(momentsOf(values)).toEqual({ sumSquares: Infinity, max: Infinity, count: 3 });
});

// Lengths about the four numbers that are taken at once and the 4096 of a chunk. Both sums are of float64, in different
// orders: n roundings of 1.1e-16 each at most, of terms that are all positive.
test.each([0, 1, 2, 3, 4, 5, 7, 4095, 4096, 4097, 8192, 10001])(
  "float32 arrays of %i are summed as others are",
  (n) => {
    const values = stream(1, "moments").normal(new Float32Array(n));
    if (n > 2) values[n - 1] = -1e-42; // denormal, and the last
    if (n > 2) values[n - 2] = -77; // the largest, near the end
    const wanted = momentsOf([...values]);
    const got = momentsOf(values);
    expect(got).toEqual({ ...wanted, sumSquares: got.sumSquares });
    expect(Math.abs(got.sumSquares - wanted.sumSquares)).toBeLessThanOrEqual(n * 1.2e-16 * wanted.sumSquares);
  },
);

test("nothing is left over from one array to the next", () => {
  momentsOf(new Float32Array(5000).fill(100));
  expect(momentsOf(Float32Array.of(3, -4, 0, 0, 0))).toEqual({ sumSquares: 25, max: 4, count: 5 });
  momentsOf(Float32Array.of(NaN));
  expect(momentsOf(Float32Array.of(1))).toEqual({ sumSquares: 1, max: 1, count: 1 });
});
