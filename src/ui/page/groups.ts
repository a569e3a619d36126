// Which runs are seeds of one configuration, and how configurations and runs are called.

import { groupBy } from "../../statistics.ts";
import type { ConfigValue, ExperimentView, RunView } from "../api.ts";
import { configText, shortKeys } from "./format.ts";

/** Runs that agree in every key that tells runs apart, seeds aside. */
export interface Group {
  /** The same in every view, whatever else is shown. */
  readonly key: string;
  /** `post-ln, depth 6`. */
  readonly name: string;
  readonly runs: readonly RunView[];
}

/** The keys that tell configurations apart: all varied ones but the seed. */
export const configKeys = ({ varied }: Pick<ExperimentView, "varied">): string[] =>
  varied.filter((key) => key !== "seed");

/** `runs` grouped by their values of `keys`. */
export function groupsOf(runs: readonly RunView[], keys: readonly string[]): Group[] {
  const names = shortKeys(keys);
  return [...groupBy(runs, (run) => JSON.stringify(keys.map((key) => run.config[key] ?? null)))].map(([key, same]) => ({
    key,
    name: nameOf(same[0]!, keys, names) || "all runs",
    runs: same,
  }));
}

/** Groups in the order of their keys: numbers by size, words as they first appear. */
export function orderedGroups(runs: readonly RunView[], keys: readonly string[]): Group[] {
  return groupsOf(runs, keys).sort((a, b) => {
    for (const key of keys) {
      const [one, other] = [a.runs[0]!.config[key], b.runs[0]!.config[key]];
      const order =
        typeof one === "string" && typeof other === "string"
          ? first(runs, key, one) - first(runs, key, other)
          : compareValues(one, other);
      if (order !== 0) return order;
    }
    return 0;
  });
}

/** The seeds of one configuration, as a line among others. */
export interface LineGroup extends Group {
  /** The group of its value of the key that colours stand for. */
  readonly colourKey: string;
  readonly isDashed: boolean;
}

/** Of `keys` those that tell runs apart which agree in all that are `taken`; a key that follows from these is none. */
export function keysLeft(runs: readonly RunView[], keys: readonly string[], taken: readonly string[]): string[] {
  const alike = groupsOf(runs, taken);
  return keys.filter((key) => !taken.includes(key) && alike.some((group) => groupsOf(group.runs, [key]).length > 1));
}

/** The lines of a panel: one a configuration, so that none stands for runs that differ in more than their seed. They are coloured by
 *  `lineKey` (none: all alike) and differ besides in the keys `left`; of two `variants`, groups by those, the second is dashed. */
export function lineGroups(
  panel: readonly RunView[],
  lineKey: string,
  left: readonly string[],
  variants: readonly Group[],
): LineGroup[] {
  const keys = lineKey === "" ? [] : [lineKey];
  return orderedGroups(panel, [...keys, ...left]).map((group) => ({
    ...group,
    colourKey: groupsOf(group.runs, keys)[0]!.key,
    isDashed: variants.length === 2 && variants[1]!.runs.includes(group.runs[0]!),
  }));
}

const first = (runs: readonly RunView[], key: string, value: ConfigValue): number =>
  runs.findIndex((run) => run.config[key] === value);

/** Numbers by size, before words by the alphabet, before nothing. */
export function compareValues(a: ConfigValue | undefined, b: ConfigValue | undefined): number {
  const [noA, noB] = [isNothing(a), isNothing(b)];
  if (noA || noB) return Number(noA) - Number(noB);
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

const isNothing = (value: ConfigValue | undefined): boolean =>
  value === null || value === undefined || (typeof value === "number" && !Number.isFinite(value));

function nameOf(run: RunView, keys: readonly string[], names: ReadonlyMap<string, string>): string {
  return keys
    .filter((key) => run.config[key] !== null && run.config[key] !== undefined)
    .map((key) => {
      const value = run.config[key];
      // A word says itself what it is; a number, a flag or a list does not.
      return typeof value === "string" && /^[a-z]/i.test(value) ? value : `${names.get(key)!} ${configText(value)}`;
    })
    .join(", ");
}

/** How runs are called: by what tells them apart, the id where that is nothing. */
export function runNames(view: Pick<ExperimentView, "varied" | "runs">): Map<string, string> {
  const keys = configKeys(view);
  const names = shortKeys(keys);
  return new Map(
    view.runs.map((run) => {
      const parts = [nameOf(run, keys, names), run.seed === null ? "" : `seed ${run.seed}`];
      return [run.id, parts.filter((part) => part !== "").join(", ") || run.id];
    }),
  );
}
