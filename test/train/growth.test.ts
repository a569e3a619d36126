// A run of any length must fit: neither tensors nor memory may grow with its steps.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import * as probes from "../../src/probes/index.ts";
import type { TrainingState } from "../../src/train/checkpoint.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { train } from "../../src/train/trainer.ts";
import { build, randomBatch, smallTransformer } from "../helpers.ts";

const start: TrainingState = { step: 0, tokens: 0, seconds: 0, seed: 1, best: null };

/** Trains `steps` steps with every probe at every fourth, on batches of two shapes, evaluating now and then; `look` after each step. */
async function run(engine: Engine, steps: number, look: (step: number) => void): Promise<void> {
  const { players, parameters } = build(
    smallTransformer({ depth: { encoder: 1, decoder: 1 }, width: 8, heads: 2, vocabulary: 20, dropout: 0.1 }),
  );
  const adam = { kind: "adam", learningRate: 0.001, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 } as const;
  const training = {
    players,
    parameters,
    optimizers: new Map([["model", createOptimizer(adam)]]),
    engine,
    dataset: {
      batchAt: (step: number) => randomBatch(1, step % 2 ? 3 : 4, 20, step),
      stepsPerEpoch: 10,
      evaluation: { dev: [randomBatch(1, 5, 20)], test: [] },
      unigramEntropy: 3,
      dimensions: {},
      hashes: {},
    },
    seed: 1,
    steps,
    learningRate: () => 0.001,
    clipNorm: 1,
    probes: Object.values(probes),
    isProbed: (step: number) => step % 4 === 0,
    evaluateEverySteps: 20,
    checkpointEverySteps: 1000,
  };
  const outcome = await train(training, start, {
    signal: new AbortController().signal,
    metrics: () => {},
    layers: () => {},
    readings: () => {},
    checkpoint: () => {},
    progress: ({ step }) => look(step),
  });
  expect(outcome).toEqual({ status: "done" });
}

test("the cpu engine holds as many tensors after 200 steps as after one", async () => {
  const engine = await engines.cpu.create({ threads: 1 });
  const counts = new Set<number>();
  await run(engine, 200, () => counts.add(tf.memory().numTensors));
  expect([...counts]).toHaveLength(1);
});

test("over 200 steps the onnx engine keeps nothing in V8's heap, and the process stays the size it was", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const engine = await engines.onnx.create({ threads: 1 });
  const seen: { heap: number; resident: number }[] = [];
  // 100 steps to compile both shapes and to warm up V8, then 200 that count.
  await run(engine, 300, (step) => {
    if (step % 100 !== 0) return;
    collect();
    const { heapUsed, external, rss } = process.memoryUsage();
    seen.push({ heap: (heapUsed + external) / 2 ** 20, resident: rss / 2 ** 20 });
  });
  await engine.dispose();
  const [first, , last] = seen;
  // Without a collection a step leaves about 50 KiB of garbage. What survives one is to be nothing: 2 MiB are 10 KiB a
  // step, which is one set of gradients of this model.
  expect(last!.heap - first!.heap, JSON.stringify(seen)).toBeLessThan(2);
  // Outside the heap: V8 gives pages back when it likes, which moves the process by up to 15 MiB either way.
  expect(last!.resident - first!.resident, JSON.stringify(seen)).toBeLessThan(24);
});
