// Every operation of src/ops against a float64 twin in plain loops: values, and gradients against central differences,
// on the plain engine (compositions of TensorFlow.js operations) and on the compiled one (fused kernels).
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import * as ops from "../../src/ops/index.ts";
import { stream } from "../../src/random.ts";
import * as float64 from "../float64.ts";
import { differentiate, expectGradients, floats, ids, type Twin } from "../gradient-check.ts";
import { relativeDifference } from "../helpers.ts";
import { convolutionTwins, gradientPenalties } from "./convolution-twins.ts";

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

const drawn = stream(1, "test x").normal(new Float32Array(20));
/** By power iteration on w^T w, until it moves no more. */
function largestSingularValue(w: Float64Array, rows: number, columns: number): number {
  let u = new Float64Array(columns).fill(1);
  let norm = 0;
  for (let iteration = 0; iteration < 3000; iteration++) {
    const next = new Float64Array(columns);
    for (let r = 0; r < rows; r++) {
      let v = 0;
      for (let c = 0; c < columns; c++) v += w[r * columns + c]! * u[c]!;
      for (let c = 0; c < columns; c++) next[c]! += w[r * columns + c]! * v;
    }
    norm = Math.hypot(...next);
    u = next.map((v) => v / norm);
  }
  return Math.sqrt(norm);
}
/** `rows` rows of logits, `samples` of them for each image; pixels of 0, 1, and between. */
const bernoulli = (rows: number, samples: number, pixels: number): Twin => ({
  inputs: { logits: [rows, pixels] },
  constants: {
    images: floats(
      [rows / samples, pixels],
      Array.from({ length: (rows / samples) * pixels }, (_, i) => [0, 1, 0.3, 1, 0.9][i % 5]!),
    ),
  },
  apply: ({ logits, images }) => ops.bernoulliLogLikelihood(logits!, images!),
  reference: ({ logits, images }) =>
    Float64Array.from({ length: rows }, (_, n) => {
      let sum = 0;
      for (let i = 0; i < pixels; i++) {
        const [l, x] = [logits![n * pixels + i]!, images![Math.floor(n / samples) * pixels + i]!];
        sum += x * l - Math.log(1 + Math.exp(l));
      }
      return sum;
    }),
});

const twins: Record<string, Twin> = {
  watchGradient: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.watchGradient(x!, () => {}), reference: ({ x }) => x! },
  relu: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.relu(x!), reference: ({ x }) => float64.relu(x!) },
  gelu: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.gelu(x!), reference: ({ x }) => float64.gelu(x!) },
  "leaky relu": {
    inputs: { x: [4, 5] },
    apply: ({ x }) => ops.leakyRelu(x!, 0.3),
    reference: ({ x }) => x!.map((v) => Math.max(v, 0.3 * v)),
  },
  tanh: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.tanh(x!), reference: ({ x }) => x!.map(Math.tanh) },
  sigmoid: { inputs: { x: [4, 5] }, apply: ({ x }) => ops.sigmoid(x!), reference: ({ x }) => float64.sigmoid(x!) },
  softplus: {
    inputs: { x: [4, 5] },
    apply: ({ x }) => ops.softplus(x!),
    reference: ({ x }) => x!.map((v) => Math.log1p(Math.exp(v))),
  },
  "a factor without a gradient": {
    inputs: { x: [4, 5] },
    apply: ({ x }) => tf.mul(x!, ops.stopGradient(tf.square(x!))),
    // The square is that of the inputs as drawn, whatever x is moved to.
    reference: ({ x }) => x!.map((v, i) => v * drawn[i]! ** 2),
  },
  "a matrix over its largest singular value": {
    inputs: { w: [6, 3] },
    apply: ({ w }) => ops.spectralNorm(w!, 100),
    reference: ({ w }) => w!.map((v) => v / largestSingularValue(w!, 6, 3)),
  },
  "Bernoulli log-likelihood of two images": bernoulli(2, 1, 12),
  "Bernoulli log-likelihood of an image a row, of three samples each": bernoulli(6, 3, 12),
  "Bernoulli log-likelihood of one image, of a prime number of pixels": bernoulli(5, 5, 67),
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
  ...convolutionTwins,
  ...gradientPenalties,
};

describe.each([engines.cpu, engines.onnx, engines.wasm])("on $name", (kind) => {
  test.each(Object.entries(twins))("%s and its gradient are those of the float64 loops", async (_, twin) => {
    const engine = await kind.create({ threads: 1 });
    await expectGradients(twin, engine);
    await engine.dispose();
  });
});

describe.each([engines.cpu, engines.onnx, engines.wasm])("far out, on $name", (kind) => {
  // Down to where exp(-x) overflows. Relative, number by number: what vanishes must be seen to vanish.
  const points = [-85, -40, -20, -10, 0, 10, 20, 85];
  test.each([
    ["softplus", ops.softplus, 1],
    ["sigmoid", ops.sigmoid, 2],
  ] as const)("the gradient of %s is exact to rounding", async (_, apply, order) => {
    const engine = await kind.create({ threads: 1 });
    for (const point of points) {
      const twin: Twin = {
        inputs: { x: [1] },
        values: { x: [point] },
        apply: ({ x }) => apply(x!),
        reference: () => new Float64Array(1),
      };
      const sigmoid = 1 / (1 + Math.exp(-point));
      const wanted = order === 1 ? sigmoid : sigmoid / (1 + Math.exp(point));
      // Rounding of the argument of exp: |x| 2^-24 relative in exp(x), at most 5e-6.
      const [got] = (await differentiate(twin, engine, Float32Array.of(1))).gradients.get("x")!;
      expect(Math.abs(got! / wanted - 1), `at ${point}`).toBeLessThan(1e-5);
    }
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

  test("the Bernoulli log-likelihood of a certain pixel is 0 or its logit, however large that is", () => {
    const logits = tf.tensor2d([100, -100, 1e4, -1e4, 1e30, 100, -1e4, 0], [8, 1]);
    const x = tf.tensor2d([1, 0, 1, 0, 1, 0, 1, 0.5], [8, 1]);
    expect(read(ops.bernoulliLogLikelihood(logits, x))).toEqual([0, 0, 0, 0, 0, -100, -1e4, Math.fround(-Math.LN2)]);
  });

  test("a batch that is no multiple of the images is refused", () => {
    expect(() => ops.bernoulliLogLikelihood(tf.zeros([5, 4]), tf.zeros([2, 4]))).toThrow();
  });

  test("leaky relu passes the slope at 0 and below, all of the gradient above", () => {
    const x = tf.tensor1d([-1, 0, 1]);
    expect(read(ops.leakyRelu(x, 0.25))).toEqual([-0.25, 0, 1]);
    expect(read(tf.grad((x) => ops.leakyRelu(x, 0.25))(x, tf.tensor1d([4, 4, 4])))).toEqual([1, 1, 4]);
  });

  test("what is computed from a stopped gradient has none, and the tensor outlives what it was made from", () => {
    const x = tf.tensor1d([2, 3]);
    expect(read(tf.grad((x) => tf.sum(tf.mul(ops.stopGradient(tf.square(x)), x)))(x))).toEqual([4, 9]);
    const copy = ops.stopGradient(x);
    x.dispose();
    expect(read(copy)).toEqual([2, 3]);
  });

  test("a matrix divided by its largest singular value has 1 as its largest", () => {
    const diagonal = tf.tensor2d([3, 0, 0, -5, 0, 0], [3, 2]);
    const tidy = read(ops.spectralNorm(diagonal, 60));
    // Float32 rounding: the iteration has converged, at a rate of (3 / 5)^2 a step.
    [0.6, 0, 0, -1, 0, 0].forEach((wanted, i) => expect(tidy[i]).toBeCloseTo(wanted, 6));
    expect(read(ops.spectralNorm(tf.tensor4d([3, 4], [1, 2, 1, 1]), 1))[1]).toBeCloseTo(0.8, 6);
  });

  test("relu passes no gradient at 0 and below, all of it above", () => {
    expect(read(tf.grad((x) => ops.relu(x))(tf.tensor1d([-1, 0, 1]), tf.tensor1d([5, 5, 5])))).toEqual([0, 0, 5]);
  });
});
