import type { Moments } from "../types.ts";

/** Sum of squares and largest absolute value, accumulated in float64. NaN anywhere shows in both. */
export function momentsOf(values: ArrayLike<number>): Moments {
  let sumSquares = 0;
  let max = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    sumSquares += x * x;
    const magnitude = Math.abs(x);
    if (!(magnitude <= max)) max = magnitude;
  }
  return { sumSquares, max: Number.isNaN(sumSquares) ? NaN : max, count: values.length };
}
