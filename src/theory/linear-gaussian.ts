// The one decoder whose evidence is known: z ~ N(0, I_D), x | z ~ N(W z, s^2 I_M) (probabilistic PCA, Tipping & Bishop 1999).
// Evidence, posterior and bound are computed by different formulas, so that what they say of one another is worth checking.
import { inner } from "../vectors.ts";
import { cholesky, logDeterminant, solve } from "./cholesky.ts";
import { type DiagonalNormal, klToStandard } from "./gaussian.ts";
import { type Matrix, timesColumn } from "./matrix.ts";

/** The model. D is the latent size and M that of x. */
export interface LinearGaussian {
  /** W [M, D], row-major. */
  readonly weight: Float64Array;
  readonly latent: number;
  /** s. */
  readonly noise: number;
}

const observedOf = ({ weight, latent }: LinearGaussian): number => weight.length / latent;

/** W z [M]. */
export const decode = ({ weight, latent }: LinearGaussian, z: ArrayLike<number>): Float64Array =>
  Float64Array.from({ length: weight.length / latent }, (_, m) =>
    inner(weight.subarray(m * latent, (m + 1) * latent), z),
  );

/** The W_md of one d, the column [M] a latent dimension paints. */
const column = ({ weight, latent }: LinearGaussian, d: number): Float64Array =>
  Float64Array.from({ length: weight.length / latent }, (_, m) => weight[m * latent + d]!);

/** log p(x) = log N(x; 0, W W^T + s^2 I), nats, in the M dimensions of x. */
export function logEvidence(model: LinearGaussian, x: ArrayLike<number>): number {
  const { weight, latent, noise } = model;
  const size = observedOf(model);
  const row = (m: number): Float64Array => weight.subarray(m * latent, (m + 1) * latent);
  const data = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) data[i * size + j] = inner(row(i), row(j)) + (i === j ? noise ** 2 : 0);
  const factor = cholesky({ size, data });
  return -0.5 * (size * Math.log(2 * Math.PI) + logDeterminant(factor) + inner(x, solve(factor, x)));
}

/** p(z | x) = N(m, P^-1) with the precision P = I + W^T W / s^2 and m = P^-1 W^T x / s^2, in the D dimensions of z. */
export function posterior(
  model: LinearGaussian,
  x: ArrayLike<number>,
): { readonly mean: Float64Array; readonly precision: Matrix } {
  const { latent, noise } = model;
  const columns = Array.from({ length: latent }, (_, d) => column(model, d));
  const data = new Float64Array(latent * latent);
  for (let i = 0; i < latent; i++)
    for (let j = 0; j < latent; j++)
      data[i * latent + j] = inner(columns[i]!, columns[j]!) / noise ** 2 + (i === j ? 1 : 0);
  const precision = { size: latent, data };
  const projected = columns.map((w) => inner(w, x) / noise ** 2);
  return { mean: solve(cholesky(precision), projected), precision };
}

/** E_q[log p(x | z)] = -M/2 log(2 pi s^2) - (||x - W mu||^2 + sum_d S_d ||W_d||^2) / (2 s^2), q = N(mu, diag(S)), nats. */
export function expectedLogLikelihood(model: LinearGaussian, x: ArrayLike<number>, q: DiagonalNormal): number {
  const { noise } = model;
  const size = observedOf(model);
  const residual = decode(model, q.mean).map((y, m) => x[m]! - y);
  let squares = inner(residual, residual);
  for (let d = 0; d < model.latent; d++) {
    const w = column(model, d);
    squares += q.variance[d]! * inner(w, w);
  }
  return -0.5 * (size * Math.log(2 * Math.PI * noise ** 2) + squares / noise ** 2);
}

/** The seed's lower bound: E_q[log p(x | z)] - KL(q || p(z)), nats. */
export const bound = (model: LinearGaussian, x: ArrayLike<number>, q: DiagonalNormal): number =>
  expectedLogLikelihood(model, x, q) - klToStandard(q);

/** KL(q || p(z | x)) = 1/2 [tr(P diag(S)) + (mu - m)^T P (mu - m) - D - log |P| - sum_d log S_d], nats. */
export function gap(model: LinearGaussian, x: ArrayLike<number>, q: DiagonalNormal): number {
  const { mean, precision } = posterior(model, x);
  const off = q.mean.map((value, d) => value - mean[d]!);
  let sum = inner(off, timesColumn(precision, off)) - logDeterminant(cholesky(precision));
  q.variance.forEach((variance, d) => {
    sum += variance * precision.data[d * (precision.size + 1)]! - 1 - Math.log(variance);
  });
  return sum / 2;
}
