// What a figure is: a name, words, and a pure function from rows to a Vega-Lite specification.

import type { TopLevelSpec } from "vega-lite";
import type { Member } from "../registry.ts";
import type { Quantity, ReadingQuantity } from "../types.ts";
import { depthOf, layoutOf, type ExperimentData, type ModelFacts } from "./experiment.ts";
import { layerSeries } from "./layer-series.ts";
import { rampCurve, rises } from "./learning-rate-ramp.ts";

/** Rows a plot cannot do without: a quantity of `layers.csv` or of `readings.csv`, the loss of `metrics.csv`, a depth that varies, or a learning
 *  rate that rises on a linear ramp. */
export type Requirement = Quantity | ReadingQuantity | "loss" | "varied depth" | "learning-rate ramp";

/** A member of the registry of plots. */
export interface Plot extends Member {
  /** The finding, computed from the rows: one sentence, what stands above the figure. */
  title(data: ExperimentData): string;
  /** How to read the figure and what healthy looks like: what stands below it. */
  readonly caption: string;
  readonly requires: readonly Requirement[];
  /** The kinds of models it is of; all if not given. */
  readonly of?: readonly ModelFacts["kind"][];
  /** Why it cannot be drawn beyond that, in words; undefined where it can. */
  lacks?(data: ExperimentData): string | undefined;
  /** A Vega-Lite specification that holds its data. Call it where `unmet` gives nothing. */
  spec(data: ExperimentData): TopLevelSpec;
}

const kindNames = { transformer: "a transformer", vae: "a VAE", gan: "a GAN" } as const;

/** Whether a plot is of a kind of model that is there. */
export const isOf = ({ of }: Plot, { runs }: ExperimentData): boolean =>
  of === undefined || runs.length === 0 || runs.some(({ model }) => of.includes(model?.kind ?? "transformer"));

/** Why `plot` cannot be drawn of `data`, in words; undefined where it can. */
export function unmet(plot: Plot, data: ExperimentData): string | undefined {
  if (!isOf(plot, data)) return `it is of ${plot.of!.map((kind) => kindNames[kind]).join(" or ")}`;
  for (const requirement of plot.requires) {
    if (requirement === "varied depth") {
      const layout = layoutOf(data);
      const depths = new Set(data.runs.map((run) => depthOf(layout, run.row)).filter((depth) => depth !== undefined));
      if (depths.size < 2) return "it needs a sweep that varies model.depth";
    } else if (requirement === "loss") {
      if (!data.runs.some((run) => run.metrics.some((row) => row.name === "loss")))
        return "no run has recorded a loss yet";
    } else if (requirement === "learning-rate ramp") {
      if (!data.runs.some((run) => run.schedule === "linear-ramp" && rises(rampCurve(run.metrics))))
        return "it needs runs whose train.schedule is a linear-ramp from a small learning rate to a larger one";
    } else if (requirement === "model-update") {
      if (!data.runs.some((run) => run.layers.some((row) => row.quantity === requirement && row.step > 0)))
        return "no run has recorded model-update after an update (see probes in the configuration; the first step shows none)";
    } else if (
      !data.runs.some(
        (run) =>
          layerSeries(run, requirement as Quantity).length > 0 || // none of a reading
          run.readings?.some((row) => row.quantity === requirement),
      )
    ) {
      return `no run has recorded ${requirement} (see probes in the configuration)`;
    }
  }
  return plot.lacks?.(data);
}
