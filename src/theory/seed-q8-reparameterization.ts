import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { constant } from "../nn/parameters.ts";
import { type Parameter, type ParameterSpec, type Player, sizeOf, type Stage } from "../stage.ts";
import { mean, median } from "../statistics.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { normalNodes } from "./quadrature.ts";
import { decoderParameters, decoderStage, pixelsOf } from "./small-decoder.ts";

/** Samples a seed: behind the decoder, and of the variances. */
const draws = { decoder: 2 ** 17, quadratic: 2 ** 14 };
const sizes = { latent: 1, hidden: 8, pixels: 4 };
/** q(z | x) = N(mu, S) in every dimension, and f(z) = 1/2 ||z - a||^2, a = mu - `offset`, where f is not the decoder's. */
const q = { mean: 0.4, variance: 0.3 };
const offset = 0.7;
const dimensions = [1, 2, 4, 8, 16, 32];
/** What a pixel of the image is. */
const bit = (m: number): number => Number(m % 3 === 0);

/** z = mu + exp(1/2 log S) epsilon with a mean and a log variance of its own for every row, so that a row's gradient is
 *  that of one sample. */
function sampleStage(rows: number, size: number): Stage {
  const spec = (name: string, value: number): ParameterSpec => ({
    ...constant([rows, size], value),
    path: `posterior/${name}`,
  });
  return {
    name: "posterior",
    stack: "latent",
    layer: "",
    key: `theory posterior ${rows} ${size}`,
    parameters: { mean: spec("mean", q.mean), "log-variance": spec("log-variance", Math.log(q.variance)) },
    reads: [],
    apply(p, _, context) {
      const epsilon = context.noise("epsilon", [rows, size], { kind: "normal" });
      return { latent: tf.add(p["mean"]!, tf.mul(tf.exp(tf.mul(p["log-variance"]!, 0.5)), epsilon)) };
    },
  };
}

/** loss = sum over rows of -log p(x | z) = sum_m softplus(logit_m) - x_m logit_m. */
const bernoulliStage: Stage = {
  name: "bernoulli",
  stack: "output",
  layer: "",
  key: "theory bernoulli",
  parameters: {},
  reads: ["logits", "image"],
  apply: (_, { logits, image }) => ({ loss: tf.sum(tf.sub(tf.softplus(logits!), tf.mul(logits!, image!))) }),
};

/** loss = sum over rows of 1/2 ||z - a||^2. */
const quadraticStage: Stage = {
  name: "quadratic",
  stack: "output",
  layer: "",
  key: "theory quadratic",
  parameters: {},
  reads: ["latent"],
  apply: (_, { latent }) => ({ loss: tf.mul(tf.sum(tf.square(tf.sub(latent!, q.mean - offset))), 0.5) }),
};

/** One gradient a sample of a dimension's mu and log S, the others held: dL/dmu and dL/dlog S. */
export interface Gradients {
  readonly mean: Float64Array;
  readonly logVariance: Float64Array;
}

/** Both estimators on the same samples. */
export interface Estimates {
  readonly seed: number;
  /** The engine's gradient through z = mu + sqrt(S) epsilon. */
  readonly reparameterized: Gradients;
  /** f(z) d log q(z) / d(mu, log S), with d log q / dmu = epsilon / sqrt(S) and d log q / dlog S = (epsilon^2 - 1) / 2
   *  (Williams 1992): f is not differentiated. */
  readonly score: Gradients;
  /** z of the first dimension, as the engine had it. */
  readonly latents: Float64Array;
}

/** What to estimate from: `rows` samples of z [rows, size], the stages after it and their parameters, and the same losses
 *  once more from z, a number a row. */
interface Setting {
  readonly rows: number;
  readonly size: number;
  readonly after: readonly Stage[];
  readonly parameters: ReadonlyMap<string, Parameter>;
  lossesOf(z: Float32Array): Promise<ArrayLike<number>>;
}

/** Samples z and differentiates the losses in the first dimension of mu and log S. */
async function estimate(
  engine: Engine,
  seed: number,
  { rows, size, after, parameters, lossesOf }: Setting,
): Promise<Estimates> {
  const posterior = sampleStage(rows, size);
  const own = Object.values(posterior.parameters).map(({ path, shape, init }): [string, Parameter] => [
    path,
    { path, shape, init, data: new Float32Array(sizeOf(shape)).fill(init.kind === "constant" ? init.value : NaN) },
  ]);
  const player: Player = { name: "estimator", stages: [posterior, ...after], scalars: ["loss"] };
  const image = { dtype: "float32", shape: [1, sizes.pixels], data: imageOf() } as const;
  const { gradients, noises } = await engine.differentiate(
    player,
    new Map([...parameters, ...own]),
    { tensors: { image }, tokens: rows },
    { step: 0, seed, tapped: false },
  );
  const first = (values: ArrayLike<number>): Float64Array =>
    Float64Array.from({ length: rows }, (_, n) => values[n * size]!);
  const all = Float32Array.from([...noises.values()][0]!.data);
  const epsilon = first(all);
  const reparameterized = {
    mean: first(gradients.get("posterior/mean")!),
    logVariance: first(gradients.get("posterior/log-variance")!),
  };
  const deviation = Math.sqrt(q.variance);
  const z = all.map((value) => q.mean + deviation * value);
  const losses = await lossesOf(z);
  return {
    seed,
    reparameterized,
    score: {
      mean: epsilon.map((e, n) => (losses[n]! * e) / deviation),
      logVariance: epsilon.map((e, n) => (losses[n]! * (e ** 2 - 1)) / 2),
    },
    latents: first(z),
  };
}

const imageOf = (): Float32Array => Float32Array.from({ length: sizes.pixels }, (_, m) => bit(m));

const bernoulli = (f: Float32Array): Float64Array =>
  Float64Array.from({ length: f.length / sizes.pixels }, (_, n) => {
    let loss = 0;
    for (let m = 0; m < sizes.pixels; m++) {
      const p = f[n * sizes.pixels + m]!;
      loss -= Math.log(bit(m) ? p : 1 - p);
    }
    return loss;
  });

/** dE/dmu and dE/dlog S of E_q[-log p(x | z)]: central differences of the integral over z. */
export interface Exact {
  readonly mean: number;
  readonly logVariance: number;
}

/** The estimates behind a decoder of one latent number, and the exact gradient. */
export async function decoderEstimates(
  engine: Engine,
  seeds: readonly number[],
): Promise<{ readonly exact: Exact; readonly estimates: readonly Estimates[] }> {
  const stage = decoderStage(sizes);
  const parameters = decoderParameters(stage, 1);
  const lossesOf = async (z: ArrayLike<number>): Promise<Float64Array> =>
    bernoulli(await pixelsOf(engine, stage, parameters, z, 1));
  const { nodes, weights } = normalNodes();
  const integralAt = async (mean: number, logVariance: number): Promise<number> => {
    const losses = await lossesOf(nodes.map((t) => mean + Math.exp(logVariance / 2) * t));
    return weights.reduce((sum, weight, i) => sum + weight * losses[i]!, 0);
  };
  // The decoder is float32, whose rounding of 1e-7 is divided by the width and averaged over nodes; the third derivative
  // leaves a share of its square.
  const width = 1e-2;
  const at = Math.log(q.variance);
  const slope = async (alongMean: number, alongVariance: number): Promise<number> =>
    ((await integralAt(q.mean + alongMean * width, at + alongVariance * width)) -
      (await integralAt(q.mean - alongMean * width, at - alongVariance * width))) /
    (2 * width);
  const exact = { mean: await slope(1, 0), logVariance: await slope(0, 1) };
  const estimates: Estimates[] = [];
  const setting = { rows: draws.decoder, size: 1, after: [stage, bernoulliStage], parameters, lossesOf };
  for (const seed of seeds) estimates.push(await estimate(engine, seed, setting));
  return { exact, estimates };
}

/** Variances of both estimators of dL/dmu_1, f(z) = 1/2 ||z - a||^2, by dimension. */
export interface Variances {
  readonly seed: number;
  readonly reparameterized: readonly number[];
  readonly score: readonly number[];
}

/** Measures them by the engine and on its noise. */
export async function quadraticVariances(engine: Engine, seeds: readonly number[]): Promise<Variances[]> {
  const found: Variances[] = [];
  for (const seed of seeds) {
    const rows: Estimates[] = [];
    for (const size of dimensions) rows.push(await estimate(engine, seed, quadraticSetting(size)));
    found.push({
      seed,
      reparameterized: rows.map(({ reparameterized }) => varianceOf(reparameterized.mean)),
      score: rows.map(({ score }) => varianceOf(score.mean)),
    });
  }
  return found;
}

const quadraticSetting = (size: number): Setting => ({
  rows: draws.quadratic,
  size,
  after: [quadraticStage],
  parameters: new Map(),
  lossesOf: (z) =>
    Promise.resolve(
      Float64Array.from({ length: draws.quadratic }, (_, n) => {
        let sum = 0;
        for (let d = 0; d < size; d++) sum += (z[n * size + d]! - q.mean + offset) ** 2;
        return sum / 2;
      }),
    ),
});

function varianceOf(values: Float64Array): number {
  const centre = averageOf(values);
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / values.length;
}

const averageOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Var of z_1 - a_1, which is S whatever D. */
export const reparameterizedVariance = (): number => q.variance;

/** Var of f(z) epsilon_1 / sqrt(S) with f = 1/2 sum_d Y_d, Y_d = (c + sqrt(S) epsilon_d)^2: it grows as D^2, since all of f
 *  multiplies every component's noise. */
export function scoreVariance(size: number): number {
  const [c, s] = [offset ** 2, q.variance];
  const others = size - 1;
  const [m, v] = [c + s, 4 * c * s + 2 * s ** 2]; // E[Y], Var[Y]
  const [withSquare, squareWithSquare] = [c + 3 * s, c ** 2 + 18 * c * s + 15 * s ** 2]; // E[Y e^2], E[Y^2 e^2]
  const second = (squareWithSquare + 2 * others * withSquare * m + others * v + others ** 2 * m ** 2) / 4;
  return second / s - c; // E[f e / sqrt(S)] = c, the square root of it squared
}

/** What the estimates say. */
export function reparameterizationFinding(
  { exact, estimates }: { readonly exact: Exact; readonly estimates: readonly Estimates[] },
  variances: readonly Variances[],
  ofScore = scoreVariance,
): Finding {
  const names = ["mean", "logVariance"] as const;
  const inParts = (of: "reparameterized" | "score"): number[] =>
    estimates.flatMap((one) => names.map((name) => averageOf(one[of][name]) / exact[name]));
  const standardError = (of: "reparameterized" | "score"): number =>
    Math.max(
      ...names.map((name) =>
        Math.abs(median(estimates.map((one) => Math.sqrt(varianceOf(one[of][name]) / draws.decoder))) / exact[name]),
      ),
    );
  const ratio = median(variances.map(({ score, reparameterized }) => score.at(-1)! / reparameterized.at(-1)!));
  const gradient = "the gradient of E_q[-log p(x | z)] in the mean and log variance of q";
  const trick =
    "Seed, Question 8: with z = mu + diag(S)^(1/2) epsilon, epsilon ~ N(0, I) as an input, dz/dphi and so the gradient can be computed";
  const largest = dimensions.at(-1)!;
  return {
    claims: [
      claim({
        name: "seed-q8-reparameterization/sample",
        statement:
          "Seed, Question 8: z = mu + diag(S)^(1/2) epsilon is a sample of N(mu, diag(S)). Measured: the mean of (z - mu)^2 / S.",
        predicted: 1,
        measured: estimates.map(({ latents }) => mean(Array.from(latents, (z) => (z - q.mean) ** 2 / q.variance))),
        worst: true,
        tolerance: 5 * Math.sqrt(2 / draws.decoder), // five standard errors of a mean of squares of normals
      }),
      claim({
        name: "seed-q8-reparameterization/reparameterized",
        statement: `${trick}. Measured: ${gradient}, the engine's mean over ${draws.decoder} samples in parts of the integral's by central differences, of both and all seeds the one furthest off.`,
        predicted: 1,
        measured: inParts("reparameterized"),
        worst: true,
        tolerance: 5 * standardError("reparameterized"),
      }),
      claim({
        name: "seed-q8-reparameterization/score",
        statement:
          `Seed, Question 8: without reparameterization the gradient cannot be computed, since a sample z is not differentiable; through it flows 0. Measured: ${gradient} from ` +
          "the same samples as the mean of -log p(x | z) d log q(z) / dphi, in parts of the integral's by central differences.",
        predicted: 1,
        measured: inParts("score"),
        worst: true,
        tolerance: 5 * standardError("score"),
        correction: {
          claimed: 0,
          text:
            "The gradient of an expectation does not need that of the sample: the score-function estimator (REINFORCE, Williams 1992) is unbiased too. What " +
            `reparameterization takes away is variance, of ${largest} latents here a factor of ${Number(ratio.toPrecision(2))}.`,
        },
      }),
      claim({
        name: "seed-q8-reparameterization/variance",
        statement:
          "Behind the seed's Question 8: for f(z) = 1/2 ||z - a||^2 the reparameterized gradient in mu_i is z_i - a_i with variance S_i, whatever D. Measured: its variance over " +
          `S, 1 to ${largest} dimensions, of all the one furthest off.`,
        predicted: 1,
        measured: variances.flatMap(({ reparameterized }) => reparameterized.map((v) => v / reparameterizedVariance())),
        worst: true,
        tolerance: 5 * Math.sqrt(2 / draws.quadratic),
      }),
      claim({
        name: "seed-q8-reparameterization/score-variance",
        statement:
          "Behind the seed's Question 8: for the same f the score-function gradient in mu_i multiplies the noise of i by all of f, and its variance grows as D^2. Measured: its variance " +
          `over the closed form, 1 to ${largest} dimensions, of all the one furthest off.`,
        predicted: 1,
        measured: variances.flatMap(({ score }) => score.map((v, i) => v / ofScore(dimensions[i]!))),
        worst: true,
        tolerance: 0.15, // products of up to six normals: standard errors of up to 4 %, of thirty numbers the worst
      }),
    ],
    figure: {
      kind: "lines",
      title: `The score-function gradient is as unbiased, but its variance grows with D^2, to ${Number(ratio.toPrecision(2))}-fold at ${largest} latents`,
      caption: `Variance of one sample's dL/dmu_1 for f(z) = 1/2 ||z - a||^2 under q = N(mu, ${q.variance} I). Dashed: in closed form.`,
      x: { title: "dimension of z", scale: "log" },
      y: { title: "variance of one sample's gradient", scale: "log" },
      points: (["reparameterized", "score"] as const).flatMap((of) => {
        const where = { series: of === "score" ? "score function" : "reparameterized" };
        return [
          ...variances.flatMap((one) => measured(where, one.seed, dimensions, one[of])),
          ...predicted(where, dimensions, dimensions.map(of === "score" ? ofScore : reparameterizedVariance)),
        ];
      }),
    },
  };
}

/** The seed's Question 8: gradients through samples. */
export const seedQ8Reparameterization: Check = {
  name: "seed-q8-reparameterization",
  summary: "the reparameterized gradient is right, and so is the score function's, at a variance that grows with D^2",
  source: "seed, Question 8",
  conditions:
    `q = N(${q.mean}, ${q.variance}) a dimension, sampled and differentiated by the engine, 5 seeds; behind it, for ${draws.decoder} samples a seed, a decoder with one latent number, ` +
    `${sizes.hidden} hidden units and ${sizes.pixels} pixels, or, for ${draws.quadratic}, 1/2 ||z - a||^2 in ${dimensions.join(", ")} dimensions.`,
  async run({ engine }) {
    const seeds = seedsUpTo(5);
    return reparameterizationFinding(await decoderEstimates(engine, seeds), await quadraticVariances(engine, seeds));
  },
};
