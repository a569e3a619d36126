// What `fathom sweep` does: plans all runs of an experiment, and runs what is not finished. Heavy to import, so sweep.ts loads it
// when it is asked for.

import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { checkData } from "../build.ts";
import { loadSweep } from "../config/load.ts";
import { loadRegistries } from "../config/registries.ts";
import { UserError } from "../errors.ts";
import { readHalving } from "../halving.ts";
import { beginSweep, decide, populationOf, requireEngines, type Decision, type Launching } from "../launch.ts";
import { experimentFolder } from "../run-one.ts";
import { inItsPlace, statusOf } from "../runs/experiment.ts";
import { planRuns, readManifest, type ManifestEntry, type Plan } from "../runs/manifest.ts";
import { runFolder } from "../runs/run-folder.ts";
import { groupBy } from "../statistics.ts";
import type { RunRow } from "../types.ts";
import { launchingOf, launchRuns, type LaunchArguments } from "./launch.ts";
import { type ConfigurationEstimate } from "./estimate-text.ts";
import { table } from "./table.ts";
import { exitCodes, print } from "./verb.ts";

/** The arguments of `fathom sweep`. */
export interface SweepArguments extends LaunchArguments {
  readonly config: string;
  readonly overrides: readonly string[];
  readonly out: string;
  /** Print what would run and why; run nothing. */
  readonly plan: boolean;
  /** Print what the runs will take; run nothing. */
  readonly estimate: boolean;
}

/** Plans and runs an experiment; the exit code. */
export async function runSweep(args: SweepArguments): Promise<number> {
  const { config: file, overrides, out, quiet, json } = args;
  const how = launchingOf(args);
  const { name, runs, notes, halving, text: authorsText } = loadSweep(file, overrides, await loadRegistries());
  const experimentDir = experimentFolder(out, name);
  if (halving) refuseMaxRuns(how);
  const plan = planRuns(experimentDir, runs);
  const say = (text: string): void => void (quiet || json || console.error(text));
  for (const note of [...notes, ...planNotes(plan, file)]) say(note);
  if (halving)
    say(
      `successive halving from step ${halving.from}: of the configurations one in ${halving.factor} goes on at each comparison`,
    );
  const decided = decide(experimentDir, plan);
  const asked = decided.filter(({ action }) => action === "run").map(({ entry }) => entry);
  await checkData(asked.map(({ config }) => config));
  if (args.plan) {
    console.log(json ? JSON.stringify(decided.map(toJson), null, 2) : planText(decided));
    return exitCodes.done;
  }
  if (args.estimate) return estimateSweep(asked, args);
  await beginSweep(experimentDir, plan, asked, {
    ...how,
    text: authorsText,
    overrides,
    isHalved: halving !== undefined,
  });
  say(`${experimentDir}: ${decided.length} runs, ${decided.length - asked.length} finished, ${asked.length} to run`);
  return launchRuns(experimentDir, asked, how, halving && { rule: halving, population: populationOf(plan) });
}

/** Prints what the runs to come will take, each configuration once, whatever its seeds; the exit code. Nothing is written. Each is
 *  estimated in a process of its own, as it would run: what one leaves in memory must not count as another's. */
async function estimateSweep(
  due: readonly ManifestEntry[],
  { config: file, overrides, quiet, json }: SweepArguments,
): Promise<number> {
  const { sweepEstimateText } = await import("./estimate-text.ts");
  const groups = groupBy(due, ({ config }) => JSON.stringify({ ...config, seed: 0 }));
  const estimates: ConfigurationEstimate[] = [];
  for (const [first, ...others] of groups.values()) {
    const { id, varied, config } = first!;
    if (!quiet && !json)
      console.error(`${estimates.length + 1} of ${groups.size}: timing a few steps of ${id}; nothing is written ...`);
    const values = Object.entries({ ...varied, seed: config.seed }).map(
      ([key, value]) => `${key}=${JSON.stringify(value)}`,
    );
    const estimate = await estimated(["train", file, ...overrides, ...values, "--estimate", "--json"]);
    estimates.push({ varied, runs: 1 + others.length, estimate });
  }
  print({ quiet, json }, estimates, () => sweepEstimateText(estimates));
  return exitCodes.done;
}

const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));

/** What `fathom train --estimate --json` prints; a `UserError` with its words where that is nothing. */
async function estimated(args: readonly string[]): Promise<ConfigurationEstimate["estimate"]> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  // One that does not fit is printed, too, and ends with 2.
  if (stdout.trim() !== "") return JSON.parse(stdout) as ConfigurationEstimate["estimate"];
  throw new UserError(
    stripVTControlCharacters(stderr)
      .trim()
      .replace(/^fathom: /, "") || "the estimate ended without a word",
  );
}

/** Goes on with the runs of an experiment that are not finished, or with those of some statuses; the exit code. A run that
 *  another process works on is left to it: `running` ones are asked, since their process may have just ended. */
export async function resumeRuns(
  experimentDir: string,
  wanted: readonly ("failed" | "stale")[],
  args: LaunchArguments,
): Promise<number> {
  const how = launchingOf(args);
  const entries = readManifest(experimentDir);
  if (entries.length === 0)
    throw new UserError(
      `${experimentDir}: expected the folder of a sweep (with manifest.jsonl), got ${inItsPlace(experimentDir)}; ` +
        `\`fathom sweep CONFIG\` plans one, and \`fathom train\` goes on with a run of its own`,
    );
  const halving = readHalving(experimentDir);
  if (halving && wanted.length > 0)
    throw new UserError(
      `--${wanted[0]}: expected without sweep.halving, which this experiment was swept with: its runs are compared at the same steps; ` +
        `leave it out to go on with all`,
    );
  if (halving) refuseMaxRuns(how);
  const unfinished: readonly RunRow["status"][] =
    wanted.length > 0 ? wanted : ["pending", "running", "stale", "failed"];
  const due = entries.filter(({ id }) => unfinished.includes(statusOf(runFolder(experimentDir, id))));
  if (due.length === 0 && wanted.length > 0 && !how.json) {
    if (!how.quiet)
      console.log(`${experimentDir}: nothing to do, no run is ${wanted.join(" or ")}; \`fathom status\` shows all`);
    return exitCodes.done;
  }
  await requireEngines(due, how);
  if (!how.quiet && !how.json)
    console.error(
      `${experimentDir}: ${entries.length} runs, ${due.length} ${wanted.length > 0 ? wanted.join(" or ") : "not finished"}`,
    );
  const compared = new Set(halving?.runs);
  const population = entries.filter(({ id }) => compared.has(id));
  return launchRuns(experimentDir, due, how, halving && { rule: halving, population });
}

function refuseMaxRuns({ maxRuns }: Pick<Launching, "maxRuns">): void {
  if (maxRuns < Infinity)
    throw new UserError("--max-runs: expected without sweep.halving, which compares all runs at the same steps");
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
