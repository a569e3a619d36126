// What the reading threads do: each job is a function of plain data, since question and answer travel between threads.

import { messageOf } from "../errors.ts";
import type { Curve, LayerWindow, Verification } from "./api.ts";
import type { Desk } from "./desk.ts";
import { layerTable } from "./layer-table.ts";
import { metricTable } from "./metric-table.ts";
import { outlineOf, planOf, type Outline } from "./plan.ts";
import { factsOf, glanceAt, stateOf, type RunFacts, type RunGlance, type RunPlace } from "./run-facts.ts";
import { pictureOf, recordOf, samplesOf, translationsOf } from "./run-files.ts";
import { verificationOf } from "./verification.ts";
import { curveOf, extentOf, layerWindowOf, seriesOf, type StepWindow } from "./windows.ts";

/** Curves of some runs; the runs that cannot be read are left out, with the reason. */
export interface CurvesPart {
  readonly extent: readonly [number, number] | null;
  readonly curves: readonly Curve[];
  readonly damage: readonly string[];
}

/** Layers of some runs; the runs that cannot be read are left out, with the reason. */
export interface LayersPart {
  readonly windows: readonly LayerWindow[];
  readonly damage: readonly string[];
}

/** The jobs by name. */
export const jobs = {
  outlines: (desk: Desk, dirs: readonly string[]): Outline[] => dirs.map((dir) => outlineOf(desk, dir)),

  plan: planOf,

  glances: (desk: Desk, runs: readonly RunPlace[]): RunGlance[] => runs.map((run) => glanceAt(desk, run)),

  facts: (desk: Desk, runs: readonly RunPlace[]): RunFacts[] => runs.map((run) => factsOf(desk, run)),

  curves(
    { root, tables }: Desk,
    runs: readonly RunPlace[],
    { split, metric, window, points }: { split: string; metric: string; window: StepWindow; points: number },
  ): CurvesPart {
    const curves: Curve[] = [];
    let extent: [number, number] | null = null;
    const damage = readable(root, runs, ({ id, dir }, key) => {
      const series = seriesOf(metricTable(dir, key, tables), split, metric);
      const own = series && extentOf(series);
      if (!own) return;
      extent = extent ? [Math.min(extent[0], own[0]), Math.max(extent[1], own[1])] : own;
      curves.push(curveOf(id, series, window, points));
    });
    return { extent, curves, damage };
  },

  layers(
    { root, tables }: Desk,
    runs: readonly RunPlace[],
    { quantity, window, bins }: { quantity: string; window: StepWindow; bins: number },
  ): LayersPart {
    const windows: LayerWindow[] = [];
    const damage = readable(root, runs, ({ id, dir }, key) => {
      const found = layerWindowOf(id, layerTable(dir, key, tables), quantity, window, bins);
      if (found) windows.push(found);
    });
    return { windows, damage };
  },

  samples: samplesOf,
  picture: pictureOf,
  translations: translationsOf,
  record: recordOf,

  verification: ({ root }: Desk): Verification => verificationOf(root),
} as const;

/** Does `read` with each run that has a folder; why the others cannot be read. */
function readable(root: string, runs: readonly RunPlace[], read: (run: RunPlace, key: string) => void): string[] {
  return runs.flatMap((run) => {
    const { key, isThere, damage } = stateOf(root, run.dir);
    const reason = run.damage ?? damage;
    if (reason !== undefined) return [reason];
    try {
      if (isThere) read(run, key);
      return [];
    } catch (error) {
      return [messageOf(error)];
    }
  });
}
