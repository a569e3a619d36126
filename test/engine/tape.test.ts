import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { gradientsOf } from "../../src/engine/tape.ts";
import { relu, stopGradient, watchGradient } from "../../src/ops/index.ts";

beforeAll(async () => {
  await engines.cpu.create({ threads: 1 });
  await tf.setBackend("cpu");
});

const numbers = (x: tf.Tensor | undefined): number[] | undefined => x && [...x.dataSync()];
const [xs, ws] = [
  [1, -2, 3, 4],
  [0.5, 1, -1.5, 2],
] as const;

/** Gradients of `f` at two fixed points as ours and TensorFlow.js have them. */
function compared(f: (x: tf.Tensor, w: tf.Tensor) => tf.Tensor) {
  return tf.tidy(() => {
    const [x, w] = [tf.tensor2d([...xs], [2, 2]) as tf.Tensor, tf.tensor2d([...ws], [2, 2]) as tf.Tensor];
    const ours = gradientsOf(() => f(x, w), [x, w]).map(numbers);
    const { grads } = tf.engine().gradients(() => f(x, w), [x, w], undefined, true);
    return { ours, theirs: (grads as (tf.Tensor | undefined)[]).map(numbers) };
  });
}

test.each<[string, (x: tf.Tensor, w: tf.Tensor) => tf.Tensor]>([
  ["a product", (x, w) => tf.sum(tf.matMul(x, w))],
  ["a tensor that is used several times", (x, w) => tf.sum(tf.mul(tf.add(x, tf.mul(x, x)), tf.add(w, x)))],
  ["the same tensor twice in one operation", (x) => tf.sum(tf.add(x, x))],
  [
    "a gradient that is the cotangent itself",
    (x, w) =>
      tf.sum(
        tf.mul(
          watchGradient(x, () => {}),
          tf.add(x, w),
        ),
      ),
  ],
  ["several outputs, of which one is used", (x, w) => tf.sum(tf.mul(tf.unstack(x)[1]!, w))],
  ["an operation of our own", (x, w) => tf.sum(relu(tf.matMul(x, w)))],
  ["a constant", (x, w) => tf.sum(tf.mul(stopGradient(x), w))],
  ["tensors of a scope that has ended", (x, w) => tf.sum(tf.tidy(() => tf.square(tf.matMul(x, tf.tanh(w)))))],
  ["a gradient of a gradient", (x, w) => tf.sum(tf.mul(tf.grad((y: tf.Tensor) => tf.sum(tf.pow(y, 3)))(x), w))],
  ["what is computed beside it", (x, w) => (tf.sum(tf.square(w)).dataSync(), tf.sum(tf.square(x)))],
])("%s: the gradients are TensorFlow.js's own", (_, f) => {
  const { ours, theirs } = compared(f);
  expect(ours).toEqual(theirs);
  expect(ours.some((gradient) => gradient?.some((value) => value !== 0))).toBe(true);
});

test("what does not depend on x has no gradient", () => {
  const { ours } = compared((x) => tf.sum(x));
  expect(ours).toEqual([[1, 1, 1, 1], undefined]);
});

test("nothing but the gradients stays, and while they are taken what is done with goes", () => {
  tf.engine().startScope();
  const x = tf.tensor1d([1, 2]);
  const before = tf.memory().numTensors;
  const depth = 40;
  const held: number[] = [];
  const f = (): tf.Tensor => {
    let y: tf.Tensor = x;
    for (let i = 0; i < depth; i++) y = watchGradient(tf.tanh(y), () => held.push(tf.memory().numTensors));
    return tf.sum(y);
  };
  const [gradient] = gradientsOf(f, [x]);
  expect(tf.memory().numTensors).toBe(before + 1);
  expect(numbers(gradient)![0]).toBeGreaterThan(0);
  // The output that each tanh has kept goes when its gradient has been taken.
  expect(held.length).toBe(depth);
  expect(held[0]! - held.at(-1)!).toBeGreaterThanOrEqual(depth - 1);
  tf.engine().endScope();
});

test("a gradient of a wrong shape is refused, and the tape is off again after an error", () => {
  const wrong = tf.customGrad((x) => ({ value: tf.sum(x as tf.Tensor), gradFunc: () => tf.ones([3]) }));
  tf.tidy(() => {
    const x = tf.ones([2]);
    expect(() => gradientsOf(() => wrong(x), [x])).toThrow(/shape \[3\], its input \[2\]/);
    const broken = (): tf.Tensor => {
      throw new Error("broken");
    };
    expect(() => gradientsOf(broken, [x])).toThrow("broken");
    expect(tf.engine().state.gradientDepth).toBe(0);
    expect(numbers(gradientsOf(() => tf.sum(x), [x])[0])).toEqual([1, 1]);
  });
});
