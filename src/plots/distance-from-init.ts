import type { ExperimentData } from "./experiment.ts";
import { layerSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, ratioSentence } from "./profile-grid.ts";

const measure: Measure = (run) => layerSeries(run, "distance-from-init");
const title = (data: ExperimentData): string => ratioSentence(data, measure, "Distance from the start");

/** How far every layer has moved from where it started, at the first step and at the end. */
export const distanceFromInit: Plot = {
  name: "distance-from-init",
  summary: "how far every layer has moved from where it started, at the first step and at the end",
  title,
  caption:
    "Each point is ‖θₜ − θ₀‖ over all parameters of one layer. At the first step it is 0 and not drawn. Under Adam layers move by about the learning rate a step whatever their gradient's norm, so that level lines are the rule; " +
    "a layer that lags behind had a gradient that was 0 or kept changing its sign.",
  requires: ["distance-from-init"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "‖θₜ − θ₀‖" }),
};
