import { stream } from "../random.ts";
import { logMedian, mean } from "../statistics.ts";
import { signs } from "../vectors.ts";
import { type Check, claim, type Finding, furthest } from "./check.ts";
import { exponent, slope } from "./fit.ts";
import { logDensity } from "./gaussian.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";

// The decoder is the identity, x | z ~ N(z, s^2 I_D): p(x) = N(x; 0, (1 + s^2) I) is known in every dimension, and the
// weights w = p(x | z) of the estimate have moments in closed form.
const dimensions = [1, 2, 4, 6];
/** s, from a decoder that says little about z to one that says much. At 0.25 and 6 dimensions a hundred weights in a
 *  quarter of a million carry the second moment. */
const noises = [
  { noise: 1, upTo: 6 },
  { noise: 0.5, upTo: 6 },
  { noise: 0.25, upTo: 4 },
];
const draws = 2 ** 18;
/** L, samples an estimate. */
const batches = [4, 16, 64, 256, 1024];
/** Where the bias of the logarithm is measured: the weights' variance is 5.8, so that 1 / L^2 is small beside it. */
const logBias = { noise: 0.5, dimension: 2, samples: 256 };

/** The weights of one decoder, dimension and seed in units of what they average to, w / p(x). */
export interface Weights {
  readonly seed: number;
  readonly noise: number;
  readonly dimension: number;
  /** E[w^2] / p(x)^2 of all draws. */
  readonly secondMoment: number;
  /** Root mean square of (estimate - p(x)) / p(x) over estimates of L samples, by `batches`. */
  readonly errors: readonly number[];
  /** E[log estimate] - log p(x) over estimates of `logBias.samples` samples. */
  readonly logBias: number;
  /** Largest |w / p(x) - 1| where z comes from the posterior and w = p(x | z) p(z) / p(z | x). */
  readonly posteriorError: number;
}

/** Estimates p(x) naively, z from the prior, at an x of typical length: ||x||^2 = D (1 + s^2). */
export function sampleWeights(seed: number, noise: number, dimension: number): Weights {
  const evidence = { mean: 0, variance: 1 + noise ** 2 };
  const purpose = `theory/monte-carlo ${dimension}`; // decoders of all noises see the same z
  const x = signs(stream(seed, `${purpose}/x`).uniform(new Float64Array(dimension))).map(
    (sign) => sign * Math.sqrt(evidence.variance),
  );
  const logP = x.reduce((sum, value) => sum + logDensity(value, evidence), 0);
  const z = stream(seed, `${purpose}/z`).normal(new Float64Array(draws * dimension));
  const scale = -dimension * 0.5 * Math.log(2 * Math.PI * noise ** 2) - logP;
  const ratios = new Float64Array(draws);
  for (let n = 0; n < draws; n++) {
    let squares = 0;
    for (let d = 0; d < dimension; d++) squares += (x[d]! - z[n * dimension + d]!) ** 2;
    ratios[n] = Math.exp(scale - squares / (2 * noise ** 2));
  }
  const errorsOf = (samples: number): number[] =>
    Array.from({ length: draws / samples }, (_, i) => {
      let sum = 0;
      for (let n = i * samples; n < (i + 1) * samples; n++) sum += ratios[n]!;
      return sum / samples - 1;
    });
  return {
    seed,
    noise,
    dimension,
    secondMoment: ratios.reduce((sum, ratio) => sum + ratio ** 2, 0) / draws,
    errors: batches.map((samples) => Math.sqrt(mean(errorsOf(samples).map((error) => error ** 2)))),
    // The error itself averages to 0, p(x) being known: taking it off leaves its chance out of the bias.
    logBias: mean(errorsOf(logBias.samples).map((error) => Math.log1p(error) - error)),
    posteriorError: posteriorError(x, z.subarray(0, 1000 * dimension), noise, logP),
  };
}

function posteriorError(x: Float64Array, normals: Float64Array, noise: number, logP: number): number {
  const variance = noise ** 2 / (1 + noise ** 2);
  const posterior = Array.from(x, (value) => ({ mean: value / (1 + noise ** 2), variance }));
  const errors = Array.from({ length: normals.length / x.length }, (_, n) => {
    let logWeight = -logP;
    posterior.forEach((q, d) => {
      const z = q.mean + Math.sqrt(variance) * normals[n * x.length + d]!;
      logWeight +=
        logDensity(x[d]!, { mean: z, variance: noise ** 2 }) +
        logDensity(z, { mean: 0, variance: 1 }) -
        logDensity(z, q);
    });
    return Math.exp(logWeight) - 1;
  });
  return furthest(errors, 0);
}

/** By which factor E[w^2] / p(x)^2, and with it the samples needed for a given relative error, grows with every dimension:
 *  p(x | z)^2 is (4 pi s^2)^(-1/2) N(x; z, s^2 / 2) a dimension, so that at x^2 = 1 + s^2 it is
 *  (1 + s^2) / (s sqrt(2 + s^2)) exp(1 / (2 + s^2)). */
export const growthPerDimension = (noise: number): number =>
  ((1 + noise ** 2) / (noise * Math.sqrt(2 + noise ** 2))) * Math.exp(1 / (2 + noise ** 2));

/** What the weights say, with `growth` for the factor a dimension. */
export function monteCarloFinding(all: readonly Weights[], growth = growthPerDimension): Finding {
  const seeds = [...new Set(all.map(({ seed }) => seed))];
  const of = (noise: number, seed: number): Weights[] =>
    all.filter((weights) => weights.noise === noise && weights.seed === seed);
  const growthOf = (noise: number, seed: number): number => {
    const rows = of(noise, seed);
    return Math.exp(
      slope(
        rows.map(({ dimension }) => dimension),
        rows.map(({ secondMoment }) => Math.log(secondMoment)),
      ),
    );
  };
  const middle = 0.5;
  const variance = growth(logBias.noise) ** logBias.dimension - 1;
  const biases = all.filter(({ noise, dimension }) => noise === logBias.noise && dimension === logBias.dimension);
  const evidence = "Monte Carlo estimate of log p(x), z from the prior, where p(x) is known";
  const samplesFor = (secondMoment: number): number => (secondMoment - 1) / 0.1 ** 2;
  const reached = dimensions.at(-1)!;
  return {
    claims: [
      claim({
        name: "seed-q2-monte-carlo/growth",
        statement:
          "Seed, Question 2: a grid of 10 values a dimension has 10^D points, so the number of samples grows 10-fold with every " +
          `dimension of z. Measured: by which factor E[w^2] / E[w]^2 of the weights w = p(x | z) grows, s = ${middle}; an estimate of ` +
          "L samples has a relative variance of (that - 1) / L.",
        predicted: growth(middle),
        measured: seeds.map((seed) => growthOf(middle, seed)),
        // The second moment of six dimensions rests on few of the weights and scatters by a tenth or so.
        tolerance: 0.1,
        correction: {
          claimed: 10,
          text:
            "Samples need not cover the space as a grid does. Their number is exponential in D, but the base is that of the model, " +
            `(1 + s^2) / (s sqrt(2 + s^2)) exp(1 / (2 + s^2)) here: ${noises.map(({ noise }) => `${growth(noise).toPrecision(3)} at s = ${noise}`).join(", ")}.`,
        },
      }),
      claim({
        name: "seed-q2-monte-carlo/sharpness",
        statement:
          "What the growth depends on (seed, Question 2): how much x says about z. Measured: the factor a dimension in parts of the " +
          `formula's, of s = ${noises.map(({ noise }) => noise).join(", ")} and all seeds the one furthest off.`,
        predicted: 1,
        measured: noises.flatMap(({ noise }) => seeds.map((seed) => growthOf(noise, seed) / growth(noise))),
        worst: true,
        tolerance: 0.15, // as above, and of nine numbers the worst
      }),
      claim({
        name: "seed-q2-monte-carlo/square-root",
        statement:
          "Against the seed's grid (Question 2), whose spacing is L^(-1/D): Monte Carlo's error falls as L^(-1/2) in every dimension. " +
          `Measured: log-log slope of the relative error of p(x) against L, ${batches[0]} to ${batches.at(-1)}, of all decoders and dimensions the one furthest off.`,
        predicted: -0.5,
        measured: all.map(({ errors }) => exponent(batches, errors)),
        worst: true,
        tolerance: 0.1, // 256 estimates of the largest L, whose squared errors are skewed
      }),
      claim({
        name: "seed-q2-monte-carlo/posterior",
        statement:
          "That z comes from the prior is what costs (seed, Questions 2 and 4): with z from p(z | x) every weight p(x | z) p(z) / p(z | x) " +
          "is p(x), and one sample is enough. Measured: the largest |w / p(x) - 1|.",
        predicted: 0,
        measured: all.map(({ posteriorError }) => posteriorError),
        worst: true,
        tolerance: 1e-12, // a few dozen terms in float64
      }),
      claim({
        name: "seed-q2-monte-carlo/logarithm",
        statement:
          `${evidence} (seed, Question 2): the estimate of p(x) is unbiased, so its logarithm is too low by Jensen, to first order by ` +
          `Var[w] / (2 L p(x)^2). Measured: E[log estimate] - log p(x) in parts of that, s = ${logBias.noise}, D = ${logBias.dimension}, L = ${logBias.samples}.`,
        predicted: 1,
        measured: biases.map((weights) => weights.logBias / (-variance / (2 * logBias.samples))),
        tolerance: 0.1, // of the 1024 estimates each bias scatters by 4 %, and the next order is 2 %
      }),
    ],
    figure: {
      kind: "lines",
      title: `Samples for a naive estimate grow exponentially with the latents, ${noises.map(({ noise }) => `${growth(noise).toPrecision(2)}`).join("-, ")}-fold a dimension here and not 10-fold`,
      caption:
        "Samples for an estimate of p(x) with a relative error of 10 %, by how well a decoder's x tells z, x ~ N(z, s^2 I). Dashed: from " +
        `the weights' moments in closed form, and the seed's 10^D. At ${reached} dimensions and s = ${middle} it takes ` +
        `${Number(logMedian(seeds.map((seed) => samplesFor(of(middle, seed).find(({ dimension }) => dimension === reached)!.secondMoment))).toPrecision(2))} samples, ` +
        "with z from the exact posterior 1.",
      x: { title: "dimension of z" },
      y: { title: "samples for an error of 10 %", scale: "log" },
      points: [
        ...noises.flatMap(({ noise }) => {
          const where = { series: `s = ${noise}` };
          const places = dimensions.filter((dimension) =>
            of(noise, seeds[0]!).some((row) => row.dimension === dimension),
          );
          return [
            ...seeds.flatMap((seed) =>
              measured(
                where,
                seed,
                places,
                of(noise, seed).map(({ secondMoment }) => samplesFor(secondMoment)),
              ),
            ),
            ...predicted(
              where,
              places,
              places.map((dimension) => samplesFor(growth(noise) ** dimension)),
            ),
          ];
        }),
        ...predicted(
          { series: "the seed's 10^D" },
          dimensions,
          dimensions.map((dimension) => 10 ** dimension),
        ),
      ],
    },
  };
}

/** The weights of all decoders and dimensions. */
export const sampleAllWeights = (seeds: readonly number[]): Weights[] =>
  seeds.flatMap((seed) =>
    noises.flatMap(({ noise, upTo }) =>
      dimensions.filter((dimension) => dimension <= upTo).map((dimension) => sampleWeights(seed, noise, dimension)),
    ),
  );

/** The seed's Question 2: why log p(x) is not estimated naively. */
export const seedQ2MonteCarlo: Check = {
  name: "seed-q2-monte-carlo",
  summary: "naive Monte Carlo needs exponentially many samples, but 10^D is a grid's law and not Monte Carlo's",
  source: "seed, Question 2",
  conditions:
    `z ~ N(0, I_D) and x | z ~ N(z, s^2 I_D), whose p(x) is known, D = ${dimensions.join(", ")} (s = 0.25: up to 4), x at its typical length; ` +
    `${draws} draws of z for each of 3 seeds.`,
  run: () => Promise.resolve(monteCarloFinding(sampleAllWeights(seedsUpTo(3)))),
};
