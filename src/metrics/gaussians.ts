// Gaussians fitted to features, and how far apart two of them are: symmetric matrices of a hundred rows in float64.
import { assert } from "../errors.ts";

/** Mean [D] and covariance [D, D], row-major. */
export interface Gaussian {
  readonly mean: Float64Array;
  readonly covariance: Float64Array;
}

/** The mean and the sample covariance (n - 1) of rows [n, D]. */
export function gaussianOf(features: Float32Array, n: number): Gaussian {
  const size = features.length / n;
  const mean = new Float64Array(size);
  for (let i = 0; i < features.length; i++) mean[i % size]! += features[i]! / n;
  const covariance = new Float64Array(size * size);
  const off = new Float64Array(size);
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < size; i++) off[i] = features[row * size + i]! - mean[i]!;
    for (let i = 0; i < size; i++) {
      const factor = off[i]! / (n - 1);
      for (let j = 0; j <= i; j++) covariance[i * size + j]! += factor * off[j]!;
    }
  }
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) covariance[j * size + i] = covariance[i * size + j]!;
  return { mean, covariance };
}

/** The squared Wasserstein-2 distance of two Gaussians (Dowson & Landau 1982; Heusel et al. 2017, equation 6):
 *  |m - n|^2 + tr(S + T - 2 (S T)^(1/2)). The eigenvalues of S T are those of S^(1/2) T S^(1/2), which is symmetric. */
export function frechet(a: Gaussian, b: Gaussian): number {
  const size = a.mean.length;
  let distance = 0;
  for (let i = 0; i < size; i++)
    distance += (a.mean[i]! - b.mean[i]!) ** 2 + a.covariance[i * size + i]! + b.covariance[i * size + i]!;
  const root = squareRoot(a.covariance, size);
  const { values } = eigenSymmetric(product(product(root, b.covariance, size), root, size), size);
  // Rounding may leave eigenvalues that are 0 a little below it.
  for (const value of values) distance -= 2 * Math.sqrt(Math.max(0, value));
  return Math.max(0, distance);
}

/** The symmetric square root of a positive semi-definite matrix. */
function squareRoot(matrix: Float64Array, size: number): Float64Array {
  const { values, vectors } = eigenSymmetric(matrix, size);
  const root = new Float64Array(size * size);
  for (let k = 0; k < size; k++) {
    const value = Math.sqrt(Math.max(0, values[k]!));
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) root[i * size + j]! += value * vectors[i * size + k]! * vectors[j * size + k]!;
  }
  return root;
}

function product(a: Float64Array, b: Float64Array, size: number): Float64Array {
  const out = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let k = 0; k < size; k++) {
      const factor = a[i * size + k]!;
      for (let j = 0; j < size; j++) out[i * size + j]! += factor * b[k * size + j]!;
    }
  return out;
}

/** Eigenvalues and eigenvectors (columns of `vectors`) of a symmetric matrix, by cyclic Jacobi rotations (Golub & Van Loan 2013,
 *  section 8.5), until what is off the diagonal is rounding. */
export function eigenSymmetric(
  matrix: Float64Array,
  size: number,
): { readonly values: Float64Array; readonly vectors: Float64Array } {
  // Of both halves the mean: products leave them apart by rounding.
  const a = matrix.map((x, at) => (x + matrix[(at % size) * size + Math.floor(at / size)]!) / 2);
  const vectors = new Float64Array(size * size);
  for (let i = 0; i < size; i++) vectors[i * size + i] = 1;
  const total = a.reduce((sum, x) => sum + x * x, 0);
  assert(Number.isFinite(total), "eigenvalues of a matrix that is not finite");
  for (let sweep = 0; ; sweep++) {
    let off = 0;
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) off += a[p * size + q]! ** 2;
    if (off <= 1e-30 * total) break;
    assert(sweep < 50, "Jacobi rotations do not converge");
    for (let p = 0; p < size; p++)
      for (let q = p + 1; q < size; q++) {
        const between = a[p * size + q]!;
        if (between === 0) continue;
        const theta = (a[q * size + q]! - a[p * size + p]!) / (2 * between);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        rotateColumns(a, size, p, q, c, t * c);
        rotateRows(a, size, p, q, c, t * c);
        rotateColumns(vectors, size, p, q, c, t * c);
      }
  }
  return { values: Float64Array.from({ length: size }, (_, i) => a[i * size + i]!), vectors };
}

function rotateColumns(a: Float64Array, size: number, p: number, q: number, c: number, s: number): void {
  for (let i = 0; i < size; i++) {
    const [x, y] = [a[i * size + p]!, a[i * size + q]!];
    a[i * size + p] = c * x - s * y;
    a[i * size + q] = s * x + c * y;
  }
}

function rotateRows(a: Float64Array, size: number, p: number, q: number, c: number, s: number): void {
  for (let i = 0; i < size; i++) {
    const [x, y] = [a[p * size + i]!, a[q * size + i]!];
    a[p * size + i] = c * x - s * y;
    a[q * size + i] = s * x + c * y;
  }
}
