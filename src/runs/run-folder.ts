// The folder of one run, `results/<experiment>/runs/<id>/`: its resolved configuration and `run.json`.

import { lstatSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { checkResolved } from "../config/resolve.ts";
import type { RunConfig } from "../config/schema.ts";
import { yamlData } from "../config/yaml.ts";
import { messageOf, UserError } from "../errors.ts";
import { environment, type Environment } from "./environment.ts";
import { ensureFolder, isFile, removeUnfinished, writeWhole } from "./files.ts";
import { leaseFolder } from "./lease.ts";
import { type Origin, originLine, originOf, parseOrigin } from "./origin.ts";
import { hasTables } from "./tables.ts";

/** The contents of `run.json`. */
export interface RunRecord extends Environment {
  readonly id: string;
  readonly experiment: string;
  /** Hash of the resolved configuration. */
  readonly hash: string;
  readonly status: "done" | "diverged" | "failed" | "running";
  /** For `diverged`: what became non-finite, where and when; for `failed`: the error; else empty. */
  readonly reason: string;
  readonly seed: number;
  /** The engine that computed, empty until it is chosen. */
  readonly engine: string;
  /** Steps to train in all, 0 until known (epochs depend on the corpus). */
  readonly steps: number;
  /** Loss of the best model that ignores its input, nats a target; null until known. */
  readonly unigramEntropy: number | null;
  /** SHA-256 of data and vocabulary, by name. */
  readonly hashes: Readonly<Record<string, string>>;
  /** The step at which the run waits to be told whether it goes on, where it does (src/halving.ts). */
  readonly waitsAt?: number | undefined;
  /** The step at which comparison with others stopped a run that is done (src/halving.ts). */
  readonly halvedAt?: number | undefined;
  /** Of a run that failed: whether the user has something to repair first (exit code 2). */
  readonly isRefused?: boolean | undefined;
  /** How often the run was begun or resumed. */
  readonly attempts: number;
  /** ISO 8601; `started` is that of the first attempt. */
  readonly started: string;
  readonly finished: string | null;
  /** The residual scheme at this depth: equation, paper, constants, gains; null until known or where there is none. */
  readonly residual: Readonly<Record<string, unknown>> | null;
  /** Whatever else a run has to say, such as the engine's optimisation level. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** What a run is before it starts. */
export interface RunIdentity {
  readonly id: string;
  readonly hash: string;
  readonly config: RunConfig;
}

/** Whether this may be a run's name: one that, as a folder's, stays where it is put. */
export const isRunName = (id: unknown): id is string =>
  typeof id === "string" && /^[A-Za-z0-9][A-Za-z0-9.=_+-]{0,199}$/.test(id);

/** The folder of run `id`; ids come from files, so they are checked to stay inside. */
export function runFolder(experimentDir: string, id: string): string {
  if (!isRunName(id)) throw new UserError(`${experimentDir}: "${id}" is no run's name`);
  return join(experimentDir, "runs", id);
}

/** Makes a run's folder. What is written and removed in it must be its own: a `UserError` where it is, or holds, a link. */
export function createRunFolder(experimentDir: string, id: string): string {
  const runDir = runFolder(experimentDir, id);
  ensureFolder(runDir);
  const within = readdirSync(runDir).map((name) => join(runDir, name));
  const link = [runDir, ...within].find((path) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink());
  if (link !== undefined)
    throw new UserError(
      `${link}: expected a run's own file or folder, got a link to another place, where this run would write and remove; ` +
        `remove the link, or choose another place for all with --out`,
    );
  return runDir;
}

/** Marks a run as begun or resumed: writes `config.yaml` and `run.json`, and removes what a killed process has left unfinished.
 *  Call it while holding the run's lease. */
export function startRun(runDir: string, { id, hash, config }: RunIdentity): RunRecord {
  for (const folder of [runDir, join(runDir, "samples"), join(runDir, "graphs")]) removeUnfinished(folder);
  const before = readRun(runDir);
  const record: RunRecord = {
    id,
    experiment: config.name,
    hash,
    status: "running",
    reason: "",
    seed: config.seed,
    engine: before?.engine ?? "",
    steps: before?.steps ?? config.train.steps ?? 0,
    unigramEntropy: before?.unigramEntropy ?? null,
    hashes: before?.hashes ?? {},
    attempts: (before?.attempts ?? 0) + 1,
    started: before?.started ?? new Date().toISOString(),
    finished: null,
    residual: before?.residual ?? null,
    details: before?.details ?? {},
    ...environment(),
  };
  writeConfig(runDir, record, config);
  writeRecord(runDir, record);
  return record;
}

/** Writes `config.yaml`, headed by what the run is made with. */
export function writeConfig(runDir: string, record: RunRecord, config: RunConfig): void {
  const head = `# The resolved configuration of run ${record.id}: \`fathom train\` repeats it.\n${originLine(originOf(record))}\n`;
  writeWhole(join(runDir, "config.yaml"), `${head}${stringify(config)}`);
}

/** Changes some keys of `run.json`. */
export function updateRun(runDir: string, patch: Partial<RunRecord>): RunRecord {
  const before = readRun(runDir);
  if (!before) throw new Error(`${runDir}: run.json is missing or damaged`);
  const record = { ...before, ...patch };
  writeRecord(runDir, record);
  return record;
}

/** What every reader of `run.json` relies on. */
const recordSchema = z.looseObject({
  id: z.string(),
  experiment: z.string(),
  hash: z.string(),
  status: z.enum(["done", "diverged", "failed", "running"]),
  reason: z.string(),
  seed: z.number(),
  engine: z.string(),
  steps: z.number(),
  unigramEntropy: z.number().nullable(),
  hashes: z.record(z.string(), z.string()),
  waitsAt: z.number().optional(),
  halvedAt: z.number().optional(),
  isRefused: z.boolean().optional(),
  attempts: z.number(),
  started: z.string(),
  finished: z.string().nullable(),
  residual: z.record(z.string(), z.unknown()).nullable().default(null), // runs of earlier versions have none
  details: z.record(z.string(), z.unknown()),
  versions: z.record(z.string(), z.string()),
  git: z.looseObject({ commit: z.string(), dirty: z.boolean() }).nullable(),
  machine: z.looseObject({ cpu: z.string(), cores: z.number(), memoryBytes: z.number(), platform: z.string() }),
}) satisfies z.ZodType<RunRecord>;

/** The run's `run.json`; undefined where there is none that is whole: such a run counts as not finished. */
export function readRun(runDir: string): RunRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(readFileSync(join(runDir, "run.json"), "utf8"))).data;
  } catch {
    return undefined;
  }
}

/** Twice what a configuration may have that is read to be run: defaults are written out. */
const maxConfigBytes = 2_000_000;

/** The run's resolved configuration as it wrote it; a `UserError` where the folder is no run, or the file was damaged. */
export function readConfig(runDir: string): RunConfig {
  const file = join(runDir, "config.yaml");
  if (!isFile(file)) throw new UserError(`${runDir}: expected the folder of a run, got one without config.yaml`);
  const damaged = (reason: string): UserError =>
    new UserError(
      `${file}: expected a run's configuration as it was written: ${reason}; restore the file or remove the run's folder`,
    );
  const { size } = statSync(file);
  if (size > maxConfigBytes) throw damaged(`${size} bytes are more than any has`);
  let input: unknown;
  const text = readFileSync(file, "utf8");
  try {
    input = yamlData(text);
  } catch (error) {
    throw damaged(messageOf(error).split("\n")[0]!);
  }
  const checked = checkResolved(input);
  if (checked.ok) {
    parseOrigin(file, text); // refuses what is well-formed and yet no longer what the run wrote
    return checked.value;
  }
  const { path, message } = checked.problems[0]!;
  throw damaged(path.length > 0 ? `${path.join(".")}: ${message}` : message);
}

/** The origin of a configuration file of this `text`, by its comment or by the `run.json` that lies beside it; undefined where there
 *  is neither. The file may be a pipe, which cannot be read twice. A `UserError` as of `parseOrigin`. */
export function readOrigin(file: string, text: string): Origin | undefined {
  const told = parseOrigin(file, text);
  if (told || basename(file) !== "config.yaml") return told;
  const record = readRun(dirname(file));
  return record && originOf(record);
}

/** Whether a run is finished and its results are all there: the only meaning of done. */
export function isFinished(runDir: string, hash?: string): boolean {
  const record = readRun(runDir);
  if (!record || (record.status !== "done" && record.status !== "diverged")) return false;
  return record.id === basename(runDir) && (hash === undefined || record.hash === hash) && hasTables(runDir);
}

/** How a run has ended, or that it waits where it was to wait. */
export interface RunEnd<Status = "done" | "diverged" | "failed" | "waiting"> {
  readonly status: Status;
  readonly reason: string;
}

/** How a run stands that a launcher has run as far as step `until` (to its end where that is not given), as its folder tells: it may
 *  have ended, or wait there. Undefined where it is not so far. */
export function endOf(runDir: string, until = Infinity): RunEnd | undefined {
  const record = readRun(runDir);
  if (!record) return undefined;
  const { status, reason, waitsAt = -1 } = record;
  if (status === "running") return waitsAt >= until ? { status: "waiting", reason } : undefined;
  return status === "failed" || isFinished(runDir) ? { status, reason } : undefined;
}

/** As {@link endOf}, of the run of this hash alone, and where trying it again would change nothing: undefined where it failed. */
export function endFor(
  runDir: string,
  hash: string,
  until?: number,
): RunEnd<"done" | "diverged" | "waiting"> | undefined {
  const { status, reason } = endOf(runDir, until) ?? {};
  return status && status !== "failed" && readRun(runDir)?.hash === hash ? { status, reason: reason! } : undefined;
}

/** Empties a run's folder, so that the run starts anew: but for its lease, which the caller holds, and `config.yaml`, which may be what
 *  the command was given. `run.json` goes first: without it nothing else counts. */
export function clearRun(runDir: string): void {
  rmSync(join(runDir, "run.json"), { force: true });
  for (const name of readdirSync(runDir))
    if (name !== leaseFolder && name !== "config.yaml") rmSync(join(runDir, name), { recursive: true, force: true });
}

const writeRecord = (runDir: string, record: RunRecord): void =>
  writeWhole(join(runDir, "run.json"), `${JSON.stringify(record, null, 2)}\n`);
