// The columns of the table of runs: what they are called, their values for sorting, and how a cell is written.

import type { ComponentChildren } from "preact";
import { distinct, spreadOf } from "../../statistics.ts";
import type { ConfigValue, ExperimentView, RunView } from "../api.ts";
import { columnText, configText, durationText, nothing, shortKeys, spreadText, stepTimeText, words } from "./format.ts";
import { baselineOf, lossUnit } from "./measures.ts";

/** One column. */
export interface Column {
  readonly key: string;
  readonly title: string;
  /** What it means, on its head. */
  readonly hint: string;
  readonly isNumber: boolean;
  /** Shown without having been asked for. */
  readonly isUsual: boolean;
  readonly value: (run: RunView) => ConfigValue;
  readonly cell: (run: RunView) => ComponentChildren;
  /** The cell of runs together. */
  readonly together: (runs: readonly RunView[]) => ComponentChildren;
}

/** All columns of an experiment beside the run itself and how it stands. */
export function columnsOf(view: ExperimentView): Column[] {
  const names = shortKeys(view.varied);
  const keys = view.varied.includes("seed") ? view.varied : [...view.varied, "seed"];
  const isRunning = view.runs.some((run) => run.status === "running");
  const measured = measuredOf(view.runs);
  const finals = [...new Set(view.runs.flatMap((run) => Object.keys(run.finals)))];
  const unit = lossUnit(view.runs);
  const inUnit = unit === "" ? "" : `, ${unit}`;
  const baselines = view.runs.flatMap((run) => baselineOf(run) ?? []);
  const all: Column[] = [
    ...keys.map((key): Column => {
      const value = (run: RunView): ConfigValue => (key === "seed" ? run.seed : (run.config[key] ?? null));
      return {
        key,
        title: names.get(key) ?? key,
        hint: `configuration key ${key}`,
        isNumber: view.runs.some((run) => typeof value(run) === "number"),
        isUsual: true,
        value,
        cell: (run) => configText(value(run)),
        together: (runs) => {
          const all = [...new Set(runs.map(value))];
          return all.length === 1 ? configText(all[0]) : <span class="soft">{all.length} values</span>;
        },
      };
    }),
    measured("train", "train loss", `training loss at the last step${inUnit}`, true, (run) => run.trainLoss),
    measured(
      "dev",
      "dev loss",
      `loss on the development split at the last evaluation${inUnit}`,
      true,
      (run) => run.devLoss,
    ),
    measured("best", "best dev", `smallest loss on the development split${inUnit}`, true, (run) => run.bestDevLoss),
    ...(baselines.length > 0
      ? [
          measured(
            "unigram",
            distinct(baselines.map(({ name }) => name)).join(" / "),
            `${distinct(baselines.map(({ meaning }) => meaning)).join(" / ")}${inUnit}`,
            false,
            (run) => baselineOf(run)?.value ?? null,
          ),
        ]
      : []),
    ...finals.map((name, i) =>
      measured(`final ${name}`, words(name), `${name}, measured at the end`, i < 3, (run) => run.finals[name] ?? null),
    ),
    timed("s-step", "s/step", "seconds a step, evaluation included", true, (run) => run.secondsPerStep, stepTimeText),
    timed(
      "left",
      "time left",
      "time left, as the last steps went",
      isRunning,
      (run) => (run.status === "running" ? run.secondsLeft : null),
      durationText,
    ),
    timed("seconds", "took", "wall-clock time", false, (run) => run.seconds, durationText),
    written("engine", "engine", "what computed", (run) => run.engine),
    written("commit", "commit", "commit of fathom; + where there were changes", (run) => run.commit ?? ""),
  ];
  // Nothing but dashes is not shown unasked: a GAN has no loss as a whole.
  return all.map((column) => ({
    ...column,
    isUsual: column.isUsual && (keys.includes(column.key) || view.runs.some((run) => column.value(run) !== null)),
  }));
}

/** Makes columns of numbers: whole ones without decimals, where all of a column are. */
const measuredOf =
  (runs: readonly RunView[]) =>
  (key: string, title: string, hint: string, isUsual: boolean, value: (run: RunView) => number | null): Column => {
    const isWhole = runs.every((run) => Number.isInteger(value(run) ?? 0));
    const together = (some: readonly RunView[]): string => spreadText(spreadOf(some.map((run) => value(run) ?? NaN)));
    return {
      key,
      title,
      hint,
      isNumber: true,
      isUsual,
      value,
      cell: (run) => columnText(value(run), isWhole),
      together,
    };
  };

function timed(
  key: string,
  title: string,
  hint: string,
  isUsual: boolean,
  value: (run: RunView) => number | null,
  text: (value: number | null) => string,
): Column {
  const together = (runs: readonly RunView[]): string => {
    const { mean, n } = spreadOf(runs.map((run) => value(run) ?? NaN));
    return n === 0 ? nothing : text(mean);
  };
  return { key, title, hint, isNumber: true, isUsual, value, cell: (run) => text(value(run)), together };
}

function written(key: string, title: string, hint: string, value: (run: RunView) => string): Column {
  const together = (runs: readonly RunView[]): ComponentChildren => {
    const all = [...new Set(runs.map(value))];
    return all.length === 1 ? all[0] || nothing : <span class="soft">{all.length} values</span>;
  };
  return { key, title, hint, isNumber: false, isUsual: false, value, cell: (run) => value(run) || nothing, together };
}
