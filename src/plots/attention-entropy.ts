import type { ExperimentData } from "./experiment.ts";
import { readingSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, rangeSentence } from "./profile-grid.ts";

const measure: Measure = (run) => readingSeries(run, "attention-entropy", { bySublayer: true });
const title = (data: ExperimentData): string => rangeSentence(data, measure, "Attention entropy");

/** Mean entropy of attention rows in every layer, at the first step and at the end. */
export const attentionEntropy: Plot = {
  name: "attention-entropy",
  summary: "mean entropy of attention rows in every layer, at the first step and at the end",
  title,
  caption:
    "Each point is the entropy of the attention rows of one layer in parts of that of even attention, averaged over heads, queries and batch: 1 where attention is even over all keys in sight, 0 where every query looks at one key alone. " +
    "It starts a little below 1; what it falls from there is what attention has learnt to tell apart. A collapse to 0 in many layers goes before divergence (Zhai et al. 2023).",
  requires: ["attention-entropy"],
  of: ["transformer"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "entropy / even", scale: "linear" }),
};
