// Successive halving (Jamieson & Talwalkar 2016, Non-stochastic best arm identification, algorithm 1): all runs train to a step, the
// best of the configurations go on to a later one, and so forth. What is decided follows from the dev losses alone, at the same step
// of every run: neither the number of runs at once nor an interruption changes it.

import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Varied } from "./config/identity.ts";
import type { SweepConfig } from "./config/schema.ts";
import { UserError } from "./errors.ts";
import type { Outcome } from "./launchers/launcher.ts";
import { isFile, writeWhole } from "./runs/files.ts";
import type { ManifestEntry } from "./runs/manifest.ts";
import { endOf, isFinished, readRun, runFolder, updateRun } from "./runs/run-folder.ts";
import { readMetrics } from "./runs/tables.ts";
import { groupBy, mean } from "./statistics.ts";
import { claimRun } from "./run-one.ts";

/** `sweep.halving`: configurations are compared at the steps from, from x factor, from x factor^2 ..., and the best ceil(n / factor) of
 *  n go on. */
export type Halving = NonNullable<SweepConfig["halving"]>;

/** What was decided at a step, as `halving.json` tells it. */
export interface Rung {
  readonly step: number;
  /** The best first: means over seeds, null where a run diverged; a configuration of which a run failed is not compared, and is not
   *  stopped. */
  readonly ranked: readonly Ranked[];
}

interface Ranked {
  readonly config: Varied;
  readonly runs: readonly string[];
  readonly devLoss: number | null;
  readonly goesOn: boolean;
}

const halvingFile = (experimentDir: string): string => join(experimentDir, "halving.json");

const halvingSchema = z.object({
  from: z.int().min(1),
  factor: z.int().min(2),
  /** Ids of the runs that are compared. */
  runs: z.array(z.string()),
});
/** Bytes of the file at most: 200 a run, of which a sweep has 100,000, at each of some rungs. */
const maxBytes = 2 ** 28;

/** The rule by which an experiment was last swept, and the runs that it compares; undefined where by none. A `UserError` where its file
 *  was changed by hand. */
export function readHalving(experimentDir: string): z.output<typeof halvingSchema> | undefined {
  const file = halvingFile(experimentDir);
  if (!isFile(file)) return undefined;
  try {
    if (statSync(file).size > maxBytes) throw new Error("too large");
    return halvingSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    throw new UserError(
      `${file}: expected what successive halving has decided, got something else; sweep again or remove it`,
    );
  }
}

/** Forgets that an experiment was swept with comparisons: it is no longer. Runs that were stopped stay so. */
export const forgetHalving = (experimentDir: string): void => rmSync(halvingFile(experimentDir), { force: true });

/** Trains the runs of `population` as far as they are compared, stops those that are not among the best, and gives the others.
 *  Where some did not get as far as the comparison (interrupted, in other hands) it ends there, and none goes on. */
export async function halve(
  experimentDir: string,
  population: readonly ManifestEntry[],
  { from, factor }: Halving,
  {
    launch,
    say,
  }: { launch(entries: readonly ManifestEntry[], until: number): Promise<Outcome[]>; say(line: string): void },
): Promise<readonly ManifestEntry[]> {
  const rungs: Rung[] = [];
  const runs = population.map(({ id }) => id);
  const keep = (): void =>
    writeWhole(halvingFile(experimentDir), `${JSON.stringify({ from, factor, runs, rungs }, null, 2)}\n`);
  keep();
  let alive = population;
  const last = Math.max(...population.map(({ config }) => config.train.steps ?? 0));
  for (let step = from; step < last; step *= factor) {
    const due = alive.filter(({ id }) => {
      const end = endOf(runFolder(experimentDir, id), step);
      return !end || end.status === "failed";
    });
    const outcomes = await launch(due, step);
    if (outcomes.some(({ status }) => ["interrupted", "skipped", "busy", "left"].includes(status))) return [];
    const rung = rank(experimentDir, alive, step, factor);
    rungs.push(rung);
    keep();
    const stopped = new Set(rung.ranked.filter(({ goesOn }) => !goesOn).flatMap(({ runs }) => runs));
    say(`step ${step}: ${rung.ranked.length} configurations, ${rung.ranked.filter((one) => one.goesOn).length} go on`);
    for (const [place, ranked] of rung.ranked.entries())
      if (!ranked.goesOn) for (const id of ranked.runs) await stop(runFolder(experimentDir, id), rung, { place, say });
    alive = alive.filter(({ id }) => !stopped.has(id));
  }
  return alive.filter(({ id }) => !isFinished(runFolder(experimentDir, id)));
}

function rank(experimentDir: string, entries: readonly ManifestEntry[], step: number, factor: number): Rung {
  const groups = [...groupBy(entries, ({ varied }) => JSON.stringify(varied)).values()];
  const compared = groups.filter((runs) =>
    runs.every(({ id }) => endOf(runFolder(experimentDir, id), step)?.status !== "failed"),
  );
  const ranked = compared
    .map((runs) => ({
      config: runs[0]!.varied,
      runs: runs.map(({ id }) => id),
      devLoss: mean(runs.map(({ id }) => devLossAt(runFolder(experimentDir, id), step))),
    }))
    .sort((a, b) => a.devLoss - b.devLoss || 0); // stable: of equals, and of infinities, the first in the manifest
  // Where runs were added since, one that was stopped here may be among the best now. It cannot go on, and takes no place.
  const places = Math.ceil(ranked.length / factor);
  const canGoOn = ranked.filter(({ runs }) => runs.every((id) => !isHalved(runFolder(experimentDir, id), step)));
  const best = new Set(canGoOn.slice(0, places));
  return {
    step,
    ranked: ranked.map((one) => ({
      ...one,
      devLoss: Number.isFinite(one.devLoss) ? one.devLoss : null,
      goesOn: best.has(one),
    })),
  };
}

/** Whether a run was stopped at this step or before. */
const isHalved = (runDir: string, step: number): boolean => (readRun(runDir)?.halvedAt ?? Infinity) <= step;

/** The dev loss of a run at a step, its last where it ended before that; infinite where it diverged. */
function devLossAt(runDir: string, step: number): number {
  const losses = readMetrics(runDir).filter((row) => row.split === "dev" && row.name === "loss" && row.step <= step);
  const value = endOf(runDir, step)?.status === "diverged" ? NaN : losses.at(-1)?.value;
  return value !== undefined && Number.isFinite(value) ? value : Infinity;
}

/** Ends a run that waits, and says why. */
async function stop(
  runDir: string,
  { step, ranked }: Rung,
  { place, say }: { place: number; say(line: string): void },
): Promise<void> {
  if (endOf(runDir, step)?.status !== "waiting") return;
  const lease = await claimRun(runDir, say);
  const { devLoss, runs } = ranked[place]!;
  const goOn = ranked.filter((one) => one.goesOn).length;
  const loss =
    devLoss === null
      ? "is not finite"
      : `${devLoss.toPrecision(6)}${runs.length > 1 ? ` over ${runs.length} seeds` : ""}`;
  updateRun(runDir, {
    status: "done",
    steps: step,
    waitsAt: undefined,
    halvedAt: step,
    reason: `stopped at step ${step} by successive halving: dev loss ${loss}, place ${place + 1} of ${ranked.length}, of which ${goOn} go on`,
    finished: new Date().toISOString(),
  });
  await lease.release();
}
