import type { ExperimentData } from "./experiment.ts";
import { readingSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, rangeSentence } from "./profile-grid.ts";

const measure: Measure = (run) => readingSeries(run, "attention-entropy", { bySublayer: true });
const title = (data: ExperimentData): string => rangeSentence(data, measure, "Attention entropy (nats)");

/** Mean entropy of attention rows in every layer, at the first step and at the end. */
export const attentionEntropy: Plot = {
  name: "attention-entropy",
  summary: "mean entropy of attention rows in every layer, at the first step and at the end",
  title,
  caption:
    "Each point is the entropy of the attention rows of one layer in nats, averaged over heads, queries and batch, padding included: the logarithm of the number of keys where attention is even, 0 where every query looks at one key alone. " +
    "Some fall during training is learning. A collapse to 0 in many layers goes before divergence (Zhai et al. 2023); values that never leave those of the first step mean that attention has learnt nothing.",
  requires: ["attention-entropy"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "entropy (nats)", scale: "linear" }),
};
