import { stream } from "../random.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { type DiagonalNormal, klToStandard, logDensity } from "./gaussian.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { normalExpectation } from "./quadrature.ts";

const sizes = [1, 2, 5, 10, 20, 50];
const draws = 2 ** 14;
const prior = { mean: 0, variance: 1 };

/** A q(z | x) as encoders give them: means of order 1, variances from a hundredth to a few. */
export function posteriorOf(seed: number, size: number): DiagonalNormal {
  const random = stream(seed, `theory/q ${size}`);
  return {
    mean: random.normal(new Float64Array(size), 0),
    variance: random.normal(new Float64Array(size), 1).map((value) => Math.exp(1.5 * value - 1)),
  };
}

const marginals = ({ mean, variance }: DiagonalNormal) =>
  Array.from(mean, (value, i) => ({ mean: value, variance: variance[i]! }));

/** int q (log q - log p), a sum over the dimensions, each by quadrature. */
export const integratedKl = (q: DiagonalNormal): number =>
  marginals(q).reduce(
    (sum, one) => sum + normalExpectation((z) => logDensity(z, one) - logDensity(z, prior), one.mean, one.variance),
    0,
  );

/** The mean of log q(z) - log p(z) over samples z of q, and its standard error. */
export function sampledKl(q: DiagonalNormal, seed: number): { readonly mean: number; readonly error: number } {
  const ofOne = marginals(q);
  const normals = stream(seed, "theory/kl").normal(new Float64Array(draws * ofOne.length));
  let [sum, squares] = [0, 0];
  for (let n = 0; n < draws; n++) {
    let value = 0;
    ofOne.forEach((one, d) => {
      const z = one.mean + Math.sqrt(one.variance) * normals[n * ofOne.length + d]!;
      value += logDensity(z, one) - logDensity(z, prior);
    });
    sum += value;
    squares += value ** 2;
  }
  const mean = sum / draws;
  return { mean, error: Math.sqrt((squares / draws - mean ** 2) / draws) };
}

/** The lines of the seed's derivation after the third, with expectations by quadrature. */
export function derivation({ mean, variance }: DiagonalNormal): number[] {
  const size = mean.length;
  const total = (of: (i: number) => number): number => Array.from(mean, (_, i) => of(i)).reduce((a, b) => a + b, 0);
  const expectation = (f: (z: number, i: number) => number): number =>
    total((i) => normalExpectation((z) => f(z, i), mean[i]!, variance[i]!));
  const logInverse = Math.log(1 / variance.reduce((product, value) => product * value, 1));
  const trace = total((i) => variance[i]!);
  const square = total((i) => mean[i]! ** 2);
  return [
    0.5 * logInverse -
      0.5 * expectation((z, i) => (z - mean[i]!) ** 2 / variance[i]!) +
      0.5 * expectation((z) => z ** 2),
    0.5 * logInverse - 0.5 * size + 0.5 * square + 0.5 * trace,
    0.5 * (logInverse - size + trace + square),
    0.5 * (total((i) => variance[i]! - Math.log(variance[i]!)) - size + square),
  ];
}

/** What integrals and samples say of the formula `kl`. */
export function diagonalKlFinding(seeds: readonly number[], kl = klToStandard, lines = derivation): Finding {
  const all = seeds.flatMap((seed) => sizes.map((size) => ({ seed, size, q: posteriorOf(seed, size) })));
  const rows = all.map((one) => ({ ...one, formula: kl(one.q), sampled: sampledKl(one.q, one.seed) }));
  const formula =
    "Seed, Question 7: KL(q || N(0, I)) = 1/2 [sum_i (S_i - log S_i) - D + mu^T mu], S the variances of q";
  const dimensions = `${sizes[0]} to ${sizes.at(-1)} dimensions`;
  return {
    claims: [
      claim({
        name: "seed-q7-kl/quadrature",
        statement: `${formula}. Measured: the integral by quadrature in parts of it, ${dimensions}, of all the one furthest off.`,
        predicted: 1,
        measured: rows.map((row) => integratedKl(row.q) / row.formula),
        worst: true,
        tolerance: 1e-11, // 769 terms a dimension in float64; KL itself is a difference of terms ten times its size
      }),
      claim({
        name: "seed-q7-kl/monte-carlo",
        statement: `${formula}. Measured: the mean of log q(z) - log p(z) over ${draws} samples of q less the formula, in standard errors, ${dimensions}, of all the one furthest off.`,
        predicted: 0,
        measured: rows.map(({ sampled, formula }) => (sampled.mean - formula) / sampled.error),
        worst: true,
        tolerance: 4.5, // of thirty standard normals one beyond 4.5 comes in 5000 choices of seeds
      }),
      claim({
        name: "seed-q7-kl/derivation",
        statement:
          "Seed, Question 7: every line of the derivation says the same. Measured: the fourth to the seventh, less the last formula, in parts of it, furthest off.",
        predicted: 0,
        measured: rows.flatMap((row) => lines(row.q).map((value) => (value - row.formula) / row.formula)),
        worst: true,
        tolerance: 1e-11,
      }),
    ],
    figure: {
      kind: "lines",
      title: "KL to the standard normal: samples scatter around the closed form, which costs no samples",
      caption: `Mean of log q(z) - log p(z) over ${draws} samples in parts of the closed form, by the number of latents. Dashed: 1.`,
      x: { title: "dimension of z", scale: "log" },
      y: { title: "sampled KL / closed form" },
      points: [
        ...rows.flatMap((row) =>
          measured({ series: "sampled KL" }, row.seed, [row.size], [row.sampled.mean / row.formula]),
        ),
        ...predicted(
          { series: "sampled KL" },
          sizes,
          sizes.map(() => 1),
        ),
      ],
    },
  };
}

/** The seed's Question 7: the regularization loss in closed form. */
export const seedQ7Kl: Check = {
  name: "seed-q7-kl",
  summary: "the VAE's KL term in closed form is the integral and the mean over samples, line by line of the seed",
  source: "seed, Question 7 (regularization)",
  conditions: `q = N(mu, diag(S)) with random mu and S, ${sizes.join(", ")} dimensions; 5 seeds, in float64.`,
  run: () => Promise.resolve(diagonalKlFinding(seedsUpTo(5))),
};
