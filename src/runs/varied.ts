// What tells the runs of an experiment apart. Runs that agree in it are seeds of one configuration: everything that
// averages or labels runs goes by these keys.

import { variedValue, type Varied } from "../config/identity.ts";
import { valueAt } from "../config/problems.ts";
import type { RunConfig } from "../config/schema.ts";

/** A run by the keys its sweep varied (none for `fathom train`) and its resolved configuration. */
export interface Distinguished {
  readonly varied: Varied;
  readonly config: RunConfig;
}

/** The keys the sweep varies, and those in which configurations differ beyond them (runs of `fathom train`; a sweep asked
 *  for again with other overrides): they must not pass for seeds of one configuration. A key that tells no runs apart
 *  which others have not told apart already is left out (a scheme decides on its final norm). */
export function variedKeys(runs: readonly Distinguished[]): string[] {
  const keys = [...new Set(runs.flatMap(({ varied }) => Object.keys(varied)))];
  const flat = runs.map(({ config }) => new Map(leaves(config, "")));
  let told = runs.map(({ config }) => JSON.stringify(keys.map((key) => valueOf(config, key))));
  const first = ["model.residual", "model.depth"];
  for (const path of new Set([...first, ...flat.flatMap((values) => [...values.keys()])])) {
    if (path === "seed" || path === "name") continue;
    const finer = told.map((known, i) => `${known} ${flat[i]!.get(path)}`);
    if (new Set(finer).size === new Set(told).size) continue;
    keys.push(path);
    told = finer;
  }
  return keys;
}

/** A run's values of `keys`: as the sweep wrote them, else as the configuration has them. */
export const variedValues = ({ varied, config }: Distinguished, keys: readonly string[]): Varied =>
  Object.fromEntries(keys.map((key) => [key, varied[key] ?? valueOf(config, key)]));

/** A resolved depth names both stacks; sweeps write one number for both, and the two must not pass for different. */
function valueOf(config: RunConfig, key: string): Varied[string] {
  const depths = [...new Set<number>(Object.values(config.model.depth ?? {}))];
  return key === "model.depth" && depths.length === 1 ? depths[0]! : variedValue(valueAt(config, key.split(".")));
}

function leaves(value: unknown, path: string): [path: string, value: string][] {
  const whole = typeof value !== "object" || value === null || Array.isArray(value) || path === "model.depth";
  if (whole) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === "" ? key : `${path}.${key}`));
}
