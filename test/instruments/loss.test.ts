// What is read off the loss itself: layers taken out, and a surface around the parameters.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import type { Subject } from "../../src/instruments/instrument.ts";
import { layerRemoval, layerRemovals } from "../../src/instruments/layer-removal.ts";
import { filterNormalized, lossSurfaceRows } from "../../src/instruments/loss-surface.ts";
import type { TransformerOptions } from "../../src/models/transformer.ts";
import type { Batch } from "../../src/types.ts";
import { build, randomBatch, schemeNames, shake, smallTransformer } from "../helpers.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await engines.onnx.create({ threads: 1 });
});
afterAll(() => engine.dispose());

const batches: readonly Batch[] = [randomBatch(3, 5, 50, 1, [5, 4, 2]), randomBatch(2, 6, 50, 2)];

function subjectOf(options: Partial<TransformerOptions>): Subject {
  const { players, parameters } = build(smallTransformer(options));
  shake(parameters);
  return { engine, player: players[0]!, parameters, batches, seed: 1 };
}

/** The mean loss a target, from each batch's. */
async function lossOf({ player, parameters }: Pick<Subject, "player" | "parameters">): Promise<number> {
  const losses = [];
  for (const batch of batches) losses.push((await engine.evaluate(player, parameters, batch))["loss"]! * batch.tokens);
  return (losses[0]! + losses[1]!) / (batches[0]!.tokens + batches[1]!.tokens);
}

describe("layer-removal", () => {
  test.each(["encoder", "decoder"] as const)(
    "of the last %s layer is the loss of a network that is one layer shorter, less the loss",
    async (stack) => {
      const subject = subjectOf({ depth: { encoder: 3, decoder: 3 } });
      const rows = await layerRemovals(subject);
      expect(rows).toHaveLength(6);
      const short = build(smallTransformer({ depth: { encoder: 3, decoder: 3, [stack]: 2 } }));
      for (const [path, { data }] of short.parameters) data.set(subject.parameters.get(path)!.data);
      const expected = await lossOf({ player: short.players[0]!, parameters: short.parameters });
      const { loss, lossWithout, change, changeError } = rows.find((row) => row.stack === stack && row.layer === 2)!;
      expect(loss).toBe(await lossOf(subject));
      expect(lossWithout).toBe(expected);
      expect(change).toBe(expected - loss);
      expect(Math.abs(change)).toBeGreaterThan(1e-4);
      expect(changeError).toBeGreaterThan(0);
    },
  );

  test("of a middle layer is that of a network with the others' parameters moved down", async () => {
    const subject = subjectOf({ depth: { encoder: 3, decoder: 1 } });
    const short = build(smallTransformer({ depth: { encoder: 2, decoder: 1 } }));
    for (const [path, { data }] of short.parameters)
      data.set(subject.parameters.get(path.replace("encoder/01", "encoder/02"))!.data);
    const expected = await lossOf({ player: short.players[0]!, parameters: short.parameters });
    expect((await layerRemovals(subject))[1]!.lossWithout).toBe(expected);
  });

  test("of a layer whose branches write nothing is nothing", async () => {
    const subject = subjectOf({});
    for (const [path, { data }] of subject.parameters)
      if (/^encoder\/01\/.*\/out\/(weight|bias)$/.test(path)) data.fill(0);
    const rows = await layerRemovals(subject);
    const changes = rows.map(({ change }) => change);
    expect(changes[1]).toBe(0);
    expect(Math.min(...changes.toSpliced(1, 1).map(Math.abs))).toBeGreaterThan(0);
  });

  test("is refused where later layers read what a layer wrote beside the stream, and works everywhere else", async () => {
    const refused: [string, string][] = [];
    for (const residual of schemeNames)
      try {
        const subject = subjectOf({ residual });
        await layerRemoval.refuse!(subject);
        await layerRemovals(subject);
      } catch (error) {
        refused.push([residual, (error as Error).message]);
      }
    expect(refused).toEqual([
      ["dlcl", expect.stringMatching(/^expected layers that hand on nothing but the residual stream, got encoder\/00/)],
    ]);
  });
});

describe("loss-surface", () => {
  test("is the loss itself in the middle, and that of the moved parameters elsewhere; parameters are put back", async () => {
    const subject = subjectOf({});
    const before = [...subject.parameters.values()].map(({ data }) => data.slice());
    const rows = await lossSurfaceRows(subject, { points: 5, radius: 0.5 });
    expect([...subject.parameters.values()].map(({ data }) => data)).toEqual(before);
    expect(rows).toHaveLength(25);
    const at = (alpha: number, beta: number) => rows.find((row) => row.alpha === alpha && row.beta === beta)!.loss;
    expect(at(0, 0)).toBe(await lossOf(subject));
    const directions = [1, 2].map((which) =>
      [...subject.parameters.values()].map((parameter) => filterNormalized(parameter, subject.seed, which)),
    );
    for (const [p, { data }] of [...subject.parameters.values()].entries())
      data.forEach((x, i) => (data[i] = x + 0.25 * directions[0]![p]![i]! - 0.5 * directions[1]![p]![i]!));
    expect(at(0.25, -0.5)).toBe(await lossOf(subject));
    expect(new Set(rows.map(({ loss }) => loss)).size).toBe(25);
  });

  test("directions have the norm of every filter, none at biases and gains, and differ", () => {
    const { parameters } = subjectOf({});
    for (const parameter of parameters.values()) {
      const [one, two] = [1, 2].map((which) => filterNormalized(parameter, 1, which));
      if (parameter.shape.length < 2) {
        expect(Math.max(...one!.map(Math.abs))).toBe(0);
        continue;
      }
      const [rows, columns] = parameter.shape as [number, number];
      const columnNorm = (x: ArrayLike<number>, c: number): number =>
        Math.hypot(...Array.from({ length: rows }, (_, r) => x[r * columns + c]!));
      for (let c = 0; c < columns; c++)
        expect(columnNorm(one!, c) / columnNorm(parameter.data, c), parameter.path).toBeCloseTo(1, 10);
      expect(one).not.toEqual(two);
    }
  });

  test("parameters are put back where the engine fails", async () => {
    const subject = subjectOf({});
    const before = [...subject.parameters.values()].map(({ data }) => data.slice());
    const failing = { ...engine, evaluate: () => Promise.reject(new Error("out of order")) };
    await expect(lossSurfaceRows({ ...subject, engine: failing })).rejects.toThrow("out of order");
    expect([...subject.parameters.values()].map(({ data }) => data)).toEqual(before);
  });
});
