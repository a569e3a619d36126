// What `fathom status` does: looks at the runs of an experiment, says how far they are and how long they will take, once or until they
// have all ended.

import { clearScreenDown, moveCursor } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { readExperiment, type Experiment, type ExperimentRun } from "../runs/experiment.ts";
import { codeNotes } from "../runs/origin.ts";
import { pacesOf, type Pace } from "../runs/pace.ts";
import { extent, groupBy } from "../statistics.ts";
import type { RunRow } from "../types.ts";
import { compareRuns, spreadText } from "./compare.ts";
import { readHalving } from "../halving.ts";
import { duration } from "./progress.ts";
import { interruption } from "./run-one.ts";
import { figure, table } from "./table.ts";
import { exitCodes } from "./verb.ts";

/** How far a run is. */
export interface RunStatus extends RunRow, Pace {
  /** Steps it is to train in all; 0 where that is not known yet. */
  readonly plannedSteps: number;
  /** The step at which it waits to be told whether it goes on (successive halving). */
  readonly waitsAt?: number;
  /** What is missing or cannot be read of it; `reason` says the same. */
  readonly damage?: string;
  /** Where it was made; null outside a git repository, and before it has begun. */
  readonly git: { readonly commit: string; readonly dirty: boolean } | null;
}

/** An experiment at a moment. */
export interface Look {
  readonly experiment: Experiment;
  readonly statuses: readonly RunStatus[];
  /** Whether some of its runs are stopped early by comparison. */
  readonly isHalved: boolean;
}

/** Looks at an experiment; a `UserError` where there is none. */
export function lookAt(folder: string): Look {
  const experiment = readExperiment(folder);
  return { experiment, statuses: statusesOf(experiment.runs), isHalved: readHalving(folder) !== undefined };
}

/** The status of the runs of an experiment. */
export function statusesOf(runs: readonly ExperimentRun[]): RunStatus[] {
  const paces = pacesOf(
    runs.map(({ row, plannedSteps }) => ({
      steps: row.steps,
      plannedSteps,
      seconds: row.seconds,
      configuration: JSON.stringify(row.config),
      end: !hasEnded(row) ? undefined : row.status === "failed" ? "broken" : "over",
    })),
  );
  return runs.map(({ row, plannedSteps, waitsAt, damage, madeWith }, i) => ({
    ...row,
    plannedSteps,
    ...paces[i]!,
    ...(row.status === "stale" && waitsAt !== undefined && { waitsAt }),
    ...(damage !== undefined && { damage }),
    git: madeWith?.git ?? null,
  }));
}

const hasEnded = ({ status }: Pick<RunRow, "status">): boolean => ["done", "diverged", "failed"].includes(status);

/** Lines of runs beyond which they are summed up. */
const mostLines = 50;

/** A table of the runs, or where they are more than `lines` of those that matter and of the best configurations; and a summary. */
export function statusText(look: Look, lines = mostLines, width = Infinity): string {
  const { experiment, statuses } = look;
  const runs = statuses.length > lines ? summedUp(look, lines, width) : runsTable(statuses, width);
  const made = experiment.runs.flatMap(({ madeWith }) => madeWith ?? []);
  return [runs, "", endLine(look), ...codeNotes(made)].join("\n");
}

/** Characters of the columns between a run's name and its reason. */
const othersWidth = 62;

function runsTable(statuses: readonly RunStatus[], width = Infinity): string {
  const longest = Math.max(12, width - othersWidth);
  const rows = statuses.map((run) => [
    run.id.length > longest ? `${run.id.slice(0, longest - 10)}..${run.id.slice(-8)}` : run.id,
    shownStatus(run),
    `${run.steps}/${run.plannedSteps || "?"}`,
    figure(run.finalTrainLoss),
    figure(run.finalDevLoss),
    figure(run.secondsPerStep),
    hasEnded(run) ? "-" : duration(run.secondsLeft),
    oneLine(run.reason),
  ]);
  return table(["run", "status", "steps", "train loss", "dev loss", "s/step", "left", "reason"], rows);
}

const shownStatus = ({ status, waitsAt, damage }: RunStatus): string =>
  damage !== undefined ? "damaged" : waitsAt === undefined ? status : "waiting";

/** Characters of a reason that a table shows; `--json` has all. */
const longestReason = 120;

function oneLine(reason: string): string {
  const [first] = reason.split("\n");
  return first!.length < reason.length || first!.length > longestReason
    ? `${first!.slice(0, longestReason)} ...`
    : reason;
}

/** In what order runs matter to whoever watches many: `done` ones are told by their configurations, `pending` ones by their number. */
const mattering = ["running", "failed", "damaged", "waiting", "stale", "diverged"];

/** Runs that are shown beside configurations, which get ten lines. */
function summedUp({ experiment, statuses }: Look, lines: number, width: number): string {
  const parts: string[] = [];
  const matter = mattering.flatMap((status) => statuses.filter((run) => shownStatus(run) === status));
  const shown = matter.slice(0, Math.max(5, Math.min(20, lines - 20)));
  if (shown.length > 0) parts.push(runsTable(shown, width));
  if (matter.length > shown.length) parts.push(`and ${countsText(matter.slice(shown.length))}; --all shows every run`);
  const finished = compareRuns(experiment.name, experiment.runs).filter(({ finalDevLoss }) => finalDevLoss.n > 0);
  const best = [...finished].sort((a, b) => a.finalDevLoss.mean - b.finalDevLoss.mean).slice(0, 10);
  if (best.length > 0) {
    const rows = best.map(({ config, finalDevLoss }) => [
      ...experiment.varied.map((key) => String(config[key] ?? "-")),
      finalDevLoss.n,
      spreadText(finalDevLoss, figure),
    ]);
    parts.push(
      table([...experiment.varied, "done", "dev loss"], rows),
      `the best of ${finished.length} configurations with runs that are done; \`fathom compare\` shows all`,
    );
  }
  return parts.join("\n\n");
}

/** `3 done (1 stopped early), 1 running, 4 pending`. */
function countsText(statuses: readonly RunStatus[]): string {
  const groups = groupBy(statuses, shownStatus);
  const order = ["done", "diverged", "failed", "damaged", "running", "waiting", "stale", "pending"];
  const counts = order.flatMap((name) => {
    const runs = groups.get(name) ?? [];
    const stopped = name === "done" ? runs.filter(({ reason }) => reason.startsWith("stopped ")).length : 0;
    return runs.length > 0 ? `${runs.length} ${name}${stopped > 0 ? ` (${stopped} stopped early)` : ""}` : [];
  });
  return counts.join(", ");
}

/** How many runs are how far, and how long all of them will take. */
export function endLine({ statuses, isHalved }: Look): string {
  if (statuses.length === 0) return "no runs yet";
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const steps = sum(statuses.map((run) => run.steps));
  const planned = sum(statuses.map((run) => (hasEnded(run) ? run.steps : run.plannedSteps)));
  const open = statuses.filter((run) => !hasEnded(run));
  const known = open.filter((run) => Number.isFinite(run.secondsLeft));
  const parts = [countsText(statuses)];
  if (open.length > 0 && open.every((run) => run.plannedSteps > 0)) parts.push(`${steps} of ${planned} steps`);
  if (known.length > 0) {
    const about = isHalved ? "at most" : "about";
    const left = known.map((run) => run.secondsLeft);
    const running = open.filter(({ status }) => status === "running").length;
    parts.push(
      running > 0
        ? `${about} ${duration(Math.max(sum(left) / running, extent(left)[1]))} left at ${running} ${running === 1 ? "run" : "runs"} at once`
        : `${about} ${duration(sum(left))} of runs left, none is running`,
    );
  }
  if (open.length > known.length) parts.push(`time left unknown of ${open.length - known.length}`);
  return parts.join("; ");
}

/** Seconds between two looks, at least, and between two lines where there is no terminal. */
const betweenLooks = 2;
const betweenLines = 10;

/** Looks at an experiment until its runs have all ended, or until it is interrupted; the exit code. On a terminal the text stays current,
 *  elsewhere a line is printed now and then when something has changed: the summary, or with `json` all runs. */
export async function watchRuns(
  folder: string,
  { quiet, json, all }: { quiet: boolean; json: boolean; all: boolean },
): Promise<number> {
  const interrupt = interruption();
  const isDrawn = process.stdout.isTTY && !json && !quiet;
  let printed = { text: "", at: -Infinity };
  let drawn = 0;
  try {
    for (;;) {
      const start = performance.now();
      const look = lookAt(folder);
      const isOver = look.statuses.every(hasEnded);
      if (isDrawn)
        drawn = draw(
          statusText(
            look,
            all ? Infinity : Math.min(mostLines, (process.stdout.rows ?? mostLines) - 8),
            process.stdout.columns ?? 80,
          ),
          drawn,
        );
      else if (!quiet && (isOver || start - printed.at >= 1000 * betweenLines)) {
        // Seconds pass whether or not anything happens.
        const text = JSON.stringify(look.statuses.map(({ id, status, steps }) => [id, status, steps]));
        if (text !== printed.text) {
          console.log(json ? JSON.stringify(look.statuses) : endLine(look));
          printed = { text, at: start };
        }
      }
      if (isOver) return exitCodes.done;
      // Many runs take long to look at: that is not to keep a core busy.
      const pause = Math.max(1000 * betweenLooks, 4 * (performance.now() - start));
      await sleep(pause, undefined, { signal: interrupt.signal }).catch(() => {});
      if (interrupt.signal.aborted) return exitCodes.interrupted;
    }
  } finally {
    interrupt.dispose();
  }
}

/** Draws a text over the last one, of which `drawn` lines are there, cut to the terminal; the number of its lines. */
function draw(text: string, drawn: number): number {
  const { columns = 80, rows = 24 } = process.stdout;
  const lines = text.split("\n").slice(1 - rows);
  const cut = lines.map((line) => {
    const plain = stripVTControlCharacters(line);
    return plain.length > columns ? plain.slice(0, columns) : line;
  });
  // What follows the last table is a sentence, of which the end counts most.
  const last = stripVTControlCharacters(lines.at(-1)!);
  if (last.length > columns) cut.splice(-1, 1, ...wrapped(last, columns));
  moveCursor(process.stdout, 0, -drawn);
  clearScreenDown(process.stdout);
  process.stdout.write(`${cut.join("\n")}\n`);
  return cut.length;
}

/** A sentence in lines of a width. */
function wrapped(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) === "" ? word : `${lines.at(-1)} ${word}`;
    if (longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
