// What the server of `fathom ui` and its page say to each other: types and addresses, nothing that runs. Numbers that are not finite
// travel as null; everything that came from files travels as it is, and the page escapes it by drawing it as text.
//
// | address                                                                | answer             |
// | ---------------------------------------------------------------------- | ------------------ |
// | GET /api/experiments                                                   | `ExperimentList`   |
// | GET /api/experiments/:name                                             | `ExperimentView`   |
// | GET /api/experiments/:name/curves?split&metric&from&to&points[&runs]   | `Curves`           |
// | GET /api/experiments/:name/layers?quantity&runs&from&to&bins           | `LayerWindows`     |
// | GET /api/experiments/:name/figures                                     | `FigureList`       |
// | GET /api/experiments/:name/figures/:plot                               | `Figure`           |
// | GET /api/experiments/:name/runs/:id/samples                            | `SampleList`       |
// | GET /api/experiments/:name/runs/:id/samples/:file                      | a PNG              |
// | GET /api/experiments/:name/runs/:id/translations?split&from&count&find | `Translations`     |
// | GET /api/experiments/:name/runs/:id/record                             | `RunRecordView`    |
// | GET /api/verify                                                        | `Verification`     |
// | GET /api/events                                                        | server-sent events |
//
// `runs` is a list of ids by commas; steps `from` and `to` are both included. An error is `{error: string}`: 400 a query that makes no
// sense, 403 another origin or host, 404 what is not there, 405 another method than GET, 422 what is there and cannot be read. Answers carry
// an ETag, so that what did not change is not sent again.

import type { TopLevelSpec } from "vega-lite";
import type { Claim, RunRow } from "../types.ts";

/** A number of a table or curve; null where it is not finite. */
export type Value = number | null;

/** A value of a configuration key, by dotted path. */
export type ConfigValue = string | number | boolean | null;

/** What `GET /api/experiments` gives: what lies in the folder that was opened, the one that changed last first. */
export interface ExperimentList {
  /** The folder as the user named it. */
  readonly folder: string;
  readonly experiments: readonly ExperimentSummary[];
  /** Whether there is a `verify/` to show. */
  readonly hasVerification: boolean;
}

/** An experiment in the list. */
export interface ExperimentSummary {
  readonly name: string;
  /** The question its author's YAML asks; empty where there is none. */
  readonly question: string;
  readonly kinds: readonly ("transformer" | "vae" | "gan")[];
  /** How many runs stand how: `{done: 4, running: 2}`; damaged ones count as `damaged`. */
  readonly counts: Readonly<Record<string, number>>;
  /** ISO 8601: when one of its files last changed. */
  readonly changed: string;
  /** Why it cannot be shown; absent where it can. */
  readonly damage?: string;
}

/** How a run stands. `damaged`: its folder cannot be read, and `reason` says what was expected. */
export type RunStatus = RunRow["status"] | "damaged";

/** A run in the table. */
export interface RunView {
  readonly id: string;
  readonly kind: "transformer" | "vae" | "gan" | "unknown";
  readonly status: RunStatus;
  readonly seed: Value;
  /** The keys that tell this experiment's runs apart (those of `runs.csv`, the seed included), and behind them those that differ with
   *  them, such as a scheme's own final norm: the same in every run; null where a run has none. */
  readonly config: Readonly<Record<string, ConfigValue>>;
  readonly steps: number;
  /** Steps it is to train in all; 0 where that is not known yet. */
  readonly plannedSteps: number;
  readonly secondsPerStep: Value;
  readonly secondsLeft: Value;
  readonly seconds: Value;
  readonly trainLoss: Value;
  readonly devLoss: Value;
  /** So far, where it goes on. */
  readonly bestDevLoss: Value;
  readonly unigramEntropy: Value;
  /** What was measured at the end, by name. */
  readonly finals: Readonly<Record<string, Value>>;
  readonly engine: string;
  readonly reason: string;
  /** What there is to look at beside numbers. */
  readonly hasSamples: boolean;
  readonly hasTranslations: readonly ("dev" | "test")[];
  /** Commit, with `+` behind it where there were changes; null where unknown. */
  readonly commit: string | null;
}

/** What `GET /api/experiments/:name` gives. */
export interface ExperimentView {
  readonly name: string;
  readonly question: string;
  /** Keys that are the same in all runs. */
  readonly shared: Readonly<Record<string, ConfigValue>>;
  /** Those keys of `RunView.config` that tell runs apart, in the order in which they tell runs apart: scheme, depth, others, seed last. */
  readonly varied: readonly string[];
  readonly runs: readonly RunView[];
  /** Metrics of `metrics.csv` that some run has, by split, `loss` first. */
  readonly metrics: Readonly<Record<"train" | "dev" | "test", readonly string[]>>;
  /** Quantities with a layer that some run has recorded, `parameter-gradient` first. */
  readonly quantities: readonly string[];
  /** Notes on the experiment as a whole: runs of different commits. */
  readonly notes: readonly string[];
}

/** A run's curve: in each of at most `points` bins of steps the smallest and the largest value, where they lie, so that no spike is lost, and
 *  the first that is not finite; and the first and the last value of the window. All values where they are not more than that. */
export interface Curve {
  readonly run: string;
  readonly steps: readonly number[];
  readonly values: readonly Value[];
  /** How many values it stands for. */
  readonly of: number;
}

/** What `.../curves` gives: all runs, or those asked for, that have the metric. */
export interface Curves {
  readonly split: string;
  readonly metric: string;
  /** First and last step that any of the runs has, whatever the window. */
  readonly extent: readonly [number, number] | null;
  readonly curves: readonly Curve[];
}

/** A stack of layers: `encoder` with 6. */
export interface StackView {
  readonly stack: string;
  /** Layers counted from 1. */
  readonly layers: readonly number[];
}

/** One quantity of one run by layer and step: what heat map, profile and their animation are drawn from. */
export interface LayerWindow {
  readonly run: string;
  readonly stacks: readonly StackView[];
  /** The step that each column shows: recorded ones, at most `bins` of those in the window, evenly chosen, the first and last among them. */
  readonly steps: readonly number[];
  /** How many recorded steps lie in the window. */
  readonly of: number;
  /** By layer (stacks one after the other), by step. */
  readonly values: readonly (readonly Value[])[];
}

/** What `.../layers` gives. */
export interface LayerWindows {
  readonly quantity: string;
  /** Whether values are norms, of ratios without unit and best on a logarithmic axis. */
  readonly isLogarithmic: boolean;
  readonly windows: readonly LayerWindow[];
}

/** What `.../figures` gives: every figure of `fathom plot` that these rows allow, and the damaged runs that figures are made without. */
export interface FigureList {
  readonly leftOut: readonly { readonly id: string; readonly reason: string }[];
  readonly figures: readonly { readonly name: string; readonly summary: string }[];
}

/** A figure of `fathom plot`. */
export interface Figure {
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly spec: TopLevelSpec;
  /** The numbers behind it, as `fathom plot --format csv` has them; null of pictures. */
  readonly csv: string | null;
}

/** What `.../samples` gives: pictures in order of steps. */
export interface SampleList {
  readonly samples: readonly {
    readonly file: string;
    readonly kind: string;
    readonly step: number;
    readonly epoch: number;
    readonly width: number;
    readonly height: number;
  }[];
}

/** What `.../translations` gives: `count` lines from `from` on. */
export interface Translations {
  readonly split: "dev" | "test";
  readonly of: number;
  readonly lines: readonly {
    readonly direction: string;
    readonly source: string;
    readonly reference: string;
    readonly translation: string;
  }[];
}

/** What `.../record` gives: `run.json` and `config.yaml` as they are, to read. */
export interface RunRecordView {
  readonly record: string;
  readonly config: string;
  /** The last lines of `log.txt`, where there is one. */
  readonly log: string;
}

/** What `GET /api/verify` gives: the claims of the last `fathom verify`, and the figure of each check. One that is damaged has no claims, and
 *  its summary says so. */
export interface Verification {
  readonly checks: readonly {
    readonly check: string;
    readonly summary: string;
    readonly source: string;
    readonly claims: readonly Claim[];
    readonly spec: TopLevelSpec | null;
    readonly made: string;
  }[];
}

/** An event of `/api/events`, named `change`: what differs since the last one. Sent at most once a second, and once at the beginning. */
export interface Change {
  /** Experiments whose files changed, and those that appeared; `verify` where it was what `fathom verify` has found. */
  readonly changed: readonly string[];
  readonly gone: readonly string[];
  /** Of each that changed the runs whose files did. */
  readonly runs: Readonly<Record<string, readonly string[]>>;
}
