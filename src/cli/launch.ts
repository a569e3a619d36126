// Runs what is to be run of an experiment, then makes its table, figures and report: what `fathom sweep` and `fathom resume`
// have in common. Heavy to import, so they load it when it is asked for.

import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { requireEngine } from "../engine/select.ts";
import { UserError } from "../errors.ts";
import * as launchers from "../launchers/index.ts";
import type { Job, Launcher, Outcome, Work } from "../launchers/launcher.ts";
import { lookup, unknownName } from "../registry.ts";
import { readExperiment, statusOf, writeRunsCsv } from "../runs/experiment.ts";
import type { ManifestEntry } from "../runs/manifest.ts";
import { codeNotes } from "../runs/origin.ts";
import { createRunFolder, readRun, runFolder, updateRun } from "../runs/run-folder.ts";
import type { RunRow } from "../types.ts";
import { halve, type Halving } from "./halving.ts";
import { progressView } from "./progress.ts";
import { interruption } from "./run-one.ts";
import { figure, table } from "./table.ts";
import { exitCodes } from "./verb.ts";

/** How `fathom sweep` and `fathom resume` run what they run: their options, as yargs gives them. */
export interface LaunchArguments {
  readonly quiet: boolean;
  readonly json: boolean;
  readonly jobs?: number | undefined;
  readonly launcher: string;
  /** The launcher's own options, as `name=value`. */
  readonly option: readonly string[];
  readonly queue?: string | undefined;
  readonly "fail-fast": boolean;
  readonly "keep-going": boolean;
  readonly "max-runs"?: number | undefined;
  readonly "keep-graphs": boolean;
}

/** What {@link LaunchArguments} ask for, checked; a `UserError` where they contradict each other. */
export interface Launching extends Pick<LaunchArguments, "quiet" | "json"> {
  /** Runs at once; see {@link atOnce} where not given. */
  readonly jobs: number | undefined;
  readonly launcher: Launcher;
  readonly settings: Readonly<Record<string, string>>;
  readonly failFast: boolean;
  /** Runs to start at most. */
  readonly maxRuns: number;
  readonly keepGraphs: boolean;
}

/** Checks the options of a verb that launches runs. */
export function launchingOf(args: LaunchArguments): Launching {
  const { quiet, json, jobs, "max-runs": maxRuns = Infinity, "fail-fast": failFast } = args;
  const wantsCount = (flag: string, value: number): void => {
    if (value !== Infinity && (!Number.isInteger(value) || value < 1))
      throw new UserError(`expected ${flag} to be a whole number of 1 or more, got ${value}`);
  };
  wantsCount("--jobs", jobs ?? Infinity);
  wantsCount("--max-runs", maxRuns);
  if (failFast && args["keep-going"])
    throw new UserError("expected --fail-fast or --keep-going, got both; --keep-going is what happens without either");
  const launcher = lookup("launcher", launchers, args.launcher);
  if (args.queue !== undefined && !launcher.options.some(({ name }) => name === "queue"))
    throw new UserError(`--queue: expected with --launcher queue, got --launcher ${launcher.name}`);
  const settings = settingsOf(launcher, [...args.option, ...(args.queue === undefined ? [] : [`queue=${args.queue}`])]);
  launcher.check?.(settings);
  return { quiet, json, jobs, launcher, settings, failFast, maxRuns, keepGraphs: args["keep-graphs"] };
}

function settingsOf(launcher: Launcher, given: readonly string[]): Record<string, string> {
  const settings = Object.fromEntries(launcher.options.map(({ name, value }) => [name, value]));
  for (const one of given) {
    const [name, ...value] = one.split("=");
    if (value.length === 0) throw new UserError(`--option: expected name=value, got ${one}`);
    if (!Object.hasOwn(settings, name!))
      throw new UserError(
        launcher.options.length === 0
          ? `--option: launcher ${launcher.name} has none, got ${one}`
          : unknownName(`option of launcher ${launcher.name}`, name!, Object.keys(settings)),
      );
    settings[name!] = value.join("=");
  }
  return settings;
}

/** Runs `due` of an experiment, whose runs are all planned, by successive halving where `halving` gives its rule and the runs that are
 *  compared; the exit code. */
export async function launchRuns(
  experimentDir: string,
  due: readonly ManifestEntry[],
  how: Launching,
  halving?: { readonly rule: Halving; readonly population: readonly ManifestEntry[] },
): Promise<number> {
  const { quiet, json, maxRuns } = how;
  const say = (text: string): void => void (quiet || json || console.error(text));
  // Those that another process seems to work on last: they may start nothing.
  const isHeld = ({ id }: ManifestEntry): boolean =>
    maxRuns < Infinity && statusOf(runFolder(experimentDir, id)) === "running";
  const chosen = [...due.filter((entry) => !isHeld(entry)), ...due.filter(isHeld)].slice(0, maxRuns);
  if (chosen.length < due.length) say(`${due.length - chosen.length} of them are left for another time (--max-runs)`);
  // While runs start up, or it would keep one core busy and the others waiting at the end.
  void reporting().catch(() => {}); // said where it is needed
  const interrupt = interruption();
  const outcomes: Outcome[] = [];
  const launch = async (entries: readonly ManifestEntry[], until?: number): Promise<Outcome[]> => {
    const ended = await launchEntries(experimentDir, entries, { ...how, signal: interrupt.signal, until });
    outcomes.push(...ended.filter(({ status }) => status !== "waiting"));
    return ended;
  };
  try {
    if (!halving) await launch(chosen);
    else {
      const goOn = await halve(experimentDir, halving.population, halving.rule, { launch, say });
      const ids = new Set(due.map(({ id }) => id));
      await launch(goOn.filter(({ id }) => ids.has(id)));
    }
  } finally {
    interrupt.dispose();
  }
  const experiment = readExperiment(experimentDir);
  writeRunsCsv(experimentDir, experiment);
  const { runs } = experiment;
  const rows = runs.map(({ row }) => row);
  const hasResults = rows.some(({ status }) => status === "done" || status === "diverged");
  const report = hasResults && !interrupt.signal.aborted ? await summarise(experimentDir) : undefined;
  for (const note of codeNotes(runs.flatMap(({ madeWith }) => madeWith ?? []))) say(note);
  if (json) console.log(JSON.stringify({ experiment: experimentDir, report: report ?? null, runs: rows }, null, 2));
  else if (!quiet) console.log(endText(experimentDir, rows, report));
  return exitCodeOf(outcomes, interrupt.signal.aborted);
}

/** Launches runs, shows how far they are, and records in its folder why one failed that could not do so itself. */
export async function launchEntries(
  experimentDir: string,
  entries: readonly ManifestEntry[],
  {
    launcher,
    jobs,
    settings,
    failFast,
    keepGraphs,
    quiet,
    json,
    signal,
    until,
  }: Omit<Launching, "maxRuns"> & { signal: AbortSignal; until?: number | undefined },
): Promise<Outcome[]> {
  const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
  const work: Work = {
    experimentDir: resolve(experimentDir),
    command: [
      ...[program, "run", "--manifest", resolve(experimentDir)],
      ...(keepGraphs ? ["--keep-graphs"] : []),
      ...(until === undefined ? [] : ["--until", String(until)]),
    ],
    until,
    jobs: entries.map(({ id, index, hash, config }): Job => ({
      id,
      index,
      hash,
      // TensorFlow takes its number of threads once a process.
      kind: JSON.stringify([config.engine, config.threads]),
      logFile: join(createRunFolder(experimentDir, id), "log.txt"),
    })),
  };
  const view = progressView(quiet || json);
  try {
    return await launcher.launch(work, {
      jobs: jobs ?? (launcher.isHere ? atOnce(entries) : Infinity),
      settings,
      failFast,
      signal,
      say: (line) => view.say(line),
      onProgress: (job, progress) => view.update(job.id, progress),
      onEnd(outcome) {
        const failure = recordFailure(experimentDir, outcome);
        const line = outcomeLine(outcome, failure);
        // Errors are what --quiet does not silence.
        if (failure !== "" && (quiet || json)) console.error(`fathom: ${line}`);
        view.end(outcome.job.id, line);
      },
    });
  } finally {
    view.stop();
  }
}

/** As many runs as there are cores for, of the threads that they ask for: the most of them, since any may run beside any. */
const atOnce = (entries: readonly ManifestEntry[]): number =>
  Math.max(1, Math.floor(availableParallelism() / Math.max(1, ...entries.map(({ config }) => config.threads))));

/** Throws a `UserError` where a run names an execution provider that cannot work here, or an engine that has no graphs to keep.
 *  Otherwise engines that are missing tell it run by run: in one process TensorFlow's two cannot be asked. Elsewhere a provider may
 *  be there that is missing here. */
export async function requireEngines(
  due: readonly ManifestEntry[],
  { launcher, keepGraphs }: Pick<Launching, "launcher" | "keepGraphs">,
): Promise<void> {
  if (!launcher.isHere) return;
  const configs = due.map(({ config }) => config).filter(({ engine }) => keepGraphs || typeof engine !== "string");
  const first = new Map(configs.map((config) => [JSON.stringify(config.engine), config] as const));
  for (const { engine, threads } of first.values()) await requireEngine(engine, { threads, keepGraphs });
}

/** `<id>: failed: <what the run recorded, or how its process ended>`. */
function outcomeLine({ job, status, reason }: Outcome, recorded: string): string {
  const where = recorded === "" || recorded.includes(job.logFile) ? "" : `; see ${job.logFile}`;
  const why = `${recorded || reason}${where}`;
  return `${job.id}: ${status}${why ? `: ${why}` : ""}`;
}

/** Why a run failed, by its run.json. A process that was killed could not say so itself: then this records how it ended. */
function recordFailure(experimentDir: string, { job, status, reason }: Outcome): string {
  const runDir = runFolder(experimentDir, job.id);
  const record = readRun(runDir);
  if (status !== "failed" || !record) return "";
  return (record.status === "running" ? updateRun(runDir, { status: "failed", reason }) : record).reason;
}

/** What draws figures and writes the report: large, and of use at the end only. */
const reporting = () =>
  Promise.all([import("../plots/load.ts"), import("../plots/render.ts"), import("../report/report.ts")]);

/** Makes figures and report; gives the path of the latter. */
async function summarise(experimentDir: string): Promise<string> {
  const [{ loadExperiment }, { renderPlots }, { writeReport }] = await reporting();
  const loaded = loadExperiment(experimentDir);
  await renderPlots(experimentDir, {}, loaded);
  return writeReport(experimentDir, loaded);
}

function endText(experimentDir: string, rows: readonly RunRow[], report: string | undefined): string {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row.config)))];
  const lines = rows.map((row) => [
    ...keys.map((key) => String(row.config[key])),
    row.seed,
    row.status,
    figure(row.finalTrainLoss),
    figure(row.finalDevLoss),
    row.seconds.toFixed(1),
  ]);
  const head = [...keys, "seed", "status", "train loss", "dev loss", "seconds"];
  const end = report
    ? `report: ${report}`
    : `no report: the runs are not finished; \`fathom resume ${experimentDir}\` goes on with them`;
  return `${table(head, lines)}\n\nruns: ${join(experimentDir, "runs.csv")}\n${end}`;
}

/** The exit code of a command that has launched runs. */
export function exitCodeOf(outcomes: readonly Pick<Outcome, "status" | "code">[], interrupted: boolean): number {
  const failed = outcomes.filter((o) => o.status === "failed");
  if (interrupted) return exitCodes.interrupted;
  if (failed.length > 0)
    return failed.every((o) => o.code === exitCodes.userError) ? exitCodes.userError : exitCodes.failure;
  if (outcomes.some((o) => o.status === "interrupted" || o.status === "skipped")) return exitCodes.interrupted;
  return outcomes.some((o) => o.status === "busy") ? exitCodes.tryAgain : exitCodes.done;
}
