// Every operation of src/ops against a float64 twin in plain loops: values, and gradients against central differences,
// on the plain engine (compositions of TensorFlow.js operations) and on the compiled one (fused kernels).
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import * as ops from "../../src/ops/index.ts";
import * as float64 from "../float64.ts";
import { expectGradients, floats, ids, type Twin } from "../gradient-check.ts";
import { relativeDifference } from "../helpers.ts";

const attentionShapes = { q: [2, 2, 3, 4], k: [2, 2, 5, 4], v: [2, 2, 5, 4] };
const sizes = { heads: 4, queries: 3, keys: 5, width: 4 };
// The last key is hidden in the first example, the last two in the second; "heads" 0 and 1 are the first example's.
const hidden = (h: number, _: number, s: number): boolean => s >= (h < 2 ? 4 : 3);
const mask = floats([2, 1, 1, 5], [0, 0, 0, 0, -1e9, 0, 0, 0, -1e9, -1e9]);
const dropout = floats(
  [2, 2, 3, 5],
  Array.from({ length: 60 }, (_, i) => (i % 3 ? 1.5 : 0)),
);
const crossEntropy = (smoothing: number): Twin => ({
  inputs: { x: [4, 3], weight: [3, 6], bias: [6] },
  constants: { labels: ids([4], [0, 5, 2, 2]) },
  apply: ({ x, weight, bias, labels }) => ops.linearCrossEntropy(x!, weight!, bias!, labels!, smoothing),
  reference: ({ x, weight, bias, labels }) => float64.crossEntropy(x!, weight!, bias!, labels!, smoothing),
});

const twins: Record<string, Twin> = {
  watchGradient: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.watchGradient(x!, () => {}), reference: ({ x }) => x! },
  relu: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.relu(x!), reference: ({ x }) => float64.relu(x!) },
  gelu: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.gelu(x!), reference: ({ x }) => float64.gelu(x!) },
  "attention with masked keys": {
    inputs: attentionShapes,
    constants: { mask },
    apply: ({ q, k, v, mask }) => ops.scaledDotProductAttention(q!, k!, v!, mask!),
    reference: ({ q, k, v }) => float64.attend(q!, k!, v!, sizes, hidden),
  },
  "attention with dropout on its probabilities": {
    inputs: attentionShapes,
    constants: { mask, dropout },
    apply: ({ q, k, v, mask, dropout }) => ops.scaledDotProductAttention(q!, k!, v!, mask!, dropout),
    reference: ({ q, k, v, dropout }) => float64.attend(q!, k!, v!, sizes, hidden, dropout),
  },
  "attention probabilities": {
    inputs: { q: [1, 2, 3, 4], k: [1, 2, 5, 4] },
    apply: ({ q, k }) => ops.attentionProbabilities(q!, k!, tf.scalar(0)),
    // Attention of values that are the unit vectors is the matrix of probabilities.
    reference: ({ q, k }) =>
      Float64Array.from({ length: 30 }, (_, i) => {
        const [h, t, s] = [Math.floor(i / 15), Math.floor(i / 5) % 3, i % 5];
        const unit = Float64Array.from({ length: 40 }, (_, j) => (Math.floor(j / 4) % 5 === s ? 1 : 0));
        return float64.attend(q!, k!, unit, { ...sizes, heads: 2 }, () => false)[(h * 3 + t) * 4]!;
      }),
  },
  "attention scores": {
    inputs: { q: [1, 2, 3, 4], k: [1, 2, 5, 4] },
    apply: ({ q, k }) => ops.attentionScores(q!, k!, tf.scalar(-1)),
    reference: ({ q, k }) =>
      Float64Array.from({ length: 30 }, (_, i) => {
        const [h, t, s] = [Math.floor(i / 15), Math.floor(i / 5) % 3, i % 5];
        let dot = 0;
        for (let j = 0; j < 4; j++) dot += q![(h * 3 + t) * 4 + j]! * k![(h * 5 + s) * 4 + j]!;
        return dot / 2 - 1; // sqrt(4), and the mask
      }),
  },
  "cross-entropy of a linear layer": crossEntropy(0),
  "cross-entropy with label smoothing": crossEntropy(0.1),
  "embedding lookup with a repeated id": {
    inputs: { table: [5, 3] },
    constants: { ids: ids([2, 2], [1, 4, 1, 0]) },
    apply: ({ table, ids }) => ops.embeddingLookup(table!, ids!),
    reference: ({ table, ids }) =>
      Float64Array.from({ length: 12 }, (_, i) => table![ids![Math.floor(i / 3)]! * 3 + (i % 3)]!),
  },
  "layer normalization": {
    inputs: { x: [2, 3, 6], gain: [6], bias: [6] },
    apply: ({ x, gain, bias }) => ops.layerNormalization(x!, gain!, bias!, 1e-5),
    reference: ({ x, gain, bias }) => float64.layerNorm(x!, gain!, bias!, 1e-5),
  },
  "layer normalization without bias": {
    inputs: { x: [2, 3, 6], gain: [6] },
    apply: ({ x, gain }) => ops.layerNormalization(x!, gain!, undefined, 1e-5),
    reference: ({ x, gain }) => float64.layerNorm(x!, gain!, new Float64Array(6), 1e-5),
  },
  "layer normalization where epsilon is as large as the variance": {
    inputs: { x: [2, 3, 6], gain: [6], bias: [6] },
    apply: ({ x, gain, bias }) => ops.layerNormalization(x!, gain!, bias!, 1),
    reference: ({ x, gain, bias }) => float64.layerNorm(x!, gain!, bias!, 1),
  },
  "inverse root mean square": {
    inputs: { x: [2, 3, 6] },
    apply: ({ x }) => ops.inverseRms(x!, 1e-2),
    reference: ({ x }) =>
      Float64Array.from({ length: 6 }, (_, i) => {
        const row = x!.subarray(6 * i, 6 * i + 6);
        return 1 / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / 6 + 1e-2);
      }),
  },
  "doubly stochastic matrices, two of them, by three iterations": {
    inputs: { logits: [3, 3, 2] },
    apply: ({ logits }) => ops.sinkhorn(logits!, 3),
    reference: ({ logits }) => float64.sinkhorn(logits!, 3, 2, 3),
  },
  "rms normalization": {
    inputs: { x: [2, 3, 6], gain: [6] },
    apply: ({ x, gain }) => ops.rmsNormalization(x!, gain!, 1e-5),
    reference: ({ x, gain }) => float64.rmsNorm(x!, gain!, 1e-5),
  },
};

describe.each([engines.cpu, engines.onnx, engines.wasm])("on $name", (kind) => {
  test.each(Object.entries(twins))("%s and its gradient are those of the float64 loops", async (_, twin) => {
    const engine = await kind.create({ threads: 1 });
    await expectGradients(twin, engine);
    await engine.dispose();
  });
});

describe("hazards", () => {
  beforeAll(async () => void (await tf.setBackend("cpu")));
  const read = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];

  test("every operation has a twin here", () => {
    const named = Object.values(twins)
      .map(({ apply }) => apply.toString())
      .join("\n");
    for (const name of Object.keys(ops)) if (name !== "scatterRows") expect(named).toContain(`.${name}(`);
  });

  test("rows scattered to the same place add up, and rows nobody names stay zero", () => {
    const x = tf.tensor2d([1, 2, 10, 20, 100, 200], [3, 2]);
    expect(read(ops.scatterRows(x, tf.tensor1d([2, 0, 2], "int32"), 4))).toEqual([10, 20, 0, 0, 101, 202, 0, 0]);
  });

  test("cross-entropy survives logits of 1000, and a label whose probability underflows", () => {
    const nll = ops.linearCrossEntropy(
      tf.tensor2d([1, 1], [2, 1]),
      tf.tensor2d([1000, 0, -1000], [1, 3]),
      tf.zeros([3]),
      tf.tensor1d([0, 2], "int32"),
      0,
    );
    expect(read(nll)).toEqual([0, 2000]);
  });

  test("a masked key gets no weight at all, so its value may be anything", () => {
    const [q, k] = [tf.ones([1, 1, 1, 2]), tf.tensor4d([1, 1, 50, 50], [1, 1, 2, 2])];
    const mask = tf.tensor4d([0, -1e9], [1, 1, 1, 2]);
    const value = (hiddenValue: number): number[] =>
      read(ops.scaledDotProductAttention(q, k, tf.tensor4d([3, 4, hiddenValue, hiddenValue], [1, 1, 2, 2]), mask));
    expect(value(1e6)).toEqual([3, 4]);
    expect(value(-7)).toEqual([3, 4]);
    expect(read(ops.attentionProbabilities(q, k, mask))).toEqual([1, 0]);
  });

  test("a query that may see no key averages all instead of giving NaN", () => {
    const zeros = tf.zeros([1, 1, 2, 2]);
    const mask = tf.fill([1, 1, 1, 2], -1e9);
    const o = ops.scaledDotProductAttention(zeros, zeros, tf.tensor4d([1, 2, 3, 4], [1, 1, 2, 2]), mask);
    expect(read(o)).toEqual([2, 3, 2, 3]);
  });

  test("layer normalization of a constant row is its bias, with a finite gradient", () => {
    const x = tf.fill([1, 4], 3);
    const f = (x: tf.Tensor) => ops.layerNormalization(x, tf.ones([4]), tf.tensor1d([1, 2, 3, 4]), 1e-5);
    expect(read(f(x))).toEqual([1, 2, 3, 4]);
    expect(read(tf.grad(f)(x, tf.tensor2d([1, -1, 0, 0], [1, 4]))).every(Number.isFinite)).toBe(true);
  });

  test("layer normalization does not change when its input is scaled or shifted, rms normalization when scaled", () => {
    const x = tf.tensor2d([0.3, -1.2, 0.7, 2.5, -0.4, 0.9], [2, 3]);
    const layer = (x: tf.Tensor): number[] => read(ops.layerNormalization(x, tf.ones([3]), tf.zeros([3]), 1e-12));
    const rms = (x: tf.Tensor): number[] => read(ops.rmsNormalization(x, tf.ones([3]), 1e-12));
    // Float32 rounding of inputs ten times as large as what is left after centring.
    expect(relativeDifference(layer(tf.add(tf.mul(x, 4), 10)), layer(x))).toBeLessThan(1e-5);
    expect(relativeDifference(rms(tf.mul(x, 4)), rms(x))).toBeLessThan(1e-6);
  });

  test("relu passes no gradient at 0 and below, all of it above", () => {
    expect(read(tf.grad((x) => ops.relu(x))(tf.tensor1d([-1, 0, 1]), tf.tensor1d([5, 5, 5])))).toEqual([0, 0, 5]);
  });
});
