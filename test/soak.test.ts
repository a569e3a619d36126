// A short soak: few networks, over and over. `fathom bench soak` is the long one.
import { expect, test } from "vitest";
import * as engines from "../src/engine/index.ts";
import type { Engine } from "../src/engine/engine.ts";
import { soak, trialDrawer } from "../src/soak.ts";

/** Its first six networks are small: two transformers, VAEs on `onnx` and `wasm`, a DCGAN, an MLP GAN. */
const seed = 111;

test("networks that are built, trained and dropped leave nothing behind", async () => {
  const report = await soak({ seed, seconds: Infinity, trials: 24, distinct: 6 });
  expect(report.failure).toBeUndefined();
  expect(report.trials).toBe(24);
  expect(report.steps).toBeGreaterThanOrEqual(48);
  expect(report.counts).toEqual({ "transformer onnx": 8, "vae onnx": 4, "vae wasm": 4, "gan onnx": 8 });
  expect(report.arrays).toEqual({ early: 0, late: 0 });
  // Half of it is the test's own process.
  expect(report.maxBytes).toBeLessThan(2 ** 30);
});

test("a soak too short to tell anything fails, and says so", async () => {
  const { failure } = await soak({ seed, seconds: Infinity, trials: 1 });
  expect(failure).toMatch(
    /^seed 111: too short to tell whether memory grows: 1 networks in \d+ s; give it more --minutes$/,
  );
});

test("a soak fails where an engine keeps what it was given, and says with which networks", async () => {
  const kept: Uint8Array[] = [];
  const { create } = engines.onnx;
  const keeping = {
    ...engines.onnx,
    async create(options: Parameters<typeof create>[0]): Promise<Engine> {
      kept.push(new Uint8Array(40 * 2 ** 20).fill(1)); // 40 MiB a network
      return create(options);
    },
  };
  Object.assign(engines.onnx, keeping);
  try {
    const { failure } = await soak({ seed, seconds: Infinity, trials: 12, distinct: 2 });
    expect(failure).toMatch(/^seed 111: resident memory rose by \d+ MiB, from \d+, over 12 trials$/);
  } finally {
    Object.assign(engines.onnx, { create });
    kept.length = 0;
  }
});

test("a soak ends at the first network that does not work, and gives what shows it again", async () => {
  const { create } = engines.onnx;
  Object.assign(engines.onnx, { create: () => Promise.reject(new Error("broken for the test")) });
  try {
    const { failure, trials } = await soak({ seed, seconds: Infinity, trials: 8 });
    expect(failure).toContain("broken for the test");
    const [, index = "", config = ""] = /^seed 111, trial (\d+): .*\n(.*)$/.exec(failure!)!;
    expect(trials).toBe(Number(index));
    expect(JSON.parse(config)).toEqual((await trialDrawer(seed))(Number(index)).config);
  } finally {
    Object.assign(engines.onnx, { create });
  }
});

test("a seed draws the same networks again, each of them a valid configuration of its own", async () => {
  const [draw, again] = [await trialDrawer(3), await trialDrawer(3)];
  const trials = Array.from({ length: 200 }, (_, index) => draw(index));
  expect(trials).toEqual(trials.map(({ index }) => again(index)));
  expect(new Set(trials.map(({ config }) => JSON.stringify({ ...config, seed: 0 }))).size).toBe(200);
  expect(new Set(trials.map(({ config }) => config.model.kind))).toEqual(new Set(["transformer", "vae", "gan"]));
  const depths = trials.map(({ config }) => (config.model.depth as { encoder?: number } | undefined)?.encoder ?? 0);
  expect(Math.max(...depths)).toBeGreaterThan(20);
});
