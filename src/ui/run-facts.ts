// What there is to know of one run without a look at its layers: how it stands, its last numbers, what it has recorded. A run that cannot be
// read is `damaged`, with the reason, and hides no other.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../errors.ts";
import { statusOf } from "../runs/experiment.ts";
import { isFile, layersFile, metricsFile, translationsFile } from "../runs/files.ts";
import { seemsHeld } from "../runs/lease.ts";
import { readConfig, readRun, type RunRecord } from "../runs/run-folder.ts";
import { hasTables } from "../runs/tables.ts";
import type { RunStatus } from "./api.ts";
import type { Desk } from "./desk.ts";
import { firstQuantities } from "./layer-table.ts";
import { headOf } from "./lines.ts";
import { metricTable, type MetricTable } from "./metric-table.ts";
import { keyOf, linkOut, lstatOf } from "./place.ts";

/** Where a run lies, and what its experiment knows of it. */
export interface RunPlace {
  readonly id: string;
  readonly dir: string;
  /** Hash of its configuration, where that is known: it is in the manifest, or was read. */
  readonly hash?: string;
  /** Why it cannot be read, where its experiment knows already. */
  readonly damage?: string;
}

/** How a run stands, at little cost: for lists, and for whoever waits for a change. */
export interface RunGlance {
  readonly id: string;
  readonly status: RunStatus;
  /** Differs where a file of the run has changed. */
  readonly signature: string;
  /** When that was, milliseconds of the epoch; 0 of a run that has no folder yet. */
  readonly changed: number;
  /** Of `damaged`. */
  readonly reason?: string;
}

/** What there is to know of a run. */
export interface RunFacts {
  readonly id: string;
  readonly status: RunStatus;
  readonly reason: string;
  readonly steps: number;
  /** Steps it is to train in all, as it knows itself; 0 where it does not. */
  readonly plannedSteps: number;
  readonly seconds: number;
  readonly trainLoss: number;
  readonly devLoss: number;
  readonly bestDevLoss: number;
  readonly unigramEntropy: number;
  readonly finals: Readonly<Record<string, number>>;
  readonly engine: string;
  readonly seed: number | undefined;
  readonly madeWith: Pick<RunRecord, "git" | "versions"> | undefined;
  /** Names of its metrics by split. */
  readonly metrics: readonly (readonly [split: string, name: string])[];
  readonly quantities: readonly string[];
  readonly hasSamples: boolean;
  readonly hasTranslations: readonly ("dev" | "test")[];
}

/** The files whose state is that of a run; its own folder among them, whose time tells of files that appear, are replaced and go. */
const files = ["", "run.json", "config.yaml", "events.jsonl", "metrics.csv", "layers.csv", "readings.csv", "samples"];

/** What else is read below a run's folder, and must be no link out of it. */
const furtherFiles = ["log.txt", "lease"];

/** The state of a run's files. */
export interface RunState {
  /** Differs where one of them has changed. */
  readonly key: string;
  readonly changed: number;
  /** Whether there is a folder. */
  readonly isThere: boolean;
  /** Why its files must not be read. */
  readonly damage: string | undefined;
}

/** Bytes of `run.json` at most: what it says of a run is a few thousand. */
const mostRecordBytes = 2 ** 24;

/** Looks at the files of a run without reading them. */
export function stateOf(root: string, runDir: string): RunState {
  let changed = 0;
  let damage: string | undefined;
  const parts: string[] = [];
  for (const name of files) {
    const path = name === "" ? runDir : join(runDir, name);
    const stats = lstatOf(path);
    if (!stats && name === "") return { key: "-", changed: 0, isThere: false, damage: undefined };
    parts.push(keyOf(stats));
    if (!stats) continue;
    changed = Math.max(changed, Number(stats.mtimeMs));
    if (stats.isSymbolicLink()) damage ??= linkOut(root, [path]) ?? oddKind(path);
    else if (!stats.isFile() && !stats.isDirectory()) damage ??= oddKind(path);
    if (name === "run.json" && stats.size > mostRecordBytes)
      damage ??= `${path}: expected a run's record of at most ${mostRecordBytes} bytes, got ${stats.size}; ${repair(runDir)}`;
  }
  damage ??= linkOut(
    root,
    furtherFiles.map((name) => join(runDir, name)),
  );
  return { key: parts.join(";"), changed, isThere: true, damage };
}

/** The words for what is no file and no folder: reading a pipe would wait for ever. */
function oddKind(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return !stats || stats.isFile() || stats.isDirectory()
    ? undefined
    : `${path}: expected a file or folder, got a pipe, socket or device; remove it`;
}

/** How runs stand. What was found is kept, and of runs that have ended found again without reading anything. */
export function glanceAt(desk: Desk, run: RunPlace): RunGlance {
  const { key, changed, isThere, damage } = stateOf(desk.root, run.dir);
  const { id } = run;
  const reason = run.damage ?? damage;
  if (reason !== undefined) return { id, status: "damaged", signature: `${key} damaged`, changed, reason };
  if (!isThere) return { id, status: "pending", signature: key, changed };
  const { status, reason: found } = standingOf(desk, run, key);
  return { id, status, signature: `${key} ${status}`, changed, ...(found !== undefined && { reason: found }) };
}

/** How a run stands; of a damaged one with the reason. */
function standingOf({ notes }: Desk, run: RunPlace, key: string): { status: RunStatus; reason?: string } {
  const facts = notes.get<{ key: string; facts: RunFacts }>(`facts ${run.dir}`);
  if (facts?.key === key && facts.facts.status === "damaged") return { status: "damaged", reason: facts.facts.reason };
  const name = `standing ${run.dir}`;
  const known = notes.get<{ key: string; status: RunStatus; reason?: string }>(name);
  // The others depend on who holds the run, which no file of it tells.
  if (known?.key === key && ["done", "diverged", "damaged"].includes(known.status)) return known;
  const reason = damageOf(run);
  const found = reason === undefined ? { status: statusOf(run.dir) } : { status: "damaged" as const, reason };
  notes.set(name, { key, ...found }, 2 * key.length + 200);
  return found;
}

/** Why a run cannot be read, as its small files tell; undefined where they are well. Of one that is being written to nothing is said. */
function damageOf({ dir, hash }: RunPlace): string | undefined {
  const record = readRun(dir);
  const file = join(dir, "run.json");
  if (!record) {
    if (isFile(file)) return `${file}: expected a run's record as it was written, got ${oddity(file)}; ${repair(dir)}`;
    if (!lstatOf(join(dir, "config.yaml"))) return undefined; // not begun
  }
  const config = configDamage(dir, hash);
  if (config !== undefined) return config;
  if (record && (record.status === "done" || record.status === "diverged") && !hasTables(dir) && !seemsHeld(dir)) {
    const [missing] = [metricsFile(dir), layersFile(dir)].filter((table) => !isFile(table));
    return missing === undefined
      ? `${dir}: expected tables as the run wrote them, got others; remove metrics.csv and layers.csv and run it again: they are made anew`
      : `${missing}: expected a table, since the run is ${record.status}, got none; run it again: tables are made anew`;
  }
  return undefined;
}

const repair = (dir: string): string => `restore it, or remove the folder ${dir} and run it again`;

function oddity(file: string): string {
  try {
    JSON.parse(readFileSync(file, "utf8"));
    return "something else";
  } catch (error) {
    return messageOf(error);
  }
}

/** Why a run's `config.yaml` is not what it wrote. The hash in its head is that of what was planned: then the rest is looked at alone for
 *  bytes that no text has, since taking the YAML apart takes more time than all else of a run. */
function configDamage(dir: string, hash: string | undefined): string | undefined {
  const file = join(dir, "config.yaml");
  if (hash !== undefined && !isFile(file)) return undefined; // the manifest has it
  try {
    if (hash !== undefined && headOf(file, 1024).includes(`"hash":"${hash}"`)) return undefined;
    readConfig(dir);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** What there is to know of a run. Never throws for what its files hold: that is `damaged`. */
export function factsOf(desk: Desk, run: RunPlace): RunFacts {
  const { key, isThere, damage } = stateOf(desk.root, run.dir);
  const reason = run.damage ?? damage;
  if (reason !== undefined) return { ...unknown(run.id), status: "damaged", reason };
  if (!isThere) return unknown(run.id);
  const name = `facts ${run.dir}`;
  const { status, reason: odd } = standingOf(desk, run, key);
  const known = desk.notes.get<{ key: string; facts: RunFacts }>(name);
  if (known?.key === key && known.facts.status === status) return known.facts;
  const facts = status === "damaged" ? damaged(run, odd!) : readFacts(desk, run, status, key);
  desk.notes.set(name, { key, facts }, 2000 + 100 * (facts.metrics.length + Object.keys(facts.finals).length));
  return facts;
}

const unknown = (id: string): RunFacts => ({
  id,
  status: "pending",
  reason: "",
  steps: 0,
  plannedSteps: 0,
  seconds: 0,
  trainLoss: NaN,
  devLoss: NaN,
  bestDevLoss: NaN,
  unigramEntropy: NaN,
  finals: {},
  engine: "",
  seed: undefined,
  madeWith: undefined,
  metrics: [],
  quantities: [],
  hasSamples: false,
  hasTranslations: [],
});

/** The facts of a damaged run: what its record tells, where that is whole. */
const damaged = ({ id, dir }: RunPlace, reason: string): RunFacts => ({
  ...unknown(id),
  ...recorded(readRun(dir)),
  status: "damaged",
  reason,
});

const recorded = (record: RunRecord | undefined): Partial<RunFacts> =>
  record
    ? {
        plannedSteps: record.steps,
        unigramEntropy: record.unigramEntropy ?? NaN,
        engine: record.engine,
        seed: record.seed,
        madeWith: { git: record.git, versions: record.versions },
      }
    : {};

function readFacts({ tables }: Desk, run: RunPlace, status: RunStatus, key: string): RunFacts {
  const { id, dir } = run;
  const record = readRun(dir);
  let table: MetricTable;
  let quantities: readonly string[];
  try {
    table = metricTable(dir, key, tables);
    quantities = table.quantities.size > 0 ? [...table.quantities] : firstQuantities(dir);
  } catch (error) {
    return damaged(run, messageOf(error));
  }
  return {
    ...unknown(id),
    ...recorded(record),
    status,
    reason: record?.reason ?? "",
    ...lastOf(table),
    metrics: [...table.series.values()].map(({ split, name }) => [split, name] as const),
    quantities,
    hasSamples: namesIn(join(dir, "samples")).some((name) => name.endsWith(".png")),
    hasTranslations: (["dev", "test"] as const).filter((split) => isFile(translationsFile(dir, split))),
  };
}

/** The last values of metrics, as `lastMetrics` (src/runs/last-metrics.ts) has them; the best dev loss so far of a run that goes on. */
function lastOf({ series, seconds }: MetricTable): Partial<RunFacts> {
  const last = (key: string): number => {
    const values = series.get(key)?.values;
    return values && values.length > 0 ? values.data[values.length - 1]! : NaN;
  };
  let step = -1;
  const finals: [string, number][] = [];
  for (const { split, name, steps, values } of series.values()) {
    if (split === "train") step = Math.max(step, steps.data[steps.length - 1]!);
    if (split === "test" && !name.includes("/")) finals.push([name, values.data[values.length - 1]!]);
  }
  const dev = series.get("dev,loss")?.values;
  let best = NaN;
  for (let i = 0; i < (dev?.length ?? 0); i++) {
    const value = dev!.data[i]!;
    if (Number.isFinite(value) && !(value >= best)) best = value;
  }
  return {
    steps: step + 1,
    seconds,
    trainLoss: last("train,loss"),
    devLoss: last("dev,loss"),
    bestDevLoss: best,
    finals: Object.fromEntries(finals),
  };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
