// `fathom inspect` on an engine that keeps parameters on its device: the weights it writes are those its gradients are of.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { eagerEngine } from "../../src/engine/eager.ts";
import { inspectStep } from "../../src/inspect.ts";
import { readSafetensors } from "../../src/train/safetensors.ts";
import { fathom } from "../cli/capture.ts";
import { relativeDifference } from "../helpers.ts";

const made = vi.hoisted(() => ({ isRemote: false }));
vi.mock("../../src/engine/select.ts", async (original) => ({
  ...(await original<object>()),
  createEngine: () => eagerEngine("cpu", { backend: "cpu", ...(made.isRemote && { isRemote: true }) }),
}));

const out = mkdtempSync(join(tmpdir(), "fathom-residence-"));
afterAll(() => rmSync(out, { recursive: true }));

test("a step inspected after others on the device shows the weights that those have moved", async () => {
  const small = ["model.depth=1", "model.width=16", "train.steps=4", "train.evaluateEverySteps=4"];
  const { code } = await fathom("train", "configs/debug.yaml", ...small, "--out", out, "--json");
  expect(code).toBe(0);
  const runs = join(out, "debug", "runs");
  const runDir = join(runs, readdirSync(runs)[0]!);
  const weightsOf = async (isRemote: boolean) => {
    made.isRemote = isRemote;
    const folder = await inspectStep(runDir, 3);
    return readSafetensors(join(folder, "weights.safetensors")).tensors;
  };
  const [host, device] = [await weightsOf(false), await weightsOf(true)];
  expect([...device.keys()]).toEqual([...host.keys()]);
  for (const [path, { data }] of host)
    // Three steps of Adam, whose first ones go by the sign of gradients that round differently: see test/engine/resident.test.ts.
    expect(relativeDifference(device.get(path)!.data as Float32Array, data as Float32Array), path).toBeLessThan(1e-3);
}, 120_000);
