// Gaussians in float64: densities, and the divergences of the seed's Questions 3 and 7 in closed form.

/** N(mean, variance), of one number. */
export interface Normal {
  readonly mean: number;
  /** sigma^2. */
  readonly variance: number;
}

/** N(mean, diag(variance)), of D numbers. */
export interface DiagonalNormal {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
}

/** log N(x; mean, variance), nats. */
export const logDensity = (x: number, { mean, variance }: Normal): number =>
  -0.5 * (Math.log(2 * Math.PI * variance) + (x - mean) ** 2 / variance);

/** KL(q || p) = log(sigma_p / sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2, nats (the seed's Question 3). */
export const klOfNormals = (q: Normal, p: Normal): number =>
  0.5 * Math.log(p.variance / q.variance) + (q.variance + (q.mean - p.mean) ** 2) / (2 * p.variance) - 0.5;

/** KL(N(mu, diag(S)) || N(0, I)) = 1/2 [sum_i (S_i - log S_i) - D + mu^T mu], nats (the seed's Question 7). */
export function klToStandard({ mean, variance }: DiagonalNormal): number {
  let sum = 0;
  for (let i = 0; i < mean.length; i++) sum += variance[i]! - Math.log(variance[i]!) - 1 + mean[i]! ** 2;
  return sum / 2;
}
