// Two players on the one trainer: who moves when, against what, on which batch; and whole runs of them, interrupted and
// resumed.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadRun } from "../../src/config/load.ts";
import { loadRegistries } from "../../src/config/registries.ts";
import { singleRun } from "../../src/config/sweep.ts";
import { formatImageSet, IDX_NAMES } from "../../src/data/image-set.ts";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { gan } from "../../src/models/gan.ts";
import * as probes from "../../src/probes/index.ts";
import { stream } from "../../src/random.ts";
import { executeRun } from "../../src/run.ts";
import { createRunFolder, startRun } from "../../src/runs/run-folder.ts";
import { readLayers, readMetrics } from "../../src/runs/tables.ts";
import type { Parameter, Player } from "../../src/stage.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { evaluateSplit, type Outcome, type Training, trainStep } from "../../src/train/trainer.ts";
import type { Batch } from "../../src/types.ts";
import { imageBatch, shaken, sizes, smallGan } from "../models/images.ts";
import { scratch } from "../runs/folder.ts";
import { tables } from "./run-folder.ts";

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

const rates: Readonly<Record<string, number>> = { discriminator: 0.25, generator: 0.5 };
const batchAt = (step: number): Batch => imageBatch("grey", sizes.rows, sizes.pixels, 100 + step);

/** A game trained by plain descent; `asked` lists those that were asked for. */
function game(options: Pick<Training, "order"> & { updates?: number }): Training & { asked: number[] } {
  const { players } = gan(smallGan({ discriminatorUpdates: options.updates ?? 1 }));
  const sgd = { kind: "sgd", learningRate: 1, momentum: 0, weightDecay: 0 } as const;
  const asked: number[] = [];
  return {
    players,
    parameters: shaken(players),
    optimizers: new Map(players.map(({ name }) => [name, createOptimizer(sgd)])),
    engine,
    dataset: {
      batchAt(step) {
        asked.push(step);
        return batchAt(step);
      },
      stepsPerEpoch: 10,
      evaluation: { dev: [batchAt(50), batchAt(51)], test: [] },
      unigramEntropy: 1,
      dimensions: {},
      hashes: {},
    },
    seed: 1,
    steps: 10,
    learningRate: (_, player) => rates[player]!,
    ...(options.order && { order: options.order }),
    clipNorm: null,
    probes: Object.values(probes),
    isProbed: () => true,
    evaluateEverySteps: 5,
    checkpointEverySteps: 5,
    asked,
  };
}

type Values = Map<string, Float32Array>;
const valuesOf = (parameters: ReadonlyMap<string, Parameter>): Values =>
  new Map([...parameters].map(([path, { data }]) => [path, data.slice()]));

/** One player's step of plain descent by hand, with gradients at `at`: theta - alpha g in float64, rounded once. */
async function moved(
  player: Player,
  at: ReadonlyMap<string, Parameter>,
  number: number,
  from: Values,
): Promise<Values> {
  const step = await engine.differentiate(player, at, batchAt(number), { step: number, seed: 1, tapped: false });
  const next = new Map(from);
  for (const [path, gradient] of step.gradients)
    next.set(
      path,
      from.get(path)!.map((value, i) => Math.fround(value - rates[player.name]! * gradient[i]!)),
    );
  return next;
}

const withValues = (parameters: ReadonlyMap<string, Parameter>, values: Values): Map<string, Parameter> =>
  new Map([...parameters].map(([path, parameter]) => [path, { ...parameter, data: values.get(path)! }]));

describe("a step", () => {
  test("simultaneous: both players go down their gradients at the same point, on the same batch", async () => {
    const training = game({ order: "simultaneous" });
    const { players, parameters } = training;
    const [discriminator, generator] = players as [Player, Player];
    for (const step of [0, 1]) {
      const start = valuesOf(parameters);
      const frozen = withValues(parameters, start);
      const half = await moved(discriminator, frozen, step, start);
      const expected = await moved(generator, frozen, step, half);
      const { outcomes, tokens } = await trainStep(training, step);
      expect(valuesOf(parameters)).toEqual(expected);
      expect(outcomes.map(({ player }) => player)).toEqual(["discriminator", "generator"]);
      expect(tokens).toBe(sizes.rows);
    }
  });

  test("alternating, k = 3: the discriminator moves three times on three batches, then the generator against what it has become", async () => {
    const training = game({ order: "alternating", updates: 3 });
    const { players, parameters, asked } = training;
    const [discriminator, generator] = players as [Player, Player];
    for (const step of [0, 1]) {
      let values = valuesOf(parameters);
      for (const number of [0, 1, 2].map((update) => 3 * step + update))
        values = await moved(discriminator, withValues(parameters, values), number, values);
      const expected = await moved(generator, withValues(parameters, values), step, values);
      const before = asked.length;
      const { outcomes, tokens } = await trainStep({ ...training, probes: [] }, step);
      expect(asked.slice(before)).toEqual([3 * step, 3 * step + 1, 3 * step + 2, step]);
      expect(valuesOf(parameters)).toEqual(expected);
      expect(outcomes.map(({ player }) => player)).toEqual(["discriminator", "generator"]);
      expect(tokens).toBe(3 * sizes.rows); // what the player has seen that has seen most
    }
  });

  test("of several updates the last is probed, which leaves the same bits as none probed", async () => {
    const [probed, plain] = [game({ order: "alternating", updates: 3 }), game({ order: "alternating", updates: 3 })];
    const seen: string[] = [];
    const note = (what: string, name: string): void => void seen.push(`${what} ${name}`);
    const watched: Engine = {
      ...engine,
      differentiate: (player, parameters, batch, options) => {
        note(options.tapped ? "tapped" : "untapped", player.name);
        return engine.differentiate(player, parameters, batch, options);
      },
    };
    const record = [probes.activationRms, probes.updateRatio];
    const { outcomes } = await trainStep({ ...probed, engine: watched, probes: record }, 1);
    expect(seen).toEqual([
      "untapped discriminator",
      "untapped discriminator",
      "tapped discriminator",
      "tapped generator",
    ]);
    for (const { layers } of outcomes) {
      expect(layers.length).toBeGreaterThan(0);
      expect(layers.every(({ step }) => step === 1)).toBe(true);
    }
    await trainStep({ ...plain, probes: [] }, 1);
    expect(valuesOf(probed.parameters)).toEqual(valuesOf(plain.parameters));
  });

  test("the orders differ, and differ in the generator alone after one update of each", async () => {
    const [a, b] = [game({ order: "simultaneous" }), game({ order: "alternating" })];
    await trainStep(a, 0);
    await trainStep(b, 0);
    const apart = [...a.parameters].filter(([path, { data }]) =>
      data.some((value, i) => value !== b.parameters.get(path)!.data[i]),
    );
    expect(apart.length).toBeGreaterThan(0);
    expect(apart.every(([path]) => path.startsWith("generator/"))).toBe(true);
  });

  test("rows of probes carry the player's name, and only its own parameters", async () => {
    const { outcomes } = await trainStep(game({ order: "simultaneous" }), 0);
    for (const { player, layers, readings } of outcomes) {
      expect(layers.length).toBeGreaterThan(10);
      expect(readings.length).toBeGreaterThan(0);
      expect(new Set([...layers, ...readings].map((row) => row.player))).toEqual(new Set([player]));
      const own = layers.filter(({ quantity }) => quantity === "parameter-gradient");
      expect(new Set(own.map(({ stack }) => stack))).toEqual(new Set([player]));
      expect(own.every(({ l2 }) => l2 > 0)).toBe(true);
    }
    // The gradient that reaches the generator comes through the discriminator, which is seen on the way.
    const through = outcomes[1]!.layers.filter(({ quantity }) => quantity === "activation-gradient");
    expect(new Set(through.map(({ stack }) => stack))).toEqual(new Set(["generator", "discriminator", "output"]));
    // The discriminator's ends where its own parameters do.
    const above = outcomes[0]!.layers.filter(({ quantity }) => quantity === "activation-gradient");
    expect(new Set(above.map(({ stack }) => stack))).toEqual(new Set(["discriminator", "output"]));
  });

  test("losses that are not finite stop the step before the other player moves against them", async () => {
    const training = game({ order: "alternating" });
    training.parameters.get("discriminator/00/linear/weight")!.data.fill(NaN);
    const before = valuesOf(training.parameters);
    const { outcomes } = await trainStep(training, 0);
    expect(outcomes).toHaveLength(1);
    expect(outcomes[0]!.broken!.reason).toMatch(/^loss not finite at step 0; first in the activation of discriminator/);
    expect(valuesOf(training.parameters)).toEqual(before);
  });

  test("evaluation means over the split, by player, the same at every time", async () => {
    const training = game({ order: "simultaneous" });
    const first = await evaluateSplit(training, "dev");
    expect(await evaluateSplit(training, "dev")).toEqual(first);
    const rows = new Map(first.rows);
    expect([...rows.keys()].sort()).toEqual([
      "discriminator/fake",
      "discriminator/loss",
      "discriminator/real",
      "generator/fake",
      "generator/loss",
    ]);
    const scalars = [];
    for (const [step, batch] of training.dataset.evaluation.dev.entries())
      scalars.push(await engine.evaluate(training.players[0]!, training.parameters, batch, { step, seed: 1 }));
    expect(rows.get("discriminator/real")).toBeCloseTo((scalars[0]!["real"]! + scalars[1]!["real"]!) / 2, 12);
    expect(scalars[0]!["real"]).not.toBe(scalars[1]!["real"]);
  });
});

describe("runs", () => {
  const folder = scratch();
  const config = join(folder, "tiny.yaml");

  beforeAll(() => {
    const part = (count: number): { images: Uint8Array; labels: Uint8Array } => ({
      images: Uint8Array.from(stream(1, "test pixels").uniform(new Float64Array(64 * count)), (u) => 256 * u),
      labels: Uint8Array.from({ length: count }, (_, i) => i % 10),
    });
    const bytes = formatImageSet({ name: "tiny", height: 8, width: 8, train: part(40), test: part(10) });
    for (const [role, file] of Object.entries(bytes))
      writeFileSync(join(folder, IDX_NAMES[role as keyof typeof IDX_NAMES]), file);
    writeFileSync(
      config,
      `name: tiny
data: {images: ${JSON.stringify(folder)}, validation: 8}
model: {kind: gan, net: mlp, loss: minimax, latent: 4, generator: {hidden: [8]}, discriminator: {hidden: [8]}}
train: {steps: 9, batch: {images: 4}, optimizer: {kind: adam, learningRate: 0.01}, checkpointEverySteps: 3, evaluateEverySteps: 4}
probes: {everySteps: 2}
metrics: {evaluation: [], final: []}
samples: {epochs: [0]}
`,
    );
  });

  const freshRun = async (overrides: readonly string[]): Promise<string> => {
    const loaded = loadRun(config, overrides, await loadRegistries());
    const run = singleRun(loaded.config);
    const runDir = createRunFolder(scratch(), run.id);
    startRun(runDir, run);
    return runDir;
  };
  const go = async (
    runDir: string,
    overrides: readonly string[],
    afterStep: (step: number, stop: () => void) => void = () => {},
  ): Promise<Outcome> => {
    const loaded = loadRun(config, overrides, await loadRegistries());
    const controller = new AbortController();
    return executeRun(loaded.config, runDir, {
      signal: controller.signal,
      onProgress: ({ step }) => afterStep(step, () => controller.abort()),
    });
  };

  test.each([
    ["simultaneous", ["train.order=simultaneous"]],
    ["alternating, k = 3", ["train.order=alternating", "train.discriminator={updates: 3}"]],
    [
      "wgan-gp, a critic with an optimizer of its own",
      [
        "model.loss=wgan-gp",
        "train.order=alternating",
        "train.discriminator={updates: 2, optimizer: {kind: sgd, learningRate: 0.02, momentum: 0.5}}",
      ],
    ],
  ])("%s: stopped, crashed and resumed gives the same bytes", async (_, overrides) => {
    const whole = await freshRun(overrides);
    expect(await go(whole, overrides)).toEqual({ status: "done" });
    const run = await freshRun(overrides);
    // The step stands in the progress of both players: the second is aborted or thrown at as well.
    expect(await go(run, overrides, (step, stop) => step === 2 && stop())).toEqual({ status: "interrupted" });
    const crash = go(run, overrides, (step) => {
      if (step === 8) throw new Error("power cut");
    });
    await expect(crash).rejects.toThrow("power cut");
    expect(await go(run, overrides)).toEqual({ status: "done" });
    expect(tables(run)).toEqual(tables(whole));

    const names = new Set(readMetrics(whole).map(({ name }) => name));
    for (const player of ["discriminator", "generator"])
      for (const name of ["loss", "fake", "gradient-norm", "learning-rate"])
        expect(names).toContain(`${player}/${name}`);
    expect(new Set(readLayers(whole, () => true).map(({ player }) => player))).toEqual(
      new Set(["discriminator", "generator"]),
    );
    // No player is better for having the smaller loss: there is no best checkpoint.
    const checkpoints = readdirSync(join(whole, "checkpoints"));
    expect(checkpoints.sort()).toEqual(["step-00000006", "step-00000009"]);
  });

  test("a VAE's run as well, warming up, with samples drawn once for evaluation", async () => {
    const vae = [
      "model={kind: vae, latent: 2, hidden: [8], klWarmupSteps: 5, beta: 2, objective: elbo, samples: 2}",
      "data.binarization=dynamic",
    ];
    const whole = await freshRun(vae);
    expect(await go(whole, vae)).toEqual({ status: "done" });
    const run = await freshRun(vae);
    expect(await go(run, vae, (step, stop) => step === 4 && stop())).toEqual({ status: "interrupted" });
    expect(await go(run, vae)).toEqual({ status: "done" });
    expect(tables(run)).toEqual(tables(whole));
    const at = (step: number): Record<string, number> =>
      Object.fromEntries(
        readMetrics(whole).flatMap((row) =>
          row.step === step && row.split === "train" ? [[row.name, row.value]] : [],
        ),
      );
    for (const [step, factor] of [
      [0, 0],
      [3, 2 * (3 / 5)],
      [8, 2],
    ] as const) {
      const { loss, reconstruction, kl } = at(step);
      expect(loss).toBeCloseTo(reconstruction! + factor * kl!, 4); // float32 sums of 64 pixels
    }
    // Dev losses are the negative ELBO.
    const dev = readMetrics(whole).filter(({ split }) => split === "dev");
    const elbos = dev.filter(({ name }) => name === "elbo").map(({ value }) => value);
    expect(elbos.length).toBeGreaterThan(2);
    expect(dev.filter(({ name }) => name === "loss").map(({ value }) => -value)).toEqual(elbos);
  });
});
