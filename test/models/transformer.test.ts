// What makes a transformer one, held on the compiled engine: what may see what, where it starts, that it learns, and the
// names and keys other files rely on.
import { describe, expect, test } from "vitest";
import { compilationKey, type CarryInfo } from "../../src/engine/compile.ts";
import * as engines from "../../src/engine/index.ts";
import { transformer, type TransformerOptions } from "../../src/models/transformer.ts";
import { members } from "../../src/registry.ts";
import * as residual from "../../src/residual/index.ts";
import type { ResidualScheme } from "../../src/residual/scheme.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import type { Batch, HostTensor } from "../../src/types.ts";
import { build, randomBatch, relativeDifference, smallTransformer, shake } from "../helpers.ts";

const schemes = [...members<ResidualScheme>(residual).keys()];

/** A model of this scheme, and its loss on a batch without dropout. */
function model(overrides: Partial<TransformerOptions> = {}) {
  const { players, parameters } = build(smallTransformer(overrides));
  // Buffers belong to parameters: a fresh engine for every model.
  const own = engines.onnx.create({ threads: 1 });
  return {
    parameters,
    loss: async (batch: Batch) => (await (await own).evaluate(players[0]!, parameters, batch))["loss"]!,
    differentiate: async (batch: Batch, step = 0) =>
      (await own).differentiate(players[0]!, parameters, batch, { step, seed: 1, tapped: false }),
  };
}

/** The batch with `change` applied to a copy of one of its tensors, element by element (row, column). */
function changed(batch: Batch, name: string, change: (value: number, row: number, column: number) => number): Batch {
  const { dtype, shape, data } = batch.tensors[name]!;
  const length = shape[1]!;
  const copy = data.map((value: number, i: number) => change(value, Math.floor(i / length), i % length));
  return { ...batch, tensors: { ...batch.tensors, [name]: { dtype, shape, data: copy } } };
}

/** The batch with `columns` columns of padding added on both sides. Padding ids are arbitrary. */
function widened(batch: Batch, columns: number): Batch {
  const widen = ([name, { dtype, shape, data }]: [string, HostTensor]): [string, HostTensor] => {
    const [rows, length] = shape as [number, number];
    const next = length + columns;
    const padding = dtype === "int32" ? 7 : 0;
    const pick = (_: unknown, i: number): number =>
      i % next < length ? data[Math.floor(i / next) * length + (i % next)]! : padding;
    const size = { length: rows * next };
    const values = dtype === "int32" ? Int32Array.from(size, pick) : Float32Array.from(size, pick);
    return [name, { dtype, shape: [rows, next], data: values }];
  };
  return { ...batch, tensors: Object.fromEntries(Object.entries(batch.tensors).map(widen)) };
}

describe.each(schemes)("%s", (scheme) => {
  test("no prediction sees a later target: the loss up to t is the same, bit for bit, whatever follows", async () => {
    const { loss, parameters } = model({ residual: scheme });
    shake(parameters); // where branches start at 0, nothing would matter
    const whole = randomBatch(3, 6, 50);
    for (let t = 0; t < 5; t++) {
      const upTo = changed(whole, "labelWeights", (w, _, column) => (column <= t ? w : 0));
      const base = await loss(upTo);
      expect(await loss(changed(upTo, "target", (id, _, column) => (column > t ? (id + 11) % 50 : id)))).toBe(base);
      // While the target at t itself, and the source anywhere, do matter.
      expect(await loss(changed(upTo, "target", (id, _, column) => (column === t ? (id + 11) % 50 : id)))).not.toBe(
        base,
      );
      expect(await loss(changed(upTo, "source", (id, _, column) => (column === 5 ? (id + 11) % 50 : id)))).not.toBe(
        base,
      );
    }
  });

  test("what stands in padding changes nothing, bit for bit: sources behind the mask, targets without weight", async () => {
    const { loss, parameters } = model({ residual: scheme });
    shake(parameters);
    const batch = randomBatch(3, 6, 50, 1, [6, 4, 2]);
    const base = await loss(batch);
    const isPadding = (row: number, column: number): boolean => column >= [6, 4, 2][row]!;
    for (const name of ["source", "target", "labels"]) {
      expect(await loss(changed(batch, name, (id, row, c) => (isPadding(row, c) ? 9 : id))), name).toBe(base);
      expect(await loss(changed(batch, name, (id, row, c) => (isPadding(row, c) ? id : 9))), name).not.toBe(base);
    }
  });

  test("more padding changes neither loss nor gradients", async () => {
    const narrow = randomBatch(3, 6, 50, 1, [6, 4, 2]);
    const [before, after] = [model({ residual: scheme }), model({ residual: scheme })];
    const [a, b] = [await before.differentiate(narrow), await after.differentiate(widened(narrow, 3))];
    // Other shapes add in another order: float32 rounding, some units in the last place of whole tensors.
    expect(Math.abs(a.scalars["loss"]! / b.scalars["loss"]! - 1)).toBeLessThan(1e-6);
    for (const [path, gradient] of a.gradients)
      if (!path.endsWith("key/bias"))
        expect(relativeDifference(b.gradients.get(path)!, gradient), path).toBeLessThan(1e-5);
  });

  test("the loss of a batch is the mean over its targets, whatever shares the batch", async () => {
    const { loss } = model({ residual: scheme });
    const batch = randomBatch(3, 6, 50, 1, [6, 4, 2]);
    let sum = 0;
    for (const [row, tokens] of [6, 4, 2].entries())
      sum += tokens * (await loss(changed(batch, "labelWeights", (w, r) => (r === row ? w : 0))));
    expect((await loss(batch)) / (sum / 12)).toBeCloseTo(1, 6);
  });

  test("the loss starts within 5 % of ln V", async () => {
    const { loss } = model({ residual: scheme, vocabulary: 500, width: 32 });
    const ratio = (await loss(randomBatch(16, 10, 500))) / Math.log(500);
    // With neither norm nor smaller weights the stream's variance doubles with every sublayer, and the logits' with it.
    if (scheme === "no-norm") expect(ratio).toBeGreaterThan(1.05);
    else expect(Math.abs(ratio - 1)).toBeLessThan(0.05);
  });

  test("it can learn one batch by heart", async () => {
    const { parameters, differentiate } = model({
      residual: scheme,
      vocabulary: 20,
      depth: { encoder: 1, decoder: 1 },
    });
    const batch = randomBatch(4, 5, 20, 1, [5, 5, 4, 3]);
    const optimizer = createOptimizer({
      kind: "adam",
      learningRate: 0.01,
      beta1: 0.9,
      beta2: 0.98,
      epsilon: 1e-9,
      weightDecay: 0,
    });
    let loss = Infinity;
    for (let step = 0; step < 300 && loss >= 0.1; step++) {
      const { scalars, gradients } = await differentiate(batch, step);
      loss = scalars["loss"]!;
      for (const [path, gradient] of gradients)
        optimizer.update(path, parameters.get(path)!.data, gradient, { gradientScale: 1, learningRate: 0.01, step });
    }
    expect(loss).toBeLessThan(0.1);
  });

  test("it has norms at the ends of its stacks exactly where the scheme says so", () => {
    const { finalNorm } = members<ResidualScheme>(residual).get(scheme)!;
    const paths = [...model({ residual: scheme }).parameters.keys()];
    const found = paths.filter((path) => /^(encoder|decoder)\/norm\/(gain|bias)$/.test(path));
    expect(found).toEqual(
      finalNorm ? ["encoder/norm/gain", "encoder/norm/bias", "decoder/norm/gain", "decoder/norm/bias"] : [],
    );
  });
});

test("pre-ln has final norms, post-ln has none", () => {
  expect([residual.preLn.finalNorm, residual.postLn.finalNorm]).toEqual([true, false]);
});

test("parameters are named stack/layer/component/parameter, layers with two digits or more", () => {
  const { parameters } = build(smallTransformer({ depth: { encoder: 4, decoder: 101 } }));
  const paths = [...parameters.keys()];
  for (const path of [
    "embedding/source/weight",
    "embedding/target/weight",
    "encoder/03/self-attention/query/weight",
    "encoder/03/self-attention/out/bias",
    "encoder/00/feed-forward/in/weight",
    "encoder/00/norm/self-attention/gain",
    "decoder/100/cross-attention/key/weight",
    "decoder/100/norm/cross-attention/bias",
    "output/projection/weight",
    "output/projection/bias",
  ])
    expect(paths).toContain(path);
  // 12 parameters of the two sublayers and 2 norms an encoder layer; a decoder layer has 8 and 1 more.
  const inLayer = (prefix: string): number => paths.filter((path) => path.startsWith(prefix)).length;
  expect([inLayer("encoder/03/"), inLayer("decoder/100/")]).toEqual([16, 26]);
  expect(parameters.get("encoder/03/feed-forward/in/weight")!.shape).toEqual([16, 32]);
});

test("schemes with the same seed start from the same trunk weights; another seed gives others", () => {
  const [pre, post] = [
    build(smallTransformer({ residual: "pre-ln" })),
    build(smallTransformer({ residual: "post-ln" })),
  ];
  for (const [path, { data }] of post.parameters) expect(pre.parameters.get(path)!.data, path).toEqual(data);
  const extra = [...pre.parameters.keys()].filter((path) => !post.parameters.has(path));
  expect(extra.every((path) => /^(encoder|decoder)\/norm\//.test(path))).toBe(true);
  // A deeper model begins with the same layers.
  const deeper = build(smallTransformer({ depth: { encoder: 5, decoder: 5 } }));
  for (const [path, { data }] of pre.parameters) expect(deeper.parameters.get(path)!.data, path).toEqual(data);
  const other = build(smallTransformer(), 2);
  for (const [path, { data, init }] of pre.parameters)
    if (init.kind !== "constant") expect(other.parameters.get(path)!.data, path).not.toEqual(data);
});

test("initial weights have the variance their initialisation names", () => {
  const { parameters } = build(smallTransformer({ width: 64, feedForward: 256, vocabulary: 1000 }));
  const variance = (path: string): number => {
    const { data } = parameters.get(path)!;
    return data.reduce((sum, x) => sum + x * x, 0) / data.length;
  };
  // Five standard errors of a variance from 4,096 uniforms (kurtosis 9/5) are 7 %, from 64,000 normals 2.8 %.
  expect(variance("encoder/00/self-attention/query/weight") / (2 / (64 + 64))).toBeCloseTo(1 / 2, 1); // gain 1 / sqrt 2
  expect(variance("encoder/00/self-attention/out/weight") / (2 / (64 + 64))).toBeCloseTo(1, 1);
  expect(variance("encoder/00/feed-forward/in/weight") / (2 / (64 + 256))).toBeCloseTo(1, 1);
  expect(Math.abs(variance("embedding/source/weight") * 64 - 1)).toBeLessThan(0.028);
  expect(variance("encoder/00/norm/feed-forward/gain")).toBe(1);
  expect(variance("output/projection/bias")).toBe(0);
});

describe("tied embeddings", () => {
  test.each([
    ["none", ["embedding/source/weight", "embedding/target/weight", "output/projection/weight"]],
    ["decoder", ["embedding/source/weight", "embedding/target/weight"]],
    ["all", ["embedding/shared/weight"]],
  ] as const)("%s", async (tiedEmbeddings, matrices) => {
    const { parameters, differentiate } = model({ tiedEmbeddings });
    const found = [...parameters.values()].filter(({ shape }) => shape.includes(50) && shape.length === 2);
    expect(found.map(({ path }) => path).sort()).toEqual(matrices);
    const { gradients } = await differentiate(randomBatch(2, 5, 50));
    for (const path of matrices) expect(Math.hypot(...gradients.get(path)!), path).toBeGreaterThan(0);
  });

  test("a shared matrix gets the sum of what its three places ask for", async () => {
    // With one matrix in all three places, the untied model's three gradients add up to the tied model's one.
    const [tied, untied] = [model({ tiedEmbeddings: "all" }), model({ tiedEmbeddings: "none" })];
    const shared = tied.parameters.get("embedding/shared/weight")!.data;
    for (const path of ["embedding/source/weight", "embedding/target/weight"])
      untied.parameters.get(path)!.data.set(shared);
    const output = untied.parameters.get("output/projection/weight")!.data;
    const transposed = (i: number): number => (i % 50) * 16 + Math.floor(i / 50); // [16, 50] from [50, 16]
    output.forEach((_, i) => (output[i] = shared[transposed(i)]!));
    const batch = randomBatch(3, 6, 50);
    const [one, three] = [(await tied.differentiate(batch)).gradients, (await untied.differentiate(batch)).gradients];
    const sum = Float64Array.from(
      three.get("embedding/source/weight")!,
      (g, i) => g + three.get("embedding/target/weight")![i]!,
    );
    three.get("output/projection/weight")!.forEach((g, i) => (sum[transposed(i)]! += g));
    // Float32 rounding of sums taken in another order.
    expect(relativeDifference(one.get("embedding/shared/weight")!, sum)).toBeLessThan(1e-5);
  });
});

test("label smoothing is in the loss that is differentiated; nll and evaluation are without", async () => {
  const batch = randomBatch(3, 6, 50, 1, [6, 4, 2]);
  const [plain, smoothed] = [model({ dropout: 0.1 }), model({ dropout: 0.1, labelSmoothing: 0.2 })];
  const [a, b] = [(await plain.differentiate(batch, 4)).scalars, (await smoothed.differentiate(batch, 4)).scalars];
  expect(a["nll"]).toBe(a["loss"]);
  expect(b["nll"]! / a["nll"]!).toBeCloseTo(1, 6);
  expect(Math.abs(b["loss"]! - b["nll"]!)).toBeGreaterThan(1e-4);
  expect((await smoothed.loss(batch)) / (await plain.loss(batch))).toBeCloseTo(1, 6);
});

test("evaluation has no dropout; training draws it anew at every step, from one stream a place", async () => {
  const batch = randomBatch(3, 6, 50);
  const [plain, dropped] = [model(), model({ dropout: 0.3 })];
  expect(await dropped.loss(batch)).toBe(await plain.loss(batch));
  const losses: number[] = [];
  for (const step of [0, 1, 0]) losses.push((await dropped.differentiate(batch, step)).scalars["loss"]!);
  expect(losses[0]).not.toBe(losses[1]);
  expect(losses[2]).toBe(losses[0]);
  const { noises } = await dropped.differentiate(batch, 0);
  const [encoder, decoder] = ["encoder/01", "decoder/01"].map((stage) =>
    [...noises.keys()]
      .filter((purpose) => purpose.startsWith(`dropout/${stage}/`))
      .map((p) => p.slice(stage.length + 9)),
  );
  expect(encoder).toEqual(["self-attention/probabilities", "self-attention", "feed-forward/hidden", "feed-forward"]);
  expect(decoder).toEqual([
    "self-attention/probabilities",
    "self-attention",
    "cross-attention/probabilities",
    "cross-attention",
    "feed-forward/hidden",
    "feed-forward",
  ]);
  expect([...noises.keys()]).toContain("dropout/embedding/source/embedding");
  expect(new Set(Array.from(noises.values(), ({ data }) => data.subarray(0, 64).join())).size).toBe(noises.size);
});

describe("keys", () => {
  const carry = Object.fromEntries(
    ["source", "target", "labels", "labelWeights", "sourceMask", "encoder", "decoder"].map(
      (name): [string, CarryInfo] => [name, { shape: [2, 5, 16], dtype: "float32", differentiable: true }],
    ),
  );
  const keysOf = (overrides: Partial<TransformerOptions>): Map<string, string> => {
    const [player] = transformer(smallTransformer({ depth: { encoder: 1, decoder: 1 }, ...overrides }));
    return new Map(
      player!.stages.map((stage) => [
        stage.name,
        compilationKey(stage, carry, "train", { taps: "none", readings: [] }),
      ]),
    );
  };
  const layers = ["encoder/00", "decoder/00"];
  const ends = ["encoder/norm", "decoder/norm"];
  const embeddings = ["embedding/source", "embedding/target"];

  test.each<[Partial<TransformerOptions>, string[]]>([
    [{ residual: "sandwich-ln" }, [...layers, ...ends, ...embeddings]],
    [{ norm: "rms-norm" }, [...layers, ...ends]],
    [{ heads: 2 }, layers],
    [{ activation: "gelu" }, layers],
    [{ dropout: 0.1 }, [...layers, ...embeddings]],
    [{ feedForward: 64 }, layers],
    [{ width: 8 }, [...layers, ...ends, ...embeddings, "output"]],
    [{ vocabulary: 51 }, [...embeddings, "output"]],
    [{ labelSmoothing: 0.1 }, ["output"]],
    [{ tiedEmbeddings: "decoder" }, ["output"]],
  ])("%j gives %j another compiled program and leaves the others theirs", (overrides, touched) => {
    const [before, after] = [keysOf({}), keysOf(overrides)];
    const different = [...before.keys()].filter((name) => before.get(name) !== after.get(name));
    expect(different.sort()).toEqual(touched.sort());
  });

  test("layers of a stack share a program, different stages do not", () => {
    const [player] = transformer(smallTransformer({ depth: { encoder: 3, decoder: 3 } }));
    const keys = player!.stages.map((stage) => compilationKey(stage, carry, "train", { taps: "none", readings: [] }));
    // Two embeddings, an encoder layer, a decoder layer, two final norms, the output.
    expect(new Set(keys).size).toBe(7);
  });
});
