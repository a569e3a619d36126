// Second derivatives, gradients far out, and hazards of the operations of src/ops. Each beside its float64 twin is
// test/engine/operations.test.ts.
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { differentiateTwin, type Twin } from "../../src/engine/twin.ts";
import * as ops from "../../src/ops/index.ts";
import { expectGradients } from "../gradient-check.ts";
import { relativeDifference } from "../helpers.ts";
import { gradientPenalties } from "./gradient-penalties.ts";

describe.each([engines.cpu, engines.onnx, engines.wasm])("on $name", (kind) => {
  test.each(Object.entries(gradientPenalties))(
    "%s and its gradient are those of the float64 loops",
    async (_, twin) => {
      const engine = await kind.create({ threads: 1 });
      await expectGradients(twin, engine);
      await engine.dispose();
    },
  );
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
      const [got] = (await differentiateTwin(twin, engine, Float32Array.of(1))).gradients.get("x")!;
      expect(Math.abs(got! / wanted - 1), `at ${point}`).toBeLessThan(1e-5);
    }
    await engine.dispose();
  });
});

describe("hazards", () => {
  beforeAll(async () => void (await tf.setBackend("cpu")));
  const read = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];

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
