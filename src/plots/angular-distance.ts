import type { ExperimentData } from "./experiment.ts";
import { readingSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, rangeSentence } from "./profile-grid.ts";

const measure: Measure = (run) => readingSeries(run, "angular-distance");
const title = (data: ExperimentData): string => rangeSentence(data, measure, "Angular distance");

/** Angle by which every layer turns the residual stream, at the first step and at the end. */
export const angularDistance: Plot = {
  name: "angular-distance",
  summary: "angle by which every layer turns the residual stream, at the first step and at the end",
  title,
  caption:
    "Each point is the angle between the residual stream before and after one layer, in parts of π, averaged over all positions of one batch (padding included): 0 where a layer changes at most the stream's length, 0.5 where it leaves nothing of its direction. " +
    "Deep layers near 0 are layers the network could almost do without, as Sun et al. 2025 find in pre-LN; that does not say that they learn nothing, since small turns add up.",
  requires: ["angular-distance"],
  spec: (data) =>
    profileGrid(data, measure, { title: title(data), axisTitle: "angular distance (π)", scale: "linear" }),
};
