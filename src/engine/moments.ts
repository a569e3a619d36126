import type { Moments } from "../types.ts";
import { wasm } from "./moments.wasm.ts";
import { chunkLength, fillChunk, instantiate } from "./simd.ts";

// See moments.wat for the layout.
const kernel = instantiate<{ moments(length: number): void }>(wasm);
const squares = new Float64Array(kernel.memory.buffer, 0, 2);
const largest = new Float32Array(kernel.memory.buffer, 16, 4);
const chunk = new Float32Array(kernel.memory.buffer, 1024, chunkLength);

/** Sum of squares and largest absolute value, accumulated in float64. NaN anywhere shows in both. */
export function momentsOf(values: ArrayLike<number>): Moments {
  const { sumSquares, max } = values instanceof Float32Array ? sumsOf(values) : plainSumsOf(values);
  return { sumSquares, max: Number.isNaN(sumSquares) ? NaN : max, count: values.length };
}

function sumsOf(values: Float32Array): Pick<Moments, "sumSquares" | "max"> {
  squares.fill(0);
  largest.fill(0);
  for (let start = 0; start < values.length; start += chunkLength) kernel.moments(fillChunk(chunk, values, start, 4));
  return { sumSquares: squares[0]! + squares[1]!, max: Math.max(...largest) };
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
