// Whole runs, through src/run.ts: the same bits again, whatever interrupted them; and how a run that breaks ends.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { probeSchedule } from "../../src/prepare.ts";
import { readLayers, readMetrics, readReadings } from "../../src/runs/tables.ts";
import { readRun, updateRun } from "../../src/runs/run-folder.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { fathom } from "../cli/capture.ts";
import { scratch } from "../runs/folder.ts";
import { bin, buildIfStale } from "./build.ts";
import { debugConfig, freshRun, go, tables } from "./run-folder.ts";

useTemporaryCache();
// Checkpoints and evaluations at different steps, dropout, clipping, and an optimizer with state.
const overrides = [
  "model.depth=1",
  "data.maxLength=12", // one shape of batch: every other is another compilation
  "train.steps=14",
  "train.checkpointEverySteps=4",
  "train.evaluateEverySteps=5",
  "model.dropout=0.1",
  "train.clipNorm=0.5",
  "train.labelSmoothing=0.1",
];
let whole: string; // the uninterrupted run
beforeAll(async () => {
  whole = await freshRun(...overrides);
  expect(await go(whole, overrides)).toEqual({ status: "done" });
});

describe("the same bits", () => {
  test("the same configuration twice gives the same metrics and layers, byte for byte but for the seconds", async () => {
    const again = await freshRun(...overrides);
    await go(again, overrides);
    expect(tables(again)).toEqual(tables(whole));
    const { metrics, layers } = tables(whole);
    expect(metrics.split("\n")[0]).toBe("step,tokens,split,name,value");
    expect(new Set(readMetrics(whole).map(({ name }) => name))).toEqual(
      new Set(["loss", "loss/en-de", "nll", "gradient-norm", "learning-rate"]),
    );
    expect(layers.split("\n").length).toBeGreaterThan(14 * 100);
    const other = await freshRun(...overrides, "seed=2");
    await go(other, [...overrides, "seed=2"]);
    expect(tables(other).metrics).not.toBe(metrics);
  });

  // 4 is a checkpoint, 5 and 10 are evaluations.
  test.each([
    ["at a checkpoint", [4]],
    ["before evaluations", [5, 10]],
    ["between checkpoints, and at the last step but one", [3, 7, 13]],
  ])("interrupted and resumed: %s", async (_, stops) => {
    const run = await freshRun(...overrides);
    for (const stopAt of stops) {
      expect(await go(run, overrides, (step, stop) => step === stopAt && stop())).toEqual({ status: "interrupted" });
      expect(readdirSync(join(run, "checkpoints"))).toContain(`step-${String(stopAt).padStart(8, "0")}`);
    }
    expect(await go(run, overrides)).toEqual({ status: "done" });
    expect(tables(run)).toEqual(tables(whole));
  });

  test.each([2, 10])("crashed after step %d, between checkpoints, with a torn last event", async (crashAt) => {
    const run = await freshRun(...overrides);
    const crash = go(run, overrides, (step) => {
      if (step === crashAt) throw new Error("power cut");
    });
    await expect(crash).rejects.toThrow("power cut");
    appendFileSync(join(run, "events.jsonl"), '{"type":"layers","step":');
    expect(await go(run, overrides)).toEqual({ status: "done" });
    expect(tables(run)).toEqual(tables(whole));
  });

  test("killed by SIGKILL while it trains, and run again", async () => {
    buildIfStale();
    const long = [...overrides.filter((o) => !o.startsWith("train.steps")), "train.steps=40"];
    const out = scratch();
    const command = [bin, "train", debugConfig, ...long, "--out", out, "--json"];
    const child = spawn(process.execPath, command, { stdio: "ignore" });
    const ended = once(child, "exit");
    const runs = join(out, "debug/runs");
    const events = (): string => (existsSync(runs) ? join(runs, readdirSync(runs)[0] ?? "", "events.jsonl") : "");
    // Past the checkpoint of step 8, well before the end.
    while (!(existsSync(events()) && readFileSync(events(), "utf8").includes('"step":9,'))) {
      expect(child.exitCode).toBeNull();
      await sleep(5);
    }
    child.kill("SIGKILL");
    await ended;
    const run = dirname(events());
    expect(readRun(run)!.status).toBe("running");
    expect(existsSync(join(run, "metrics.csv"))).toBe(false);
    rmSync(join(run, "lease"), { recursive: true }); // the dead process's, whose ten seconds of silence others test
    const again = spawnSync(process.execPath, command, { encoding: "utf8" });
    expect(again.status, again.stderr).toBe(0);
    expect(readRun(run)).toMatchObject({ status: "done", attempts: 2 });
    const reference = await freshRun(...long);
    await go(reference, long);
    expect(tables(run)).toEqual(tables(reference));
  });
});

// Admin's initial parameters are known only after its profiling pass.
test.each(["pre-ln", "admin"])("a resumed run measures the model update from the same start, %s", async (residual) => {
  const recording = [...overrides, `model.residual=${residual}`, "probes={everySteps: 2, record: [model-update]}"];
  const reference = await freshRun(...recording);
  await go(reference, recording);
  const run = await freshRun(...recording);
  for (const stopAt of [3, 8]) await go(run, recording, (step, stop) => step === stopAt && stop());
  expect(await go(run, recording)).toEqual({ status: "done" });
  expect(tables(run)).toEqual(tables(reference));

  const rows = readLayers(run, () => true);
  expect(rows.map(({ step }) => step)).toEqual([0, 2, 4, 6, 8, 10, 12, 13]);
  expect(rows[0]!.l2).toBe(0);
  expect(rows.slice(1).every(({ l2 }) => l2 > 0)).toBe(true);
  // Two updates change less than twelve.
  expect(rows[1]!.l2).toBeLessThan(rows.at(-1)!.l2);

  // The scheme stands in run.json, and what its profiling pass has measured, which a resumed run measures again.
  const record = readRun(run)!.residual!;
  expect(record).toEqual(readRun(reference)!.residual);
  expect(record).toMatchObject({
    name: residual,
    year: 2020,
    constants: { encoder: {} },
    gains: { encoder: { embedding: 1 } },
  });
  const profiled = Object.values((record["profiled"] ?? {}) as Record<string, number>);
  expect(profiled).toHaveLength(residual === "admin" ? 5 : 0);
  expect(profiled.every((omega) => omega >= 1)).toBe(true);
});

test("all probes at once leave training as it was, and a resumed run measures the same", async () => {
  const recording = [...overrides, "probes={preset: full, everySteps: 2, batches: 3}"];
  const reference = await freshRun(...recording);
  await go(reference, recording);
  expect(tables(reference).metrics).toBe(tables(whole).metrics);
  const readings = readReadings(reference);
  expect(new Set(readings.map(({ quantity }) => quantity)).size).toBe(9); // every quantity of readings.csv
  expect(readings.every(({ value }) => Number.isFinite(value))).toBe(true);
  expect([...new Set(readings.map(({ step }) => step))]).toEqual([0, 2, 4, 6, 8, 10, 12, 13]);

  const run = await freshRun(...recording);
  for (const stopAt of [3, 8]) await go(run, recording, (step, stop) => step === stopAt && stop());
  const crash = go(run, recording, (step) => {
    if (step === 11) throw new Error("power cut");
  });
  await expect(crash).rejects.toThrow("power cut");
  appendFileSync(join(run, "events.jsonl"), '{"type":"readings","step":');
  expect(await go(run, recording)).toEqual({ status: "done" });
  expect(tables(run)).toEqual(tables(reference));
  rmSync(join(run, "events.jsonl")); // the table alone holds them as well
  expect(readReadings(run)).toEqual(readings);
});

test("a run whose probes leave no readings has no table of them", () => {
  expect(existsSync(join(whole, "readings.csv"))).toBe(false);
  expect(readReadings(whole)).toEqual([]);
});

test("the last two checkpoints and the best are kept, and the best is the step of the lowest dev loss", () => {
  const dev = readMetrics(whole).filter(({ split, name }) => split === "dev" && name === "loss");
  expect(dev.map(({ step }) => step)).toEqual([0, 5, 10, 14]);
  const best = dev.reduce((a, b) => (b.value < a.value ? b : a));
  const named = (step: number): string => `step-${String(step).padStart(8, "0")}`;
  expect(readdirSync(join(whole, "checkpoints")).sort()).toEqual([`best-${named(best.step)}`, named(12), named(14)]);
});

test("what a run cost stands in run.json, and no earlier peak of memory is forgotten", async () => {
  const { stepSeconds, peakMemoryBytes } = readRun(whole)!.details as Record<string, number>;
  // A step takes time, and less than the whole run with its evaluations.
  expect(stepSeconds).toBeGreaterThan(0);
  expect(stepSeconds).toBeLessThan(readMetrics(whole).at(-1)!.seconds);
  expect(peakMemoryBytes).toBeGreaterThan(2 ** 20);
  const run = await freshRun(...overrides);
  await go(run, overrides, (step, stop) => step === 3 && stop());
  const higher = 2 ** 50;
  updateRun(run, { details: { ...readRun(run)!.details, peakMemoryBytes: higher } });
  await go(run, overrides);
  expect(readRun(run)!.details["peakMemoryBytes"]).toBe(higher);
});

test("gradients are recorded before clipping, updates after it", async () => {
  const free = [
    ...overrides.filter((o) => !o.startsWith("train.clipNorm")),
    "train.optimizer={kind: sgd, learningRate: 0.1}",
  ];
  const clipped = [...free, "train.clipNorm=0.25"];
  const [a, b] = [await freshRun(...free), await freshRun(...clipped)];
  await go(a, free, (step, stop) => step === 1 && stop());
  await go(b, clipped, (step, stop) => step === 1 && stop());
  const first = (run: string, quantity: string): number[] => readLayersOf(run, quantity).map((l2) => l2);
  const norm = readMetrics(a).find(({ name }) => name === "gradient-norm")!.value;
  expect(norm).toBeGreaterThan(0.25);
  expect(first(b, "parameter-gradient")).toEqual(first(a, "parameter-gradient"));
  // The norm of all parameters' gradients is the global one.
  expect(Math.hypot(...first(a, "parameter-gradient")) / norm).toBeCloseTo(1, 6);
  const [freeUpdate, clippedUpdate] = [Math.hypot(...first(a, "update")), Math.hypot(...first(b, "update"))];
  // Plain descent: the update is learning rate x gradient. Float32 parameters of size 0.1 round it at about 1e-6 of it.
  expect(freeUpdate / (0.1 * norm)).toBeCloseTo(1, 4);
  expect(clippedUpdate / (0.1 * 0.25)).toBeCloseTo(1, 4);
});

describe("a run that breaks", () => {
  test("by an absurd learning rate ends as diverged, a result that says where", async () => {
    const out = scratch();
    // Plain descent at the largest rate there is: weights grow a millionfold a step until float32 ends at 3e38.
    const optimizer = "train.optimizer={kind: sgd, learningRate: 1.0e6}";
    const args = [debugConfig, optimizer, "train.steps=60", "--out", out, "--json"];
    const { code, stdout, stderr } = await fathom("train", ...args);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const { status, runDir, reason } = JSON.parse(stdout) as { status: string; runDir: string; reason: string };
    expect(status).toBe("diverged");
    expect(reason).toMatch(
      /^(loss|gradient) not finite at step \d+; first in the (activation|activation gradient|parameter gradient) of (embedding|encoder|decoder|output)/,
    );
    expect(readRun(runDir)).toMatchObject({ status: "diverged", reason });
    const step = Number(/step (\d+)/.exec(reason)![1]);
    expect(readRun(runDir)!.details["divergence"]).toMatchObject({ step, stack: /of (\w+)/.exec(reason)![1] });
    // Everything up to that step is there, what broke included.
    const rows = readMetrics(runDir).filter(
      ({ split, name }) => split === "train" && /^(loss|gradient-norm)$/.test(name),
    );
    expect(rows.at(-1)!.step).toBe(step);
    const finite = (s: number): boolean =>
      rows.filter((r) => r.step === s).every(({ value }) => Number.isFinite(value));
    expect(finite(step - 1)).toBe(true);
    expect(finite(step)).toBe(false);
  });
});

test("a logarithmic schedule probes steps 0, 1, 2, 4, 8 ..., an even one every n-th, both the last", async () => {
  const isProbed = probeSchedule({ everySteps: null, schedule: "logarithmic", record: [] }, 70);
  const probed = Array.from({ length: 70 }, (_, step) => step).filter(isProbed);
  expect(probed).toEqual([0, 1, 2, 4, 8, 16, 32, 64, 69]);
  const every = probeSchedule({ everySteps: 3, schedule: null, record: [] }, 6);
  expect([0, 1, 2, 3, 4, 5].map(every)).toEqual([true, false, false, true, false, true]);
  const logarithmic = [...overrides, "probes={schedule: logarithmic}"];
  const run = await freshRun(...logarithmic);
  await go(run, logarithmic);
  const steps = tables(run)
    .layers.trim()
    .split("\n")
    .slice(1)
    .map((line) => Number(line.split(",")[0]));
  expect([...new Set(steps)]).toEqual([0, 1, 2, 4, 8, 13]);
  // Measuring seldom must not change what is measured or what is trained.
  expect(tables(run).metrics).toBe(tables(whole).metrics);
  const at8 = (dir: string): string[] =>
    tables(dir)
      .layers.split("\n")
      .filter((line) => line.startsWith("8,"));
  expect(at8(run)).toEqual(at8(whole));
});

/** l2 of the first step's rows of a quantity. */
function readLayersOf(run: string, quantity: string): number[] {
  const lines = readFileSync(join(run, "layers.csv"), "utf8")
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(","));
  return lines.filter((line) => line[0] === "0" && line[6] === quantity).map((line) => Number(line[7]));
}
