// Checkpoints: everything a run needs to go on as if it had never stopped. Random streams have no state of their own, and
// batches are functions of the step, so the step stands for both.
import { createHash } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { float32Array } from "../engine/simd.ts";
import { messageOf, UserError } from "../errors.ts";
import { makeFolders, withRoom } from "../folders.ts";
import type { Parameter } from "../stage.ts";
import type { Optimizer } from "./optimizers.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "./safetensors.ts";

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
  /** Of the run's events those of the steps before this one: how many bytes they are, and their SHA-256. A start has none. */
  readonly events?: { readonly bytes: number; readonly sha256: string } | undefined;
  /** SHA-256 of data and vocabulary by name, as `Dataset.hashes`. A start has none. */
  readonly hashes?: Readonly<Record<string, string>> | undefined;
}

/** `step`: everything, to go on from; `best`: the weights of the lowest dev loss; `average`: the mean of several steps' weights. */
export type CheckpointKind = "step" | "best" | "average";

const folderOf = (runDir: string): string => join(runDir, "checkpoints");
const stepName = (step: number): string => `step-${String(step).padStart(8, "0")}`;
const nameOf = (kind: CheckpointKind, step: number): string =>
  kind === "step" ? stepName(step) : `${kind}-${stepName(step)}`;
const stepOf = (name: string): number => Number(name.slice(-8));

/** How many step checkpoints are kept, the best one apart. */
const keptSteps = 2;

const weightsFile = "weights.safetensors";
const optimizerFile = "optimizer.safetensors";
const stateFile = "state.json";
/** The SHA-256 of the others, as `sha256sum` writes and checks them. */
const sumsFile = "SHA256SUMS";

/** Writes a checkpoint aside, syncs and renames it, then drops older ones of its kind, but for the `step` checkpoints of the steps
 *  `needed`. All but `step` checkpoints hold the weights alone. */
export function saveCheckpoint(
  runDir: string,
  kind: CheckpointKind,
  state: TrainingState,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers: ReadonlyMap<string, Optimizer>,
  needed: readonly number[] = [],
): void {
  const folder = folderOf(runDir);
  const name = nameOf(kind, state.step);
  // A process that was killed while it saved has left its half-written folder; a run has one process at a time.
  for (const left of list(folder).filter((entry) => /^\.((best|average)-)?step-\d{8}\./.test(entry)))
    rmSync(join(folder, left), { recursive: true, force: true });
  const aside = join(folder, `.${name}.${process.pid}`);
  try {
    withRoom(aside, () => makeFolders(aside));
    const sums: string[] = [];
    const write = (file: string, bytes: Uint8Array): void => {
      writeSynced(join(aside, file), bytes);
      sums.push(`${sha256(bytes)}  ${file}\n`);
    };
    write(weightsFile, encodeSafetensors(parameters, { format: "fathom" }));
    if (kind === "step") {
      const slots = new Map<string, StoredTensor>();
      for (const [player, { state }] of optimizers)
        for (const [slot, data] of state) slots.set(`${player}/${slot}`, { shape: [data.length], data });
      write(optimizerFile, encodeSafetensors(slots));
    }
    write(stateFile, Buffer.from(`${JSON.stringify(state, null, 2)}\n`));
    writeSynced(join(aside, sumsFile), Buffer.from(sums.join("")));
    syncFolder(aside);
  } catch (error) {
    discard(aside); // where there is no room it would take what is left of it
    throw error;
  }
  const final = join(folder, name);
  // A run that was set back may come by this step again: the old folder makes place and goes with the next save at last.
  if (list(folder).includes(name)) renameSync(final, join(folder, `.${name}.old`));
  renameSync(aside, final);
  syncFolder(folder);
  rmSync(join(folder, `.${name}.old`), { recursive: true, force: true });
  dropOlder(folder, kind, name, needed);
}

/** Removes the checkpoints that `name`, the newest of its kind, makes superfluous, but for `step` ones of the steps `needed`. */
function dropOlder(folder: string, kind: CheckpointKind, name: string, needed: readonly number[]): void {
  const others = checkpointNames(folder, kind).filter((other) => other !== name);
  const older =
    kind === "step"
      ? others.slice(0, Math.max(0, others.length + 1 - keptSteps)).filter((other) => !needed.includes(stepOf(other)))
      : others;
  for (const old of older) rmSync(join(folder, old), { recursive: true, force: true });
}

/** Folder of the newest checkpoint of a run that is not after step `until`, or of its best, or its average; undefined where there
 *  is none. */
export function findCheckpoint(runDir: string, kind: CheckpointKind, until = Infinity): string | undefined {
  const newest = checkpointNames(folderOf(runDir), kind).findLast((name) => stepOf(name) <= until);
  return newest && join(folderOf(runDir), newest);
}

/** All checkpoints of a run by step, its best among them, before another of the same step; an average is of no step. */
export const checkpointsOf = (runDir: string): { readonly folder: string; readonly step: number }[] =>
  (["best", "step"] as const)
    .flatMap((kind) => checkpointNames(folderOf(runDir), kind))
    .map((name) => ({ folder: join(folderOf(runDir), name), step: stepOf(name) }))
    .sort((a, b) => a.step - b.step);

/** Reads a checkpoint into `parameters` and, where given, `optimizers`, once all of it is known to be whole. Throws a `UserError`
 *  where it is damaged or does not fit; nothing is changed then. */
export function loadCheckpoint(
  checkpoint: string,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers?: ReadonlyMap<string, Optimizer>,
): TrainingState {
  try {
    return readCheckpoint(checkpoint, parameters, optimizers);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message}; restore the checkpoint, or remove its folder to use another one`);
  }
}

/** Reads the weights of a run's step from its checkpoint or, where that is damaged, from the best one of the same step, which has
 *  the same. Throws a `UserError` where neither is whole, which says of each what is wrong with it and leaves the repair to its
 *  caller. */
export function loadWeightsOf(runDir: string, step: number, parameters: ReadonlyMap<string, Parameter>): void {
  const reasons: string[] = [];
  for (const { folder } of checkpointsOf(runDir)
    .filter((one) => one.step === step)
    .reverse()) {
    try {
      readCheckpoint(folder, parameters, undefined);
      return;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      reasons.push(error.message);
    }
  }
  throw new UserError(reasons.join("; ") || `${folderOf(runDir)}: expected a checkpoint of step ${step}, got none`);
}

/** Where a run goes on. */
export interface Resumed {
  readonly state: TrainingState;
  /** Newer checkpoints that were damaged: where each is now, and what is wrong with it. */
  readonly passedOver: readonly { readonly folder: string; readonly reason: string }[];
}

/** Reads the newest step checkpoint of a run that is whole; undefined where there is none at all. `verify` throws a `UserError` where
 *  the run cannot go on from a state; `needed` as in `saveCheckpoint`. Newer ones that are damaged are set aside as
 *  `damaged-step-...`, so that they count no more. Throws a `UserError` that names all of them where none is whole: to start over
 *  is for its owner to decide. */
export function resumeCheckpoint(
  runDir: string,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers: ReadonlyMap<string, Optimizer>,
  verify: (state: TrainingState) => void = () => {},
  needed: (step: number) => readonly number[] = () => [],
): Resumed | undefined {
  const folder = folderOf(runDir);
  const names = checkpointNames(folder, "step").reverse();
  const damaged: { name: string; reason: string }[] = [];
  for (const name of names) {
    try {
      const state = readCheckpoint(join(folder, name), parameters, optimizers, verify);
      const passedOver = damaged.map((one) => ({ folder: setAside(folder, one.name), reason: one.reason }));
      dropOlder(folder, "step", name, needed(state.step)); // the process before may have died before it did
      return { state, passedOver };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      damaged.push({ name, reason: error.message });
    }
  }
  if (damaged.length === 0) return undefined;
  throw new UserError(
    `${folder}: expected a checkpoint to go on from, but ${damaged.length === 1 ? "the only one" : `each of ${damaged.length}`} ` +
      `is damaged or belongs to something else:\n${damaged.map(({ reason }) => `  ${reason}\n`).join("")}` +
      `restore what is damaged, or start the run over with \`fathom train --afresh\``,
  );
}

function setAside(folder: string, name: string): string {
  const aside = join(folder, `damaged-${name}`);
  rmSync(aside, { recursive: true, force: true });
  renameSync(join(folder, name), aside);
  return aside;
}

function readCheckpoint(
  checkpoint: string,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers: ReadonlyMap<string, Optimizer> | undefined,
  verify: (state: TrainingState) => void = () => {},
): TrainingState {
  const sums = readSums(checkpoint);
  const read = (name: string): Buffer => {
    if (!sums.has(name))
      throw new UserError(`${join(checkpoint, sumsFile)}: expected a line about ${name}, got none: it is damaged`);
    return readPart(join(checkpoint, name), sums.get(name));
  };
  const state = parseState(read(stateFile), checkpoint);
  verify(state);
  const file = join(checkpoint, weightsFile);
  const { tensors } = decodeSafetensors(read(weightsFile), file);
  for (const [path, { shape }] of parameters) {
    const stored = tensors.get(path);
    if (stored?.shape.join() !== shape.join() || !(stored.data instanceof Float32Array))
      throw new UserError(
        `${file}: expected ${path} of shape [${shape.join(", ")}], got ${stored ? `[${stored.shape.join(", ")}]` : "no such tensor"}; ` +
          "the checkpoint belongs to another configuration",
      );
  }
  const states = optimizers && readOptimizers(read(optimizerFile), checkpoint, state, parameters, optimizers);
  // All is whole and fits: only now is anything changed.
  for (const [path, { data }] of parameters) data.set(tensors.get(path)!.data);
  for (const [player, { state }] of optimizers ?? []) {
    state.clear();
    for (const [slot, data] of states!.get(player)!) {
      const own = float32Array(data.length);
      own.set(data);
      state.set(slot, own);
    }
  }
  return state;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The SHA-256 of a checkpoint's files by name. */
function readSums(checkpoint: string): ReadonlyMap<string, string> {
  const file = join(checkpoint, sumsFile);
  const lines = readPart(file, undefined)
    .toString("utf8")
    .split(/(?<=\n)/);
  return new Map(
    lines.map((line) => {
      const [, sum, name] = /^([0-9a-f]{64}) {2}([a-z.]+)\n$/.exec(line) ?? [];
      if (sum === undefined || name === undefined)
        throw new UserError(
          `${file}: expected the SHA-256 and name of a file on each line, got another; it is damaged`,
        );
      return [name, sum];
    }),
  );
}

/** The largest of what is no tensors, bytes. */
const maxTextBytes = 1_000_000;

/** A file of a checkpoint, held to its SHA-256 where that is known. */
function readPart(file: string, sum: string | undefined): Buffer {
  let bytes: Buffer;
  try {
    const { size } = statSync(file);
    if (size > maxTextBytes && !file.endsWith(".safetensors")) throw new Error(`${size} bytes`);
    bytes = readFileSync(file);
  } catch (error) {
    throw new UserError(`${file}: expected what the run has saved, got ${messageOf(error)}`);
  }
  const found = sum === undefined ? undefined : sha256(bytes);
  if (found !== sum)
    throw new UserError(
      `${file}: expected what the run has saved (SHA-256 ${sum!.slice(0, 12)}), got something else (${found!.slice(0, 12)}): ` +
        "it is damaged",
    );
  return bytes;
}

const stateSchema = z.object({
  step: z.int().min(0),
  tokens: z.number().min(0),
  seconds: z.number().min(0),
  seed: z.int().min(0),
  best: z.object({ step: z.int().min(0), loss: z.number() }).nullable(),
  events: z.object({ bytes: z.int().min(0), sha256: z.string() }).optional(),
  hashes: z.record(z.string(), z.string()).optional(),
});

function parseState(bytes: Buffer, checkpoint: string): TrainingState {
  const file = join(checkpoint, stateFile);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new UserError(`${file}: expected the state of a training run, got no JSON (${messageOf(error)})`);
  }
  const { success, data: state, error } = stateSchema.safeParse(json);
  if (!success) {
    const { path, message } = error.issues[0]!;
    throw new UserError(`${file}: expected the state of a training run: ${[...path, message].join(": ")}`);
  }
  if (state.step !== stepOf(checkpoint))
    throw new UserError(
      `${file}: expected the state of step ${stepOf(checkpoint)}, as ${basename(checkpoint)} says, got that of step ${state.step}`,
    );
  return state;
}

/** `<player>/<slot>/<parameter path>` as the states of the optimizers, by player. */
function readOptimizers(
  bytes: Uint8Array,
  checkpoint: string,
  { step }: TrainingState,
  parameters: ReadonlyMap<string, Parameter>,
  optimizers: ReadonlyMap<string, Optimizer>,
): Map<string, Map<string, Float32Array>> {
  const file = join(checkpoint, optimizerFile);
  const states = new Map([...optimizers.keys()].map((player) => [player, new Map<string, Float32Array>()]));
  for (const [name, { data }] of decodeSafetensors(bytes, file).tensors) {
    const [player = "", slot = "", ...path] = name.split("/");
    const parameter = parameters.get(path.join("/"));
    const state = states.get(player);
    if (!state || parameter?.data.length !== data.length || !(data instanceof Float32Array))
      throw new UserError(
        `${file}: expected state of this run's optimizers and parameters, got ${name} with ${data.length} numbers; ` +
          "the checkpoint belongs to another configuration",
      );
    state.set(`${slot}/${path.join("/")}`, data);
  }
  // Missing state would start at zero again and nobody would notice.
  const isComplete = (path: string): boolean =>
    [...optimizers].some(([player, { slots }]) => slots.every((slot) => states.get(player)!.has(`${slot}/${path}`)));
  const missing = step > 0 && [...parameters.keys()].find((path) => !isComplete(path));
  if (missing) throw new UserError(`${file}: expected optimizer state of every parameter, got none of ${missing}`);
  return states;
}

/** Names of the checkpoints of a kind, oldest first. */
function checkpointNames(folder: string, kind: CheckpointKind): string[] {
  const pattern = new RegExp(`^${kind === "step" ? "" : `${kind}-`}step-\\d{8}$`);
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
  withRoom(file, () => {
    const fd = openSync(file, "w");
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  });
}

function discard(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // The next save removes it.
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
