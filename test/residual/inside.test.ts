// Schemes that reach within a sublayer: sub-ln, normformer, hybridnorm and ngpt. That their gradients are those of their
// losses is in test/engine/finite-differences.test.ts, for every scheme; here is what each of them promises.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { momentsOf } from "../../src/engine/moments.ts";
import type { TransformerOptions } from "../../src/models/transformer.ts";
import * as probes from "../../src/probes/index.ts";
import { hybridnorm, ngpt, normformer, subLn } from "../../src/residual/index.ts";
import type { Stack, Sublayer } from "../../src/residual/scheme.ts";
import { constantAt, type Parameter } from "../../src/stage.ts";
import { findCheckpoint, loadCheckpoint, saveCheckpoint } from "../../src/train/checkpoint.ts";
import { createOptimizer, type Optimizer } from "../../src/train/optimizers.ts";
import { playerStep } from "../../src/train/trainer.ts";
import { build, randomBatch, relativeDifference, smallTransformer } from "../helpers.ts";

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

type Built = ReturnType<typeof build>;
const batch = randomBatch(3, 6, 50, 1, [6, 4, 2]);
const normOf = (scheme: { normless?: true }): string => (scheme.normless ? "none" : "layer-norm");

describe.each([subLn, normformer, hybridnorm, ngpt])("$name", (scheme) => {
  // float32 on both sides differs by about 1e-6; the bound is that of test/engine/parity.test.ts.
  test.each<Partial<TransformerOptions>>([
    { dropout: 0.1 },
    { tiedEmbeddings: "decoder", activation: "gelu", labelSmoothing: 0.1 },
    { tiedEmbeddings: "all", dropout: 0.2, depth: { encoder: 1, decoder: 3 } },
  ])("the compiled engine gives the gradients of the cpu engine: %j", async (overrides) => {
    const { players, parameters } = build(
      smallTransformer({ residual: scheme.name, norm: normOf(scheme), ...overrides }),
    );
    const options = { step: 3, seed: 1, tapped: false };
    const reference = await engines.cpu.create({ threads: 1 });
    const got = await engine.differentiate(players[0]!, parameters, batch, options);
    const want = await reference.differentiate(players[0]!, parameters, batch, options);
    expect([...got.gradients.keys()].sort()).toEqual([...parameters.keys()].sort());
    for (const [path, gradient] of want.gradients) {
      // What is added to all keys of a head alike shifts all scores of a query alike: the true gradient is 0.
      if (path.endsWith("key/bias") && Math.hypot(...gradient) < 1e-6)
        expect(Math.hypot(...got.gradients.get(path)!), path).toBeLessThan(1e-6);
      else expect(relativeDifference(got.gradients.get(path)!, gradient), path).toBeLessThan(1e-4);
    }
    expect(got.scalars["loss"]).toBeCloseTo(want.scalars["loss"]!, 4);
  });
});

/** How much the gradient of the output projection, which sees every logit, changes where the parameters whose paths match
 *  are multiplied by 3; in relation. */
async function changeByScale({ players, parameters }: Built, paths: RegExp): Promise<number> {
  const gradientOf = async (values: Built["parameters"]): Promise<Float32Array> => {
    const options = { step: 0, seed: 1, tapped: false };
    const { gradients } = await engine.differentiate(players[0]!, values, batch, options);
    return Float32Array.from(gradients.get("output/projection/weight")!);
  };
  const scaled = new Map(parameters);
  for (const [path, parameter] of parameters)
    if (paths.test(path)) scaled.set(path, { ...parameter, data: parameter.data.map((x) => 3 * x) });
  return relativeDifference(await gradientOf(scaled), await gradientOf(parameters));
}

// A norm forgets the scale of what it reads. Its epsilon of 1e-5 does not: beside variances of 0.1 it is a 1e-4 part of
// them, and the gradient changes by 4e-5 at most. Scales that are not forgotten change it by 0.3 and more. (In ngpt the
// feed-forward's first matrix is free as ReLU hands its scale on to the norm.)
test.each([
  ["sub-ln", [/self-attention\/value\/weight/, /feed-forward\/in\/weight/], [/cross-attention\/value\/weight/]],
  ["normformer", [/self-attention\/out\/weight/, /feed-forward\/in\/weight/], [/cross-attention\/out\/weight/]],
  ["hybridnorm", [/query\/weight/, /key\/weight/, /value\/weight/], [/attention\/out\/weight/, /in\/weight/]],
  ["ngpt", [/query\/weight/, /key\/weight/, /\/out\/weight/, /in\/weight/], [/projection\/scale/, /alpha/]],
  ["pre-ln", [], [/value\/weight/, /\/out\/weight/, /in\/weight/]],
])("%s: what a norm follows may have any scale, all else may not", async (residual, free, bound) => {
  const built = build(smallTransformer({ residual, norm: residual === "ngpt" ? "none" : "layer-norm" }));
  for (const paths of free) expect(await changeByScale(built, paths), String(paths)).toBeLessThan(1e-4);
  for (const paths of bound) expect(await changeByScale(built, paths), String(paths)).toBeGreaterThan(0.1);
});

describe("sub-ln", () => {
  test.each([
    [2, 2, 0.9099, 1.3386],
    [6, 6, 1.5473, 1.7001],
    [12, 12, 1.9484, 1.893],
    [18, 18, 2.1829, 1.9972],
    [24, 6, 1.9313, 1.7001],
  ])("gains of %i encoder and %i decoder layers are %f and %f", (encoder, decoder, encoderGain, decoderGain) => {
    const network = { depth: { encoder, decoder }, width: 64, heads: 4, feedForward: 256 };
    const gammaAt = (stack: Stack, sublayer: Sublayer) => {
      const place = { network, stack, layer: 1, sublayer };
      return [subLn.constants!(place)["gamma"], subLn.gains!(place)] as const;
    };
    for (const [stack, gain] of [
      ["encoder", encoderGain],
      ["decoder", decoderGain],
    ] as const)
      for (const sublayer of ["self-attention", "feed-forward"] as const) {
        const [gamma, gains] = gammaAt(stack, sublayer);
        expect(gamma).toBeCloseTo(gain, 4);
        expect(gains).toEqual({ query: 1, key: 1, value: gamma, in: gamma, out: gamma });
      }
    expect(gammaAt("decoder", "cross-attention")).toEqual([undefined, {}]);
  });
});

test("normformer's head scales act before the output projection, each on its head", async () => {
  const { players, parameters } = build(smallTransformer({ residual: "normformer" }));
  const path = "encoder/01/self-attention";
  const changed = (at: string, change: (x: number, i: number) => number): Map<string, Parameter> => {
    const parameter = parameters.get(at)!;
    return new Map(parameters).set(at, { ...parameter, data: parameter.data.map(change) });
  };
  // Head 2 of 4 reads rows 8 to 11 of the [16, 16] output projection.
  const scaled = await engine.evaluate(
    players[0]!,
    changed(`${path}/head-scale`, (x, i) => (i === 2 ? 5 : x)),
    batch,
  );
  const rows = changed(`${path}/out/weight`, (x, i) => (i >= 8 * 16 && i < 12 * 16 ? 5 * x : x));
  const plain = await engine.evaluate(players[0]!, parameters, batch);
  expect(scaled["loss"]).toBeCloseTo((await engine.evaluate(players[0]!, rows, batch))["loss"]!, 5);
  expect(Math.abs(scaled["loss"]! - plain["loss"]!)).toBeGreaterThan(1e-3);
});

describe("ngpt", () => {
  const adam = { kind: "adam", learningRate: 0.01, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 } as const;
  const models = ["none", "decoder", "all"] as const;
  const make = (tiedEmbeddings: (typeof models)[number]) => ({
    ...build(smallTransformer({ residual: "ngpt", norm: "none", dropout: 0.1, tiedEmbeddings })),
    optimizers: new Map<string, Optimizer>([["model", createOptimizer(adam)]]),
  });
  /** Trains from step `from` until before step `to`; the layer rows of the last step. */
  async function train({ players, parameters, optimizers }: ReturnType<typeof make>, from: number, to: number) {
    const nothing = { batchAt: () => batch, stepsPerEpoch: 1, unigramEntropy: 0, dimensions: {}, hashes: {} };
    const training = {
      ...{ players, parameters, optimizers, engine, seed: 1, steps: to, learningRate: () => 0.01, clipNorm: null },
      ...{
        dataset: { ...nothing, evaluation: { dev: [], test: [] } },
        probes: [probes.updateRatio],
        isProbed: () => true,
      },
      ...{ evaluateEverySteps: 100, checkpointEverySteps: 100 },
    };
    let result;
    for (let step = from; step < to; step++) result = await playerStep(training, players[0]!, batch, step);
    return result!;
  }
  /** Norms of the vectors of a matrix along `axis`. */
  const normsOf = (shape: readonly number[], data: Float32Array, axis: number): number[] => {
    const [rows, columns] = shape as [number, number];
    const sums = new Array<number>(axis === 1 ? rows : columns).fill(0);
    data.forEach((x, i) => (sums[axis === 1 ? Math.floor(i / columns) : i % columns]! += x * x));
    return sums.map(Math.sqrt);
  };
  /** The axis that is the stream's width, by the meaning of each matrix. */
  const widthAxis = (path: string): 0 | 1 => (/^embedding|\/out\/weight$/.test(path) ? 1 : 0);
  /** Rounding of D = 16 stored squares of about 1 / 16. */
  const unitNorm = { digits: 6 };

  test.each(models)(
    "tied embeddings %s: matrices have unit norm along the width, before training and after",
    async (tied) => {
      const model = make(tied);
      const start = new Map(Array.from(model.parameters, ([path, { data }]) => [path, Float32Array.from(data)]));
      const matrices = [...model.parameters].filter(([path]) => path.endsWith("/weight"));
      // 6 in an encoder layer, 10 in a decoder layer, and source, target and output where nothing is shared.
      expect(matrices).toHaveLength(2 * 6 + 2 * 10 + { none: 3, decoder: 2, all: 1 }[tied]);
      const check = (): void => {
        for (const [path, { shape, data }] of matrices)
          for (const norm of normsOf(shape, data, widthAxis(path))) expect(norm, path).toBeCloseTo(1, unitNorm.digits);
      };
      check();
      await train(model, 0, 3);
      check();
      for (const [path, { data }] of model.parameters)
        expect(relativeDifference(data, start.get(path)!), path).toBeGreaterThan(1e-3);
      expect([...model.parameters.keys()].filter((path) => path.endsWith("bias"))).toEqual([]);
    },
  );

  test("the update that probes see is the whole move, projection included", async () => {
    const model = make("none");
    await train(model, 0, 2);
    const before = new Map(Array.from(model.parameters, ([path, { data }]) => [path, Float32Array.from(data)]));
    const { layers } = await train(model, 2, 3);
    for (const { stack, layer, component, parameter, l2 } of layers.filter(({ quantity }) => quantity === "update")) {
      const layerName = layer === "" ? [] : [String(layer).padStart(2, "0")];
      const path = [stack, ...layerName, component, parameter].filter(Boolean).join("/");
      const { data } = model.parameters.get(path)!;
      const moved = Math.sqrt(momentsOf(data.map((x, i) => x - before.get(path)![i]!)).sumSquares);
      expect(l2 / moved, path).toBeCloseTo(1, 6);
    }
    expect(layers.some(({ quantity }) => quantity === "update")).toBe(true);
  });

  test("every row of the stream is a unit vector, after the embedding and after every sublayer", async () => {
    const { players, parameters } = make("none");
    await train({ ...make("none"), players, parameters }, 0, 3);
    await tf.setBackend("cpu");
    const rows: [name: string, norms: number[]][] = [];
    const look = (name: string, x: tf.Tensor): void => void rows.push([name, [...tf.norm(x, 2, -1).dataSync()]]);
    let carry = tensorsOf(batch.tensors);
    for (const stage of players[0]!.stages) {
      const given = Object.fromEntries(
        Object.entries(stage.parameters).map(([n, { path }]) => [n, parameters.get(path)!]),
      );
      const written = stage.apply(tensorsOf(given), carry, {
        training: false,
        tap(component, point, x) {
          if (point === "stream" && stage.stack !== "embedding") look(`${stage.name} ${component}`, x);
          return x;
        },
        reading: () => {},
        noise: () => tf.scalar(1),
        constant: (name) => tf.scalar(constantAt(stage.constants![name]!, 0)),
      });
      if (stage.stack === "embedding") for (const [name, x] of Object.entries(written)) look(name, x);
      carry = { ...carry, ...written };
    }
    // Two embeddings; an encoder layer has two sublayers and its end, a decoder layer three.
    expect(rows).toHaveLength(2 + 2 * 3 + 2 * 4);
    for (const [name, norms] of rows) {
      expect(norms).toHaveLength(3 * 6);
      for (const norm of norms) expect(norm, name).toBeCloseTo(1, unitNorm.digits);
    }
  });

  test("a run resumed from a checkpoint gives the same bits", async () => {
    const folder = mkdtempSync(join(tmpdir(), "fathom-ngpt-"));
    const whole = make("decoder");
    await train(whole, 0, 2);
    const state = { step: 2, tokens: 0, seconds: 0, seed: 1, best: null };
    saveCheckpoint(folder, "step", state, whole.parameters, whole.optimizers);
    await train(whole, 2, 4);
    const resumed = make("decoder");
    loadCheckpoint(findCheckpoint(folder, "step")!, resumed.parameters, resumed.optimizers);
    await train(resumed, 2, 4);
    for (const [path, { data }] of whole.parameters) expect(resumed.parameters.get(path)!.data, path).toEqual(data);
  });

  test("logits start between -1 and 1, so that the loss starts near that of a uniform guess", async () => {
    const { players, parameters } = make("none");
    // Logits are cosines; those of 50 words and 16 dimensions have a spread of 1 / 4 and move logsumexp by half its square.
    const { loss } = await engine.evaluate(players[0]!, parameters, batch);
    expect(Math.abs(loss! - Math.log(50))).toBeLessThan(0.15);
  });
});

const tensorsOf = (
  given: Readonly<Record<string, { data: Float32Array | Int32Array; shape: readonly number[] }>>,
): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(given).map(([name, { data, shape }]) => [
      name,
      tf.tensor(data, [...shape], data instanceof Int32Array ? "int32" : "float32"),
    ]),
  );
