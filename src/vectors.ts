// Arithmetic on long vectors, summed in float64.

/** ||a||, Euclidean. */
export const norm = (a: ArrayLike<number>): number => Math.sqrt(inner(a, a));

/** <a, b>. */
export function inner(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** ||a - b|| / ||b||. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum) / norm(b);
}

/** Multiplies `a` by `factor`, in place. */
export function scale<T extends Float32Array | Float64Array>(a: T, factor: number): T {
  for (let i = 0; i < a.length; i++) a[i]! *= factor;
  return a;
}

/** -1 and 1 from uniforms on [0, 1), in place: a Rademacher vector, for which E[z z^T] = I. */
export function signs<T extends Float32Array | Float64Array>(uniforms: T): T {
  for (let i = 0; i < uniforms.length; i++) uniforms[i] = uniforms[i]! < 0.5 ? -1 : 1;
  return uniforms;
}
