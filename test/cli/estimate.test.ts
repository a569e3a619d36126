// `fathom train --estimate`, runs that cannot fit, and whether estimates come true: of runs in processes of their own, which run the
// built program (`npm test` builds it first).
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, expect, test } from "vitest";
import type { RunEstimate } from "../../src/estimate.ts";
import { readRun } from "../../src/runs/run-folder.ts";
import { fathom } from "./capture.ts";

const out = mkdtempSync(join(tmpdir(), "fathom-estimate-"));
afterAll(() => rmSync(out, { recursive: true, force: true }));
const configs = fileURLToPath(new URL("../../configs", import.meta.url));
const debug = join(configs, "debug.yaml");

test("--estimate prints memory by parts, time a step and in all, and leaves nothing", async () => {
  const { code, stdout } = await fathom("train", debug, "--estimate", "--json", "--out", join(out, "none"));
  expect(code).toBe(0);
  const estimate = JSON.parse(stdout) as RunEstimate;
  const { memory, steps, stepSeconds, evaluations, evaluationSeconds, compileSeconds, totalSeconds } = estimate;
  expect(memory).toMatchObject({ engine: "onnx", isComplete: true });
  expect(Object.keys(memory)).not.toContain("laidOut");
  expect(memory.parts.length).toBeGreaterThan(5);
  expect({ steps, evaluations }).toEqual({ steps: 20, evaluations: 3 }); // before steps 0 and 10, and at the end
  expect(Math.min(stepSeconds, evaluationSeconds, compileSeconds)).toBeGreaterThan(0);
  expect(totalSeconds).toBeCloseTo(20 * stepSeconds + 3 * evaluationSeconds + compileSeconds, 9);
  expect(existsSync(join(out, "none"))).toBe(false);
});

test("--estimate for people", async () => {
  const { code, stdout } = await fathom("train", debug, "--estimate", "--out", join(out, "none"));
  expect(code).toBe(0);
  const text = stripVTControlCharacters(stdout);
  expect(text).toMatch(/^about \d+ MiB of memory at most \(engine onnx\)\npart +memory +share\n/);
  expect(text).toMatch(/\nsessions of the runtime +\d+ MiB +\d+ %\n/);
  expect(text).toMatch(/ a step, .* an evaluation, .* to compile\n.* in all: 20 steps, 3 evaluations/);
});

test("--estimate of an engine whose own memory is not known says so", async () => {
  const { code, stdout } = await fathom("train", debug, "engine=wasm", "model.depth=1", "--estimate");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^at least \d+ MiB of memory: what engine wasm itself needs is not known\n/);
  expect(stdout).not.toContain("sessions of the runtime");
});

/** Nothing that computes today has so much memory. */
const huge = ["model.depth=100", "model.width=32768", "model.heads=8"];

test("a run that cannot fit is refused before it begins, and recorded as failed", async () => {
  const { code, stderr } = await fathom("train", debug, ...huge, "--out", out);
  expect(code).toBe(2);
  expect(stripVTControlCharacters(stderr)).toMatch(
    /fathom: memory: this run needs about \d{4,}\.\d GiB, .* are available \(largest parts: .* GiB, .* GiB, .* GiB\); make train\.batch, model\.depth/,
  );
  const runs = join(out, "debug", "runs");
  const [id = ""] = readdirSync(runs);
  expect(readRun(join(runs, id))).toMatchObject({
    status: "failed",
    reason: expect.stringContaining("memory: this run"),
  });
  const estimated = await fathom("train", debug, ...huge, "--estimate", "--out", join(out, "none"));
  expect(estimated.code).toBe(2);
  expect(stripVTControlCharacters(estimated.stdout)).toMatch(
    /^about \d{4,}\.\d GiB of memory at most .*\npart +memory +share\n/,
  );
  expect(estimated.stderr).toContain("memory: this run needs about");
  expect(existsSync(join(out, "none"))).toBe(false);
});

// The promise is a fifth; that is what is asked here, of networks whose memory is ten times as much, or mostly the program's own.
test.each([
  ["debug.yaml", []],
  ["quickstart.yaml", ["model.depth=24", "train.steps=6"]],
  ["quickstart.yaml", ["model.depth=2", "model.width=256", "train.steps=6", "probes.record=[]"]],
  ["baselines/vae-mnist.yaml", ["train.epochs=null", "train.steps=12", "metrics.final=[]", "samples.epochs=[]"]],
  ["baselines/gan-dcgan.yaml", ["train.steps=6", "metrics.final=[]"]],
])("the estimate of %s %j comes true within a fifth", (config, overrides) => {
  const folder = mkdtempSync(join(out, "run-"));
  const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
  execFileSync(process.execPath, [program, "train", join(configs, config), ...overrides, "--out", folder, "--json"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [experiment = ""] = readdirSync(folder);
  const runs = join(folder, experiment, "runs");
  const { details } = readRun(join(runs, readdirSync(runs)[0]!))!;
  const ratio = Number(details["estimatedMemoryBytes"]) / Number(details["peakMemoryBytes"]);
  expect(ratio).toBeGreaterThan(1 / 1.2);
  expect(ratio).toBeLessThan(1.2);
});
