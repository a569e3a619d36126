import type { ExperimentData } from "./experiment.ts";
import { readingSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, rangeSentence } from "./profile-grid.ts";
import { extent } from "../statistics.ts";

const largest = (values: readonly number[]): number => extent(values)[1];
const measure: Measure = (run) => readingSeries(run, "attention-logit", { bySublayer: true, combine: largest });
const title = (data: ExperimentData): string => rangeSentence(data, measure, "Largest attention logit");

/** Largest attention score of every layer, at the first step and at the end. */
export const attentionLogit: Plot = {
  name: "attention-logit",
  summary: "largest attention score of every layer, at the first step and at the end",
  title,
  caption:
    "Each point is the largest attention score q·k / √K before the softmax in one layer, over its heads and one batch, masked keys left out. " +
    "A few units are healthy. Growth to tens and beyond makes rows one-hot, starves queries and keys of gradient, and goes before divergence at large learning rates (Wortsman et al. 2023).",
  requires: ["attention-logit"],
  of: ["transformer"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "largest logit", scale: "linear" }),
};
