// What taps read must be right at any scale: vanishing gradients are what fathom is there to measure.
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { stream } from "../../src/random.ts";
import type { Parameters, Player, Stage } from "../../src/stage.ts";
import type { Batch } from "../../src/types.ts";
import { build, randomBatch, schemeNames, shake, smallTransformer } from "../helpers.ts";

/** y = w x in one stage, loss = scale * sum(y) in the next, a tap in each; d(loss)/dy = scale. */
function chain(scale: number): Player {
  const stage = (name: string, rest: Pick<Stage, "reads" | "parameters" | "apply">): Stage => ({
    name,
    stack: "chain",
    layer: "",
    key: `${name} ${scale}`,
    ...rest,
  });
  const lower = stage("lower", {
    reads: ["x"],
    parameters: { w: { path: "w", shape: [64], init: { kind: "constant", value: 1 } } },
    apply: ({ w }, { x }, context) => ({ y: context.tap("lower", "stream", tf.mul(w!, x!)) }),
  });
  const upper = stage("upper", {
    reads: ["y"],
    parameters: {},
    apply: (_, { y }, context) => ({ loss: tf.sum(tf.mul(context.tap("upper", "stream", y!), scale)) }),
  });
  return { name: "chain", stages: [lower, upper], scalars: ["loss"] };
}

test.each([1, 1e-21, 1e-30, 1e25])("gradients of size %d are measured as they are, in every stage", async (scale) => {
  const player = chain(scale);
  const w = {
    path: "w",
    shape: [64],
    init: { kind: "constant", value: 1 } as const,
    data: new Float32Array(64).fill(1),
  };
  const data = stream(1, "taps").normal(new Float32Array(64));
  const batch = { tensors: { x: { dtype: "float32" as const, shape: [64], data } }, tokens: 1 };
  for (const kind of [engines.cpu, engines.onnx]) {
    const engine = await kind.create({ threads: 1 });
    const { taps } = await engine.differentiate(player, new Map([["w", w]]), batch, { step: 0, seed: 1, tapped: true });
    expect(taps.map(({ component }) => component)).toEqual(["lower", "upper"]);
    for (const { activation, gradient } of taps) {
      // float32 rounding of 64 equal terms
      expect(Math.sqrt(gradient.sumSquares) / (8 * scale)).toBeCloseTo(1, 5);
      expect(gradient.max / scale).toBeCloseTo(1, 5);
      expect(Math.sqrt(activation.sumSquares)).toBeCloseTo(Math.hypot(...data), 4);
    }
    await engine.dispose();
  }
});

test("a signal that is zero everywhere measures 0, not NaN", async () => {
  const engine = await engines.onnx.create({ threads: 1 });
  const w = { path: "w", shape: [64], init: { kind: "constant", value: 1 } as const, data: new Float32Array(64) };
  const batch = { tensors: { x: { dtype: "float32" as const, shape: [64], data: new Float32Array(64) } }, tokens: 1 };
  const { taps } = await engine.differentiate(chain(1), new Map([["w", w]]), batch, { step: 0, seed: 1, tapped: true });
  expect(taps[0]!.activation).toEqual({ sumSquares: 0, max: 0, count: 64 });
  await engine.dispose();
});

/** A step's numbers, copied: the engine's next step overwrites them. */
async function stepOf(engine: Engine, player: Player, parameters: Parameters, batch: Batch) {
  const options = { step: 0, seed: 1, tapped: true };
  const { scalars, gradients, taps } = await engine.differentiate(player, parameters, batch, options);
  return { scalars, taps, gradients: new Map(Array.from(gradients, ([path, data]) => [path, data.slice()])) };
}

// A run that goes on from its checkpoint starts with an engine that has met nothing yet, and must come to the same bytes.
test("what a step gives does not depend on what the engine has met before", async () => {
  const w = {
    path: "w",
    shape: [64],
    init: { kind: "constant", value: 1 } as const,
    data: stream(3, "w").normal(new Float32Array(64)),
  };
  const data = stream(2, "taps").normal(new Float32Array(64));
  const batch = { tensors: { x: { dtype: "float32" as const, shape: [64], data } }, tokens: 1 };
  const parameters = new Map([["w", w]]);
  const engine = await engines.onnx.create({ threads: 1 });
  const before = await stepOf(engine, chain(1), parameters, batch);
  // Beyond the range of float32's squares, after which the engine measures otherwise.
  const tiny = await stepOf(engine, chain(1e-25), parameters, batch);
  expect(Math.sqrt(tiny.taps[1]!.gradient.sumSquares) / 8e-25).toBeCloseTo(1, 5);
  expect(await stepOf(engine, chain(1), parameters, batch)).toEqual(before);

  for (const residual of schemeNames) {
    const transformer = build(smallTransformer({ residual, dropout: 0.1, labelSmoothing: 0.1 }));
    shake(transformer.parameters);
    const [player, sentences] = [transformer.players[0]!, randomBatch(3, 5, 50, 1, [5, 4, 2])];
    const fresh = await engines.onnx.create({ threads: 1 });
    const plain = await stepOf(fresh, player, transformer.parameters, sentences);
    await fresh.dispose();
    const scaled = await stepOf(engine, player, transformer.parameters, sentences);
    expect(scaled.taps.length).toBeGreaterThan(8);
    expect(scaled, residual).toEqual(plain);
  }
  await engine.dispose();
});
