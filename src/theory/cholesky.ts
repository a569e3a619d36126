// Symmetric positive definite matrices A = L L^T in float64, for Gaussians of a few dimensions.
import { assert } from "../errors.ts";
import type { Matrix } from "./matrix.ts";

/** The lower triangle L. */
export function cholesky({ size, data }: Matrix): Matrix {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++) {
      let rest = data[i * size + j]!;
      for (let k = 0; k < j; k++) rest -= lower[i * size + k]! * lower[j * size + k]!;
      assert(i !== j || rest > 0, "cholesky: the matrix is not positive definite");
      lower[i * size + j] = i === j ? Math.sqrt(rest) : rest / lower[j * size + j]!;
    }
  return { size, data: lower };
}

/** log |A| = 2 sum_i log L_ii. */
export function logDeterminant({ size, data }: Matrix): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += 2 * Math.log(data[i * size + i]!);
  return sum;
}

/** A^-1 b, by L y = b and L^T x = y. */
export function solve({ size, data }: Matrix, b: ArrayLike<number>): Float64Array {
  const x = Float64Array.from(b);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) x[i]! -= data[i * size + k]! * x[k]!;
    x[i]! /= data[i * size + i]!;
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) x[i]! -= data[k * size + i]! * x[k]!;
    x[i]! /= data[i * size + i]!;
  }
  return x;
}
