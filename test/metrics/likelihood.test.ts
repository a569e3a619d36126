import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/select.ts";
import { importanceEstimates, importanceWeightedNll } from "../../src/metrics/importance-weighted-nll.ts";
import { latentUnits } from "../../src/metrics/latent-units.ts";
import type { MetricContext } from "../../src/metrics/metric.ts";
import { addExps, emptyExpSum, logMean } from "../../src/metrics/monte-carlo.ts";
import { naiveLikelihood } from "../../src/metrics/naive-likelihood.ts";
import { vae, type VaeOptions } from "../../src/models/vae.ts";
import type { Parameter } from "../../src/stage.ts";
import { initialize } from "../../src/train/initialize.ts";
import { scale } from "../../src/vectors.ts";
import { shake } from "../helpers.ts";
import { contextOf, examplesOf, noise, valueOf } from "./context.ts";

const pixels = 6;
const count = 7;
const options: VaeOptions = {
  latent: 2,
  pixels,
  encoder: { hidden: [5], activation: "tanh" },
  decoder: { hidden: [4], activation: "tanh" },
  binarized: true,
  objective: "elbo",
  samples: 1,
  beta: 1,
  klWarmupSteps: 0,
  freeBits: 0,
};
const model = vae(options);
const parameters = initialize(model.players, 1);
// So that the decoder listens to z, and no two dimensions are alike.
shake(parameters, 0.8);
// q(z|x) is wider than the posterior wherever that is, so that weights are bounded and their mean soon known.
for (const name of ["mean", "log-variance"]) scale(parameters.get(`latent/${name}/weight`)!.data, 0.2);
parameters.get("latent/mean/bias")!.data.fill(0.1);
parameters.get("latent/log-variance/bias")!.data.fill(0.5);
const images = examplesOf(noise("images", count, pixels), count);
const splits = { train: images, dev: images, test: images };

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine("onnx", { threads: 1 });
});
afterAll(() => engine.dispose());

const context = (overrides: Partial<MetricContext> = {}): MetricContext =>
  contextOf({ engine, parameters, views: model.views, latent: options.latent, splits, ...overrides });

/** y = x W + b in float64. */
function linear(x: readonly number[], name: string, all: ReadonlyMap<string, Parameter> = parameters): number[] {
  const { data, shape } = all.get(`${name}/weight`)!;
  const bias = all.get(`${name}/bias`)!.data;
  const out = shape[1]!;
  return Array.from({ length: out }, (_, j) => x.reduce((sum, value, i) => sum + value * data[i * out + j]!, bias[j]!));
}

/** log p(x|z) in float64, from the parameters. */
function logLikelihood(x: ArrayLike<number>, z: readonly number[]): number {
  const logits = linear(linear(z, "decoder/00/linear").map(Math.tanh), "output/logits");
  return logits.reduce((sum, l, p) => sum + x[p]! * l - Math.log1p(Math.exp(l)), 0);
}

/** log p(x), the integral over both dimensions of z on a grid: the trapezoidal rule on a Gaussian's tails, see
 *  theory/quadrature.ts. */
function logEvidence(x: ArrayLike<number>): number {
  const h = 0.1;
  let sum = 0;
  for (let a = -9; a <= 9; a += h)
    for (let b = -9; b <= 9; b += h)
      sum += ((h * h) / (2 * Math.PI)) * Math.exp(logLikelihood(x, [a, b]) - (a * a + b * b) / 2);
  return Math.log(sum);
}

const image = (i: number): Float32Array => images.evaluated.subarray(i * pixels, (i + 1) * pixels);
const evidences = Array.from({ length: count }, (_, i) => logEvidence(image(i)));
const meanEvidence = evidences.reduce((sum, value) => sum + value, 0) / count;

describe("importance-weighted-nll", () => {
  test("comes to log p(x) of every image", async () => {
    const [estimates] = await importanceEstimates(context(), images.evaluated, count, [20_000]);
    // The weights spread about as much as they are large, which leaves 1 / sqrt(20,000) = 0.007 of their mean.
    estimates!.forEach((estimate, i) => expect(Math.abs(estimate - evidences[i]!)).toBeLessThan(0.03));
    expect(new Set(estimates).size).toBeGreaterThan(1);
  });

  test("is the mean over images, with their spread as its error", async () => {
    const [value] = await importanceWeightedNll.measure(context({ importanceSamples: 3000 }));
    expect(value!.name).toBe("nll");
    // Of 3,000 weights an image: 0.02 / sqrt(7).
    expect(Math.abs(value!.value + meanEvidence)).toBeLessThan(0.03);
    const spread = Math.sqrt(evidences.reduce((sum, e) => sum + (e - meanEvidence) ** 2, 0) / (count - 1) / count);
    expect(value!.standardError).toBeCloseTo(spread, 1);
  });

  test("draws anew in every call and again the same of the same seed", async () => {
    const estimate = async (seed: number, samples: number): Promise<number> =>
      (await importanceWeightedNll.measure(context({ seed, importanceSamples: samples })))[0]!.value;
    expect(await estimate(1, 1500)).toBe(await estimate(1, 1500));
    expect(await estimate(1, 1500)).not.toBe(await estimate(2, 1500));
    // Two calls of 1000 samples with equal draws would give what one gives.
    const [one, two] = await importanceEstimates(context(), image(0), 1, [1000, 2000]);
    expect(one![0]).not.toBe(two![0]);
  });

  test("refuses grey images, and names the key", async () => {
    const grey = context({ binarization: "none" });
    await expect(importanceWeightedNll.measure(grey)).rejects.toThrow(/data\.binarization: dynamic or threshold/);
    await expect(naiveLikelihood.measure(grey)).rejects.toThrow(/data\.binarization: dynamic or threshold/);
  });

  test("stops when told to", async () => {
    const controller = new AbortController();
    const progress = (): void => controller.abort(new Error("enough"));
    const stopping = context({ importanceSamples: 3000, progress, signal: controller.signal });
    await expect(importanceWeightedNll.measure(stopping)).rejects.toThrow("enough");
  });
});

describe("naive-likelihood", () => {
  test("comes from below to the same evidence as importance sampling", async () => {
    const values = await naiveLikelihood.measure(context({ importanceSamples: 5000 }));
    const naive = [1, 10, 100, 1000, 10_000].map((s) => valueOf(values, `naive-log-likelihood/${s}`));
    // One sample misses by tenths of nats and more; 10,000 in two dimensions, shared by all seven images, by hundredths.
    expect(naive[0]).toBeLessThan(meanEvidence - 0.2);
    expect(Math.abs(naive[4]! - meanEvidence)).toBeLessThan(0.05);
    expect(Math.abs(valueOf(values, "importance-log-likelihood/10000") - meanEvidence)).toBeLessThan(0.05);
    expect(values.some(({ name }) => name.endsWith("/100000"))).toBe(false);
  });
});

describe("latent-units", () => {
  test("are those whose means differ between images, with the KL term of each", async () => {
    const values = await latentUnits.measure(context());
    const terms = Array.from({ length: count }, (_, i) => {
      const h = linear([...image(i)], "encoder/00/linear").map(Math.tanh);
      return { mean: linear(h, "latent/mean"), logVariance: linear(h, "latent/log-variance") };
    });
    for (const d of [0, 1]) {
      const kl = terms.map(({ mean, logVariance }) => {
        const [m, v] = [mean[d]!, logVariance[d]!];
        return (Math.exp(v) + m * m - 1 - v) / 2;
      });
      // float32 against float64.
      expect(valueOf(values, `kl/0${d}`)).toBeCloseTo(kl.reduce((a, b) => a + b) / count, 5);
    }
    expect(valueOf(values, "active-units")).toBe(2);
  });

  test("a dimension that tells nothing of x is not active", async () => {
    const silent = new Map([...parameters].map(([path, p]) => [path, { ...p, data: Float32Array.from(p.data) }]));
    const { data } = silent.get("latent/mean/weight")!;
    for (let i = 1; i < data.length; i += 2) data[i] = 0; // its mean is the bias, whatever x
    const values = await latentUnits.measure(context({ parameters: silent }));
    expect(valueOf(values, "active-units")).toBe(1);
  });
});

test("means of exponentials are kept apart from their logarithms' size", () => {
  const total = emptyExpSum();
  addExps(total, [-1000, -1001], 0, 2);
  addExps(total, [-990, -Infinity], 0, 2);
  const expected = -990 + Math.log((1 + Math.exp(-10) + Math.exp(-11)) / 4);
  expect(logMean(total)).toBeCloseTo(expected, 12);
  const nothing = emptyExpSum();
  addExps(nothing, [-Infinity], 0, 1);
  expect(logMean(nothing)).toBe(-Infinity);
});
