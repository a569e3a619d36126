// Runs what is to be run of an experiment, then makes its table, figures and report: what `fathom sweep`, `fathom resume` and the
// library have in common. Heavy to import, so they load it when it is asked for. Nothing here writes to the terminal.

import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { requireEngine } from "./engine/select.ts";
import { forgetHalving, halve, type Halving } from "./halving.ts";
import type { Job, Launcher, Outcome, Work } from "./launchers/launcher.ts";
import { readExperiment, statusOf, writeRunsCsv, type Experiment } from "./runs/experiment.ts";
import { freezePlan, keepAuthorsFile, type ManifestEntry, type Plan } from "./runs/manifest.ts";
import { createRunFolder, readRun, runFolder, updateRun } from "./runs/run-folder.ts";
import type { Progress, RunRow } from "./types.ts";

/** How runs are launched. */
export interface Launching {
  /** Runs at once; see {@link atOnce} where not given. */
  readonly jobs: number | undefined;
  readonly launcher: Launcher;
  readonly settings: Readonly<Record<string, string>>;
  readonly failFast: boolean;
  /** Runs to start at most. */
  readonly maxRuns: number;
  readonly keepGraphs: boolean;
}

/** Who is told what becomes of the runs that are launched together. */
export interface Watch {
  /** A line for people, of what happens beside the runs. */
  say(line: string): void;
  update(id: string, progress: Progress): void;
  /** A run ended. `line` says how, `failure` why it failed: empty where it did not. */
  end(outcome: Outcome, line: string, failure: string): void;
  /** All of them have ended. */
  stop(): void;
}

/** What is to happen to a run, and why. */
export interface Decision {
  readonly entry: ManifestEntry;
  readonly action: "run" | "skip";
  readonly why: string;
}

/** Which runs of a plan are due, and why the others are not. */
export function decide(experimentDir: string, plan: Plan): Decision[] {
  const added = new Set(plan.added);
  const earlier = new Set(plan.earlier);
  return plan.entries.map((entry) => {
    const runDir = runFolder(experimentDir, entry.id);
    const status = statusOf(runDir);
    const reason = readRun(runDir)?.reason;
    const why: Record<RunRow["status"], string> = {
      done: "done",
      diverged: `diverged, which is a result: ${reason}`,
      failed: `failed before: ${reason}`,
      running: "in the hands of a process that lives or has just ended; taken over if it is gone",
      stale: "begun and not finished; goes on from its last checkpoint",
      pending: added.has(entry) ? "new" : "planned before, not begun",
    };
    if (status === "done" || status === "diverged") return { entry, action: "skip", why: why[status] };
    if (earlier.has(entry)) return { entry, action: "skip", why: "no longer asked for by the configuration" };
    return { entry, action: "run", why: why[status] };
  });
}

/** Begins what was planned: checks that its engines are here, freezes the manifest and keeps the author's text beside it. */
export async function beginSweep(
  experimentDir: string,
  plan: Plan,
  due: readonly ManifestEntry[],
  {
    text,
    overrides,
    isHalved,
    ...how
  }: { text: string; overrides: readonly string[]; isHalved: boolean } & Pick<Launching, "launcher" | "keepGraphs">,
): Promise<void> {
  await requireEngines(due, how);
  freezePlan(experimentDir, plan);
  if (!isHalved) forgetHalving(experimentDir);
  keepAuthorsFile(experimentDir, text, overrides);
}

/** The runs that a sweep compares by successive halving: those that it asks for, not those planned before. */
export function populationOf({ entries, earlier }: Plan): ManifestEntry[] {
  const before = new Set(earlier);
  return entries.filter((entry) => !before.has(entry));
}

/** Launches `due` of an experiment, whose runs are all planned, by successive halving where `halving` gives its rule and the runs
 *  that are compared; how they ended. `watching` is asked anew for runs that are launched together. */
export async function launchAll(
  experimentDir: string,
  due: readonly ManifestEntry[],
  how: Launching & { readonly signal: AbortSignal },
  watching: () => Watch,
  {
    say,
    halving,
    draws,
  }: {
    say(line: string): void;
    /** Whether figures and a report follow. */
    draws: boolean;
    halving: { readonly rule: Halving; readonly population: readonly ManifestEntry[] } | undefined;
  },
): Promise<Outcome[]> {
  const { maxRuns } = how;
  // Those that another process seems to work on last: they may start nothing.
  const isHeld = ({ id }: ManifestEntry): boolean =>
    maxRuns < Infinity && statusOf(runFolder(experimentDir, id)) === "running";
  const chosen = [...due.filter((entry) => !isHeld(entry)), ...due.filter(isHeld)].slice(0, maxRuns);
  if (chosen.length < due.length) say(`${due.length - chosen.length} of them are left for another time (--max-runs)`);
  // While runs start up, or it would keep one core busy and the others waiting at the end.
  if (draws) void reporting().catch(() => {}); // said where it is needed
  const outcomes: Outcome[] = [];
  const launch = async (entries: readonly ManifestEntry[], until?: number): Promise<Outcome[]> => {
    const ended = await launchEntries(experimentDir, entries, { ...how, until }, watching());
    outcomes.push(...ended.filter(({ status }) => status !== "waiting"));
    return ended;
  };
  if (!halving) await launch(chosen);
  else {
    const goOn = await halve(experimentDir, halving.population, halving.rule, { launch, say });
    const ids = new Set(due.map(({ id }) => id));
    await launch(goOn.filter(({ id }) => ids.has(id)));
  }
  return outcomes;
}

/** Launches runs, tells `watch` how far they are, and records in its folder why one failed that could not do so itself. */
export async function launchEntries(
  experimentDir: string,
  entries: readonly ManifestEntry[],
  {
    launcher,
    jobs,
    settings,
    failFast,
    keepGraphs,
    signal,
    until,
  }: Omit<Launching, "maxRuns"> & { signal: AbortSignal; until?: number | undefined },
  watch: Watch,
): Promise<Outcome[]> {
  const program = fileURLToPath(new URL("../bin/fathom.js", import.meta.url));
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
  try {
    return await launcher.launch(work, {
      jobs: jobs ?? (launcher.isHere ? atOnce(entries) : Infinity),
      settings,
      failFast,
      signal,
      say: (line) => watch.say(line),
      onProgress: (job, progress) => watch.update(job.id, progress),
      onEnd(outcome) {
        const failure = recordFailure(experimentDir, outcome);
        watch.end(outcome, outcomeLine(outcome, failure), failure);
      },
    });
  } finally {
    watch.stop();
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
  return `${job.id}: ${status}${why && why !== status ? `: ${why}` : ""}`;
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
  Promise.all([import("./plots/load.ts"), import("./plots/render.ts"), import("./report/report.ts")]);

/** Writes the table of an experiment's runs and, where one has a result and `draws`, figures and report; gives the path of the latter. */
export async function writeFindings(
  experimentDir: string,
  draws: boolean,
): Promise<{ readonly experiment: Experiment; readonly report: string | undefined }> {
  const experiment = readExperiment(experimentDir);
  writeRunsCsv(experimentDir, experiment);
  const hasResults = experiment.runs.some(({ row: { status } }) => status === "done" || status === "diverged");
  return { experiment, report: hasResults && draws ? await summarise(experimentDir) : undefined };
}

/** Makes figures and report; gives the path of the latter. */
async function summarise(experimentDir: string): Promise<string> {
  const [{ loadExperiment }, { renderPlots }, { writeReport }] = await reporting();
  const loaded = loadExperiment(experimentDir);
  await renderPlots(experimentDir, {}, loaded);
  return writeReport(experimentDir, loaded);
}
