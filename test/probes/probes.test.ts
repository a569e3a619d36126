// Probes of norms against a slow twin, see whole-network.ts; readings have their own file.
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import * as probes from "../../src/probes/index.ts";
import { type Need, normColumns, type Probe, type StepView } from "../../src/probes/probe.ts";
import { constantAt, placeOf } from "../../src/stage.ts";
import { members } from "../../src/registry.ts";
import { type Parameter, type Player, type StageContext } from "../../src/stage.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { playerStep, startOf, type Training } from "../../src/train/trainer.ts";
import type { Batch, LayerRow } from "../../src/types.ts";
import { build, randomBatch, smallTransformer } from "../helpers.ts";
import { seed, step, wholeNetwork } from "./whole-network.ts";

/** The norm columns, the plain way. */
const columns = (values: ArrayLike<number>) => {
  const l2 = Math.hypot(...Array.from(values));
  return {
    l2,
    rms: Math.sqrt(l2 ** 2 / values.length),
    max: Math.max(...Array.from(values, Math.abs)),
    count: values.length,
  };
};

/** Float32 sums of some hundred terms on either side: 1e-5 of their size. */
const expectColumns = (row: LayerRow, values: ArrayLike<number>, what: string): void => {
  const wanted = columns(values);
  expect(row.count, what).toBe(wanted.count);
  for (const name of ["l2", "rms", "max"] as const)
    expect(Math.abs(row[name] / wanted[name] - 1), `${name} of ${what}`).toBeLessThan(1e-5);
};

describe.each(["pre-ln", "post-ln"])("%s, two layers a stack, with dropout", async (residual) => {
  const { players, parameters } = build(smallTransformer({ residual, dropout: 0.1, tiedEmbeddings: "decoder" }));
  const batch = randomBatch(3, 6, 50, 1, [6, 4, 2]);
  const before = new Map(Array.from(parameters, ([path, { data }]) => [path, Float32Array.from(data)]));
  const twin = await wholeNetwork(players[0]!, parameters, batch);
  const dataset = { batchAt: () => batch, stepsPerEpoch: 1, evaluation: { dev: [], test: [] } };
  const training: Training = {
    players,
    parameters,
    optimizers: new Map([["model", createOptimizer({ kind: "sgd", learningRate: 0.1, momentum: 0, weightDecay: 0 })]]),
    engine: await engines.onnx.create({ threads: 1 }),
    dataset: { ...dataset, unigramEntropy: 0, dimensions: {}, hashes: {} },
    seed,
    steps: 10,
    learningRate: () => 0.1,
    clipNorm: 0.5, // below the gradient's norm, which must not show in what is measured before it
    probes: [...members<Probe>(probes).values()],
    isProbed: () => true,
    evaluateEverySteps: 10,
    checkpointEverySteps: 10,
  };
  const { layers, gradientNorm } = await playerStep(training, players[0]!, batch, step);
  const rows = (quantity: string): LayerRow[] => layers.filter((row) => row.quantity === quantity);
  const pathOf = ({ stack, layer, component, parameter }: LayerRow): string =>
    [stack, ...(layer === "" ? [] : [String(layer).padStart(2, "0")]), component, parameter].join("/");

  test("gradient-norm is the norm of the whole network's gradient, one row a parameter", () => {
    expect(rows("parameter-gradient").map(pathOf)).toEqual([...parameters.keys()]);
    for (const row of rows("parameter-gradient")) {
      const path = pathOf(row);
      // Zero in theory (softmax does not see what shifts all its scores); what is left is rounding on either side.
      if (path.endsWith("key/bias")) expect(row.l2).toBeLessThan(1e-6);
      else expectColumns(row, twin.gradients.get(path)!, path);
    }
    expect(gradientNorm / Math.hypot(...rows("parameter-gradient").map(({ l2 }) => l2))).toBeCloseTo(1, 9);
    expect(gradientNorm).toBeGreaterThan(training.clipNorm!);
  });

  test("activation-gradient is the gradient of a perturbation of zeros, at every residual point and branch", () => {
    const found = rows("activation-gradient");
    expect(found.map((r) => `${r.stack} ${r.layer} ${r.component} ${r.parameter}`)).toEqual(
      twin.taps.map(({ place }) => place),
    );
    // Two embeddings, 2 x (2 branches + 2 streams + layer), 2 x (3 + 3 + 1), and the final norms of pre-LN.
    expect(found).toHaveLength(2 + 10 + 14 + (residual === "pre-ln" ? 2 : 0));
    found.forEach((row, i) => expectColumns(row, twin.taps[i]!.gradient, twin.taps[i]!.place));
  });

  test("activation-rms is the size of what passes there", () => {
    const found = rows("activation");
    expect(found).toHaveLength(twin.taps.length);
    found.forEach((row, i) => expectColumns(row, twin.taps[i]!.activation, twin.taps[i]!.place));
  });

  test("update-ratio tells what the optimizer changed, and what it changed it from", () => {
    expect(rows("update").map(pathOf)).toEqual([...parameters.keys()]);
    for (const row of rows("parameter")) {
      const start = before.get(pathOf(row))!;
      if (start.some((x) => x !== 0)) expectColumns(row, start, pathOf(row));
      else expect([row.l2, row.max, row.count]).toEqual([0, 0, start.length]); // biases start at 0
    }
    for (const row of rows("update")) {
      const path = pathOf(row);
      const { data } = parameters.get(path)!;
      const change = Array.from(data, (x, i) => x - before.get(path)![i]!);
      if (path.endsWith("key/bias")) expect(row.l2).toBeLessThan(1e-6);
      else expectColumns(row, change, path);
    }
    // Plain descent on clipped gradients: all updates together are learning rate x clip norm long.
    expect(Math.hypot(...rows("update").map(({ l2 }) => l2)) / (0.1 * 0.5)).toBeCloseTo(1, 4);
  });

  test("every row says which step and player it belongs to", () => {
    expect(layers.every((row) => row.step === step && row.player === "model")).toBe(true);
    expect(new Set(layers.map(({ stack }) => stack))).toEqual(new Set(["embedding", "encoder", "decoder", "output"]));
  });
});

test("norms by hand: (3, 4) has l2 5, rms 5 / sqrt 2, max 4", () => {
  const { l2, rms, max, count } = normColumns({ sumSquares: 25, max: 4, count: 2 });
  expect([l2, max, count]).toEqual([5, 4, 2]);
  expect(rms).toBeCloseTo(5 / Math.SQRT2, 12);
  const moments = { sumSquares: 25, max: 4, count: 2 };
  const view: StepView = {
    step: 9,
    player: "model",
    gradients: new Map([["encoder/03/self-attention/query/weight", moments]]),
    taps: [],
    readings: [],
    updates: new Map(),
  };
  expect(probes.gradientNorm.rows!(view)).toEqual([
    {
      step: 9,
      player: "model",
      stack: "encoder",
      layer: 3,
      component: "self-attention",
      parameter: "query/weight",
      quantity: "parameter-gradient",
      l2: 5,
      rms,
      max: 4,
      count: 2,
    },
  ]);
});

test.each([
  ["encoder/03/self-attention/query/weight", "encoder", 3, "self-attention", "query/weight"],
  ["decoder/117/norm/cross-attention/gain", "decoder", 117, "norm", "cross-attention/gain"],
  ["encoder/norm/gain", "encoder", "", "norm", "gain"],
  ["embedding/source/weight", "embedding", "", "source", "weight"],
  ["output/projection/bias", "output", "", "projection", "bias"],
])("the place of %s", (path, stack, layer, component, parameter) => {
  expect(placeOf(path)).toEqual({ stack, layer, component, parameter });
});

test("taps and output are measured only for probes that need them", () => {
  const needing = (need: Need): string[] =>
    [...members<Probe>(probes).values()].filter(({ needs }) => needs.includes(need)).map(({ name }) => name);
  expect(needing("taps")).toEqual(["activation-gradient", "activation-rms"]);
  expect(needing("output")).toEqual(["model-update"]);
});

/** What a network hands to its output projection, as one function on the plain backend, without dropout. */
async function plainOutput(player: Player, parameters: Map<string, Parameter>, batch: Batch): Promise<number[]> {
  await engines.cpu.create({ threads: 1 });
  let carry: Record<string, tf.Tensor> = Object.fromEntries(
    Object.entries(batch.tensors).map(([name, { data, shape, dtype }]) => [name, tf.tensor(data, [...shape], dtype)]),
  );
  for (const stage of player.stages.filter(({ name }) => name !== "output")) {
    const own = Object.entries(stage.parameters).map(([name, { path, shape }]) => [
      name,
      tf.tensor(parameters.get(path)!.data, [...shape]),
    ]);
    const context: StageContext = {
      training: false,
      tap: (_component, _point, x) => x,
      reading: () => {},
      noise: () => expect.fail("no noise without training"),
      constant: (name) => tf.scalar(constantAt(stage.constants![name]!, 0)),
    };
    carry = { ...carry, ...stage.apply(Object.fromEntries(own) as Record<string, tf.Tensor>, carry, context) };
  }
  return Array.from(carry["decoder"]!.dataSync());
}

test.each(["pre-ln", "post-ln"])(
  "model-update is how far the output on the dev batch has moved, %s",
  async (residual) => {
    const { players, parameters } = build(smallTransformer({ residual, dropout: 0.1, labelSmoothing: 0.1 }));
    const player = players[0]!;
    const dev = [randomBatch(4, 5, 50, 2, [5, 4, 2, 1]), randomBatch(3, 6, 50, 3)];
    const sgd = { kind: "sgd", learningRate: 0.1, momentum: 0, weightDecay: 0 } as const;
    const training: Training = {
      players,
      parameters,
      optimizers: new Map([["model", createOptimizer(sgd)]]),
      engine: await engines.onnx.create({ threads: 1 }),
      dataset: {
        batchAt: (step) => randomBatch(5, 6, 50, 10 + step), // larger than the dev batch: buffers move
        stepsPerEpoch: 10,
        evaluation: { dev, test: [] },
        unigramEntropy: 0,
        dimensions: {},
        hashes: {},
      },
      seed,
      steps: 10,
      learningRate: () => 0.1,
      clipNorm: null,
      probes: [probes.modelUpdate],
      isProbed: (step) => step !== 1,
      evaluateEverySteps: 10,
      checkpointEverySteps: 10,
    };
    const recording = { ...training, start: await startOf(training) };
    const start = await plainOutput(player, parameters, dev[0]!);
    for (const step of [0, 1, 2, 3]) {
      const now = await plainOutput(player, parameters, dev[0]!); // before the step's update
      const { layers } = await playerStep(recording, player, training.dataset.batchAt(step), step);
      expect(layers).toHaveLength(step === 1 ? 0 : 1);
      if (step === 1) continue;
      const [row] = layers as [LayerRow];
      const place = { step, player: "model", stack: "output", layer: "", component: "layer", parameter: "stream" };
      expect(row).toMatchObject({ ...place, quantity: "model-update" });
      const change = now.map((value, i) => value - start[i]!);
      if (step === 0) expect([row.l2, row.rms, row.max, row.count]).toEqual([0, 0, 0, change.length]);
      else {
        // The change is a twentieth of the outputs and more, whose float32 rounding of 1e-6 then shows as 2e-5; five times that.
        expect(Math.hypot(...change) / Math.hypot(...start)).toBeGreaterThan(0.05);
        const wanted = columns(change);
        expect(row.count).toBe(4 * 5 * 16);
        for (const name of ["l2", "rms", "max"] as const)
          expect(Math.abs(row[name] / wanted[name] - 1), name).toBeLessThan(1e-4);
      }
    }
    await training.engine.dispose();
  },
);
