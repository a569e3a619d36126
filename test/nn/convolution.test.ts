// Convolutional layers and batch normalisation against float64 loops, as the layers of layers.test.ts.
import { describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { batchNorm, batchNormParameters } from "../../src/nn/batch-norm.ts";
import {
  convolutionLayer,
  convolutionParameters,
  transposedConvolutionLayer,
  transposedConvolutionParameters,
} from "../../src/nn/convolution.ts";
import type { ParameterShapes } from "../../src/nn/parameters.ts";
import { expectGradients, type Twin } from "../gradient-check.ts";
import { convolutionShapes, convolutionSizes, convolve, transposedConvolve } from "../../src/engine/float64.ts";

const shapesOfParameters = (parameters: ParameterShapes): Record<string, readonly number[]> =>
  Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, shape]));
const plusBias = (y: Float64Array, bias: Float64Array): Float64Array => y.map((v, i) => v + bias[i % bias.length]!);

const options = { stride: 2, padding: 1 };
const grids = convolutionSizes([2, 6, 6, 2, 3, 4, options.stride, options.padding]);
const { x: large, y: small } = convolutionShapes(grids);

const twins: Record<string, Twin> = {
  "a convolution": {
    inputs: { x: large, ...shapesOfParameters(convolutionParameters(4, 2, 3)) },
    apply: ({ x, ...p }) => convolutionLayer(x!, p, options),
    reference: ({ x, weight, bias }) => plusBias(convolve(x!, weight!, grids), bias!),
  },
  "a transposed convolution, back to the smallest grid": {
    inputs: { y: small, ...shapesOfParameters(transposedConvolutionParameters(4, 3, 2)) },
    apply: ({ y, ...p }) => transposedConvolutionLayer(y!, p, options),
    reference: ({ y, weight, bias }) => plusBias(transposedConvolve(y!, weight!, grids), bias!),
  },
  "batch normalisation over images and positions": {
    inputs: { x: [2, 3, 2, 3], ...shapesOfParameters(batchNormParameters(3)) },
    apply: ({ x, ...p }) => batchNorm(x!, p),
    reference: ({ x, gain, bias }) => {
      const channel = (c: number): Float64Array => x!.filter((_, i) => i % 3 === c);
      const mean = [0, 1, 2].map((c) => channel(c).reduce((a, b) => a + b) / 12);
      const variance = mean.map((m, c) => channel(c).reduce((sum, v) => sum + (v - m) ** 2, 0) / 12);
      return x!.map(
        (v, i) => ((v - mean[i % 3]!) / Math.sqrt(variance[i % 3]! + 1e-5)) * gain![i % 3]! + bias![i % 3]!,
      );
    },
  },
};

describe.each([engines.cpu, engines.onnx, engines.wasm])("on $name", (kind) => {
  test.each(Object.entries(twins))("%s and its gradient are those of the float64 loops", async (_, twin) => {
    const engine = await kind.create({ threads: 1 });
    await expectGradients(twin, engine);
    await engine.dispose();
  });
});

test("kernels start as DCGAN's, biases at 0", () => {
  expect(convolutionParameters(4, 2, 3)).toEqual({
    weight: { shape: [4, 4, 2, 3], init: { kind: "normal", std: 0.02 } },
    bias: { shape: [3], init: { kind: "constant", value: 0 } },
  });
  const { weight, bias } = transposedConvolutionParameters(5, 2, 3, 0.1);
  expect(weight).toEqual({ shape: [5, 5, 3, 2], init: { kind: "normal", std: 0.1 } });
  expect(bias!.shape).toEqual([3]);
});
