// Plain linear algebra on explicit matrices: what instruments that know a matrix by its products alone are compared with.

/** A matrix by its rows. */
export type Matrix = readonly Float64Array[];

/** Eigenvalues of a symmetric matrix, ascending: Householder reflections to a tridiagonal matrix, and bisection on the number
 *  of its eigenvalues below a point, which is that of negative pivots (Golub and Van Loan, sections 8.3 and 8.4). */
export function eigenvalues(symmetric: Matrix): number[] {
  const n = symmetric.length;
  const a = symmetric.map((row) => Float64Array.from(row));
  const [diagonal, beside] = [new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < n; k++) {
    diagonal[k] = a[k]![k]!;
    if (k === n - 1) break;
    // H = I - 2 u u^T takes the column below the diagonal to a multiple of the first unit vector.
    const u = Float64Array.from({ length: n }, (_, i) => (i > k ? a[i]![k]! : 0));
    const length = Math.hypot(...u);
    beside[k] = u[k + 1]! > 0 ? -length : length;
    u[k + 1]! -= beside[k]!;
    const size = Math.hypot(...u);
    if (size === 0) continue;
    for (let i = k + 1; i < n; i++) u[i]! /= size;
    // H A H = A - 2 (u w^T + w u^T) with w = A u - (u^T A u) u.
    const w = a.map((row, i) => (i > k ? row.reduce((sum, x, j) => sum + x * u[j]!, 0) : 0));
    const inner = w.reduce((sum, x, i) => sum + x * u[i]!, 0);
    for (let i = k + 1; i < n; i++) w[i]! -= inner * u[i]!;
    for (let i = k + 1; i < n; i++) for (let j = k + 1; j < n; j++) a[i]![j]! -= 2 * (u[i]! * w[j]! + w[i]! * u[j]!);
  }
  const below = (point: number): number => {
    let [count, pivot] = [0, 1];
    for (let i = 0; i < n; i++) {
      pivot = diagonal[i]! - point - (i > 0 ? beside[i - 1]! ** 2 / pivot : 0);
      if (pivot === 0) pivot = 1e-300;
      if (pivot < 0) count++;
    }
    return count;
  };
  const reach = Math.max(...diagonal.map((x, i) => Math.abs(x) + Math.abs(beside[i]!) + Math.abs(beside[i - 1] ?? 0)));
  return Array.from({ length: n }, (_, k) => {
    let [low, high] = [-reach, reach];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (below(middle) > k) high = middle;
      else low = middle;
    }
    return (low + high) / 2;
  });
}

/** Singular values of a square matrix, ascending: roots of the eigenvalues of J^T J. */
export function singularValues(j: Matrix): number[] {
  const n = j.length;
  const gram = Array.from({ length: n }, (_, p) =>
    Float64Array.from({ length: n }, (_, q) => j.reduce((sum, row) => sum + row[p]! * row[q]!, 0)),
  );
  return eigenvalues(gram).map((value) => Math.sqrt(Math.max(0, value)));
}

/** The matrix of derivatives of `f` at `x`, column by column by central differences. */
export async function jacobianMatrix(
  f: (x: Float64Array) => Promise<ArrayLike<number>>,
  x: ArrayLike<number>,
  step: number,
): Promise<Matrix> {
  const columns: Float64Array[] = [];
  for (let i = 0; i < x.length; i++) {
    const at = async (t: number): Promise<Float64Array> =>
      Float64Array.from(await f(Float64Array.from(x, (value, j) => value + (i === j ? t : 0))));
    const [ahead, behind] = [await at(step), await at(-step)];
    columns.push(ahead.map((y, j) => (y - behind[j]!) / (2 * step)));
  }
  return Array.from(columns[0]!, (_, r) => Float64Array.from(columns, (column) => column[r]!));
}
