// The penalty on a critic's gradient, as a twin: a gradient of a gradient through convolutions and activations.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { convolutionShapes, convolutionSizes, convolve, transposedConvolve } from "../../src/engine/float64.ts";
import type { Twin } from "../../src/engine/twin.ts";
import * as ops from "../../src/ops/index.ts";
import { sizeOf } from "../../src/stage.ts";

/** |dD/dx|^2 summed over all pixels, for a critic D of two convolutions and a weighted sum, as WGAN-GP differentiates it. */
function gradientPenalty(
  activation: { apply(x: Tensor): Tensor; value(x: number): number; slope(x: number): number },
  fixed: readonly string[],
): Twin {
  const first = convolutionSizes([2, 6, 6, 1, 2, 4, 2, 1]);
  const second = convolutionSizes([2, 3, 3, 2, 2, 3, 2, 1]);
  const [one, two] = [first, second].map(({ stride, padding }) => ({ stride, padding }));
  const all = {
    x: convolutionShapes(first).x,
    w1: convolutionShapes(first).w,
    w2: convolutionShapes(second).w,
    w3: [2, 2, 2],
  };
  const inputs = Object.fromEntries(Object.entries(all).filter(([name]) => !fixed.includes(name)));
  const constants = Object.fromEntries(
    fixed.map((name) => {
      const shape = all[name as keyof typeof all];
      const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(7 * i + 1));
      return [name, { dtype: "float32" as const, shape, data }];
    }),
  );
  return {
    inputs,
    constants,
    apply: ({ x, w1, w2, w3 }) => {
      const critic = (x: Tensor): Tensor => {
        const h = activation.apply(ops.convolution(x, w1!, one!));
        return tf.sum(tf.mul(activation.apply(ops.convolution(h, w2!, two!)), w3!));
      };
      return tf.sum(tf.square(tf.grad(critic)(x!)));
    },
    reference: ({ x, w1, w2, w3 }) => {
      const a1 = convolve(x!, w1!, first);
      const a2 = convolve(a1.map(activation.value), w2!, second);
      const d2 = a2.map((a, i) => w3![i % w3!.length]! * activation.slope(a));
      const h = transposedConvolve(d2, w2!, second);
      const dx = transposedConvolve(
        h.map((g, i) => g * activation.slope(a1[i]!)),
        w1!,
        first,
      );
      return Float64Array.of(dx.reduce((sum, g) => sum + g * g, 0));
    },
  };
}

export const gradientPenalties: Record<string, Twin> = {
  // Piecewise linear in x: the penalty does not depend on it between the kinks.
  "gradient penalty of a critic with leaky ReLU": gradientPenalty(
    {
      apply: (x) => ops.leakyRelu(x, 0.2),
      value: (x) => Math.max(x, 0.2 * x),
      slope: (x) => (x > 0 ? 1 : 0.2),
    },
    ["x"],
  ),
  "gradient penalty of a critic with tanh": gradientPenalty(
    { apply: ops.tanh, value: Math.tanh, slope: (x) => 1 - Math.tanh(x) ** 2 },
    [],
  ),
  "gradient penalty of a critic with sigmoid": gradientPenalty(
    {
      apply: ops.sigmoid,
      value: (x) => 1 / (1 + Math.exp(-x)),
      slope: (x) => Math.exp(-x) / (1 + Math.exp(-x)) ** 2,
    },
    [],
  ),
};
