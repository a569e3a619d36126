// What `fathom sweep` does: plans all runs of an experiment, runs what is not finished, and makes the table, figures and
// report. Heavy to import, so sweep.ts loads it when it is asked for.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadSweep } from "../config/load.ts";
import { loadRegistries } from "../config/registries.ts";
import { requireEngine } from "../engine/select.ts";
import { availableBytes } from "../memory.ts";
import { UserError } from "../errors.ts";
import * as launchers from "../launchers/index.ts";
import type { Job, Outcome } from "../launchers/launcher.ts";
import { lookup } from "../registry.ts";
import { readExperiment, statusOf, writeRunsCsv } from "../runs/experiment.ts";
import { freezePlan, keepAuthorsFile, planRuns, type ManifestEntry, type Plan } from "../runs/manifest.ts";
import { createRunFolder, readRun, runFolder, updateRun } from "../runs/run-folder.ts";
import type { RunRow } from "../types.ts";
import { progressView } from "./progress.ts";
import { experimentFolder, interruption } from "./run-one.ts";
import { figure, table } from "./table.ts";
import { exitCodes } from "./verb.ts";

/** The arguments of `fathom sweep`. */
export interface SweepArguments {
  readonly config: string;
  readonly overrides: readonly string[];
  readonly out: string;
  readonly quiet: boolean;
  readonly json: boolean;
  /** Print what would run and why; run nothing. */
  readonly plan: boolean;
  readonly jobs: number;
  readonly launcher: string;
  readonly failFast: boolean;
  /** Runs keep their compiled programs. */
  readonly keepGraphs: boolean;
}

/** Plans and runs an experiment; the exit code. */
export async function runSweep(args: SweepArguments): Promise<number> {
  const { config: file, overrides, out, quiet, json, jobs, failFast, keepGraphs } = args;
  if (!Number.isInteger(jobs) || jobs < 1) throw new UserError(`expected --jobs 1 or more, got ${jobs}`);
  const launcher = lookup("launcher", launchers, args.launcher);

  const { name, runs, notes } = loadSweep(file, overrides, await loadRegistries());
  const experimentDir = experimentFolder(out, name);
  const plan = planRuns(experimentDir, runs);
  const say = (text: string): void => void (quiet || json || console.error(text));
  for (const note of [...notes, ...planNotes(plan, file)]) say(note);
  const decided = decide(experimentDir, plan);
  if (args.plan) {
    console.log(json ? JSON.stringify(decided.map(toJson), null, 2) : planText(decided));
    return exitCodes.done;
  }
  const due = decided.filter((d) => d.action === "run");
  // Elsewhere a provider may be there that is missing here.
  if (launcher.isHere) await requireEngines(due, keepGraphs);
  freezePlan(experimentDir, plan);
  keepAuthorsFile(experimentDir, readFileSync(file, "utf8"), overrides);

  say(`${experimentDir}: ${decided.length} runs, ${decided.length - due.length} finished, ${due.length} to run`);
  const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
  const atOnce = Math.min(jobs, due.length);
  const share = launcher.isHere && atOnce > 1 ? ["--memory", String(Math.floor(availableBytes() / atOnce))] : [];
  const todo = due.map(({ entry }): Job => ({
    id: entry.id,
    // TensorFlow takes its number of threads once a process.
    kind: JSON.stringify([entry.config.engine, entry.config.threads]),
    args: [
      ...[program, "run", "--manifest", experimentDir, "--index", String(entry.index), "--hash", entry.hash],
      ...(keepGraphs ? ["--keep-graphs"] : []),
      ...share,
    ],
    logFile: join(createRunFolder(experimentDir, entry.id), "log.txt"),
  }));
  const view = progressView(quiet || json);
  const interrupt = interruption();
  // While runs start up, or it would keep one core busy and the others waiting at the end.
  void reporting().catch(() => {}); // said where it is needed
  let outcomes: Outcome[];
  try {
    outcomes = await launcher.launch(todo, {
      jobs,
      failFast: failFast,
      signal: interrupt.signal,
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
    interrupt.dispose();
  }
  const report = await summarise(experimentDir, interrupt.signal.aborted);
  const rows = readExperiment(experimentDir).runs.map((r) => r.row);
  if (json) console.log(JSON.stringify({ experiment: experimentDir, report: report ?? null, runs: rows }, null, 2));
  else if (!quiet) console.log(endText(experimentDir, rows, report));
  return exitCode(outcomes, interrupt.signal.aborted);
}

/** Throws a `UserError` where a run names an execution provider that cannot work here, or an engine that has no graphs to keep.
 *  Otherwise engines that are missing tell it run by run: in one process TensorFlow's two cannot be asked. */
async function requireEngines(due: readonly Decision[], keepGraphs: boolean): Promise<void> {
  const configs = due
    .map(({ entry: { config } }) => config)
    .filter(({ engine }) => keepGraphs || typeof engine !== "string");
  const first = new Map(configs.map((config) => [JSON.stringify(config.engine), config] as const));
  for (const { engine, threads } of first.values()) await requireEngine(engine, { threads, keepGraphs });
}

/** What is to happen to a run, and why. */
interface Decision {
  readonly entry: ManifestEntry;
  readonly action: "run" | "skip";
  readonly why: string;
}

function decide(experimentDir: string, plan: Plan): Decision[] {
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

function planNotes({ added, entries, earlier }: Plan, file: string): string[] {
  const notes: string[] = [];
  if (added.length > 0 && added.length < entries.length)
    notes.push(`${added.length} runs are added to the ${entries.length - added.length} planned before`);
  if (earlier.length > 0)
    notes.push(
      `${earlier.length} runs planned before are no longer asked for by ${file}; their results stay, and ` +
        `those that are not finished are not run`,
    );
  return notes;
}

function planText(decided: readonly Decision[]): string {
  const rows = decided.map(({ entry, action, why }) => [entry.index, action, entry.id, why]);
  const due = decided.filter((d) => d.action === "run").length;
  return `${table(["index", "action", "run", "why"], rows)}\n\n${due} of ${decided.length} would run`;
}

const toJson = ({ entry: { index, id, hash }, action, why }: Decision) => ({ index, id, hash, action, why });

/** `<id>: failed: <what the run recorded, or how its process ended>`. */
function outcomeLine({ job, status, reason }: Outcome, recorded: string): string {
  const why = status === "failed" && recorded ? `${recorded}; see ${job.logFile}` : reason;
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

/** Writes runs.csv, and figures and report unless interrupted or without any result; gives the report's path. */
async function summarise(experimentDir: string, interrupted: boolean): Promise<string | undefined> {
  writeRunsCsv(experimentDir);
  const { runs } = readExperiment(experimentDir);
  if (interrupted || !runs.some(({ row }) => row.status === "done" || row.status === "diverged")) return undefined;
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
  const end = report ? `report: ${report}` : "no report: the runs are not finished; the same command goes on with them";
  return `${table(head, lines)}\n\nruns: ${join(experimentDir, "runs.csv")}\n${end}`;
}

function exitCode(outcomes: readonly Outcome[], interrupted: boolean): number {
  const failed = outcomes.filter((o) => o.status === "failed");
  if (interrupted) return exitCodes.interrupted;
  if (failed.length > 0)
    return failed.every((o) => o.code === exitCodes.userError) ? exitCodes.userError : exitCodes.failure;
  if (outcomes.some((o) => o.status === "interrupted" || o.status === "skipped")) return exitCodes.interrupted;
  return outcomes.some((o) => o.status === "busy") ? exitCodes.tryAgain : exitCodes.done;
}
