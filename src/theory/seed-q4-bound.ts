import { stream } from "../random.ts";
import { extent } from "../statistics.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { cholesky, solve } from "./cholesky.ts";
import { type DiagonalNormal, logDensity, type Normal } from "./gaussian.ts";
import { bound, type LinearGaussian, logEvidence, posterior } from "./linear-gaussian.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { integral } from "./quadrature.ts";

const [latent, observed, noise] = [3, 6, 0.7];
const guesses = 200;

/** A model of this seed, an x, and approximate posteriors: random ones, and one that goes over into the exact posterior. */
export interface BoundSample {
  readonly seed: number;
  readonly logEvidence: number;
  /** The bound at random q, some far from the exact posterior and some near. */
  readonly bounds: readonly number[];
  /** The bound at N(m + t sqrt(S), S (1 + t)) by t, (m, S) the exact posterior's. */
  readonly path: readonly number[];
}

const offsets = [0, 0.25, 0.5, 1, 1.5, 2];

/** W with orthogonal columns, so that the exact posterior is diagonal and can be reached. */
function orthogonal(seed: number): LinearGaussian {
  const weight = stream(seed, "theory/bound W").normal(new Float64Array(observed * latent));
  for (let d = 0; d < latent; d++)
    for (let before = 0; before < d; before++) {
      let [product, square] = [0, 0];
      for (let m = 0; m < observed; m++) {
        product += weight[m * latent + d]! * weight[m * latent + before]!;
        square += weight[m * latent + before]! ** 2;
      }
      for (let m = 0; m < observed; m++) weight[m * latent + d]! -= (product / square) * weight[m * latent + before]!;
    }
  return { weight, latent, noise };
}

/** The bound, by `boundOf`, at many q. */
export function sampleBounds(seed: number, boundOf = bound): BoundSample {
  const model = orthogonal(seed);
  const x = stream(seed, "theory/bound x").normal(new Float64Array(observed));
  const { mean, precision } = posterior(model, x);
  const factor = cholesky(precision);
  const variance = Float64Array.from({ length: latent }, (_, d) => {
    const unit = Float64Array.from({ length: latent }, (_, i) => Number(i === d));
    return solve(factor, unit)[d]!;
  });
  const random = stream(seed, "theory/bound q");
  return {
    seed,
    logEvidence: logEvidence(model, x),
    bounds: Array.from({ length: guesses }, (_, i) => {
      const away = 10 ** (-3 * (i / guesses)); // from far off to so near that a bound which is none shows
      const [meanNoise, widthNoise] = [0, 1].map((part) => random.normal(new Float64Array(latent), 2 * i + part));
      return boundOf(model, x, {
        mean: mean.map((m, d) => m + away * meanNoise![d]!),
        variance: variance.map((v, d) => v * Math.exp(away * widthNoise![d]!)),
      });
    }),
    path: offsets.map((t) => boundOf(model, x, shifted({ mean, variance }, t))),
  };
}

const shifted = ({ mean, variance }: DiagonalNormal, t: number): DiagonalNormal => ({
  mean: mean.map((m, d) => m + t * Math.sqrt(variance[d]!)),
  variance: variance.map((v) => v * (1 + t)),
});

/** KL(N(m + t sqrt(S), S (1 + t)) || N(m, S)), D dimensions. */
const pathGap = (t: number): number => 0.5 * latent * (t + t ** 2 - Math.log1p(t));

/** Both sides of Jensen for the logarithm: E_q[log(p / q)], and log E_q[p / q], by quadrature. */
export function jensenSides(q: Normal, p: Normal): { readonly inside: number; readonly outside: number } {
  const deviations = [Math.sqrt(q.variance), Math.sqrt(p.variance)];
  const low = Math.min(q.mean - 12 * deviations[0]!, p.mean - 12 * deviations[1]!);
  const high = Math.max(q.mean + 12 * deviations[0]!, p.mean + 12 * deviations[1]!);
  const logRatio = (x: number): number => logDensity(x, p) - logDensity(x, q);
  const under = (f: (x: number) => number): number =>
    integral((x) => Math.exp(logDensity(x, q)) * f(x), low, high, Math.min(...deviations) / 16);
  return {
    inside: under(logRatio),
    outside: Math.log(
      integral((x) => Math.exp(logDensity(x, q) + logRatio(x)), low, high, Math.min(...deviations) / 16),
    ),
  };
}

/** Pairs of Gaussians whose means and widths differ by up to a few times. */
const pairs = (): { q: Normal; p: Normal }[] => {
  const draws = stream(1, "theory/jensen").normal(new Float64Array(4 * 100));
  return Array.from({ length: 100 }, (_, i) => {
    const [meanQ, meanP, widthQ, widthP] = draws.subarray(4 * i, 4 * i + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    return { q: { mean: meanQ, variance: Math.exp(widthQ) }, p: { mean: meanP, variance: Math.exp(widthP) } };
  });
};

const share = (values: readonly boolean[]): number => values.filter(Boolean).length / values.length;

/** What the bounds, and both sides of Jensen, say. */
export function boundFinding(samples: readonly BoundSample[], sides = jensenSides): Finding {
  const jensen = pairs().map(({ q, p }) => sides(q, p));
  const theBound = "Seed, Question 4: log p(x) >= E_q[log p(x | z)] - KL(q || p(z))";
  const [low, high] = extent(samples.flatMap(({ bounds, logEvidence }) => bounds.map((value) => logEvidence - value)));
  return {
    claims: [
      claim({
        name: "seed-q4-bound/below",
        statement: `${theBound}, for every q. Measured: of ${guesses} random q a seed, near and far from the posterior, the share with a bound above log p(x); the gap is ${low.toPrecision(2)} to ${high.toPrecision(3)} nats.`,
        predicted: 0,
        measured: samples.map(({ bounds, logEvidence }) => share(bounds.map((value) => value > logEvidence))),
        worst: true,
        tolerance: 0, // all of them
      }),
      claim({
        name: "seed-q4-bound/tight",
        statement: `${theBound}, and equal for q = p(z | x). Measured: the difference there, nats.`,
        predicted: 0,
        measured: samples.map(({ path, logEvidence }) => logEvidence - path[0]!),
        worst: true,
        tolerance: 1e-12, // sums of ten terms of order 10 in float64
      }),
      claim({
        name: "seed-q4-bound/jensen",
        statement:
          "Seed, Question 4: by Jensen and the concavity of log, KL(q || p) = -E_q[log(p / q)] <= -log E_q[p / q] = 0. Measured: of 100 pairs " +
          "of Gaussians the share for which it is, by quadrature.",
        predicted: 0,
        measured: share(jensen.map(({ inside, outside }) => -inside <= -outside)),
        tolerance: 0,
        correction: {
          claimed: 1,
          text:
            "The sign is the wrong way round: log is concave, so E[log] <= log E and -E_q[log(p / q)] >= -log E_q[p / q] = 0. As written KL would be " +
            "negative, and the bound that the seed then rightly draws from it would be an upper one.",
        },
      }),
      claim({
        name: "seed-q4-bound/normalised",
        statement:
          "Seed, Question 4: log E_q[p / q] = log int p = 0. Measured: of these pairs the one furthest off, by quadrature.",
        predicted: 0,
        measured: jensen.map(({ outside }) => outside),
        worst: true,
        tolerance: 1e-12, // the quadrature's rounding
      }),
    ],
    figure: {
      kind: "lines",
      title: "The bound lies below log p(x) and touches it where q is the exact posterior",
      caption:
        `log p(x) less the bound at q = N(m + t sqrt(S), (1 + t) S), (m, S) the exact posterior's mean and variance; ${latent} latents, ` +
        "z ~ N(0, I), x ~ N(W z, s^2 I). Dashed: KL(q || p(z | x)).",
      x: { title: "t, distance of q from the posterior" },
      y: { title: "log p(x) - bound, nats" },
      points: [
        ...samples.flatMap(({ seed, path, logEvidence }) =>
          measured(
            { series: "gap" },
            seed,
            offsets,
            path.map((value) => Math.max(0, logEvidence - value)), // rounding leaves -1e-15 at t = 0
          ),
        ),
        ...predicted({ series: "gap" }, offsets, offsets.map(pathGap)),
      ],
    },
  };
}

/** The seed's Question 4: the evidence has a lower bound. */
export const seedQ4Bound: Check = {
  name: "seed-q4-bound",
  summary: "the ELBO is a lower bound of log p(x); Jensen's inequality in the seed's proof has the wrong sign",
  source: "seed, Question 4",
  conditions:
    `z ~ N(0, I_${latent}), x | z ~ N(W z, s^2 I_${observed}) with s = ${noise} and W of orthogonal columns, for which evidence and posterior ` +
    "are known; 5 seeds, in float64.",
  run: () => Promise.resolve(boundFinding(seedsUpTo(5).map((seed) => sampleBounds(seed)))),
};
