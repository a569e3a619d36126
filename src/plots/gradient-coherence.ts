import type { ExperimentData } from "./experiment.ts";
import { readingSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, rangeSentence } from "./profile-grid.ts";

const measure: Measure = (run) => readingSeries(run, "gradient-coherence");
const title = (data: ExperimentData): string => rangeSentence(data, measure, "Gradient coherence");

/** Cosine between the gradients of two batches in every layer, at the first step and at the end. */
export const gradientCoherence: Plot = {
  name: "gradient-coherence",
  summary: "cosine between the gradients of two batches in every layer, at the first step and at the end",
  title,
  caption:
    "Each point is the cosine between the gradients of two batches at the same parameters, over all parameters of one layer: 1 where both ask for the same step, 0 where they have nothing to do with each other, and below 0 where they undo each other. " +
    "It often starts high, since every batch first asks for the same (token frequencies), and falls as training goes on. Near 0 the gradient of that layer is mostly noise at this batch size, whatever its norm.",
  requires: ["gradient-coherence"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "cosine", scale: "linear" }),
};
