// From an experiment's folder to the rows that figures and reports are made of.

import type { RunConfig } from "../config/schema.ts";
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
 *  their configurations differ: they must not pass for seeds of one configuration. */
export function variedKeys(runs: readonly Pick<ExperimentRun, "row" | "config">[]): string[] {
  const keys = new Set(runs.flatMap(({ row }) => Object.keys(row.config)));
  if (runs.some(({ row }) => Object.keys(row.config).length < keys.size || keys.size === 0))
    for (const key of differences(runs.map(({ config }) => config))) if (!covered(keys, key)) keys.add(key);
  return [...keys];
}

/** Whether a key or one above or below it is listed: `model.depth` covers `model.depth.encoder`. */
const covered = (keys: ReadonlySet<string>, key: string): boolean =>
  [...keys].some((known) => key === known || key.startsWith(`${known}.`) || known.startsWith(`${key}.`));

/** Paths of the values in which configurations differ, seed and name apart. */
function differences(configs: readonly RunConfig[]): string[] {
  const flat = configs.map((config) => new Map(leaves(config, "")));
  const paths = new Set(flat.flatMap((values) => [...values.keys()]));
  return [...paths].filter(
    (path) => path !== "seed" && path !== "name" && new Set(flat.map((values) => values.get(path))).size > 1,
  );
}

function leaves(value: unknown, path: string): [path: string, value: string][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [[path, JSON.stringify(value)]];
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
