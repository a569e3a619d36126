// Checkpoints: everything a run needs to go on as if it had never stopped. Random streams have no state of their own, and
// batches are functions of the step, so the step stands for both.
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "../errors.ts";
import { makeFolders } from "../folders.ts";
import type { Parameter } from "../stage.ts";
import type { Optimizer } from "./optimizers.ts";
import { encodeSafetensors, readSafetensors, type StoredTensor } from "./safetensors.ts";

/** What a checkpoint says beside its tensors. */
export interface TrainingState {
  /** Updates done: the next step, and so the cursor of data and of every random stream. */
  readonly step: number;
  /** Training targets seen. */
  readonly tokens: number;
  /** Seconds of training so far. */
  readonly seconds: number;
  /** Seed of the random streams, which are functions of (seed, purpose, step). */
  readonly seed: number;
  /** Lowest dev loss so far and its step, if there has been an evaluation. */
  readonly best: { readonly step: number; readonly loss: number } | null;
}

const folderOf = (runDir: string): string => join(runDir, "checkpoints");
const stepName = (step: number): string => `step-${String(step).padStart(8, "0")}`;
const stepOf = (name: string): number => Number(name.slice(-8));

/** How many step checkpoints are kept, the best one apart. */
const keptSteps = 2;

/** Writes a checkpoint aside, syncs and renames it, then drops older ones. `best` checkpoints hold the weights alone. */
export function saveCheckpoint(
  runDir: string,
  kind: "step" | "best",
  state: TrainingState,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers: ReadonlyMap<string, Optimizer>,
): void {
  const folder = folderOf(runDir);
  const name = kind === "best" ? `best-${stepName(state.step)}` : stepName(state.step);
  // A process that was killed while it saved has left its half-written folder; a run has one process at a time.
  for (const left of list(folder).filter((entry) => /^\.(best-)?step-\d{8}\./.test(entry)))
    rmSync(join(folder, left), { recursive: true, force: true });
  const aside = join(folder, `.${name}.${process.pid}`);
  makeFolders(aside);
  writeSynced(join(aside, "weights.safetensors"), encodeSafetensors(parameters, { format: "fathom" }));
  if (kind === "step") {
    const slots = new Map<string, StoredTensor>();
    for (const [player, { state }] of optimizers)
      for (const [slot, data] of state) slots.set(`${player}/${slot}`, { shape: [data.length], data });
    writeSynced(join(aside, "optimizer.safetensors"), encodeSafetensors(slots));
  }
  writeSynced(join(aside, "state.json"), new TextEncoder().encode(`${JSON.stringify(state, null, 2)}\n`));
  syncFolder(aside);
  const final = join(folder, name);
  // A run that was set back may come by this step again: the old folder makes place and goes with the next save at last.
  if (list(folder).includes(name)) renameSync(final, join(folder, `.${name}.old`));
  renameSync(aside, final);
  syncFolder(folder);
  rmSync(join(folder, `.${name}.old`), { recursive: true, force: true });
  const others = checkpointNames(folder, kind).filter((other) => other !== name);
  for (const old of kind === "best" ? others : others.slice(0, Math.max(0, others.length + 1 - keptSteps)))
    rmSync(join(folder, old), { recursive: true, force: true });
}

/** Folder of the newest checkpoint of a run that is not after step `until`, or of its best; undefined where there is
 *  none. */
export function findCheckpoint(runDir: string, kind: "step" | "best", until = Infinity): string | undefined {
  const newest = checkpointNames(folderOf(runDir), kind).findLast((name) => stepOf(name) <= until);
  return newest && join(folderOf(runDir), newest);
}

/** All checkpoints of a run by step, its best among them, before another of the same step. */
export const checkpointsOf = (runDir: string): { readonly folder: string; readonly step: number }[] =>
  (["best", "step"] as const)
    .flatMap((kind) => checkpointNames(folderOf(runDir), kind))
    .map((name) => ({ folder: join(folderOf(runDir), name), step: stepOf(name) }))
    .sort((a, b) => a.step - b.step);

/** Reads a checkpoint into `parameters` and, where given, `optimizers`. Throws a `UserError` where it does not fit. */
export function loadCheckpoint(
  checkpoint: string,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers?: ReadonlyMap<string, Optimizer>,
): TrainingState {
  const file = join(checkpoint, "weights.safetensors");
  const { tensors } = readSafetensors(file);
  for (const [path, { shape, data }] of parameters) {
    const stored = tensors.get(path);
    if (!stored || stored.shape.join() !== shape.join())
      throw new UserError(
        `${file}: expected ${path} of shape [${shape.join(", ")}], got ${stored ? `[${stored.shape.join(", ")}]` : "no such tensor"}; ` +
          "the checkpoint belongs to another configuration",
      );
    data.set(stored.data);
  }
  const state = readState(join(checkpoint, "state.json"));
  if (optimizers) loadOptimizers(join(checkpoint, "optimizer.safetensors"), state, parameters, optimizers);
  return state;
}

const stateSchema = z.object({
  step: z.int().min(0),
  tokens: z.number().min(0),
  seconds: z.number().min(0),
  seed: z.int().min(0),
  best: z.object({ step: z.int().min(0), loss: z.number() }).nullable(),
});

function readState(file: string): TrainingState {
  try {
    return stateSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    throw new UserError(
      `${file}: expected the state of a training run; delete this checkpoint to go on without it (${messageOf(error)})`,
    );
  }
}

/** Reads `<player>/<slot>/<parameter path>` into the optimizers' state. */
function loadOptimizers(
  file: string,
  { step }: TrainingState,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers: ReadonlyMap<string, Optimizer>,
): void {
  for (const [name, { data }] of readSafetensors(file).tensors) {
    const [player = "", slot = "", ...path] = name.split("/");
    const optimizer = optimizers.get(player);
    const parameter = parameters.get(path.join("/"));
    if (!optimizer || parameter?.data.length !== data.length)
      throw new UserError(
        `${file}: expected state of this run's optimizers and parameters, got ${name} with ${data.length} numbers; ` +
          "the checkpoint belongs to another configuration",
      );
    optimizer.state.set(`${slot}/${path.join("/")}`, data as Float32Array);
  }
  // Missing state would start at zero again and nobody would notice.
  const isComplete = (path: string): boolean =>
    [...optimizers.values()].some(({ slots, state }) => slots.every((slot) => state.has(`${slot}/${path}`)));
  const missing = step > 0 && [...parameters.keys()].find((path) => !isComplete(path));
  if (missing)
    throw new UserError(
      `${file}: expected optimizer state of every parameter, got none of ${missing}; delete this checkpoint`,
    );
}

/** Names of the checkpoints of a kind, oldest first. */
function checkpointNames(folder: string, kind: "step" | "best"): string[] {
  const pattern = kind === "best" ? /^best-step-\d{8}$/ : /^step-\d{8}$/;
  return list(folder)
    .filter((name) => pattern.test(name))
    .sort();
}

/** The entries of a folder, none where there is no such folder. */
function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function writeSynced(file: string, bytes: Uint8Array): void {
  const fd = openSync(file, "w");
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
