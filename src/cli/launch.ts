// How the verbs that launch runs take their options, show progress and say what came out. src/launch.ts launches.

import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { Halving } from "../halving.ts";
import { launchAll, writeFindings, type Launching, type Watch } from "../launch.ts";
import * as launchers from "../launchers/index.ts";
import type { Launcher, Outcome } from "../launchers/launcher.ts";
import { lookup, unknownName } from "../registry.ts";
import type { ManifestEntry } from "../runs/manifest.ts";
import { codeNotes } from "../runs/origin.ts";
import type { RunRow } from "../types.ts";
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
export interface ShownLaunching extends Launching, Pick<LaunchArguments, "quiet" | "json"> {}

/** Checks the options of a verb that launches runs. */
export function launchingOf(args: LaunchArguments): ShownLaunching {
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
  how: ShownLaunching,
  halving?: { readonly rule: Halving; readonly population: readonly ManifestEntry[] },
): Promise<number> {
  const { quiet, json } = how;
  const say = (text: string): void => void (quiet || json || console.error(text));
  const interrupt = interruption();
  let outcomes: Outcome[];
  try {
    const launching = { ...how, signal: interrupt.signal };
    outcomes = await launchAll(experimentDir, due, launching, () => shown(how), { say, halving, draws: true });
  } finally {
    interrupt.dispose();
  }
  const { experiment, report } = await writeFindings(experimentDir, !interrupt.signal.aborted);
  const { runs } = experiment;
  const rows = runs.map(({ row }) => row);
  for (const note of codeNotes(runs.flatMap(({ madeWith }) => madeWith ?? []))) say(note);
  if (json) console.log(JSON.stringify({ experiment: experimentDir, report: report ?? null, runs: rows }, null, 2));
  else if (!quiet) console.log(endText(experimentDir, rows, report));
  return exitCodeOf(outcomes, interrupt.signal.aborted);
}

/** Progress of runs that are launched together, on the terminal. Of those that an interruption kept from being started it says how many. */
export function shown({ quiet, json }: Pick<ShownLaunching, "quiet" | "json">): Watch {
  const view = progressView(quiet || json);
  let skipped = 0;
  return {
    ...view,
    end({ job, status }, line, failure) {
      if (status === "skipped") {
        skipped += 1;
        return;
      }
      // Errors are what --quiet does not silence.
      if (failure !== "" && (quiet || json)) console.error(`fathom: ${line}`);
      view.end(job.id, line);
    },
    stop() {
      if (skipped > 0) view.say(`${skipped} ${skipped === 1 ? "run was" : "runs were"} not started`);
      skipped = 0;
      view.stop();
    },
  };
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
