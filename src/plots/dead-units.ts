import type { ExperimentData } from "./experiment.ts";
import { readingSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, rangeSentence } from "./profile-grid.ts";

const measure: Measure = (run) => readingSeries(run, "dead-units");
const title = (data: ExperimentData): string => rangeSentence(data, measure, "Dead feed-forward units");

/** Share of feed-forward units that are active nowhere in the batch, by layer. */
export const deadUnits: Plot = {
  name: "dead-units",
  summary: "share of feed-forward units that are active nowhere in the batch, by layer",
  title,
  caption:
    "Each point is the share of a layer's feed-forward units that were above 0 at no position of one batch (padding included): with ReLU they passed neither signal nor gradient. " +
    "A few per cent come and go with the batch. A share that grows and stays is capacity that is lost, often after steps that were too large.",
  requires: ["dead-units"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "share of units", scale: "linear" }),
};
