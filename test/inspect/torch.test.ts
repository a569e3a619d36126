// A step of a real run, written out by `fathom inspect` and repeated in PyTorch by a model of its own (torch_check.py),
// which computes in float64. What is compared is therefore the float32 rounding of the whole step, forward and backward:
// below 1e-6 where this was written; the bound is the 1e-4 asked of the project.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { inspectStep } from "../../src/inspect.ts";
import { readMetrics } from "../../src/runs/tables.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { freshRun, go } from "../train/run-folder.ts";

useTemporaryCache();
const script = fileURLToPath(new URL("./torch_check.py", import.meta.url));
// Debian's python3-torch belongs to the system's Python, which need not be the first one in the path.
const pythons = ["python3", "/usr/bin/python3"];
const python = pythons.find((name) => spawnSync(name, ["-c", "import numpy, torch"]).status === 0);
if (!python)
  console.warn("test/inspect/torch.test.ts: skipped, since no python3 here imports torch (apt install python3-torch)");

/** A run of five steps on the real corpus. */
async function fiveSteps(...overrides: string[]): Promise<string> {
  // Short segments come in one shape of batch: every other is another compilation.
  const all = ["train.steps=5", "data.maxLength=12", "train.checkpointEverySteps=2", "model.dropout=0.1", ...overrides];
  const run = await freshRun(...all);
  expect(await go(run, all)).toEqual({ status: "done" });
  return run;
}

interface Report {
  readonly loss: [number, number];
  readonly nll: [number, number];
  readonly parameters: Record<string, number>;
  readonly zeros: Record<string, [number, number]>;
  readonly taps: Record<string, number>;
}

describe.skipIf(!python)("PyTorch computes the same step", () => {
  test.each([
    ["model.residual=pre-ln", "train.labelSmoothing=0.1"],
    [
      "model.residual=post-ln",
      "model.tiedEmbeddings=all",
      "model.activation=gelu",
      "model.depth={encoder: 1, decoder: 3}",
    ],
  ])("%s %s", async (...overrides) => {
    const run = await fiveSteps(...overrides);
    const folder = await inspectStep(run, 3);
    const { status, stdout, stderr } = spawnSync(python!, [script, folder], { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    const report = JSON.parse(stdout) as Report;
    expect(Math.abs(report.loss[1] / report.loss[0] - 1)).toBeLessThan(1e-5);
    expect(Math.abs(report.nll[1] / report.nll[0] - 1)).toBeLessThan(1e-5);
    expect(Object.keys(report.parameters).length).toBeGreaterThan(60);
    for (const [path, difference] of Object.entries(report.parameters)) expect(difference, path).toBeLessThan(1e-4);
    for (const [path, norms] of Object.entries(report.zeros)) expect(Math.max(...norms), path).toBeLessThan(1e-6);
    for (const [place, difference] of Object.entries(report.taps)) expect(difference, place).toBeLessThan(1e-4);
  });
});

describe("inspecting a step", () => {
  test("gives the loss the run had, with a checkpoint before it or without", async () => {
    const run = await fiveSteps("model.depth=1");
    const seen = (step: number) =>
      readMetrics(run).find((row) => row.step === step && row.split === "train" && row.name === "loss")!.value;
    const loss = (folder: string): number => {
      const { step, players } = JSON.parse(readFileSync(join(folder, "step.json"), "utf8")) as {
        step: number;
        players: { scalars: { loss: number } }[];
      };
      expect(folder.endsWith(`inspect/step-${String(step).padStart(8, "0")}`)).toBe(true);
      return Number(players[0]!.scalars.loss.toPrecision(9)); // as the events round it
    };
    for (const step of [3, 4]) expect(loss(await inspectStep(run, step)), `step ${step}`).toBe(seen(step));
    const before = readFileSync(join(run, "inspect/step-00000004/gradients.safetensors"));
    rmSync(join(run, "checkpoints"), { recursive: true });
    mkdirSync(join(run, "checkpoints"));
    await inspectStep(run, 4);
    expect(readFileSync(join(run, "inspect/step-00000004/gradients.safetensors")).equals(before)).toBe(true);
    await expect(inspectStep(run, 5)).rejects.toThrow(UserError);
    await expect(inspectStep(run, 1.5)).rejects.toThrow(/0 to 4, got 1.5/);
  });
});
