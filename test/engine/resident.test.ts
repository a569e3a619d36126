// Training whose parameters stay where the engine computes gives what the host's loops give, reads the device once a step,
// and keeps nothing. That is how tensorflow-gpu trains. TensorFlow.js's own cpu backend plays the device everywhere, TensorFlow's
// C library on the CPU where it is installed.
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test, vi } from "vitest";
import type { OptimizerConfig } from "../../src/config/schema.ts";
import { eagerEngine } from "../../src/engine/eager.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { tensorflow } from "../../src/engine/index.ts";
import { gan } from "../../src/models/gan.ts";
import { vae } from "../../src/models/vae.ts";
import * as probes from "../../src/probes/index.ts";
import type { Probe } from "../../src/probes/probe.ts";
import type { Parameter, Player } from "../../src/stage.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { type StepOutcome, type Training, trainStep } from "../../src/train/trainer.ts";
import type { Batch, LayerRow } from "../../src/types.ts";
import { comparedEngines } from "../engines.ts";
import { build, randomBatch, relativeDifference, smallTransformer } from "../helpers.ts";
import { imageBatch, shaken, sizes, smallGan, smallVae } from "../models/images.ts";

const adam = { kind: "adam", learningRate: 1, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 } as const;
const optimizers: Record<string, OptimizerConfig> = {
  adam,
  "adam with weight decay": { ...adam, weightDecay: 0.1 },
  adamw: { ...adam, kind: "adamw", weightDecay: 0.1 },
  sgd: { kind: "sgd", learningRate: 1, momentum: 0, weightDecay: 0 },
  "sgd with momentum": { kind: "sgd", learningRate: 1, momentum: 0.9, weightDecay: 0.1 },
};

interface Model {
  readonly players: Player[];
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly batchAt: (step: number) => Batch;
}

const images = (step: number): Batch => imageBatch("binary", sizes.rows, sizes.pixels, 100 + step);
const translation = (step: number): Batch => randomBatch(3, 8, 50, step, [8, 5, 2]);
const models: Record<string, () => Model> = {
  transformer: () => ({
    ...build(smallTransformer({ dropout: 0.1, tiedEmbeddings: "all", depth: { encoder: 1, decoder: 2 } })),
    batchAt: translation,
  }),
  vae() {
    const { players } = vae(smallVae({}));
    return { players, parameters: shaken(players), batchAt: images };
  },
  gan() {
    const { players } = gan(smallGan({ discriminatorUpdates: 2 }));
    return { players, parameters: shaken(players), batchAt: images };
  },
};

/** What can be recorded without the gradients themselves. */
const recorded = Object.values<Probe>(probes).filter(
  ({ needs }) => !needs.includes("batches") && !needs.includes("start"),
);

const trainingOf = (
  engine: Engine,
  { players, parameters, batchAt }: Model,
  optimizer: OptimizerConfig,
  rest: Partial<Training> = {},
): Training => ({
  players,
  parameters,
  engine,
  optimizers: new Map(players.map(({ name }) => [name, createOptimizer(optimizer)])),
  dataset: {
    batchAt,
    stepsPerEpoch: 10,
    evaluation: { dev: [batchAt(50)], test: [] },
    unigramEntropy: 1,
    dimensions: {},
    hashes: {},
  },
  seed: 1,
  steps: 10,
  learningRate: () => 0.01,
  clipNorm: 0.5,
  probes: recorded,
  isProbed: () => true,
  evaluateEverySteps: 5,
  checkpointEverySteps: 5,
  ...rest,
});

async function trained(training: Training, from: number, to: number): Promise<StepOutcome[]> {
  const all: StepOutcome[] = [];
  for (let step = from; step < to; step++) all.push(...(await trainStep(training, step)).outcomes);
  return all;
}

const placeOfRow = ({ stack, layer, component, parameter, quantity, count }: LayerRow): unknown[] => [
  ...[stack, layer, component, parameter, quantity, count],
];

const cpuAsDevice = { create: () => eagerEngine("cpu", { backend: "cpu", isRemote: true }) };
/** As tensorflow-gpu does it. */
const tensorflowAsDevice = {
  async create() {
    await tensorflow.create({ threads: 1 });
    return eagerEngine("tensorflow", { backend: "tensorflow", isRemote: true });
  },
};
const devices = [
  { name: "cpu as a device", kind: cpuAsDevice, test, steps: 20 }, // whose kernels are slow
  ...comparedEngines
    .filter(({ kind }) => kind === tensorflow)
    .map(({ test }) => ({ name: "tensorflow", kind: tensorflowAsDevice, test, steps: 200 })),
];

for (const { name, kind, test, steps } of devices)
  describe(name, () => {
    const hostAndDevice = async (): Promise<[Engine, Engine]> => {
      const engine = await kind.create();
      const host = { ...engine };
      delete host.residence;
      return [host, engine];
    };
    const cases = Object.keys(models).flatMap((model) => Object.keys(optimizers).map((rule) => ({ model, rule })));
    for (const { model, rule } of cases)
      test(`${model}, ${rule}: losses, norms, rows and parameters are those of the host's loops`, async () => {
        const [host, device] = await hostAndDevice();
        const [a, b] = [
          trainingOf(host, models[model]!(), optimizers[rule]!),
          trainingOf(device, models[model]!(), optimizers[rule]!),
        ];
        const [want, got] = [await trained(a, 0, 5), await trained(b, 0, 5)];
        got.forEach((outcome, i) => {
          const twin = want[i]!;
          // The same float32 formulas in the same order; what differs is the order of the sums within norms, which clipping
          // feeds back. Adam divides by the root of squares, which makes rounding of tiny gradients visible.
          expect(outcome.scalars["loss"]! / twin.scalars["loss"]!).toBeCloseTo(1, 5);
          expect(outcome.gradientNorm / twin.gradientNorm).toBeCloseTo(1, 3);
          expect(outcome.layers.map(placeOfRow)).toEqual(twin.layers.map(placeOfRow));
          if (i === 0)
            outcome.layers.forEach((row, j) => {
              const scale = Math.max(twin.layers[j]!.l2, 1e-6 * twin.gradientNorm);
              expect(Math.abs(row.l2 - twin.layers[j]!.l2) / scale, JSON.stringify(row)).toBeLessThan(1e-4);
            });
          expect(outcome.readings.length).toBe(twin.readings.length);
        });
        const before = new Map([...b.parameters].map(([path, { data }]) => [path, data.slice()]));
        for (const [path, { data }] of models[model]!().parameters) expect(before.get(path), path).toEqual(data);
        device.residence!.fetch();
        for (const [path, { data }] of a.parameters)
          // A key's bias shifts all scores of a row alike: its gradient is nothing but rounding, which Adam makes a step of.
          if (!path.endsWith("key/bias"))
            expect(relativeDifference(b.parameters.get(path)!.data, data), path).toBeLessThan(1e-3);
        for (const [player, { state }] of a.optimizers)
          expect([...b.optimizers.get(player)!.state.keys()].sort()).toEqual([...state.keys()].sort());
        await device.dispose();
      });

    for (const model of Object.keys(models))
      test(`${model}: one read of the device a player and update, and no tensor stays over ${steps} steps`, async () => {
        const [, device] = await hostAndDevice();
        const training = trainingOf(device, models[model]!(), adam, {
          probes: [probes.gradientNorm, probes.activationGradient, probes.updateRatio, probes.attentionEntropy],
        });
        await trained(training, 0, 2);
        const before = tf.memory().numTensors;
        const reads = vi.spyOn(tf.Tensor.prototype, "dataSync");
        await trained(training, 2, 2 + steps);
        const updates = training.players.reduce((sum, { updates = 1 }) => sum + updates, 0);
        expect(reads).toHaveBeenCalledTimes(steps * updates);
        reads.mockRestore();
        expect(tf.memory().numTensors).toBe(before);
        await device.dispose();
        expect(tf.memory().numTensors).toBeLessThan(before);
      });

    for (const model of Object.keys(models))
      test(`${model}: no tensor stays over ${steps} steps that the host updates`, async () => {
        const [host] = await hostAndDevice();
        const training = trainingOf(host, models[model]!(), adam, { probes: [probes.gradientNorm] });
        await trained(training, 0, 2);
        const before = tf.memory().numTensors;
        await trained(training, 2, 2 + steps);
        expect(tf.memory().numTensors).toBe(before);
        await host.dispose();
      });

    test("an interrupted training goes on to the same bits", async () => {
      const [, device] = await hostAndDevice();
      const [whole, cut] = [models["gan"]!(), models["gan"]!()].map((model) => trainingOf(device, model, adam));
      await trained(whole!, 0, 8);
      device.residence!.leave();
      await trained(cut!, 0, 4);
      device.residence!.leave();
      await trained(cut!, 4, 8);
      device.residence!.leave();
      for (const [path, { data }] of whole!.parameters) expect(cut!.parameters.get(path)!.data, path).toEqual(data);
      for (const [player, { state }] of whole!.optimizers)
        expect(cut!.optimizers.get(player)!.state, player).toEqual(state);
      await device.dispose();
    });

    test("a step that is not finite is reported with its place and changes nothing", async () => {
      const [, device] = await hostAndDevice();
      const training = trainingOf(device, models["transformer"]!(), adam);
      await trained(training, 0, 2);
      device.residence!.leave();
      training.parameters.get("decoder/01/feed-forward/in/weight")!.data[0] = Infinity;
      const before = new Map([...training.parameters].map(([path, { data }]) => [path, data.slice()]));
      const [outcome] = await trained(training, 2, 3);
      expect(outcome!.broken).toMatchObject({ step: 2, stack: "decoder", layer: 1 });
      device.residence!.leave();
      for (const [path, { data }] of training.parameters) expect(data, path).toEqual(before.get(path));
      await device.dispose();
    });

    test("probes that need the gradients themselves are served by the host, and steps go on from there", async () => {
      const [host, device] = await hostAndDevice();
      const [a, b] = [host, device].map((engine) =>
        trainingOf(engine, models["transformer"]!(), optimizers["sgd"]!, {
          probes: [probes.gradientCoherence],
          isProbed: (step) => step === 2,
        }),
      );
      const [want, got] = [await trained(a!, 0, 4), await trained(b!, 0, 4)];
      expect(got[2]!.readings.length).toBeGreaterThan(0);
      expect(got[2]!.readings.length).toBe(want[2]!.readings.length);
      expect(got[3]!.scalars["loss"]! / want[3]!.scalars["loss"]!).toBeCloseTo(1, 5);
      await device.dispose();
    });
  });
