// The layers of src/nn against float64 loops: values, and gradients against central differences, on the plain engine and
// on the compiled one, which fuses much of them.
import { describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { activations } from "../../src/nn/activations.ts";
import { attentionParameters, causalMask, multiHeadAttention, paddingMask } from "../../src/nn/attention.ts";
import { feedForward, feedForwardParameters } from "../../src/nn/feed-forward.ts";
import { linear, linearParameters } from "../../src/nn/linear.ts";
import * as norms from "../../src/nn/norms/index.ts";
import type { Norm } from "../../src/nn/norms/norm.ts";
import { type ParameterShapes, scope, under } from "../../src/nn/parameters.ts";
import { sinusoidalPositions } from "../../src/nn/positions.ts";
import { stream } from "../../src/random.ts";
import { members } from "../../src/registry.ts";
import * as float64 from "../float64.ts";
import { expectGradients, floats, type Twin } from "../gradient-check.ts";

const shapesOf = (parameters: ParameterShapes): Record<string, readonly number[]> =>
  Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, shape]));

/** The rows of example `b` of `size` numbers. */
const row = (x: Float64Array, b: number, size: number): Float64Array => x.subarray(b * size, (b + 1) * size);
const joined = (parts: readonly Float64Array[]): Float64Array => Float64Array.from(parts.flatMap((part) => [...part]));

const [heads, width] = [2, 4];
/** Projections of the size they have in a network, 1 / sqrt(fan in): standard normals would saturate the softmax, whose
 *  gradient p * (dP - sum(p dP)) is then a difference of nearly equal numbers in any float32 arithmetic. */
const attentionValues = Object.fromEntries(
  ["query", "key", "value", "out"].map((name): [string, Float32Array] => [
    `${name}/weight`,
    stream(2, name)
      .normal(new Float32Array(width * width))
      .map((x) => x / Math.sqrt(width)),
  ]),
);
const sourceMask = floats([2, 3], [1, 1, 1, 1, 1, 0]);
const factors = (shape: number[]) =>
  floats(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i % 4 ? 4 / 3 : 0)),
  );

const twins: Record<string, Twin> = {
  linear: {
    inputs: { x: [2, 3, 4], ...shapesOf(linearParameters(4, 5)) },
    apply: ({ x, weight, bias }) => linear(x!, weight!, bias!),
    reference: ({ x, weight, bias }) => float64.linear(x!, weight!, bias!),
  },
  "causal self-attention": {
    inputs: { x: [2, 3, width], ...shapesOf(attentionParameters(width)) },
    values: attentionValues,
    apply: ({ x, ...p }) => multiHeadAttention(x!, x!, p, { heads, mask: causalMask(3) }),
    reference: ({ x, ...p }) =>
      joined([0, 1].map((b) => row(x!, b, 12)).map((x) => float64.multiHeadAttention(x, x, p, heads, (t, s) => s > t))),
  },
  "cross-attention with padding and dropout": {
    inputs: { x: [2, 2, width], memory: [2, 3, width], ...shapesOf(attentionParameters(width)) },
    values: attentionValues,
    constants: { sourceMask, dropout: factors([2, heads, 2, 3]) },
    apply: ({ x, memory, sourceMask, dropout, ...p }) =>
      multiHeadAttention(x!, memory!, p, { heads, mask: paddingMask(sourceMask!), dropout: dropout! }),
    reference: ({ x, memory, sourceMask, dropout, ...p }) =>
      joined(
        [0, 1].map((b) =>
          float64.multiHeadAttention(
            row(x!, b, 8),
            row(memory!, b, 12),
            p,
            heads,
            (_, s) => sourceMask![b * 3 + s] === 0,
            row(dropout!, b, heads * 6),
          ),
        ),
      ),
  },
  ...Object.fromEntries(
    (Object.keys(activations) as (keyof typeof activations)[]).map((name): [string, Twin] => [
      `feed-forward with ${name} and dropout`,
      {
        inputs: { x: [2, 3, 4], ...shapesOf(feedForwardParameters(4, 6)) },
        constants: { dropout: factors([2, 3, 6]) },
        apply: ({ x, dropout, ...p }) => feedForward(x!, p, { activation: name, dropout }),
        reference: ({ x, dropout, ...p }) => {
          const hidden = float64.activations[name]!(float64.linear(x!, p["in/weight"]!, p["in/bias"]!));
          return float64.linear(
            hidden.map((h, i) => h * dropout![i]!),
            p["out/weight"]!,
            p["out/bias"]!,
          );
        },
      },
    ]),
  ),
};

// One line a norm: a new member of the registry must have its formula here.
const normFormulas: Record<string, Twin["reference"]> = {
  "layer-norm": ({ x, gain, bias }) => float64.layerNorm(x!, gain!, bias!, 1e-5),
  "dynamic-tanh": ({ x, ...p }) => float64.dynamic(Math.tanh, x!, p),
  derf: ({ x, ...p }) => float64.dynamic(float64.erf, x!, p),
  none: ({ x }) => x!,
  "rms-norm": ({ x, gain }) => float64.rmsNorm(x!, gain!, 1e-5),
};
const normTwins = Array.from(members<Norm>(norms), ([name, norm]): [string, Twin] => [
  name,
  {
    inputs: { x: [3, 2, 5], ...shapesOf(norm.parameters(5)) },
    apply: ({ x, ...p }) => norm.apply(x!, p),
    reference: normFormulas[name]!,
  },
]);

describe.each([engines.cpu, engines.onnx])("on $name", (kind) => {
  test.each([...Object.entries(twins), ...normTwins])(
    "%s and its gradient are those of the float64 loops",
    async (_, twin) => {
      const engine = await kind.create({ threads: 1 });
      // A key bias shifts all scores of a row alike: softmax does not see it.
      await expectGradients(twin, engine, ["key/bias"]);
      await engine.dispose();
    },
  );
});

test("masks hide later positions and padding with -1e9, and nothing else", async () => {
  await engines.cpu.create({ threads: 1 });
  const { tensor2d } = await import("@tensorflow/tfjs-core");
  const causal = causalMask(3);
  expect([causal.shape, ...causal.dataSync()]).toEqual([[3, 3], 0, -1e9, -1e9, 0, 0, -1e9, 0, 0, 0]);
  const padding = paddingMask(tensor2d([1, 0, 1, 1], [2, 2]));
  expect([padding.shape, ...padding.dataSync()].map((x) => (x === 0 ? 0 : x))).toEqual([[2, 1, 1, 2], 0, -1e9, 0, 0]);
});

test("positions are the sines and cosines of Vaswani et al., section 3.5", async () => {
  await engines.cpu.create({ threads: 1 });
  const table = sinusoidalPositions(7, 6);
  const at = (t: number, i: number): number => table.dataSync()[t * 6 + i]!;
  expect(table.shape).toEqual([7, 6]);
  for (let t = 0; t < 7; t++)
    for (let pair = 0; pair < 3; pair++) {
      const angle = t / Math.pow(10000, (2 * pair) / 6);
      expect(at(t, 2 * pair)).toBeCloseTo(Math.sin(angle), 6); // float32 of a number below 1
      expect(at(t, 2 * pair + 1)).toBeCloseTo(Math.cos(angle), 6);
    }
});

test("scoping names and taking them apart are inverse", () => {
  const shapes = linearParameters(2, 3);
  expect(Object.keys(scope("query", shapes))).toEqual(["query/weight", "query/bias"]);
  expect(under(scope("query", shapes) as never, "query")).toEqual(shapes);
  expect(under(scope("query", shapes) as never, "que")).toEqual({});
});
