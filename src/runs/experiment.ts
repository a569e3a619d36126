// An experiment's folder as a whole: its runs with their final values, and `runs.csv`.

import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { stringify } from "csv-stringify/sync";
import type { Varied } from "../config/identity.ts";
import type { RunConfig } from "../config/schema.ts";
import { UserError } from "../errors.ts";
import type { RunRow } from "../types.ts";
import type { Environment } from "./environment.ts";
import { isFile, layersFile, metricsFile, writeWhole } from "./files.ts";
import { lastMetrics } from "./last-metrics.ts";
import { seemsHeld } from "./lease.ts";
import { manifestFile, readManifest, type ManifestEntry } from "./manifest.ts";
import { isFinished, readConfig, readRun, runFolder, type RunRecord } from "./run-folder.ts";
import { hasTables } from "./tables.ts";
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
  /** What is missing or cannot be read of a run that was begun, and what makes it anew; also in `row.reason`. */
  readonly damage?: string;
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
  if (!isExperiment(dir))
    throw new UserError(
      `${dir}: expected an experiment's folder (with runs/ or manifest.jsonl), got ${inItsPlace(dir)}`,
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
    runs: runs.map((run) =>
      readRunRow(
        run.dir,
        variedValues(run, varied),
        run.config,
        planned.has(basename(run.dir)) ? "fathom resume" : "fathom train",
      ),
    ),
  };
}

const isExperiment = (dir: string): boolean => existsSync(join(dir, "runs")) || isFile(manifestFile(dir));

/** Experiments of a folder that are named at most. */
const mostNamed = 10;

/** What lies where an experiment's folder was expected, in words that go on after `got`, with the experiments that may be meant. */
export function inItsPlace(dir: string): string {
  if (!existsSync(dir)) return "none";
  const parent = join(dir, "..");
  if (basename(resolve(dir)) === "runs" && isExperiment(parent))
    return `its runs alone; name the experiment: ${parent}`;
  const isRun = basename(resolve(parent)) === "runs" && isFile(join(dir, "config.yaml"));
  if (isRun && isExperiment(join(parent, ".."))) return `one of its runs; name the experiment: ${join(parent, "..")}`;
  const within = statSync(dir).isDirectory()
    ? readdirSync(dir)
        .sort()
        .map((name) => join(dir, name))
        .filter(isExperiment)
    : [];
  if (within.length === 0) return "another one";
  const more = within.length - mostNamed;
  return `a folder of experiments; name one of them: ${within.slice(0, mostNamed).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
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

/** A run by its folder, its configuration and its values of the keys that tell runs apart; `command` goes on with it, for messages. */
export function readRunRow(
  dir: string,
  varied: Varied,
  config: RunConfig,
  command: "fathom resume" | "fathom train" = "fathom train",
): ExperimentRun {
  const record = readRun(dir);
  const status = statusOf(dir);
  // Of any other status the record is whole, and so is what counts of the tables.
  const missing = status === "pending" || status === "stale" ? damageOf(dir, record) : undefined;
  const damage = missing === undefined ? undefined : `${missing}; \`${command}\` makes it anew`;
  const last = record && lastMetrics(dir, config.model.kind);
  const row: RunRow = {
    id: basename(dir),
    status,
    seed: config.seed,
    config: varied,
    steps: last?.steps ?? 0,
    seconds: last?.seconds ?? 0,
    finalTrainLoss: last?.trainLoss ?? NaN,
    finalDevLoss: last?.devLoss ?? NaN,
    bestDevLoss: last?.bestDevLoss ?? NaN,
    unigramEntropy: record?.unigramEntropy ?? NaN,
    engine: record?.engine ?? "",
    reason: damage ?? record?.reason ?? "",
  };
  return {
    dir,
    row,
    config,
    finals: last?.finals ?? {},
    plannedSteps: record?.steps || (config.train.steps ?? 0),
    ...(record && { madeWith: { git: record.git, versions: record.versions } }),
    ...(record?.waitsAt !== undefined && { waitsAt: record.waitsAt }),
    ...(damage !== undefined && { damage }),
  };
}

/** What keeps a run that nobody works on from being what it was: a record that cannot be read, tables that a finished run must have. */
function damageOf(dir: string, record: RunRecord | undefined): string | undefined {
  if (!record) return isFile(join(dir, "run.json")) ? "run.json cannot be read" : undefined;
  if ((record.status !== "done" && record.status !== "diverged") || hasTables(dir)) return undefined;
  const lost = [metricsFile(dir), layersFile(dir)].find((file) => !isFile(file));
  return lost === undefined ? "layers.csv has other columns" : `${basename(lost)} is missing`;
}

/** A run's status, judged by what is there: `stale` is begun, not finished, and in nobody's hands. */
export function statusOf(runDir: string): RunRow["status"] {
  const record = readRun(runDir);
  if (!record) return seemsHeld(runDir) ? "running" : "pending";
  if (isFinished(runDir)) return record.status;
  if (seemsHeld(runDir)) return "running";
  return record.status === "failed" ? "failed" : "stale";
}
