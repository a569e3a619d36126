// An experiment's folder as a whole: its runs with their final values, and `runs.csv`.

import { existsSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { stringify } from "csv-stringify/sync";
import type { Varied } from "../config/identity.ts";
import type { RunConfig } from "../config/schema.ts";
import { UserError } from "../errors.ts";
import type { RunRow } from "../types.ts";
import type { Environment } from "./environment.ts";
import { isFile, writeWhole } from "./files.ts";
import { lastMetrics } from "./last-metrics.ts";
import { seemsHeld } from "./lease.ts";
import { manifestFile, readManifest, type ManifestEntry } from "./manifest.ts";
import { isFinished, readConfig, readRun, runFolder } from "./run-folder.ts";
import { variedKeys, variedValues } from "./varied.ts";

/** A run of an experiment, started or not. */
export interface ExperimentRun {
  /** The run's folder; not there yet where `row.status` is `pending`. */
  readonly dir: string;
  readonly row: RunRow;
  readonly config: RunConfig;
  /** Steps it is to train in all, as far as known. */
  readonly plannedSteps: number;
  /** What was measured of the test images at the end, by name; of numbers by sample or class the totals alone. */
  readonly finals: Readonly<Record<string, number>>;
  /** Commit and versions of the attempt that was last begun; absent before the first. */
  readonly madeWith?: Pick<Environment, "git" | "versions">;
  /** The step at which it waits to be told whether it goes on. */
  readonly waitsAt?: number;
}

/** What an experiment's folder holds. */
export interface Experiment {
  readonly name: string;
  readonly manifest: readonly ManifestEntry[];
  /** The keys that tell its runs apart, seeds aside: the same in every row's `config`. */
  readonly varied: readonly string[];
  /** The runs of the manifest in its order, then those made by `fathom train`. */
  readonly runs: readonly ExperimentRun[];
}

/** Reads an experiment's folder, but for runs of the ids `leftOut`; a `UserError` where it is none. */
export function readExperiment(dir: string, leftOut: ReadonlySet<string> = new Set()): Experiment {
  const runsDir = join(dir, "runs");
  if (!existsSync(runsDir) && !isFile(manifestFile(dir)))
    throw new UserError(
      `${dir}: expected an experiment's folder (with runs/ or manifest.jsonl), got ${existsSync(dir) ? "another one" : "none"}`,
    );
  const manifest = readManifest(dir).filter(({ id }) => !leftOut.has(id));
  const planned = new Set(manifest.map((e) => e.id));
  const folders = existsSync(runsDir)
    ? readdirSync(runsDir)
        .sort()
        .filter((id) => !leftOut.has(id))
    : [];
  const alone = folders.filter((id) => !planned.has(id) && isFile(join(runsDir, id, "config.yaml")));
  const runs = [
    ...manifest.map(({ id, varied, config }) => ({ dir: runFolder(dir, id), varied, config })),
    ...alone.map((id) => ({ dir: join(runsDir, id), varied: {}, config: readConfig(join(runsDir, id)) })),
  ];
  const varied = variedKeys(runs);
  return {
    name: basename(resolve(dir)),
    manifest,
    varied,
    runs: runs.map((run) => readRunRow(run.dir, variedValues(run, varied), run.config)),
  };
}

/** Writes `runs.csv` of an experiment: one row a run, the varied keys as columns, what was measured of the test images last, absent values
 *  empty. */
export function writeRunsCsv(
  experimentDir: string,
  { varied: keys, runs }: Experiment = readExperiment(experimentDir),
): string {
  const measured = [...new Set(runs.flatMap(({ finals }) => Object.keys(finals)))];
  // A likelihood means nothing without what became of grey values.
  const ofImages = runs.some(({ config }) => "binarization" in config.data);
  const columns = [
    "id",
    "status",
    "seed",
    ...keys,
    ...finalColumns,
    ...(ofImages ? ["binarization"] : []),
    ...measured,
  ];
  const lines = runs.map(({ row, finals, config }) => [
    row.id,
    row.status,
    row.seed,
    ...keys.map((key) => row.config[key]),
    ...finalColumns.map((column) => (Number.isNaN(row[column]) ? "" : row[column])),
    ...(ofImages ? ["binarization" in config.data ? config.data.binarization : ""] : []),
    ...measured.map((name) => finals[name] ?? ""),
  ]);
  const file = join(experimentDir, "runs.csv");
  // Without the cast csv-stringify writes booleans as 1 and nothing.
  writeWhole(file, stringify([columns, ...lines], { cast: { boolean: String } }));
  return file;
}

const finalColumns = [
  "steps",
  "seconds",
  "finalTrainLoss",
  "finalDevLoss",
  "bestDevLoss",
  "unigramEntropy",
  "engine",
  "reason",
] as const satisfies (keyof RunRow)[];

/** A run by its folder, its configuration and its values of the keys that tell runs apart. */
export function readRunRow(dir: string, varied: Varied, config: RunConfig): ExperimentRun {
  const record = readRun(dir);
  const last = record && lastMetrics(dir, config.model.kind);
  const row: RunRow = {
    id: basename(dir),
    status: statusOf(dir),
    seed: config.seed,
    config: varied,
    steps: last?.steps ?? 0,
    seconds: last?.seconds ?? 0,
    finalTrainLoss: last?.trainLoss ?? NaN,
    finalDevLoss: last?.devLoss ?? NaN,
    bestDevLoss: last?.bestDevLoss ?? NaN,
    unigramEntropy: record?.unigramEntropy ?? NaN,
    engine: record?.engine ?? "",
    reason: record?.reason ?? "",
  };
  return {
    dir,
    row,
    config,
    finals: last?.finals ?? {},
    plannedSteps: record?.steps || (config.train.steps ?? 0),
    ...(record && { madeWith: { git: record.git, versions: record.versions } }),
    ...(record?.waitsAt !== undefined && { waitsAt: record.waitsAt }),
  };
}

/** A run's status, judged by what is there: `stale` is begun, not finished, and in nobody's hands. */
export function statusOf(runDir: string): RunRow["status"] {
  const record = readRun(runDir);
  if (!record) return seemsHeld(runDir) ? "running" : "pending";
  if (isFinished(runDir)) return record.status;
  if (seemsHeld(runDir)) return "running";
  return record.status === "failed" ? "failed" : "stale";
}
