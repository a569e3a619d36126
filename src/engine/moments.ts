import type { Moments } from "../types.ts";
import { wasm } from "./moments.wasm.ts";
import { chunkLength, fours, loopsOn, placed } from "./simd.ts";

// See moments.wat for the layout.
const loopsFor = loopsOn<{ moments(at: number, length: number): void }>(wasm);
const chunk = 1024;

/** Sum of squares and largest absolute value, accumulated in float64. NaN anywhere shows in both. */
export function momentsOf(values: ArrayLike<number>): Moments {
  const { sumSquares, max } = values instanceof Float32Array ? sumsOf(values) : plainSumsOf(values);
  return { sumSquares, max: Number.isNaN(sumSquares) ? NaN : max, count: values.length };
}

function sumsOf(values: Float32Array): Pick<Moments, "sumSquares" | "max"> {
  const loops = loopsFor(values);
  const { run, floats, doubles } = loops;
  doubles.fill(0, 0, 4);
  for (let start = 0; start < values.length; start += chunkLength) {
    const count = Math.min(chunkLength, values.length - start);
    run.moments(placed(loops, chunk, values, start, count), fours(count));
  }
  return { sumSquares: doubles[0]! + doubles[1]!, max: Math.max(floats[4]!, floats[5]!, floats[6]!, floats[7]!) };
}

/** The same of other numbers. */
function plainSumsOf(values: ArrayLike<number>): Pick<Moments, "sumSquares" | "max"> {
  let sumSquares = 0;
  let max = 0;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    sumSquares += x * x;
    max = Math.max(max, Math.abs(x));
  }
  return { sumSquares, max };
}
