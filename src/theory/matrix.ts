// Square matrices in float64: Jacobians measured row by row in float32 are multiplied back together here, so that what is
// compared is the formula and not the rounding of the product. Column convention: J[i, j] = dy_i / dx_j, so a later map
// stands on the left, dz/dx = (dz/dy) (dy/dx), and an error is a row, dE/dx = (dE/dy) (dy/dx).
import { inner, norm } from "../vectors.ts";

/** A square matrix, row-major. */
export interface Matrix {
  readonly size: number;
  readonly data: Float64Array;
}

/** The identity: the "1" of a residual Jacobian 1 + dF/dx. */
export function identity(size: number): Matrix {
  const data = new Float64Array(size * size);
  for (let i = 0; i < size; i++) data[i * size + i] = 1;
  return { size, data };
}

/** A B. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  const { size } = a;
  const data = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = data.subarray(i * size, (i + 1) * size);
    for (let k = 0; k < size; k++) {
      const factor = a.data[i * size + k]!;
      if (factor === 0) continue; // LayerNorm's Jacobian is zero between tokens
      const other = k * size;
      for (let j = 0; j < size; j++) row[j]! += factor * b.data[other + j]!;
    }
  }
  return { size, data };
}

/** A + B. */
export const add = (a: Matrix, b: Matrix): Matrix => ({ size: a.size, data: a.data.map((x, i) => x + b.data[i]!) });

/** The row g A. */
export function rowTimes(g: ArrayLike<number>, { size, data }: Matrix): Float64Array {
  const out = new Float64Array(size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) out[j]! += g[i]! * data[i * size + j]!;
  return out;
}

/** The column A v. */
export const timesColumn = ({ size, data }: Matrix, v: ArrayLike<number>): Float64Array =>
  Float64Array.from({ length: size }, (_, i) => inner(data.subarray(i * size, (i + 1) * size), v));

/** The largest singular value, by power iteration on A^T A from `start` until it changes by less than a part of 1e-9. */
export function spectralNorm(a: Matrix, start: Float64Array): number {
  let v = start;
  let value = 0;
  for (let iteration = 0; iteration < 1000; iteration++) {
    const size = norm(v);
    const image = timesColumn(
      a,
      v.map((x) => x / size),
    );
    const next = norm(image);
    if (Math.abs(next - value) <= 1e-9 * next) return next;
    value = next;
    v = rowTimes(image, a); // (A^T (A v))^T
  }
  return value;
}
