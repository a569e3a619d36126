// Gradient accumulation: several batches of an update are exactly one batch, in what is trained and in what is measured.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eagerEngine } from "../../src/engine/eager.ts";
import type { Engine, StepOptions } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import * as probes from "../../src/probes/index.ts";
import { batchesOf, differentiateBatches, targetsOf } from "../../src/train/accumulate.ts";
import { stepOfEpoch } from "../../src/prepare.ts";
import { readMetrics, readReadings } from "../../src/runs/tables.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { type StepOutcome, type Training, trainStep } from "../../src/train/trainer.ts";
import type { Batch, HostTensor, LayerRow } from "../../src/types.ts";
import { fathom } from "../cli/capture.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { build, randomBatch, relativeDifference, shake, smallTransformer } from "../helpers.ts";
import { freshRun, go, tables } from "./run-folder.ts";

useTemporaryCache();

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

/** Batches of one length, and of 6, 14 and 22 targets. */
const lengths = [
  [3, 1, 1, 1],
  [6, 4, 2, 2],
  [6, 6, 5, 5],
];
const batchAt = (step: number): Batch => randomBatch(4, 6, 50, step, lengths[step % 3]);

/** The rows of all batches in one. */
function concatenated(batches: readonly Batch[]): Batch {
  const join = (name: string): HostTensor => {
    const tensors = batches.map(({ tensors }) => tensors[name]!);
    const { dtype, shape } = tensors[0]!;
    const numbers = tensors.flatMap(({ data }) => Array.from<number>(data));
    const data = dtype === "int32" ? Int32Array.from(numbers) : Float32Array.from(numbers);
    return { dtype, shape: [shape[0]! * batches.length, ...shape.slice(1)], data };
  };
  const names = Object.keys(batches[0]!.tensors);
  return { tensors: Object.fromEntries(names.map((name) => [name, join(name)])), tokens: targetsOf(batches) };
}

function training(rest: Partial<Training> & { dropout?: number } = {}): Training {
  const { dropout = 0, ...others } = rest;
  // A smooth activation: differences across the kink of another would not be the slope.
  const { players, parameters } = build(
    smallTransformer({ depth: { encoder: 1, decoder: 1 }, width: 8, activation: "gelu", dropout }),
  );
  shake(parameters);
  const sgd = { kind: "sgd", learningRate: 0.1, momentum: 0, weightDecay: 0 } as const;
  return {
    players,
    parameters,
    optimizers: new Map([["model", createOptimizer(sgd)]]),
    engine,
    dataset: {
      batchAt,
      stepsPerEpoch: 30,
      evaluation: { dev: [], test: [] },
      unigramEntropy: 0,
      dimensions: {},
      hashes: {},
    },
    seed: 1,
    steps: 10,
    learningRate: () => 0.1,
    clipNorm: null,
    probes: [],
    isProbed: () => true,
    evaluateEverySteps: 10,
    checkpointEverySteps: 10,
    ...others,
  };
}

const options: StepOptions = { step: 0, seed: 1, tapped: false };
/** Both sum float32 numbers over 42 targets in another order: 6e-8 a rounding, about the root of the terms of them in a row. */
const rounding = 1e-5;

describe("an update of three batches of unequal numbers of targets is one of the batch of them all", () => {
  const batches = batchesOf({ batchAt }, 0, 3);
  const whole = { batchAt: (step: number) => concatenated(batchesOf({ batchAt }, step, 3)) };

  test("in loss and gradients, and not the plain mean of the batches'", async () => {
    const { players, parameters } = training();
    const player = players[0]!;
    expect(batches.map(({ tokens }) => tokens)).toEqual([6, 14, 22]);
    const one = await engine.differentiate(player, parameters, concatenated(batches), options);
    const [loss, gradients] = [one.scalars["loss"]!, new Map([...one.gradients].map(([p, g]) => [p, g.slice()]))];
    const found = await differentiateBatches(engine, player, parameters, batches, options);
    expect(Math.abs(found.scalars["loss"]! / loss - 1)).toBeLessThan(rounding);
    expect([...found.gradients.keys()].sort()).toEqual([...gradients.keys()].sort());
    const all = (of: ReadonlyMap<string, Float32Array>): number[] =>
      [...gradients.keys()].flatMap((p) => [...of.get(p)!]);
    expect(relativeDifference(all(found.gradients), all(gradients))).toBeLessThan(rounding);
    const unweighted = await differentiateBatches(
      engine,
      player,
      parameters,
      batches.map((batch) => ({ ...batch, tokens: 1 })),
      options,
    );
    expect(relativeDifference(all(unweighted.gradients), all(gradients))).toBeGreaterThan(0.05);
  });

  test("in every row of layers.csv, in the update, and in the targets counted", async () => {
    const record = Object.values(probes).filter(({ rows, needs }) => rows && !needs.includes("output"));
    const accumulated = training({ accumulate: 3, probes: record, batches: 2 });
    const start = new Map([...accumulated.parameters].map(([path, { data }]) => [path, data.slice()]));
    const compared = { start: { outputs: new Map(), parameters: start } };
    const plain = training({ probes: record, batches: 2, ...compared });
    const single = { ...plain, dataset: { ...plain.dataset, ...whole } };
    for (const step of [0, 1]) {
      const one = await trainStep(single, step);
      const several = await trainStep({ ...accumulated, ...compared }, step);
      expect(several.tokens).toBe(one.tokens);
      const [a, b] = [several, one].map(({ outcomes }) => outcomes[0]!) as [StepOutcome, StepOutcome];
      expect(Math.abs(a.gradientNorm / b.gradientNorm - 1)).toBeLessThan(rounding);
      const place = ({ step, stack, layer, component, parameter, quantity, count }: LayerRow): unknown[] => [
        ...[step, stack, layer, component, parameter, quantity, count],
      ];
      expect(a.layers.map(place)).toEqual(b.layers.map(place));
      const quantities = new Set(a.layers.map(({ quantity }) => quantity));
      for (const quantity of ["parameter-gradient", "activation", "activation-gradient", "update", "expected-gradient"])
        expect(quantities).toContain(quantity);
      for (const [i, row] of a.layers.entries())
        for (const column of ["l2", "rms", "max"] as const) {
          const wanted = b.layers[i]![column];
          // Softmax does not see what shifts all its scores: the gradient is 0, and what is left is rounding.
          if (row.parameter.endsWith("key/bias")) expect(Math.abs(row[column] - wanted)).toBeLessThan(1e-6);
          else expect(Math.abs(row[column] - wanted), JSON.stringify(row)).toBeLessThanOrEqual(10 * rounding * wanted);
        }
    }
    for (const [path, { data }] of accumulated.parameters)
      expect(relativeDifference(data, plain.parameters.get(path)!.data), path).toBeLessThan(rounding);
  });

  test("and its gradient is the slope of the mean loss a target", async () => {
    const { players, parameters } = training();
    const player = players[0]!;
    // Along one batch's own gradient, in which the others' have a part as well.
    const first = await engine.differentiate(player, parameters, batches[0]!, options);
    const direction = new Map([...first.gradients].map(([path, gradient]) => [path, gradient.slice()]));
    const norm = Math.hypot(...[...direction.values()].flatMap((g) => [...g]));
    const { gradients } = await differentiateBatches(engine, player, parameters, batches, options);
    let slope = 0;
    for (const [path, gradient] of gradients)
      gradient.forEach((g, i) => (slope += (g * direction.get(path)![i]!) / norm));
    const lossAt = async (distance: number): Promise<number> => {
      const moved = new Map(
        [...parameters].map(([path, parameter]) => {
          const data = parameter.data.map((x, i) => x + (distance * direction.get(path)![i]!) / norm);
          return [path, { ...parameter, data }] as const;
        }),
      );
      let [sum, targets] = [0, 0];
      for (const batch of batches) {
        const { loss } = await engine.evaluate(player, moved, batch, options);
        sum += loss! * batch.tokens;
        targets += batch.tokens;
      }
      return sum / targets;
    };
    // Float32 losses of size 4 err by 2e-7 and so their difference over 0.02 by 2e-5; the third derivative adds h^2 = 1e-4 of its
    // size. Measured: 1.2e-4, and less in its square for smaller h.
    const h = 0.01;
    expect(Math.abs(((await lossAt(h)) - (await lossAt(-h))) / (2 * h) / slope - 1)).toBeLessThan(1e-3);
  });
});

test("every batch of every update is a batch of its own, with noise of its own", async () => {
  const asked: number[] = [];
  const drawn: number[] = [];
  const watched: Engine = {
    ...engine,
    differentiate: (player, parameters, batch, how) => {
      drawn.push(how.step);
      return engine.differentiate(player, parameters, batch, how);
    },
  };
  const plain = training({ accumulate: 3, dropout: 0.2 });
  const dataset = { ...plain.dataset, batchAt: (step: number) => (asked.push(step), batchAt(step)) };
  for (const step of [0, 1]) await trainStep({ ...plain, engine: watched, dataset }, step);
  expect(asked).toEqual([0, 1, 2, 3, 4, 5]);
  expect(drawn).toEqual([0, 1, 2, 3, 4, 5]);
  // The same batch twice has the gradient of one batch without dropout, and another with it.
  const { players, parameters } = plain;
  const alone = await differentiateBatches(engine, players[0]!, parameters, [batchAt(1)], options);
  const loss = alone.scalars["loss"]!;
  const twice = await differentiateBatches(engine, players[0]!, parameters, [batchAt(1), batchAt(1)], options);
  expect(twice.scalars["loss"]).not.toBe(loss);
});

test("an update of one batch is what the engine gives, untouched", async () => {
  const { players, parameters } = training();
  const given = await engine.differentiate(players[0]!, parameters, batchAt(0), { ...options, step: 5 });
  const fixed: Engine = { ...engine, differentiate: () => Promise.resolve(given) };
  const one = await differentiateBatches(fixed, players[0]!, parameters, [batchAt(0)], { ...options, step: 5 });
  expect(one).toBe(given);
});

test("where the engine keeps parameters on its device, updates of several batches train the same", async () => {
  const device = await eagerEngine("cpu", { backend: "cpu", isRemote: true });
  const host = await engines.cpu.create({ threads: 1 });
  const [there, here] = [training({ accumulate: 2, engine: device }), training({ accumulate: 2, engine: host })];
  for (const step of [0, 1]) {
    await trainStep(there, step);
    await trainStep(here, step);
  }
  device.residence!.leave();
  for (const [path, { data }] of here.parameters)
    expect(relativeDifference(there.parameters.get(path)!.data, data), path).toBeLessThan(rounding);
  await device.dispose();
  await host.dispose();
});

test("numbers that are no numbers end an update of several batches with their place", async () => {
  const broken = training({ accumulate: 2 });
  const path = [...broken.parameters.keys()].find((name) => name.startsWith("encoder/00/feed-forward"))!;
  broken.parameters.get(path)!.data.fill(NaN);
  const { outcomes } = await trainStep(broken, 0);
  expect(outcomes[0]!.broken!.reason).toMatch(/^loss not finite at step 0; first in the activation of encoder layer 0/);
});

test("two epochs of 30 batches are 15 updates of 4", () => {
  const { players, dataset } = training();
  expect(stepOfEpoch(2, players, dataset)).toBe(60);
  expect(stepOfEpoch(2, players, dataset, 4)).toBe(15);
  expect(stepOfEpoch(1, players, dataset, 4)).toBe(8); // the last of them goes on into the next epoch
});

test("a run with all probes counts every batch's targets, and gives the same bytes after an interruption", async () => {
  const overrides = [
    ...["model.depth=1", "model.width=8", "model.dropout=0.1", "data.maxLength=12", "train.steps=5"],
    ...["train.accumulate=3", "train.checkpointEverySteps=2", "probes={preset: full, everySteps: 2, batches: 2}"],
  ];
  const whole = await freshRun(...overrides);
  expect(await go(whole, overrides)).toEqual({ status: "done" });
  const run = await freshRun(...overrides);
  expect(await go(run, overrides, (step, stop) => step === 3 && stop())).toEqual({ status: "interrupted" });
  expect(await go(run, overrides)).toEqual({ status: "done" });
  expect(tables(run)).toEqual(tables(whole));
  expect(readReadings(whole).every(({ value }) => Number.isFinite(value))).toBe(true);
  // Batches of steps 0 to 14 of a run without accumulation.
  const single = [...overrides.filter((o) => !/accumulate|probes|steps/.test(o)), "train.steps=15"];
  const plain = await freshRun(...single);
  await go(plain, single);
  const [tokens, wanted] = [whole, plain].map((of) => readMetrics(of).at(-1)!.tokens);
  expect(tokens).toBe(wanted);
  const inspected = await fathom("inspect", whole, "--step", "1");
  expect(inspected.code).toBe(2);
  expect(inspected.stderr).toContain("got one with train.accumulate: 3");
}, 60_000);
