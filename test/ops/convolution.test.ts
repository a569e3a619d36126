// What the comparisons of test/engine/operations.test.ts, on networks of a few numbers, do not show: the maps at the sizes of images,
// as adjoints of each other, and what they refuse.
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import { beforeAll, describe, expect, test } from "vitest";
import { convolutionShapes, convolutionSizes } from "../../src/engine/float64.ts";
import { UserError } from "../../src/errors.ts";
import * as ops from "../../src/ops/index.ts";
import { stream } from "../../src/random.ts";

const normal = (name: string, shape: readonly number[]): tf.Tensor =>
  tf.tensor(stream(1, name).normal(new Float32Array(shape.reduce((a, b) => a * b))), [...shape]);

describe("on images", () => {
  beforeAll(async () => void (await tf.setBackend("wasm")));

  test.each([
    [2, 28, 28, 1, 8, 4, 2, 1],
    [2, 27, 28, 3, 4, 5, 2, 2],
    [1, 13, 13, 4, 4, 5, 1, 0],
  ])("of %i x %i x %i x %i to %i channels, kernel %i, stride %i, padding %i: three adjoint maps", (...list) => {
    const { stride, padding, kernel, rows, columns } = convolutionSizes(list);
    const shapes = convolutionShapes(convolutionSizes(list));
    const [x, y, w] = (["x", "y", "w"] as const).map((name) => normal(name, shapes[name]));
    const forward = ops.convolution(x!, w!, { stride, padding });
    const back = ops.transposedConvolution(y!, w!, { stride, padding, outputSize: [rows, columns] });
    const filter = ops.filterGradient(x!, y!, { stride, padding, kernelSize: [kernel, kernel] });
    const inner = (a: tf.Tensor, b: tf.Tensor): number => tf.sum(tf.mul(a, b)).dataSync()[0]!;
    const scale = Math.sqrt(inner(forward, forward) * inner(y!, y!));
    // Float32 rounding of sums of some thousand products, each below 1e-7 of |forward| |y|.
    expect(Math.abs(inner(forward, y!) - inner(x!, back)) / scale).toBeLessThan(1e-6);
    expect(Math.abs(inner(forward, y!) - inner(w!, filter)) / scale).toBeLessThan(1e-6);
    expect(Math.abs(inner(forward, y!)) / scale).toBeGreaterThan(1e-4); // zeros would prove nothing
  });
});

describe("refused", () => {
  beforeAll(async () => void (await tf.setBackend("cpu")));

  test("a kernel that does not fit", () => {
    const convolve = (padding: number) =>
      ops.convolution(tf.zeros([1, 3, 3, 1]), tf.zeros([5, 5, 1, 1]), { stride: 1, padding });
    expect(() => convolve(0)).toThrow(UserError);
    expect(() => convolve(0)).toThrow(/kernel of 5 does not fit into 3 with padding 0/);
    expect(convolve(1).shape).toEqual([1, 1, 1, 1]);
  });

  test("an output that no convolution takes to the input, with those that it would", () => {
    const spread = (size: number) =>
      ops.transposedConvolution(tf.zeros([1, 7, 7, 1]), tf.zeros([4, 4, 1, 1]), {
        stride: 2,
        padding: 1,
        outputSize: [size, size],
      });
    expect(spread(14).shape).toEqual([1, 14, 14, 1]);
    expect(spread(15).shape).toEqual([1, 15, 15, 1]);
    for (const size of [13, 16]) expect(() => spread(size)).toThrow(UserError);
    expect(() => spread(16)).toThrow(/expected an output of 14 or up to 1 more, got 16/);
  });
});
