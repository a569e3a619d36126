// `fathom sweep`: plans all runs of an experiment, runs what is not finished, and makes the table, figures and report.

import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { UserError } from "../errors.ts";
import type { Job, Outcome } from "../launchers/launcher.ts";
import type { ManifestEntry, Plan } from "../runs/manifest.ts";
import type { RunRow } from "../types.ts";
import { common, exitCodes, positional, verb } from "./verb.ts";

export const sweep = verb({
  usage: "sweep <config> [overrides..]",
  summary: "plan and run all runs of an experiment; continues where it stopped",
  positionals: { config: positional.config, overrides: positional.overrides },
  options: {
    out: common.out,
    quiet: common.quiet,
    json: common.json,
    plan: { type: "boolean", default: false, describe: "print what would run and why; run nothing" },
    jobs: { type: "number", default: availableParallelism(), requiresArg: true, describe: "runs at once" },
    launcher: { type: "string", default: "local", requiresArg: true, describe: "`fathom list launcher` names them" },
    "fail-fast": { type: "boolean", default: false, describe: "stop all at the first run that fails" },
  },
  examples: [
    ["fathom sweep configs/quickstart.yaml", "all runs, then figures and report"],
    ["fathom sweep configs/quickstart.yaml --plan", "what would run and why"],
    ["fathom sweep configs/pre-vs-post.yaml train.steps=200 --jobs 4", "shorter, four runs at once"],
  ],
  async run({ config: file, overrides, out, quiet, json, plan: planOnly, jobs, launcher: launcherName, ...rest }) {
    if (!Number.isInteger(jobs) || jobs < 1) throw new UserError(`expected --jobs 1 or more, got ${jobs}`);
    const { lookup } = await import("../registry.ts");
    const launcher = lookup("launcher", await import("../launchers/index.ts"), launcherName);
    const { loadRegistries } = await import("../config/registries.ts");
    const { loadSweep } = await import("../config/load.ts");
    const { freezePlan, planRuns } = await import("../runs/manifest.ts");
    const runOne = await import("./run-one.ts");

    const { name, runs, notes } = loadSweep(file, overrides, await loadRegistries());
    const experimentDir = runOne.experimentFolder(out, name);
    const plan = planRuns(experimentDir, runs);
    const say = (text: string): void => void (quiet || json || console.error(text));
    for (const note of [...notes, ...planNotes(plan, file)]) say(note);
    const decided = await decide(experimentDir, plan);
    if (planOnly) {
      console.log(json ? JSON.stringify(decided.map(toJson), null, 2) : await planText(decided));
      return exitCodes.done;
    }
    freezePlan(experimentDir, plan);

    const due = decided.filter((d) => d.action === "run");
    say(`${experimentDir}: ${decided.length} runs, ${decided.length - due.length} finished, ${due.length} to run`);
    const { createRunFolder } = await import("../runs/run-folder.ts");
    const { join } = await import("node:path");
    const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
    const todo = due.map(({ entry }): Job => ({
      id: entry.id,
      args: [program, "run", "--manifest", experimentDir, "--index", String(entry.index)],
      logFile: join(createRunFolder(experimentDir, entry.id), "log.txt"),
    }));
    const { progressView } = await import("./progress.ts");
    const view = progressView(quiet || json);
    const interrupt = runOne.interruption();
    let outcomes: Outcome[];
    try {
      outcomes = await launcher.launch(todo, {
        jobs,
        failFast: rest["fail-fast"],
        signal: interrupt.signal,
        onProgress: (job, progress) => view.update(job.id, progress),
        onEnd: (outcome) => view.end(outcome.job.id, outcomeLine(outcome)),
      });
    } finally {
      view.stop();
      interrupt.dispose();
    }
    await recordCrashes(experimentDir, outcomes);
    const report = await summarise(experimentDir, interrupt.signal.aborted);
    const { readExperiment } = await import("../runs/experiment.ts");
    const rows = readExperiment(experimentDir).runs.map((r) => r.row);
    if (json) console.log(JSON.stringify({ experiment: experimentDir, report: report ?? null, runs: rows }, null, 2));
    else if (!quiet) console.log(await endText(experimentDir, rows, report));
    return exitCode(outcomes, interrupt.signal.aborted);
  },
});

/** What is to happen to a run, and why. */
interface Decision {
  readonly entry: ManifestEntry;
  readonly action: "run" | "skip";
  readonly why: string;
}

async function decide(experimentDir: string, plan: Plan): Promise<Decision[]> {
  const { statusOf } = await import("../runs/experiment.ts");
  const { readRun, runFolder } = await import("../runs/run-folder.ts");
  const added = new Set(plan.added);
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
    return { entry, action: status === "done" || status === "diverged" ? "skip" : "run", why: why[status] };
  });
}

function planNotes({ added, entries, earlier }: Plan, file: string): string[] {
  const notes: string[] = [];
  if (added.length > 0 && added.length < entries.length)
    notes.push(`${added.length} runs are added to the ${entries.length - added.length} planned before`);
  if (earlier.length > 0)
    notes.push(
      `${earlier.length} runs planned before are no longer asked for by ${file}; they stay as they were planned ` +
        `(choose another name or --out to begin anew)`,
    );
  return notes;
}

async function planText(decided: readonly Decision[]): Promise<string> {
  const { table } = await import("./table.ts");
  const rows = decided.map(({ entry, action, why }) => [entry.index, action, entry.id, why]);
  const due = decided.filter((d) => d.action === "run").length;
  return `${table(["index", "action", "run", "why"], rows)}\n\n${due} of ${decided.length} would run`;
}

const toJson = ({ entry: { index, id, hash }, action, why }: Decision) => ({ index, id, hash, action, why });

const outcomeLine = ({ job, status, reason }: Outcome): string => `${job.id}: ${status}${reason ? `: ${reason}` : ""}`;

/** A process that was killed could not say so itself. */
async function recordCrashes(experimentDir: string, outcomes: readonly Outcome[]): Promise<void> {
  const { readRun, runFolder, updateRun } = await import("../runs/run-folder.ts");
  for (const { job, status, reason } of outcomes) {
    const runDir = runFolder(experimentDir, job.id);
    if (status === "failed" && readRun(runDir)?.status === "running") updateRun(runDir, { status: "failed", reason });
  }
}

/** Writes runs.csv, and figures and report unless interrupted or without any result; gives the report's path. */
async function summarise(experimentDir: string, interrupted: boolean): Promise<string | undefined> {
  const { readExperiment, writeRunsCsv } = await import("../runs/experiment.ts");
  writeRunsCsv(experimentDir);
  const { runs } = readExperiment(experimentDir);
  if (interrupted || !runs.some(({ row }) => row.status === "done" || row.status === "diverged")) return undefined;
  const { renderPlots } = await import("../plots/render.ts");
  const { writeReport } = await import("../report/report.ts");
  await renderPlots(experimentDir);
  return writeReport(experimentDir);
}

async function endText(experimentDir: string, rows: readonly RunRow[], report: string | undefined): Promise<string> {
  const { figure, table } = await import("./table.ts");
  const { join } = await import("node:path");
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
