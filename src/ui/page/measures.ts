// How measures are called and in which units: losses by the kind of model, metrics by the last part of their names, since before it a
// GAN's have the player that they are of.

import type { RunView } from "../api.ts";
import { numberText, words } from "./format.ts";
import type { Rule } from "./lines.ts";

/** How a kind of model's losses are called. */
interface LossWords {
  /** Empty where losses have none that can be named. */
  readonly unit: string;
  /** What is compared with a loss to see whether the input is used, the run's `unigramEntropy`; undefined where no loss compares with it. */
  readonly baseline: { readonly name: string; readonly meaning: string } | undefined;
}

const unigram: LossWords = {
  unit: "nats a target",
  baseline: { name: "unigram entropy", meaning: "loss of the best model that ignores its input" },
};

const lossWords: Readonly<Record<RunView["kind"], LossWords>> = {
  transformer: unigram,
  vae: {
    unit: "nats an image",
    baseline: {
      name: "best without input",
      meaning: "loss of the best model without input, which knows the mean of each pixel alone",
    },
  },
  // Two players' losses, of an objective that may be no likelihood: nothing else is measured as they are.
  gan: { unit: "", baseline: undefined },
  unknown: { unit: "", baseline: undefined },
};

/** What the losses of these runs are measured in; empty where that is not one unit. */
export function lossUnit(runs: readonly Pick<RunView, "kind">[]): string {
  const units = new Set(runs.filter(({ kind }) => kind !== "unknown").map(({ kind }) => lossWords[kind].unit));
  return units.size === 1 ? [...units][0]! : "";
}

/** A run's loss without a look at the input, and what it is called; undefined where there is none. */
export function baselineOf({
  kind,
  unigramEntropy,
}: Pick<RunView, "kind" | "unigramEntropy">): { name: string; meaning: string; value: number } | undefined {
  const { baseline } = lossWords[kind];
  return baseline && unigramEntropy !== null ? { ...baseline, value: unigramEntropy } : undefined;
}

/** A line for each baseline that these runs have, rounded as far as it is read, four at most. */
export function baselineRules(runs: readonly Pick<RunView, "kind" | "unigramEntropy">[]): Rule[] {
  const rules = new Map<string, Rule>();
  for (const run of runs) {
    const baseline = baselineOf(run);
    if (!baseline) continue;
    const value = Number(baseline.value.toPrecision(4));
    const label = `${baseline.name} ${numberText(value)}`;
    rules.set(label, { value, label });
  }
  return [...rules.values()].slice(0, 4);
}

const lastPart = (metric: string): string => metric.split("/").at(-1)!;

/** Whether a metric is a loss as a whole, be it of one player. */
export const isLoss = (metric: string): boolean => lastPart(metric) === "loss";

/** The metric that is shown where none was asked for: a loss, if there is one. */
export const usualMetric = (metrics: readonly string[]): string | undefined => metrics.find(isLoss) ?? metrics[0];

/** The gradient norm that belongs to a metric: that of the same player, or the only one there is. */
export function gradientNormOf(metric: string, metrics: readonly string[]): string | undefined {
  const norms = metrics.filter((name) => lastPart(name) === "gradient-norm");
  const own = `${metric.slice(0, metric.length - lastPart(metric).length)}gradient-norm`;
  return norms.find((name) => name === own) ?? (norms.length === 1 ? norms[0] : undefined);
}

/** A metric on an axis: `loss (nats a target)`. */
export function metricTitle(metric: string, runs: readonly Pick<RunView, "kind">[]): string {
  const unit = isLoss(metric) ? lossUnit(runs) : "";
  return unit === "" ? words(metric) : `${words(metric)} (${unit})`;
}
