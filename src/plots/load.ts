// From an experiment's folder to the rows that figures and reports are made of.

import { readExperiment, type ExperimentRun } from "../runs/experiment.ts";
import { readLayers, readMetrics } from "../runs/tables.ts";
import type { LayerRow, RunRow } from "../types.ts";
import type { ExperimentData } from "./experiment.ts";
import { counts } from "./layer-series.ts";

/** An experiment's rows, and its runs with their folders and configurations. */
export interface LoadedExperiment {
  readonly data: ExperimentData;
  readonly runs: readonly ExperimentRun[];
}

/** The rows of an experiment's folder. Layer rows are summed up to one a layer, step and quantity (L2 over all of the
 *  layer's parameters) while they are read, since the parameters' own may run to millions. Throws `UserError` where the
 *  folder is no experiment. */
export function loadExperiment(experimentDir: string): LoadedExperiment {
  const { name, runs } = readExperiment(experimentDir);
  const varied = variedKeys(runs);
  const data = {
    name,
    varied,
    runs: runs.map(({ dir, row, config }) => ({
      row: { ...row, config: Object.fromEntries(varied.map((key) => [key, row.config[key] ?? valueAt(config, key)])) },
      metrics: readMetrics(dir),
      layers: summed(
        readLayers(dir, (identity) => identity.quantity !== "activation" && counts(identity, identity.quantity)),
      ),
    })),
  };
  return { data, runs };
}

/** One row for each step, layer and quantity: l2 and max over the rows, rms from their counts. */
export function summed(rows: readonly LayerRow[]): LayerRow[] {
  const groups = new Map<string, { first: LayerRow; squares: number; max: number; count: number }>();
  for (const row of rows) {
    const key = `${row.step}/${row.player}/${row.stack}/${row.layer}/${row.quantity}`;
    const group = groups.get(key);
    if (!group) groups.set(key, { first: row, squares: row.l2 ** 2, max: row.max, count: row.count });
    else {
      group.squares += row.l2 ** 2;
      group.max = Math.max(group.max, row.max);
      group.count += row.count;
    }
  }
  return Array.from(groups.values(), ({ first, squares, max, count }) => ({
    ...first,
    ...(first.quantity.startsWith("activation") ? {} : { component: "all", parameter: "all" }),
    l2: Math.sqrt(squares),
    rms: Math.sqrt(squares / count),
    max,
    count,
  }));
}

/** The keys the sweep varies, and, where runs of `fathom train` stand beside a sweep's (or each other), those in which
 *  their configurations differ: they must not pass for seeds of one configuration. A key that tells no runs apart which
 *  others have not told apart already is left out (a scheme decides on its final norm). */
export function variedKeys(runs: readonly Pick<ExperimentRun, "row" | "config">[]): string[] {
  const keys = [...new Set(runs.flatMap(({ row }) => Object.keys(row.config)))];
  if (!runs.some(({ row }) => Object.keys(row.config).length < keys.length || keys.length === 0)) return keys;
  const flat = runs.map(({ config }) => new Map(leaves(config, "")));
  const told = runs.map(({ config }) => JSON.stringify(keys.map((key) => valueAt(config, key))));
  const first = ["model.residual", "model.depth"];
  const paths = new Set([...first, ...flat.flatMap((values) => [...values.keys()])]);
  for (const path of paths) {
    if (path === "seed" || path === "name") continue;
    const finer = told.map((known, i) => `${known} ${flat[i]!.get(path)}`);
    if (new Set(finer).size === new Set(told).size) continue;
    keys.push(path);
    told.splice(0, told.length, ...finer);
  }
  return keys;
}

function leaves(value: unknown, path: string): [path: string, value: string][] {
  const whole = typeof value !== "object" || value === null || Array.isArray(value) || path === "model.depth";
  if (whole) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === "" ? key : `${path}.${key}`));
}

function valueAt(config: unknown, key: string): RunRow["config"][string] {
  let value: unknown = config;
  for (const part of key.split("."))
    value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[part] : undefined;
  if (value === undefined) return null;
  return typeof value === "object" && value !== null
    ? JSON.stringify(value)
    : (value as string | number | boolean | null);
}
