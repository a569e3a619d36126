// What computes in this process's own thread must let the event loop turn, or no signal would ever arrive.
import { describe, expect, test as plainTest } from "vitest";
import { eagerEngine } from "../../src/engine/eager.ts";
import type { EngineKind } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { interruptible } from "../../src/engine/interruptible.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { comparedEngines } from "../engines.ts";
import { build, randomBatch, smallTransformer } from "../helpers.ts";

const { players, parameters } = build(smallTransformer({ depth: { encoder: 1, decoder: 1 } }));
const [player] = players;
const batch = randomBatch(2, 4, 50);
const options = { step: 0, seed: 1, tapped: false };

describe.each([{ kind: engines.cpu, test: plainTest }, ...comparedEngines])("on $kind.name", ({ kind, test }) => {
  test("a signal that comes while steps follow each other is heard within a few", async () => {
    const engine = await (kind as EngineKind).create({ threads: 1 });
    const aborter = new AbortController();
    setTimeout(() => aborter.abort(), 0);
    let steps = 0;
    while (!aborter.signal.aborted && steps < 50) {
      await engine.differentiate(player!, parameters, batch, options);
      steps++;
    }
    expect(aborter.signal.aborted).toBe(true);
    await engine.dispose();
  });
});

plainTest("work that is interruptible ends where parameters live on a device, too", async () => {
  const aborter = new AbortController();
  const engine = interruptible(await eagerEngine("device", { backend: "cpu", isRemote: true }), aborter.signal);
  const adam = { kind: "adam", learningRate: 1, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 } as const;
  const train = () =>
    engine.residence!.train(player!, parameters, batch, {
      ...options,
      optimizer: createOptimizer(adam),
      learningRate: 1e-3,
      clipNorm: null,
      measured: false,
    });
  expect((await train()).isFinite).toBe(true);
  aborter.abort(new Error("enough"));
  await expect(train()).rejects.toThrow("enough");
  await engine.dispose();
});
