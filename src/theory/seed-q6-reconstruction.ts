import type { Engine } from "../engine/engine.ts";
import { stream } from "../random.ts";
import { mean, standardDeviation } from "../statistics.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { exponent } from "./fit.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { normalNodes } from "./quadrature.ts";
import { decoderParameters, decoderStage, pixelsOf } from "./small-decoder.ts";

const sizes = { latent: 1, hidden: 8, pixels: 12 };
const { pixels } = sizes;
const draws = 2 ** 16;
/** q(z | x) of the one image. */
const q = { mean: 0.4, deviation: 0.5 };
/** How many samples a loss is averaged over. */
const averaged = [1, 4, 16, 64, 256];

/** -sum_m [x_m log f_m + (1 - x_m) log(1 - f_m)], nats: the seed's Question 7 as it is meant. */
export const crossEntropy = (x: ArrayLike<number>, f: ArrayLike<number>): number =>
  -sumOf(x, (bit, m) => bit * Math.log(f[m]!) + (1 - bit) * Math.log(1 - f[m]!));

/** (-sum_m x_m log f_m) + (sum_m (1 - x_m) log(1 - f_m)): the same as it is written, without brackets. */
export const withoutBrackets = (x: ArrayLike<number>, f: ArrayLike<number>): number =>
  -sumOf(x, (bit, m) => bit * Math.log(f[m]!)) + sumOf(x, (bit, m) => (1 - bit) * Math.log(1 - f[m]!));

/** -log p(x | z) from the probability itself, prod_m f_m where x_m = 1 and 1 - f_m where it is 0. */
const negativeLogProbability = (x: ArrayLike<number>, f: ArrayLike<number>): number =>
  -Math.log(Array.from(x).reduce((product, bit, m) => product * (bit === 1 ? f[m]! : 1 - f[m]!), 1));

const sumOf = (x: ArrayLike<number>, term: (bit: number, m: number) => number): number =>
  Array.from(x).reduce((sum, bit, m) => sum + term(bit, m), 0);

/** The image: every third pixel is ink. */
const image = Float64Array.from({ length: pixels }, (_, m) => Number(m % 3 === 0));

/** Losses of one sample of z each, and their mean and standard deviation as integrals over z. */
export interface OneSampleLosses {
  readonly exact: { readonly mean: number; readonly deviation: number };
  readonly losses: readonly { readonly seed: number; readonly values: readonly number[] }[];
  /** f_theta(z) at some z. */
  readonly probabilities: readonly ArrayLike<number>[];
}

/** Runs the decoder at samples of q, and at the nodes of the integral. */
export async function sampleLosses(engine: Engine, seeds: readonly number[]): Promise<OneSampleLosses> {
  const stage = decoderStage(sizes);
  const parameters = decoderParameters(stage, 1);
  const imagesAt = async (normals: ArrayLike<number>): Promise<Float32Array[]> => {
    const z = Float64Array.from(normals, (value) => q.mean + q.deviation * value);
    const f = await pixelsOf(engine, stage, parameters, z, 1);
    return Array.from(z, (_, n) => f.subarray(n * pixels, (n + 1) * pixels));
  };
  const { nodes, weights } = normalNodes();
  const atNodes = (await imagesAt(nodes)).map((f) => crossEntropy(image, f));
  const integralOf = (of: (loss: number) => number): number =>
    weights.reduce((sum, weight, i) => sum + weight * of(atNodes[i]!), 0);
  const exact = integralOf((loss) => loss);
  const losses = [];
  for (const seed of seeds) {
    const f = await imagesAt(stream(seed, "theory/one sample").normal(new Float32Array(draws)));
    losses.push({ seed, values: f.map((one) => crossEntropy(image, one)) });
  }
  return {
    exact: { mean: exact, deviation: Math.sqrt(integralOf((loss) => (loss - exact) ** 2)) },
    losses,
    probabilities: (await imagesAt(nodes)).filter((_, i) => i % 16 === 0 && Math.abs(nodes[i]!) <= 4),
  };
}

/** What they say, with the seed's line of Question 7 read as `literal`. */
export function reconstructionFinding(
  { exact, losses, probabilities }: OneSampleLosses,
  literal = withoutBrackets,
): Finding {
  const deviations = losses.map(({ values }) =>
    averaged.map((samples) =>
      standardDeviation(
        Array.from({ length: Math.min(4096, draws / samples) }, (_, i) =>
          mean(values.slice(i * samples, (i + 1) * samples)),
        ),
      ),
    ),
  );
  const f = probabilities[Math.floor(probabilities.length / 2)]!;
  return {
    claims: [
      claim({
        name: "seed-q6-reconstruction/one-sample",
        statement:
          "Seed, Questions 6 and 7: E_q[-log p(x | z)] is approximated by one sample of z. Measured: the mean of " +
          `${draws} such losses a seed in units of the integral over z.`,
        predicted: 1,
        measured: losses.map(({ values }) => mean(values) / exact.mean),
        worst: true,
        tolerance: (5 * exact.deviation) / (Math.sqrt(draws) * exact.mean), // five standard errors
      }),
      claim({
        name: "seed-q6-reconstruction/noise",
        statement:
          "What one sample costs (seed, Question 6): the loss of an image scatters, and averaging over k samples takes k^(-1/2) off it. Measured: log-log slope of " +
          `the standard deviation against k, 1 to ${averaged.at(-1)}; that of one sample is ${((100 * exact.deviation) / exact.mean).toFixed(0)} % of the loss here.`,
        predicted: -0.5,
        measured: deviations.map((row) => exponent(averaged, row)),
        tolerance: 0.05, // 256 means of the largest k: 4 % of their deviation
      }),
      claim({
        name: "seed-q6-reconstruction/bernoulli",
        statement:
          "Seed, Question 7: -log p(x | z) = -sum_m [x_m log f_m + (1 - x_m) log(1 - f_m)]. Measured: the sum less the logarithm of the product of the pixels' " +
          `probabilities, at ${probabilities.length} z the largest, nats.`,
        predicted: 0,
        measured: probabilities.map((f) => crossEntropy(image, f) - negativeLogProbability(image, f)),
        worst: true,
        tolerance: 1e-12, // twelve terms of order 1 in float64
      }),
      claim({
        name: "seed-q6-reconstruction/brackets",
        statement:
          'Seed, Question 7, as written: "-sum_m x_m log f_m + (1 - x_m) log(1 - f_m)", in which the minus does not reach the second term. ' +
          "Measured: -log p(x | z) from the product of the pixels' probabilities, at one z, nats.",
        predicted: crossEntropy(image, f),
        measured: negativeLogProbability(image, f),
        tolerance: 1e-12,
        correction: {
          claimed: literal(image, f),
          text: "Brackets around both terms are missing, no more: -sum_m [x_m log f_m + (1 - x_m) log(1 - f_m)].",
        },
      }),
    ],
    figure: {
      kind: "lines",
      title: "One sample estimates the reconstruction loss without bias; more take the square root off its noise",
      caption: `Standard deviation of the loss of one image of ${pixels} pixels, averaged over k samples of z. Dashed: that of one sample by quadrature, over sqrt(k).`,
      x: { title: "k, samples of z", scale: "log" },
      y: { title: "standard deviation, nats", scale: "log" },
      points: [
        ...losses.flatMap(({ seed }, i) => measured({ series: "loss" }, seed, averaged, deviations[i]!)),
        ...predicted(
          { series: "loss" },
          averaged,
          averaged.map((samples) => exact.deviation / Math.sqrt(samples)),
        ),
      ],
    },
  };
}

/** The seed's Questions 6 and 7: the reconstruction loss. */
export const seedQ6Reconstruction: Check = {
  name: "seed-q6-reconstruction",
  summary: "one sample of z gives the reconstruction loss without bias; the seed's Bernoulli sum lacks brackets",
  source: "seed, Questions 6 and 7 (reconstruction)",
  conditions:
    `A decoder with one latent number, ${sizes.hidden} hidden units and ${pixels} pixels, run by the engine; q(z | x) = N(${q.mean}, ${q.deviation}^2); ` +
    `${draws} samples of each of 5 seeds, and the integral over z by the trapezoidal rule.`,
  async run({ engine }) {
    return reconstructionFinding(await sampleLosses(engine, seedsUpTo(5)));
  },
};
