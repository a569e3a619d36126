// Jacobians known by their products, on the compiled engine, beside the matrices themselves, which central differences of the
// cpu engine give in float64 (see engine/finite-differences.test.ts).
import { env } from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { carryAfter, entryAfter } from "../../src/engine/linearize.ts";
import { layerJacobians } from "../../src/instruments/layer-jacobian.ts";
import { advance, singularValues as singularValuesOfStretch } from "../../src/instruments/singular-values.ts";
import { stackJacobians } from "../../src/instruments/stack-jacobian.ts";
import type { Subject } from "../../src/instruments/instrument.ts";
import type { Stage } from "../../src/stage.ts";
import type { JacobianRow } from "../../src/types.ts";
import { build, randomBatch, shake, smallTransformer } from "../helpers.ts";
import { jacobianMatrix, singularValues } from "./dense.ts";

let onnx: Engine, cpu: Engine;
beforeAll(async () => {
  [onnx, cpu] = [await engines.onnx.create({ threads: 1 }), await engines.cpu.create({ threads: 1 })];
});
afterAll(() => onnx.dispose());

/** Runs `compute` with float64 in the place of float32. */
async function inFloat64<T>(compute: () => Promise<T>): Promise<T> {
  const { Float32Array } = globalThis;
  const { platform } = env();
  const { isTypedArray } = platform;
  globalThis.Float32Array = Float64Array as never;
  platform.isTypedArray = (a): a is Float32Array => ArrayBuffer.isView(a);
  try {
    return await compute();
  } finally {
    globalThis.Float32Array = Float32Array;
    platform.isTypedArray = isTypedArray;
  }
}

const masks = { encoder: "sourceMask", decoder: "labelWeights" } as const;
const effort = { probes: 64, tolerance: 1e-6, maxIterations: 1000 };

function subjectOf(residual: string, engine: Engine): Subject {
  const sizes = { width: 4, heads: 2, feedForward: 6, vocabulary: 12, activation: "gelu" as const };
  const { players, parameters } = build(smallTransformer({ ...sizes, residual }));
  shake(parameters);
  const batches = [randomBatch(2, 3, 12, 1, [3, 2]), randomBatch(1, 4, 12, 2, [3])];
  return { engine, player: players[0]!, parameters, batches, seed: 1, masks };
}

/** The singular values of the stages of `stack` that `isWanted`, on all batches, ascending, padding left out. */
const singularValuesOf = (residual: string, stack: keyof typeof masks, isWanted: (stage: Stage) => boolean) =>
  inFloat64(async () => {
    const { player, parameters, batches } = subjectOf(residual, cpu);
    const stages = player.stages.filter((stage) => stage.stack === stack && isWanted(stage));
    const values = [];
    for (const { tensors } of batches) {
      const before = player.stages.slice(0, player.stages.indexOf(stages[0]!));
      const carry = await carryAfter(cpu, before, parameters, tensors);
      const { shape, data } = carry[stack]!;
      const after = (x: Float64Array): Promise<Float32Array> => {
        const moved = { ...carry, [stack]: { dtype: "float32" as const, shape, data: x as never } };
        return entryAfter(cpu, stages, parameters, { tensors: moved, tokens: 1 }, stack);
      };
      const matrix = await jacobianMatrix(after, data, 1e-5);
      const mask = tensors[masks[stack]]!.data;
      const isReal = (i: number): boolean => mask[Math.floor(i / shape.at(-1)!) % mask.length] === 1;
      const kept = matrix.filter((_, i) => isReal(i)).map((row) => row.filter((_, i) => isReal(i)));
      values.push(...singularValues(kept));
    }
    return values.sort((a, b) => a - b);
  });

function expectRow(row: JacobianRow, values: readonly number[]): void {
  expect(row.size).toBe(values.length);
  // From below; the last iteration has changed the norm by 1e-6, and near an equal neighbour many more would be needed.
  // Float32 products and the differences themselves (TensorFlow.js's erf) are good to 1e-6.
  expect(row.spectralNorm / values.at(-1)!).toBeLessThan(1 + 1e-5);
  expect(row.spectralNorm / values.at(-1)!).toBeGreaterThan(1 - 1e-3);
  // There is a singular value as near as the residual says.
  const nearest = Math.min(...values.map((s) => Math.abs(s ** 2 / row.spectralNorm ** 2 - 1)));
  expect(nearest).toBeLessThan(row.residual + 1e-5);
  const meanSquare = values.reduce((sum, s) => sum + s ** 2, 0) / values.length;
  // Four standard errors; and those are of the size that 64 probes promise.
  expect(Math.abs(row.meanSquare - meanSquare)).toBeLessThan(4 * row.meanSquareError);
  expect(row.meanSquareError).toBeGreaterThan(0);
  expect(row.meanSquareError).toBeLessThan(0.2 * meanSquare);
}

test.each(["pre-ln", "post-ln", "residual-dual", "hyper-connections"])(
  "%s: norm and mean square of every layer are those of its explicit matrix, real positions alone",
  async (residual) => {
    const subject = subjectOf(residual, onnx);
    const rows = await layerJacobians(subject, effort);
    const layers = subject.player.stages.filter(({ layer }) => layer !== "");
    expect(rows.map(({ stack, layer }) => [stack, layer])).toEqual(layers.map(({ stack, layer }) => [stack, layer]));
    const last = rows.filter(({ layer }) => layer === 1);
    for (const row of last)
      expectRow(row, await singularValuesOf(residual, row.stack as keyof typeof masks, ({ layer }) => layer === 1));
  },
);

test.each(["pre-ln", "post-ln"])("%s: so are those of whole stacks, without the final norm", async (residual) => {
  const rows = await stackJacobians(subjectOf(residual, onnx), effort);
  expect(rows.map(({ stack, layer }) => [stack, layer])).toEqual([
    ["encoder", ""],
    ["decoder", ""],
  ]);
  for (const row of rows)
    expectRow(row, await singularValuesOf(residual, row.stack as keyof typeof masks, ({ layer }) => layer !== ""));
});

test("a layer whose branches write nothing is the identity: norm and mean square 1, without error", async () => {
  const subject = subjectOf("pre-ln", onnx);
  for (const [path, { data }] of subject.parameters) if (/\/out\/(weight|bias)$/.test(path)) data.fill(0);
  for (const row of await layerJacobians(subject, effort)) {
    expect(row.spectralNorm).toBeCloseTo(1, 6);
    expect(row.meanSquare).toBeCloseTo(1, 6);
    expect(row.residual).toBeLessThan(1e-6);
    expect(row.meanSquareError).toBeLessThan(1e-6);
  }
});

test("a network without layers is refused", async () => {
  const subject = subjectOf("pre-ln", onnx);
  const player = { ...subject.player, stages: subject.player.stages.filter(({ layer }) => layer === "") };
  await expect(layerJacobians({ ...subject, player })).rejects.toThrow("expected a network with layers");
});

test.each([0, 1])("where batch %d alone is not finite neither is the norm of all, found at once", async (broken) => {
  const subject = subjectOf("pre-ln", onnx);
  const stages = subject.player.stages.filter(({ stack, layer }) => stack === "encoder" && layer === 0);
  const before = subject.player.stages.slice(0, subject.player.stages.indexOf(stages[0]!));
  const carries = await advance(
    subject,
    before,
    subject.batches.map(({ tensors }) => tensors),
  );
  carries[broken]!["encoder"]!.data.fill(NaN);
  const row = await singularValuesOfStretch(subject, stages, carries, "encoder", effort);
  expect([row.spectralNorm, row.residual, row.meanSquare, row.iterations]).toEqual([NaN, NaN, NaN, 1]);
});
