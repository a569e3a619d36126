// Which runs are meant: what the filter leaves, what is selected, how runs are called, and which are seeds of one configuration.

import { groupBy } from "../../statistics.ts";
import type { ConfigValue, ExperimentView, RunStatus, RunView } from "../api.ts";
import { configText, shortKeys } from "./format.ts";
import { route } from "./route.ts";

/** What every view of an experiment gets. */
export interface ViewProps {
  readonly view: ExperimentView;
}

/** How runs may stand, in the order in which they are counted. */
export const statuses: readonly RunStatus[] = ["running", "done", "diverged", "failed", "stale", "damaged", "pending"];

/** What stands for a run in the address: the hash at the end of its id, which tells it from others and is shorter. */
export const tokenOf = (id: string): string => /_([0-9a-f]{8})$/.exec(id)?.[1] ?? id;

/** Names separated by commas in the address' state. */
export const listOf = (text: string | undefined): string[] => (text ? text.split(",") : []);

/** The tokens of the selected runs. */
export const selection = (): ReadonlySet<string> => new Set(listOf(route.value.state["runs"]));

type Test = (run: RunView) => boolean;

/** The filter's words as tests: `key=value` (also `!=`, `<`, `>`; a key by its last parts), else text that is looked for everywhere. */
function testsOf(text: string): Test[] {
  return text
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word): Test => {
      const condition = /^([\w./-]+?)(!=|<=|>=|=|<|>)(.*)$/.exec(word);
      if (condition) return conditionOf(condition[1]!, condition[2]!, condition[3]!.toLowerCase());
      const wanted = word.toLowerCase();
      return (run) =>
        [run.id, run.status, run.reason, run.engine, ...Object.values(run.config).map(configText)].some((value) =>
          value.toLowerCase().includes(wanted),
        );
    });
}

function conditionOf(key: string, operator: string, wanted: string): Test {
  return (run) => {
    const found = Object.entries(run.config).find(([name]) => name === key || name.endsWith(`.${key}`));
    const value = found?.[1] ?? fieldOf(run, key);
    const text = configText(value).toLowerCase();
    if (wanted === "") return true; // not typed to the end yet
    if (operator === "=") return text === wanted;
    if (operator === "!=") return text !== wanted;
    const [left, right] = [Number(value), Number(wanted)];
    if (value === null || value === undefined || !Number.isFinite(left) || !Number.isFinite(right)) return false;
    return { "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right }[operator]!;
  };
}

function fieldOf(run: RunView, key: string): ConfigValue | undefined {
  if (key in run.finals) return run.finals[key];
  const fields: Readonly<Record<string, ConfigValue>> = {
    id: run.id,
    kind: run.kind,
    status: run.status,
    engine: run.engine,
    commit: run.commit,
    seed: run.seed,
    steps: run.steps,
    dev: run.devLoss,
    best: run.bestDevLoss,
    train: run.trainLoss,
  };
  return fields[key];
}

/** The runs that the filter's text and the chosen statuses leave. */
export function filteredRuns(runs: readonly RunView[]): RunView[] {
  const { state } = route.value;
  const tests = testsOf(state["find"] ?? "");
  const wanted = listOf(state["status"]);
  return runs.filter(
    (run) => (wanted.length === 0 || wanted.includes(run.status)) && tests.every((passes) => passes(run)),
  );
}

/** The runs that views show: the selected ones, or without a selection all that the filter leaves. */
export function chosenRuns(runs: readonly RunView[]): RunView[] {
  const tokens = selection();
  const selected = runs.filter((run) => tokens.has(tokenOf(run.id)));
  return selected.length > 0 ? selected : filteredRuns(runs);
}

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
