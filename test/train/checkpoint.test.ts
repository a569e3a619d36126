// Checkpoints on their own: what they hold, which are kept, and which are refused. That a run resumed from one gives the
// same bits is in run.test.ts.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import type { Parameter } from "../../src/stage.ts";
import { findCheckpoint, loadCheckpoint, saveCheckpoint, type TrainingState } from "../../src/train/checkpoint.ts";
import { createOptimizer, type Optimizer } from "../../src/train/optimizers.ts";

const parameter = (path: string, shape: number[], data: number[]): [string, Parameter] => [
  path,
  { path, shape, init: { kind: "constant", value: 0 }, data: Float32Array.from(data) },
];
const stateAt = (step: number): TrainingState => ({
  step,
  tokens: 10 * step,
  seconds: step / 2,
  seed: 3,
  best: step ? { step: 1, loss: 2.5 } : null,
});
const adam = (): Map<string, Optimizer> => {
  const moments = { learningRate: 0.1, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 };
  return new Map([["model", createOptimizer({ kind: "adam", ...moments })]]);
};

let run: string;
let parameters: Map<string, Parameter>;
let optimizers: Map<string, Optimizer>;
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), "fathom-checkpoint-"));
  parameters = new Map([parameter("encoder/00/a/weight", [2, 2], [1, 2, 3, 4]), parameter("b", [1], [5])]);
  optimizers = adam();
  for (const [path, { data }] of parameters)
    optimizers.get("model")!.update(
      path,
      data,
      data.map((x) => x / 3),
      { gradientScale: 1, learningRate: 0.1, step: 0 },
    );
});
const save = (step: number, kind: "step" | "best" = "step"): void =>
  saveCheckpoint(run, kind, stateAt(step), parameters, optimizers);
const names = (): string[] => readdirSync(join(run, "checkpoints")).sort();

test("what is saved is loaded: weights, optimizer state of every slot, and the state", () => {
  save(7);
  const restored = new Map([parameter("encoder/00/a/weight", [2, 2], [0, 0, 0, 0]), parameter("b", [1], [0])]);
  const fresh = adam();
  expect(loadCheckpoint(findCheckpoint(run, "step")!, restored, fresh)).toEqual(stateAt(7));
  for (const [path, { data }] of parameters) expect(restored.get(path)!.data).toEqual(data);
  const state = optimizers.get("model")!.state;
  expect(new Map([...fresh.get("model")!.state].sort())).toEqual(new Map([...state].sort()));
  expect(state.size).toBe(4);
});

test("the last two steps and the last best are kept, apart from each other", () => {
  save(1, "best");
  for (const step of [2, 4, 6]) save(step);
  save(5, "best");
  save(8);
  expect(names()).toEqual(["best-step-00000005", "step-00000006", "step-00000008"]);
  expect(findCheckpoint(run, "step")).toMatch(/step-00000008$/);
  expect(findCheckpoint(run, "step", 7)).toMatch(/step-00000006$/);
  expect(findCheckpoint(run, "step", 5)).toBeUndefined();
  expect(findCheckpoint(run, "best")).toMatch(/best-step-00000005$/);
});

test("of the steps that are needed the step checkpoints are kept, and no older best one", () => {
  for (const step of [2, 4, 6, 8])
    for (const kind of ["best", "step"] as const)
      saveCheckpoint(run, kind, stateAt(step), parameters, optimizers, [2, 4, 6, 8]);
  expect(names()).toEqual(["best-step-00000008", ...[2, 4, 6, 8].map((step) => `step-0000000${step}`)]);
});

test("a best checkpoint holds the weights alone", () => {
  save(3, "best");
  expect(readdirSync(findCheckpoint(run, "best")!).sort()).toEqual(["SHA256SUMS", "state.json", "weights.safetensors"]);
});

test("saving a step again replaces it", () => {
  save(3);
  parameters.get("b")!.data[0] = 99;
  save(3);
  parameters.get("b")!.data[0] = 0;
  loadCheckpoint(findCheckpoint(run, "step")!, parameters, optimizers);
  expect(parameters.get("b")!.data[0]).toBe(99);
});

test("a checkpoint that was being written when the process died is not one", () => {
  save(3);
  const torn = join(run, "checkpoints", ".step-00000005.4711");
  mkdirSync(torn);
  writeFileSync(join(torn, "weights.safetensors"), "half");
  expect(findCheckpoint(run, "step")).toMatch(/step-00000003$/);
});

test("a run without checkpoints has none", () => {
  expect(findCheckpoint(run, "step")).toBeUndefined();
  expect(findCheckpoint(run, "best")).toBeUndefined();
});

test.each([
  ["another shape", parameter("b", [2], [0, 0]), /expected b of shape \[2\], got \[1\]/],
  ["a parameter it lacks", parameter("c", [1], [0]), /expected c of shape \[1\], got no such tensor/],
])("a checkpoint of another model is refused: %s", (_, [path, other], message) => {
  save(3);
  const checkpoint = findCheckpoint(run, "step")!;
  const load = () => loadCheckpoint(checkpoint, new Map([...parameters, [path, other]]), adam());
  expect(load).toThrow(UserError);
  expect(load).toThrow(message);
  expect(load).toThrow(join(checkpoint, "weights.safetensors"));
});

test.each(["weights.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"])(
  "a damaged or missing %s is named",
  (name) => {
    save(3);
    const file = join(findCheckpoint(run, "step")!, name);
    const load = () => loadCheckpoint(findCheckpoint(run, "step")!, parameters, adam());
    truncateSync(file, 20);
    expect(load).toThrow(UserError);
    expect(load).toThrow(file);
    rmSync(file);
    expect(existsSync(file)).toBe(false);
    expect(load).toThrow(UserError);
    expect(load).toThrow(file);
  },
);

test("optimizer state that does not fit its parameter is refused, as when two checkpoints have been mixed", () => {
  optimizers.get("model")!.state.set("first-moment/b", new Float32Array(2));
  save(3);
  const load = () => loadCheckpoint(findCheckpoint(run, "step")!, parameters, adam());
  expect(load).toThrow(UserError);
  expect(load).toThrow(/optimizer\.safetensors: expected .*first-moment\/b/);
});

test("optimizer state that is not there is refused: it would start at zero again, and nobody would notice", () => {
  optimizers.get("model")!.state.delete("second-moment/b");
  save(3);
  const load = () => loadCheckpoint(findCheckpoint(run, "step")!, parameters, adam());
  expect(load).toThrow(UserError);
  expect(load).toThrow(/optimizer\.safetensors: expected optimizer state of every parameter, got none of b/);
});

test("what a killed process left half-written goes with the next save", () => {
  const left = join(run, "checkpoints", ".step-00000002.12345");
  mkdirSync(left, { recursive: true });
  save(3);
  expect(existsSync(left)).toBe(false);
});
