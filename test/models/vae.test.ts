// The VAE: engines agree on its gradients, and its numbers are those of the formulas, in float64 from the same noise.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { comparedEngines } from "../engines.ts";
import { vae, type VaeOptions } from "../../src/models/vae.ts";
import type { Parameter } from "../../src/stage.ts";
import { mean, standardDeviation } from "../../src/statistics.ts";
import { initialize } from "../../src/train/initialize.ts";
import type { Batch, HostTensor } from "../../src/types.ts";
import { inner, norm } from "../../src/vectors.ts";
import * as float64 from "../float64.ts";
import { floats } from "../gradient-check.ts";
import { expectAgreement } from "./agreement.ts";
import { imageBatch, plain, residual, shaken, sizes, smallVae } from "./images.ts";

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

const cases: Record<string, Partial<VaeOptions>> = {
  "elbo, k = 1, relu": { encoder: plain([7, 5], "relu"), decoder: plain([5, 7], "leaky-relu") },
  "elbo, k = 3, beta, warming up": { samples: 3, beta: 0.5, klWarmupSteps: 10 },
  "free bits, gelu": { freeBits: 0.4, encoder: plain([7], "gelu") },
  "iwae, k = 5": { objective: "iwae", samples: 5 },
  "elbo, residual": { encoder: residual("pre-ln", "relu"), decoder: residual("deepnorm"), samples: 2 },
  "iwae, residual": { encoder: residual("rezero"), decoder: residual("peri-ln"), objective: "iwae", samples: 2 },
};
describe.each(Object.entries(cases))("%s", (_, overrides) => {
  const { players } = vae(smallVae(overrides));
  const parameters = shaken(players);
  for (const { kind, test } of comparedEngines)
    test(`engine ${kind.name} gives what cpu gives`, () =>
      expectAgreement(kind, players[0]!, parameters, imageBatch("binary")));
});

/** What a plain VAE with tanh says of images in float64, layer by layer. */
interface Reference {
  readonly mean: Float64Array;
  readonly logVariance: Float64Array;
  decode(z: ArrayLike<number>): Float64Array;
}

const latent = 3;

function referenceOf(parameters: ReadonlyMap<string, Parameter>, images: ArrayLike<number>): Reference {
  const linear = (x: ArrayLike<number>, name: string): Float64Array =>
    float64.linear(x, parameters.get(`${name}/weight`)!.data, parameters.get(`${name}/bias`)!.data);
  const hidden = (x: ArrayLike<number>, stack: string): Float64Array =>
    ["00", "01"].reduce<ArrayLike<number>>(
      (h, layer) => linear(h, `${stack}/${layer}/linear`).map(Math.tanh),
      x,
    ) as Float64Array;
  const h = hidden(images, "encoder");
  return {
    mean: linear(h, "latent/mean"),
    logVariance: linear(h, "latent/log-variance"),
    decode: (z) => float64.sigmoid(linear(hidden(z, "decoder"), "output/logits")),
  };
}

/** log p(x | z) of rows of probabilities, nats. */
const logLikelihood = (images: ArrayLike<number>, f: Float64Array, b: number): number => {
  let sum = 0;
  for (let p = 0; p < sizes.pixels; p++) {
    const x = images[b * sizes.pixels + p]!;
    sum += x * Math.log(f[p]!) + (1 - x) * Math.log(1 - f[p]!);
  }
  return sum;
};

/** log p(x, z_k) - log q(z_k | x) of every image and sample from densities written out, and what makes up the bound. */
function weightsOf(
  { mean: mu, logVariance, decode }: Reference,
  images: ArrayLike<number>,
  noise: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
) {
  const [b, k] = noise.shape as [number, number];
  const density = (x: number, m: number, v: number): number => -0.5 * (Math.log(2 * Math.PI * v) + (x - m) ** 2 / v);
  const rows = Array.from({ length: b }, (_, n) =>
    Array.from({ length: k }, (_, s) => {
      const z = Array.from({ length: latent }, (_, d) => {
        const i = n * latent + d;
        return mu[i]! + Math.exp(logVariance[i]! / 2) * noise.data[(n * k + s) * latent + d]!;
      });
      const prior = z.reduce((sum, value) => sum + density(value, 0, 1), 0);
      const q = z.reduce((sum, value, d) => {
        const i = n * latent + d;
        return sum + density(value, mu[i]!, Math.exp(logVariance[i]!));
      }, 0);
      const likelihood = logLikelihood(images, decode(z), n);
      return { likelihood, weight: likelihood + prior - q };
    }),
  );
  const kl = Array.from({ length: b }, (_, n) =>
    Array.from({ length: latent }, (_, d) => {
      const i = n * latent + d;
      return 0.5 * (Math.exp(logVariance[i]!) + mu[i]! ** 2 - 1 - logVariance[i]!);
    }),
  );
  return { rows, kl };
}

const imagesOf = (batch: Batch): HostTensor => batch.tensors["images"]!;
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** A step's scalars beside those of the formulas. */
async function bothAt(overrides: Partial<VaeOptions>, step: number) {
  const { players } = vae(smallVae(overrides));
  const parameters = shaken(players);
  const batch = imageBatch("binary");
  const { scalars, noises } = await engine.differentiate(players[0]!, parameters, batch, {
    step,
    seed: 1,
    tapped: false,
  });
  const noise = noises.get("normal/latent/z")!;
  const reference = referenceOf(parameters, imagesOf(batch).data);
  const { rows, kl } = weightsOf(reference, imagesOf(batch).data, noise);
  const reconstruction = -mean(rows.map((row) => mean(row.map(({ likelihood }) => likelihood))));
  const klByDimension = Array.from({ length: latent }, (_, d) => mean(kl.map((row) => row[d]!)));
  const iwae = mean(rows.map((row) => Math.log(mean(row.map(({ weight }) => Math.exp(weight))))));
  return { scalars, noise, reconstruction, klByDimension, kl: sum(klByDimension), iwae };
}

// Float32 sums of sixteen pixels: six digits.
describe("the objective", () => {
  test("elbo: reconstruction and KL term in nats an image, from k samples an image", async () => {
    for (const samples of [1, 3]) {
      const { scalars, noise, reconstruction, kl } = await bothAt({ samples }, 4);
      expect(noise.shape).toEqual([sizes.rows, samples, latent]);
      expect(scalars["reconstruction"]).toBeCloseTo(reconstruction, 5);
      expect(scalars["kl"]).toBeCloseTo(kl, 5);
      expect(scalars["elbo"]).toBeCloseTo(-(reconstruction + kl), 5);
      expect(scalars["loss"]).toBeCloseTo(reconstruction + kl, 5);
    }
  });

  test("beta grows from 0 over the warm-up, and stays", async () => {
    for (const [step, factor] of [
      [0, 0],
      [5, 0.5 * 0.7],
      [10, 0.7],
      [1000, 0.7],
    ] as const) {
      const { scalars, reconstruction, kl } = await bothAt({ beta: 0.7, klWarmupSteps: 10 }, step);
      expect(scalars["loss"]).toBeCloseTo(reconstruction + factor * kl, 5);
      expect(scalars["elbo"]).toBeCloseTo(-(reconstruction + kl), 5);
    }
    const { scalars, reconstruction, kl } = await bothAt({ beta: 0.7 }, 0); // no warm-up
    expect(scalars["loss"]).toBeCloseTo(reconstruction + 0.7 * kl, 5);
  });

  test("free bits: a dimension that costs less in the mean of the batch costs just as much", async () => {
    const { klByDimension } = await bothAt({}, 4);
    const freeBits = (Math.min(...klByDimension) + Math.max(...klByDimension)) / 2; // of which some cost less, some more
    const { scalars, reconstruction, kl } = await bothAt({ freeBits, beta: 2 }, 4);
    const paid = sum(klByDimension.map((one) => Math.max(one, freeBits)));
    expect(paid).toBeGreaterThan(kl + 0.01);
    expect(scalars["loss"]).toBeCloseTo(reconstruction + 2 * paid, 5);
  });

  test("iwae: minus the logarithm of the mean of k importance weights, from densities written out", async () => {
    for (const samples of [1, 5]) {
      const { scalars, iwae, kl, reconstruction } = await bothAt({ objective: "iwae", samples }, 4);
      expect(scalars["loss"]).toBeCloseTo(-iwae, 5);
      expect(scalars["elbo"]).toBeCloseTo(-(reconstruction + kl), 5);
    }
  });

  test("is what it is however small the weights are", async () => {
    // Logits of some 1000 on wrong pixels: log-weights of -1e4, whose exponentials are 0.
    const { players } = vae(smallVae({ objective: "iwae", samples: 5 }));
    const parameters = shaken(players);
    parameters.get("output/logits/bias")!.data.fill(1000);
    const { scalars, gradients } = await engine.differentiate(players[0]!, parameters, imageBatch("binary"), {
      step: 0,
      seed: 1,
      tapped: false,
    });
    expect(scalars["loss"]).toBeGreaterThan(1000);
    expect(Number.isFinite(scalars["loss"])).toBe(true);
    for (const gradient of gradients.values()) expect(gradient.every(Number.isFinite)).toBe(true);
  });
});

describe("evaluation", () => {
  const evaluate = async (overrides: Partial<VaeOptions>, at = { step: 2, seed: 1 }) => {
    const { players } = vae(smallVae(overrides));
    return engine.evaluate(players[0]!, shaken(players), imageBatch("binary"), at);
  };

  test("gives the ELBO of one sample, whatever beta, warm-up, free bits and samples are", async () => {
    const plainly = await evaluate({});
    expect(plainly["loss"]).toBe(-plainly["elbo"]!);
    expect(await evaluate({ beta: 4, klWarmupSteps: 100, freeBits: 2, samples: 7 })).toEqual(plainly);
    const { elbo, reconstruction, kl } = await evaluate({ objective: "iwae" });
    expect({ elbo, reconstruction, kl }).toEqual({
      elbo: plainly["elbo"],
      reconstruction: plainly["reconstruction"],
      kl: plainly["kl"],
    });
  });

  test("takes as many samples of the importance-weighted bound as training does: more raise it", async () => {
    const [one, many] = [await evaluate({ objective: "iwae" }), await evaluate({ objective: "iwae", samples: 500 })];
    expect(many["loss"]).toBeLessThan(one["loss"]!);
    expect(many["kl"]).toBe(one["kl"]);
  });

  test("is the same again, and other noise at another step or seed", async () => {
    const [a, b, c, d] = [
      await evaluate({}),
      await evaluate({}),
      await evaluate({}, { step: 3, seed: 1 }),
      await evaluate({}, { step: 2, seed: 2 }),
    ];
    expect(b).toEqual(a);
    expect(c["reconstruction"]).not.toBe(a["reconstruction"]);
    expect(d["reconstruction"]).not.toBe(a["reconstruction"]);
    expect(c["kl"]).toBe(a["kl"]); // which needs no sample
  });
});

describe("the views", () => {
  const { players, views } = vae(smallVae());
  const parameters = shaken(players);
  const batch = imageBatch("binary");
  const images = imagesOf(batch);
  const reference = referenceOf(parameters, images.data);
  const output = async (view: string, tensors: Record<string, HostTensor>, seed = 1): Promise<Float32Array> =>
    Float32Array.from(
      await engine.output(views[view]!, parameters, { tensors, tokens: sizes.rows }, { step: 0, seed }),
    );
  const expectClose = (got: Float32Array, want: ArrayLike<number>): void => {
    expect(got.length).toBe(want.length);
    got.forEach((value, i) => expect(value).toBeCloseTo(want[i]!, 5));
  };

  test("encode: mean and log-variance side by side", async () => {
    const rows = Array.from({ length: sizes.rows }, (_, b) =>
      [reference.mean, reference.logVariance].map((one) => [...one.subarray(b * latent, (b + 1) * latent)]),
    );
    expectClose(await output("encode", { images }), rows.flat(2));
  });

  test("generate and reconstruct: the decoder's probabilities at a given z, and at the mean", async () => {
    const z = [0.3, -1, 2, 0, 0, 0];
    expectClose(await output("generate", { latent: floats([2, latent], z) }), reference.decode(z));
    expectClose(await output("reconstruct", { images }), reference.decode(reference.mean));
  });

  test("likelihood: of every image at every z", async () => {
    const z = [0.3, -1, 2, 0, 0, 0];
    const f = reference.decode(z);
    const want = Array.from({ length: sizes.rows }, (_, b) =>
      [0, 1].map((k) => logLikelihood(images.data, f.subarray(k * sizes.pixels, (k + 1) * sizes.pixels), b)),
    );
    expectClose(await output("likelihood", { images, latent: floats([2, latent], z) }), want.flat());
  });
});

describe("the importance-weighted bound", () => {
  test("is above the ELBO and grows with k", async () => {
    const { players, views } = vae(smallVae());
    const parameters = shaken(players, 0.5);
    const batch = imageBatch("binary");
    // 2^14 log-weights an image, in independent groups of k.
    const [k, groups] = [64, 256];
    const samples = floats([k * groups], new Float32Array(k * groups));
    const tensors = { ...batch.tensors, samples };
    const all = Float32Array.from(
      await engine.output(views["weigh"]!, parameters, { tensors, tokens: sizes.rows }, { step: 0, seed: 1 }),
    );
    /** Of every group of 64 the bound of `count` weights, averaged over the group and the images. */
    const bounds = (count: number): number[] =>
      Array.from({ length: groups }, (_, g) => {
        const values: number[] = [];
        for (let b = 0; b < sizes.rows; b++)
          for (let at = 0; at < k; at += count) {
            const start = b * k * groups + g * k + at;
            values.push(Math.log(mean(Array.from(all.subarray(start, start + count), Math.exp))));
          }
        return mean(values);
      });
    const { kl, rows } = weightsOf(referenceOf(parameters, imagesOf(batch).data), imagesOf(batch).data, {
      shape: [sizes.rows, 1, latent],
      data: new Float64Array(sizes.rows * latent),
    });
    expect(rows).toHaveLength(sizes.rows);
    expect(mean(kl.map(sum))).toBeGreaterThan(0.5); // q is not the prior
    const found = [1, 4, 16, 64].map(bounds);
    for (let i = 1; i < found.length; i++) {
      // The same weights on both sides, so that the differences scatter little: five standard errors.
      const gains = found[i]!.map((value, g) => value - found[i - 1]![g]!);
      expect(mean(gains)).toBeGreaterThan((5 * standardDeviation(gains)) / Math.sqrt(groups));
    }
    // k = 1 is the ELBO, whose KL term is in closed form elsewhere.
    const elbos: number[] = [];
    for (let step = 0; step < 200; step++)
      elbos.push((await engine.evaluate(players[0]!, parameters, batch, { step, seed: 3 }))["elbo"]!);
    const error = Math.hypot(
      standardDeviation(elbos) / Math.sqrt(elbos.length),
      standardDeviation(found[0]!) / Math.sqrt(groups),
    );
    expect(Math.abs(mean(found[0]!) - mean(elbos))).toBeLessThan(5 * error);
  });

  test("with one sample has the gradient of the ELBO on average, the decoder's at every step", async () => {
    const rows = 512;
    const image = imagesOf(imageBatch("binary", 1)).data;
    const images = floats(
      [rows, sizes.pixels],
      Float32Array.from({ length: rows * sizes.pixels }, (_, i) => image[i % sizes.pixels]!),
    );
    const players = (["elbo", "iwae"] as const).map((objective) => vae(smallVae({ objective })).players);
    const parameters = shaken(players[0]!, 0.5);
    expect([...initialize(players[1]!, 1).keys()]).toEqual([...parameters.keys()]);
    const steps = 40;
    const differences = new Map<string, number[]>();
    for (let step = 0; step < steps; step++) {
      const [elbo, iwae] = [new Map<string, Float32Array>(), new Map<string, Float32Array>()];
      for (const [i, into] of [elbo, iwae].entries()) {
        const { gradients } = await engine.differentiate(
          players[i]![0]!,
          parameters,
          { tensors: { images }, tokens: rows },
          { step, seed: 1, tapped: false },
        );
        for (const [path, gradient] of gradients) into.set(path, Float32Array.from(gradient));
      }
      for (const [path, gradient] of elbo) {
        const difference = iwae.get(path)!.map((value, i) => value - gradient[i]!);
        // The same samples of z: the decoder cannot tell the two apart, but by float32 rounding.
        if (/^(decoder|output)/.test(path)) expect(norm(difference), path).toBeLessThan(1e-5 * norm(gradient));
        else differences.set(path, [...(differences.get(path) ?? []), inner(difference, gradient) / norm(gradient)]);
      }
    }
    expect(differences.size).toBe(8);
    for (const [path, values] of differences) {
      const error = standardDeviation(values) / Math.sqrt(steps);
      expect(error, path).toBeGreaterThan(1e-6); // they do differ at every single step
      expect(Math.abs(mean(values)), path).toBeLessThan(5 * error);
    }
  });
});
