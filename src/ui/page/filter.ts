// The filter's words: `key=value` (also `!=`, `<`, `>`; a key by its last parts), else text that is looked for everywhere.

import type { ConfigValue, ExperimentView, RunView } from "../api.ts";
import { configText } from "./format.ts";

/** Whether a run passes a word of the filter. */
export type Test = (run: RunView) => boolean;

type Config = Readonly<Record<string, ConfigValue>>;

interface Condition {
  readonly key: string;
  readonly operator: string;
  /** In small letters; empty while it is not typed to the end. */
  readonly wanted: string;
}

const wordsOf = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

function conditionOf(word: string): Condition | undefined {
  const [, key, operator, wanted] = /^([\w./-]+?)(!=|<=|>=|=|<|>)(.*)$/.exec(word) ?? [];
  return key === undefined ? undefined : { key, operator: operator!, wanted: wanted!.toLowerCase() };
}

/** A test for each word of `text`. `shared` has the keys that are the same in all runs. */
export const testsOf = (text: string, shared: Config): Test[] =>
  wordsOf(text).map((word) => {
    const condition = conditionOf(word);
    if (condition) return (run) => passes(run, condition, shared);
    const wanted = word.toLowerCase();
    return (run) =>
      [run.id, run.status, run.reason, run.engine, ...Object.values(run.config).map(configText)].some((value) =>
        value.toLowerCase().includes(wanted),
      );
  });

/** The keys of the filter's conditions that neither a configuration nor anything else of a run is called. */
export const unknownKeys = (text: string, { runs, shared }: Pick<ExperimentView, "runs" | "shared">): string[] => [
  ...new Set(
    wordsOf(text).flatMap((word) => {
      const condition = conditionOf(word);
      if (!condition || condition.wanted === "") return [];
      return runs.length === 0 || runs.some((run) => valueOf(run, condition.key, shared) !== undefined)
        ? []
        : [condition.key];
    }),
  ),
];

function passes(run: RunView, { key, operator, wanted }: Condition, shared: Config): boolean {
  if (wanted === "") return true;
  const value = valueOf(run, key, shared);
  const text = configText(value).toLowerCase();
  if (operator === "=") return text === wanted;
  if (operator === "!=") return text !== wanted;
  const [left, right] = [Number(value), Number(wanted)];
  if (value === null || value === undefined || !Number.isFinite(left) || !Number.isFinite(right)) return false;
  return { "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right }[operator]!;
}

/** What a run has under a key: what tells runs apart before what all share. Undefined where nothing is called so. */
function valueOf(run: RunView, key: string, shared: Config): ConfigValue | undefined {
  const own = under(run.config, key);
  if (own !== undefined) return own;
  const field = fieldOf(run, key);
  return field === undefined ? under(shared, key) : field;
}

const under = (config: Config, key: string): ConfigValue | undefined =>
  Object.entries(config).find(([name]) => name === key || name.endsWith(`.${key}`))?.[1];

function fieldOf(run: RunView, key: string): ConfigValue | undefined {
  if (Object.hasOwn(run.finals, key)) return run.finals[key];
  const fields: Config = {
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
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}
