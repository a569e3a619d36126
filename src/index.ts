// The library: what `import { train, sweep, readRuns } from "fathom"` gives. It does what `fathom train` and `fathom sweep` do, prints
// nothing, ends no process, and throws `UserError` where a configuration or a folder cannot be used. docs/library.md shows it.

import type { GivenConfig } from "./config/load.ts";
import { TryAgainError, UserError } from "./errors.ts";
import type { LayerRow, MetricRow, Progress, Quantity, ReadingQuantity, ReadingRow, RunRow } from "./types.ts";

export { TryAgainError, UserError };
export type { LayerRow, MetricRow, Progress, Quantity, ReadingQuantity, ReadingRow, RunRow };

/** An experiment: the path of a YAML file, or what one holds. schema/experiment.schema.json lists its keys. */
export type ExperimentConfig = string | Readonly<Record<string, unknown>>;

/** What `train` and `sweep` have in common. */
export interface CommonOptions {
  /** Values on top of the configuration, by dotted key: `{ "train.steps": 50 }`; one that is undefined leaves the configuration's. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  /** The folder of all experiments; `results` if not given. */
  readonly out?: string;
  /** Keep every compiled program as an ONNX file in `graphs/` of a run's folder. */
  readonly keepGraphs?: boolean;
  /** Aborted: runs save a checkpoint and end as interrupted; the same call goes on from it. */
  readonly signal?: AbortSignal;
  /** Takes a line for people: what was left aside, taken over, or will not fit. Nothing is said if not given. */
  readonly onNote?: (line: string) => void;
}

export interface TrainOptions extends CommonOptions {
  /** Run again what is finished or begun. */
  readonly afresh?: boolean;
  /** How far the run is, after each step. */
  readonly onProgress?: (progress: Progress) => void;
}

/** How a run ended. */
export interface TrainResult {
  readonly status: "done" | "diverged" | "interrupted";
  /** For `diverged`: what became non-finite, where and when; for `interrupted` why; else empty. */
  readonly reason: string;
  /** Whether it was finished before, and nothing was run. */
  readonly finishedBefore: boolean;
  readonly run: Run;
}

export interface SweepOptions extends CommonOptions {
  /** Runs at once, each in a process of its own; one a core if not given, or fewer of several threads. */
  readonly jobs?: number;
  /** Stop all at the first run that fails. */
  readonly failFast?: boolean;
  /** Write figures and report.html at the end; so if not given. */
  readonly report?: boolean;
  /** How far a run is, after each step. */
  readonly onProgress?: (run: string, progress: Progress) => void;
}

/** What became of a sweep. */
export interface SweepResult {
  /** The experiment's folder. */
  readonly dir: string;
  /** `done`: all runs have ended, well or not (their statuses say); `interrupted`: the same call goes on; `busy`: the rest is in the
   *  hands of other processes. */
  readonly status: "done" | "interrupted" | "busy";
  /** The path of report.html where one was written. */
  readonly report: string | undefined;
  /** All runs of the experiment, those of earlier sweeps too. */
  readonly runs: readonly Run[];
}

/** A run as its folder has it. */
export interface Run extends RunRow {
  /** Its folder. */
  readonly dir: string;
  /** Its resolved configuration, all defaults written out; `config` are the keys that tell the runs apart. */
  readonly resolved: Readonly<Record<string, unknown>>;
  /** What was measured of the test images at the end, by name. */
  readonly finals: Readonly<Record<string, number>>;
  /** The rows of metrics.csv. Each call reads them from the disk, here and below. */
  metrics(): MetricRow[];
  /** The rows of layers.csv, or those whose place `keep` accepts: there may be millions. */
  layers(keep?: (place: Omit<LayerRow, "step" | "l2" | "rms" | "max">) => boolean): LayerRow[];
  /** The rows of readings.csv; none where the run's probes left none. */
  readings(): ReadingRow[];
}

/** Trains one run, or goes on with it, in this process; `sweep` sections are left aside. A run that diverges is a result; one that fails
 *  throws what it failed by. `TryAgainError` where another process works on it. */
export async function train(config: ExperimentConfig, options: TrainOptions = {}): Promise<TrainResult> {
  const [{ loadRun }, { loadRegistries }, { singleRun }, { experimentFolder, runOne }] = await Promise.all([
    import("./config/load.ts"),
    import("./config/registries.ts"),
    import("./config/sweep.ts"),
    import("./run-one.ts"),
  ]);
  const { overrides, out = "results", keepGraphs = false, afresh = false } = options;
  const { config: resolved } = loadRun(sourceOf(config), overridesOf(overrides), await loadRegistries());
  const experimentDir = experimentFolder(out, resolved.name);
  const { runDir, status, reason, finishedBefore } = await runOne(experimentDir, singleRun(resolved), {
    signal: options.signal ?? new AbortController().signal,
    afresh,
    keepGraphs,
    say: options.onNote ?? (() => {}),
    onProgress: options.onProgress ?? (() => {}),
  });
  if (status === "waiting") throw new Error("internal error: a run that trains to its end waits");
  const run = (await readRuns(experimentDir)).find(({ dir }) => dir === runDir);
  return { status, reason, finishedBefore, run: run! };
}

/** Plans and runs all runs of an experiment, in child processes here; what is finished is not run again. Runs that fail are told in their
 *  `status` and `reason`, and stop none of the others. */
export async function sweep(config: ExperimentConfig, options: SweepOptions = {}): Promise<SweepResult> {
  const [load, { loadRegistries }, { planRuns }, { experimentFolder }, launching, { local }] = await Promise.all([
    import("./config/load.ts"),
    import("./config/registries.ts"),
    import("./runs/manifest.ts"),
    import("./run-one.ts"),
    import("./launch.ts"),
    import("./launchers/local.ts"),
  ]);
  const { out = "results", keepGraphs = false, failFast = false, jobs, report: draws = true } = options;
  if (jobs !== undefined && (!Number.isInteger(jobs) || jobs < 1))
    throw new UserError(`expected jobs to be a whole number of 1 or more, got ${jobs}`);
  const signal = options.signal ?? new AbortController().signal;
  const say = options.onNote ?? (() => {});
  const overrides = overridesOf(options.overrides);
  const planned = load.loadSweep(sourceOf(config), overrides, await loadRegistries());
  const { name, notes, halving, text } = planned;
  for (const note of notes) say(note);
  const dir = experimentFolder(out, name);
  const plan = planRuns(dir, planned.runs);
  const due = launching.decide(dir, plan).flatMap(({ action, entry }) => (action === "run" ? [entry] : []));
  const how = { jobs, launcher: local, settings: {}, failFast, maxRuns: Infinity, keepGraphs, signal };
  await launching.beginSweep(dir, plan, due, { ...how, text, overrides, isHalved: halving !== undefined });
  const watching = () => ({
    say,
    update: options.onProgress ?? (() => {}),
    end: (_outcome: unknown, line: string) => say(line),
    stop: () => {},
  });
  const outcomes = await launching.launchAll(dir, due, how, watching, {
    say,
    draws,
    halving: halving && { rule: halving, population: launching.populationOf(plan) },
  });
  const { report } = await launching.writeFindings(dir, draws && !signal.aborted);
  const isInterrupted =
    signal.aborted || outcomes.some(({ status }) => status === "interrupted" || status === "skipped");
  const isBusy = outcomes.some(({ status }) => status === "busy");
  return { dir, status: isInterrupted ? "interrupted" : isBusy ? "busy" : "done", report, runs: await readRuns(dir) };
}

/** The runs of an experiment's folder, begun or not. Their tables are read when they are asked for. */
export async function readRuns(dir: string): Promise<Run[]> {
  const [{ readExperiment }, { readLayers, readMetrics, readReadings }] = await Promise.all([
    import("./runs/experiment.ts"),
    import("./runs/tables.ts"),
  ]);
  return readExperiment(dir).runs.map(({ dir, row, config, finals }): Run => ({
    ...row,
    dir,
    resolved: config as unknown as Readonly<Record<string, unknown>>,
    finals,
    metrics: () => readMetrics(dir),
    layers: (keep) => readLayers(dir, keep),
    readings: () => readReadings(dir),
  }));
}

const sourceOf = (config: ExperimentConfig): string | GivenConfig =>
  typeof config === "string" ? config : { label: "configuration", input: config };

/** As the command line takes them, JSON being YAML; what is undefined is not said. */
function overridesOf(overrides: CommonOptions["overrides"] = {}): string[] {
  return Object.entries(overrides).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${JSON.stringify(value)}`],
  );
}
