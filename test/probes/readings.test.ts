// Readings and comparisons of batches against slow twins: the plain formulas over float64 numbers, from the activations and
// gradients that the whole-network twin saw on the plain backend.
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { momentsOf } from "../../src/engine/moments.ts";
import * as engines from "../../src/engine/index.ts";
import * as probes from "../../src/probes/index.ts";
import { presets } from "../../src/probes/presets.ts";
import { recordingProbes } from "../../src/prepare.ts";
import { gan } from "../../src/models/gan.ts";
import { branchShare } from "../../src/nn/readings.ts";
import type { GradientSample, StepView } from "../../src/probes/probe.ts";
import { stream } from "../../src/random.ts";
import type { Parameter, Player, Stage } from "../../src/stage.ts";
import { initialize } from "../../src/train/initialize.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { playerStep, startOf, type StepOutcome, type Training } from "../../src/train/trainer.ts";
import type { Batch, ReadingRow } from "../../src/types.ts";
import { layerNorm, linear, relu, softmax } from "../float64.ts";
import { build, randomBatch, shake, smallTransformer } from "../helpers.ts";
import { imageBatch, plain as plainNet, residual as residualNet, smallGan } from "../models/images.ts";
import { seed, step, wholeNetwork } from "./whole-network.ts";

const [width, heads] = [16, 4];

function trainingOf(players: Player[], parameters: Map<string, Parameter>, batches: readonly Batch[]) {
  return async (names: readonly string[], engine: "onnx" | "cpu" | "wasm" = "onnx"): Promise<Training> => {
    const training: Training = {
      players,
      parameters,
      optimizers: new Map([
        ["model", createOptimizer({ kind: "sgd", learningRate: 0.1, momentum: 0, weightDecay: 0 })],
      ]),
      engine: await engines[engine].create({ threads: 1 }),
      dataset: {
        batchAt: (at) => batches[(at - step) % batches.length]!,
        stepsPerEpoch: batches.length,
        evaluation: { dev: [batches[0]!], test: [] },
        unigramEntropy: 0,
        dimensions: {},
        hashes: {},
      },
      seed,
      steps: 10,
      learningRate: () => 0.1,
      clipNorm: null,
      probes: recordingProbes(names),
      batches: batches.length,
      isProbed: () => true,
      evaluateEverySteps: 10,
      checkpointEverySteps: 10,
    };
    return { ...training, start: await startOf(training) };
  };
}

const place = ({ stack, layer, component, parameter }: ReadingRow): string =>
  [stack, layer, component, parameter].join(" ").trim();

/** Float32 sums of some hundred terms on either side. */
const near = (value: number, wanted: number, what: string, relative = 1e-5): void =>
  expect(Math.abs(value - wanted), what).toBeLessThan(relative * Math.abs(wanted) + 1e-6);

describe.each([
  ["pre-ln", "relu"],
  ["post-ln", "gelu"],
] as const)("%s with %s, two layers a stack, padding and dropout", async (residual, activation) => {
  const { players, parameters } = build(smallTransformer({ residual, activation, dropout: 0.1 }));
  shake(parameters); // gains and biases of norms other than 1 and 0
  const hidden = parameters.get("encoder/01/feed-forward/in/bias")!.data;
  for (const unit of [0, 5, 6]) hidden[unit] = -50; // dead whatever comes in
  const lengths = [6, 4, 2];
  const batch = randomBatch(3, 6, 50, 1, lengths);
  const twin = await wholeNetwork(players[0]!, parameters, batch);
  const training = await trainingOf(players, parameters, [batch])(
    presets.find(({ name }) => name === "standard")!.record,
  );
  const p = new Map(Array.from(parameters, ([path, { data }]) => [path, Float64Array.from(data)]));
  const { readings } = await playerStep(training, players[0]!, batch, step);
  const rows = (quantity: string): ReadingRow[] => readings.filter((row) => row.quantity === quantity);
  const seen = (where: string): Float64Array =>
    Float64Array.from(twin.taps.find(({ place }) => place === where)!.activation);

  /** The stream as a sublayer meets it. */
  const before = (stack: string, layer: number, sublayer: string): Float64Array => {
    const order =
      stack === "encoder" ? ["self-attention", "feed-forward"] : ["self-attention", "cross-attention", "feed-forward"];
    const at = order.indexOf(sublayer);
    if (at > 0) return seen(`${stack} ${layer} ${order[at - 1]!} stream`);
    return layer > 0
      ? seen(`${stack} ${layer - 1} layer stream`)
      : seen(`embedding  ${stack === "encoder" ? "source" : "target"} stream`);
  };
  const normed = (x: Float64Array, stack: string, layer: number, sublayer: string): Float64Array => {
    const norm = `${stack}/0${layer}/norm/${sublayer}`;
    return layerNorm(x, p.get(`${norm}/gain`)!, p.get(`${norm}/bias`)!, 1e-5);
  };
  const isPre = residual === "pre-ln";
  /** What a sublayer's branch reads. */
  const input = (stack: string, layer: number, sublayer: string): Float64Array => {
    const x = before(stack, layer, sublayer);
    return isPre ? normed(x, stack, layer, sublayer) : x;
  };

  test("angular-distance is the mean of arccos(cos) between what enters and what leaves a layer, over pi", () => {
    expect(rows("angular-distance").map(place)).toEqual([
      "encoder 0 layer",
      "encoder 1 layer",
      "decoder 0 layer",
      "decoder 1 layer",
    ]);
    for (const row of rows("angular-distance")) {
      const layer = Number(row.layer);
      const [x, y] = [before(row.stack, layer, "self-attention"), seen(`${row.stack} ${layer} layer stream`)];
      let sum = 0;
      for (let at = 0; at < x.length; at += width) {
        let [dot, xx, yy] = [0, 0, 0];
        for (let i = at; i < at + width; i++) {
          dot += x[i]! * y[i]!;
          xx += x[i]! ** 2;
          yy += y[i]! ** 2;
        }
        sum += Math.acos(dot / Math.sqrt(xx * yy));
      }
      near(row.value, sum / (x.length / width) / Math.PI, place(row));
    }
  });

  test("branch-share is 1 - cos^2 between the sublayer's output and what it is without the branch", () => {
    expect(rows("branch-share")).toHaveLength(2 * 2 + 2 * 3);
    for (const row of rows("branch-share")) {
      const { stack, component } = row;
      const layer = Number(row.layer);
      const x = before(stack, layer, component);
      const after = seen(`${stack} ${layer} ${component} stream`);
      const without = isPre ? x : normed(x, stack, layer, component);
      const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
      near(row.value, 1 - dot(after, without) ** 2 / dot(after, after) / dot(without, without), place(row));
    }
  });

  test("attention-entropy and attention-logit are those of softmax rows written out, masks respected", () => {
    expect(rows("attention-entropy")).toHaveLength((2 + 4) * heads);
    expect(rows("attention-logit").map(place)).toEqual(rows("attention-entropy").map(place));
    expect(place(rows("attention-entropy")[1]!)).toBe("encoder 0 self-attention head-1");
    const memory = seen(isPre ? "encoder  norm stream" : "encoder 1 layer stream");
    rows("attention-entropy").forEach((row, i) => {
      const { stack, component } = row;
      const layer = Number(row.layer);
      const head = Number(row.parameter.slice(5));
      const queries = input(stack, layer, component);
      const keys = component === "cross-attention" ? memory : queries;
      const path = `${stack}/0${layer}/${component}`;
      const project = (x: Float64Array, which: string): Float64Array =>
        linear(x, p.get(`${path}/${which}/weight`)!, p.get(`${path}/${which}/bias`)!);
      const [q, k] = [project(queries, "query"), project(keys, "key")];
      let [entropy, counted, largest] = [0, 0, -Infinity];
      for (let b = 0; b < 3; b++)
        for (let t = 0; t < 6; t++) {
          const scores: number[] = [];
          for (let s = 0; s < 6; s++) {
            const isCausal = stack === "decoder" && component === "self-attention";
            if (isCausal ? s > t : s >= lengths[b]!) continue;
            let dot = 0;
            for (let c = head * (width / heads); c < (head + 1) * (width / heads); c++)
              dot += q[(b * 6 + t) * width + c]! * k[(b * 6 + s) * width + c]!;
            scores.push(dot / Math.sqrt(width / heads));
          }
          largest = Math.max(largest, ...scores);
          if (scores.length === 1) continue; // nothing to choose from
          counted++;
          entropy -= softmax(scores).reduce((sum, prob) => sum + prob * Math.log(prob), 0) / Math.log(scores.length);
        }
      near(row.value, entropy / counted, `entropy of ${place(row)}`);
      near(rows("attention-logit")[i]!.value, largest, `logit of ${place(row)}`);
    });
  });

  test("dead-units counts hidden units that are above 0 nowhere, of ReLU alone", () => {
    if (activation !== "relu") return expect(rows("dead-units")).toEqual([]);
    expect(rows("dead-units").map(place)).toEqual(
      [0, 1].map((l) => `encoder ${l} feed-forward`).concat([0, 1].map((l) => `decoder ${l} feed-forward`)),
    );
    for (const row of rows("dead-units")) {
      const path = `${row.stack}/0${row.layer}/feed-forward/in`;
      const x = input(row.stack, Number(row.layer), "feed-forward");
      const h = relu(linear(x, p.get(`${path}/weight`)!, p.get(`${path}/bias`)!));
      const units = Array.from({ length: 32 }, (_, unit) => h.every((value, i) => i % 32 !== unit || value <= 0));
      expect(row.value, place(row)).toBeCloseTo(units.filter(Boolean).length / 32, 6);
    }
    expect(rows("dead-units")[1]!.value).toBeGreaterThanOrEqual(3 / 32 - 1e-6);
  });

  test("every engine gives the same readings", async () => {
    const standard = presets.find(({ name }) => name === "standard")!.record;
    const readingsOn = async (engine: "onnx" | "cpu" | "wasm"): Promise<readonly ReadingRow[]> => {
      const { players, parameters } = build(smallTransformer({ residual, activation, dropout: 0.1 }));
      const training = await trainingOf(players, parameters, [batch])(standard, engine);
      return (await playerStep(training, players[0]!, batch, step)).readings;
    };
    const plain = await readingsOn("cpu");
    for (const engine of ["onnx", "wasm"] as const) {
      const found = await readingsOn(engine);
      expect(found.map(place)).toEqual(plain.map(place));
      found.forEach((row, i) => near(row.value, plain[i]!.value, `${engine}: ${row.quantity} of ${place(row)}`, 1e-4));
    }
  });
});

test("a sublayer that adds nothing has no share, and its layer does not turn the stream", async () => {
  const { players, parameters } = build(smallTransformer({ residual: "rezero", norm: "none" }));
  const batch = randomBatch(2, 5, 50, 1);
  const training = await trainingOf(players, parameters, [batch])(["branch-share", "angular-distance"]);
  const { readings } = await playerStep(training, players[0]!, batch, step);
  expect(readings).toHaveLength(10 + 4);
  for (const row of readings) expect(row.value, place(row)).toBe(0);
});

describe("what several batches show", async () => {
  const { players, parameters } = build(smallTransformer({ tiedEmbeddings: "decoder" }));
  const batches = [1, 2, 3].map((n) => randomBatch(3, 6, 50, n, [6, 4, n]));
  const names = ["gradient-norm", "expected-gradient", "gradient-coherence", "noise-scale", "distance-from-init"];
  const training = await trainingOf(players, parameters, batches)(names);
  const start = new Map(Array.from(parameters, ([path, { data }]) => [path, Float64Array.from(data)]));
  // The gradients one by one, on the plain engine.
  const cpu = await engines.cpu.create({ threads: 1 });
  const gradients: Map<string, Float64Array>[] = [];
  for (const batch of batches) {
    const found = await cpu.differentiate(players[0]!, parameters, batch, { step, seed, tapped: false });
    gradients.push(new Map(Array.from(found.gradients, ([path, g]) => [path, Float64Array.from(g)])));
  }
  const { layers, readings } = await playerStep(training, players[0]!, batches[0]!, step);
  const paths = [...parameters.keys()];
  const dot = (a: number, b: number, of: readonly string[]): number =>
    of.reduce(
      (sum, path) => sum + gradients[a]!.get(path)!.reduce((s, x, i) => s + x * gradients[b]!.get(path)![i]!, 0),
      0,
    );
  const find = (quantity: string, stack: string, layer: number | ""): number =>
    readings.find((row) => row.quantity === quantity && row.stack === stack && row.layer === layer)!.value;

  test("expected-gradient is the norm of the mean, mean-gradient-norm the mean of the norms", () => {
    const rowsOf = (quantity: string) => layers.filter((row) => row.quantity === quantity && row.parameter !== "all");
    expect(rowsOf("expected-gradient")).toHaveLength(paths.length);
    paths.forEach((path, n) => {
      if (path.endsWith("key/bias")) return; // 0 but for rounding
      const mean = gradients[0]!.get(path)!.map((_, i) => gradients.reduce((sum, g) => sum + g.get(path)![i]!, 0) / 3);
      near(rowsOf("expected-gradient")[n]!.l2, Math.hypot(...mean), path, 1e-4);
      const norms = gradients.map((g) => Math.hypot(...g.get(path)!));
      near(rowsOf("mean-gradient-norm")[n]!.l2, (norms[0]! + norms[1]! + norms[2]!) / 3, path, 1e-4);
      expect(rowsOf("expected-gradient")[n]!.l2).toBeLessThan(rowsOf("mean-gradient-norm")[n]!.l2);
    });
    // Of a layer as a whole: the mean of its norms is not the norm of its parameters' means.
    const whole = (quantity: string) =>
      layers.find((r) => r.quantity === quantity && r.stack === "decoder" && r.layer === 0 && r.parameter === "all")!;
    const own = paths.filter((path) => path.startsWith("decoder/00/"));
    const norms = [0, 1, 2].map((k) => Math.sqrt(dot(k, k, own)));
    near(whole("mean-gradient-norm").l2, (norms[0]! + norms[1]! + norms[2]!) / 3, "mean of a layer's norms", 1e-4);
    const pairs = [0, 1, 2].flatMap((a) => [0, 1, 2].map((b) => dot(a, b, own)));
    const ofMean = Math.sqrt(pairs.reduce((sum, x) => sum + x, 0)) / 3;
    near(whole("expected-gradient").l2, ofMean, "norm of a layer's mean", 1e-4);
    expect(whole("expected-gradient").count).toBe(
      own.reduce((sum, path) => sum + parameters.get(path)!.data.length, 0),
    );
  });

  test("gradient-coherence is the cosine between the step's gradient and the next batch's, by layer and altogether", () => {
    const ofLayer = paths.filter((path) => path.startsWith("encoder/01/"));
    const cosine = (of: readonly string[]): number => dot(0, 1, of) / Math.sqrt(dot(0, 0, of) * dot(1, 1, of));
    near(find("gradient-coherence", "encoder", 1), cosine(ofLayer), "encoder 1", 1e-4);
    near(find("gradient-coherence", "all", ""), cosine(paths), "all", 1e-4);
    expect(
      readings
        .filter(({ quantity }) => quantity === "gradient-coherence")
        .map(({ stack, layer }) => `${stack} ${layer}`),
    ).toEqual([
      "embedding ",
      "encoder 0",
      "encoder 1",
      "encoder ",
      "decoder 0",
      "decoder 1",
      "decoder ",
      "output ",
      "all ",
    ]);
  });

  test("noise-scale is McCandlish's estimate from one batch and from all together", () => {
    const B = 3 / batches.reduce((sum, { tokens }) => sum + 1 / tokens, 0);
    const small = (dot(0, 0, paths) + dot(1, 1, paths) + dot(2, 2, paths)) / 3;
    const big = [0, 1, 2].flatMap((a) => [0, 1, 2].map((b) => dot(a, b, paths))).reduce((sum, x) => sum + x, 0) / 9;
    const signal = (3 * B * big - B * small) / (3 * B - B);
    const trace = (small - big) / (1 / B - 1 / (3 * B));
    near(find("noise-signal", "all", ""), signal, "signal", 1e-4);
    near(find("noise-trace", "all", ""), trace, "trace", 1e-4);
    near(find("noise-scale", "all", ""), trace / signal, "scale", 1e-3);
  });

  test("the update is made of the step's own gradient, as if no other batch had been looked at", async () => {
    const fresh = build(smallTransformer({ tiedEmbeddings: "decoder" }));
    const alone = await trainingOf(fresh.players, fresh.parameters, batches)(["gradient-norm"]);
    await playerStep(alone, fresh.players[0]!, batches[0]!, step);
    for (const [path, { data }] of fresh.parameters) expect(parameters.get(path)!.data, path).toEqual(data);
  });

  test("distance-from-init is 0 at the start and then what the updates have added up to", async () => {
    const rows = (outcome: StepOutcome) => outcome.layers.filter(({ quantity }) => quantity === "distance-from-init");
    expect(rows({ layers } as StepOutcome).map(({ l2 }) => l2)).toEqual(paths.map(() => 0));
    const moved = new Map(Array.from(parameters, ([path, { data }]) => [path, Float64Array.from(data)]));
    const next = await playerStep(training, players[0]!, batches[1]!, step + 1);
    paths.forEach((path, n) => {
      const change = moved.get(path)!.map((x, i) => x - start.get(path)![i]!);
      near(rows(next)[n]!.l2, Math.hypot(...change), path);
      expect(rows(next)[n]!.max).toBeCloseTo(Math.max(...change.map(Math.abs)), 9);
    });
  });
});

test("a probe whose rows are among another's does not repeat them", async () => {
  const names = (record: readonly string[]): string[] => recordingProbes(record).map(({ name }) => name);
  expect(names(["parameter-norm", "update-ratio"])).toEqual(["update-ratio"]);
  expect(names(["parameter-norm"])).toEqual(["parameter-norm"]);
  const { players, parameters } = build(smallTransformer());
  const batch = randomBatch(2, 5, 50, 1);
  const size = Math.hypot(...parameters.get("embedding/source/weight")!.data);
  const { layers } = await playerStep(
    await trainingOf(players, parameters, [batch])(["parameter-norm"]),
    players[0]!,
    batch,
    step,
  );
  expect(layers.map(({ quantity }) => quantity)).toEqual([...parameters.keys()].map(() => "parameter"));
  near(layers[0]!.l2, size, "the source embedding before its update");
});

test("presets grow, and full has every probe", () => {
  const [light, standard, full] = presets.map(({ record }) => record);
  expect(standard).toEqual(expect.arrayContaining([...light!]));
  expect(full).toEqual(expect.arrayContaining([...standard!]));
  expect(full).toEqual(
    Object.values(probes)
      .map(({ name }) => name)
      .sort(),
  );
});

test("noise-scale finds trace and signal without bias, also where batches have few targets and many", () => {
  // Gradients G + noise / sqrt(B_k) in 20 dimensions, |G|^2 = 20 x 0.25 = 5 and tr(Sigma) = 20 x 9 = 180, B_k from 5 to 200.
  const [size, K, trials] = [20, 4, 4000];
  const counts = [5, 20, 80, 200];
  let [trace, signal] = [0, 0];
  for (let trial = 0; trial < trials; trial++) {
    const each = counts.map((B, k) =>
      stream(trial, `noise ${k}`)
        .normal(new Float64Array(size))
        .map((z) => 0.5 + (3 * z) / Math.sqrt(B)),
    );
    const mean = each[0]!.map((_, i) => each.reduce((sum, g) => sum + g[i]!, 0) / K);
    const path = "encoder/00/feed-forward/in/weight";
    const sample: GradientSample = {
      batches: K,
      targets: K / counts.reduce((sum, B) => sum + 1 / B, 0),
      mean: new Map([[path, momentsOf(mean)]]),
      each: new Map([[path, each.map(momentsOf)]]),
      product: new Map(),
    };
    const found = probes.noiseScale.numbers!({ step: 0, player: "model", sample } as StepView);
    const of = (quantity: string): number => found.find((r) => r.stack === "all" && r.quantity === quantity)!.value;
    trace += of("noise-trace") / trials;
    signal += of("noise-signal") / trials;
  }
  // Standard errors over 4,000 trials: 0.7 % of the trace, 1 % of the signal; three of them.
  expect(Math.abs(trace / 180 - 1)).toBeLessThan(0.02);
  expect(Math.abs(signal / 5 - 1)).toBeLessThan(0.03);
});

test("with two players each has rows of its own parameters alone", async () => {
  const [a, b] = ["a", "b"].map((name): Player => {
    const w = { path: `${name}/weight`, shape: [3], init: { kind: "constant", value: 1 } as const };
    const stage: Stage = {
      ...{ name, stack: name, layer: "", key: name, parameters: { w }, reads: ["x"] },
      apply: ({ w }, { x }) => ({ loss: tf.sum(tf.square(tf.mul(w!, x!))) }),
    };
    return { name, stages: [stage], scalars: ["loss"] };
  }) as [Player, Player];
  const x = { dtype: "float32" as const, shape: [3], data: Float32Array.of(1, 2, 3) };
  const batch: Batch = { tensors: { x }, tokens: 3 };
  const parameters = initialize([a, b], 1);
  const sgd = () => createOptimizer({ kind: "sgd", learningRate: 0.01, momentum: 0, weightDecay: 0 });
  const one = await trainingOf([a, b], parameters, [batch, batch])(["distance-from-init", "gradient-coherence"]);
  const training = { ...one, optimizers: new Map([a, b].map(({ name }) => [name, sgd()])) };
  for (const player of [a, b]) {
    const { layers, readings } = await playerStep(training, player, batch, step);
    expect(layers.map(({ stack, player }) => [stack, player])).toEqual([[player.name, player.name]]);
    expect(readings.map(({ stack, player }) => [stack, player])).toEqual([
      [player.name, player.name],
      ["all", player.name],
    ]);
    for (const { value } of readings) expect(value).toBeCloseTo(1, 6); // the same batch twice
  }
});

test.each([
  ["plain layers", plainNet([6, 5], "relu"), ["dead-units"]],
  ["residual blocks", residualNet("pre-ln", "relu"), ["dead-units", "branch-share", "angular-distance"]],
])("a GAN's player reads its own %s, not the other's that it runs frozen", async (_, net, names) => {
  const { players } = gan(smallGan({ net: { generator: net, discriminator: net } }));
  const parameters = initialize(players, 1);
  for (const kind of ["onnx", "cpu"] as const) {
    const engine = await engines[kind].create({ threads: 1 });
    for (const player of players) {
      const options = { step, seed, tapped: false, readings: names };
      const { readings } = await engine.differentiate(player, parameters, imageBatch("grey"), options);
      expect(new Set(readings.map(({ name }) => name))).toEqual(new Set(names));
      expect(new Set(readings.map(({ stack }) => stack))).toEqual(new Set([player.name]));
    }
    await engine.dispose();
  }
});

test.each([
  ["pre-ln", 0.5],
  ["post-ln", 0.5],
])("a branch as large as the stream and orthogonal to it has half the share, %s", async (residual, share) => {
  // Two tokens' worth of orthogonal streams through the readings themselves: what a norm does to both cancels.
  await engines.cpu.create({ threads: 1 });
  const x = tf.tensor2d([[1, -1, 1, -1]]);
  const f = tf.tensor2d([[1, 1, -1, -1]]);
  const after = (z: tf.Tensor): tf.Tensor => (residual === "pre-ln" ? z : tf.mul(z, 7 / Math.sqrt(2)));
  expect(branchShare(after(tf.add(x, f)), residual === "pre-ln" ? x : tf.mul(x, 7)).dataSync()[0]).toBeCloseTo(
    share,
    6,
  );
});
