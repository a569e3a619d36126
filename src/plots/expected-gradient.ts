import type { ExperimentData } from "./experiment.ts";
import { layerSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, ratioSentence } from "./profile-grid.ts";

const measure: Measure = (run) => layerSeries(run, "expected-gradient");
const title = (data: ExperimentData): string => ratioSentence(data, measure, "Norm of the expected gradient");

/** Norm of the mean gradient of several batches in every layer, as Xiong et al. 2020 plot it. */
export const expectedGradient: Plot = {
  name: "expected-gradient",
  summary: "norm of the mean gradient of several batches in every layer, as Xiong et al. 2020 plot it",
  title,
  caption:
    "Each point is the norm of the mean of the gradients of probes.batches batches at the same parameters, over all parameters of one layer. It estimates the norm of the expected gradient, which Xiong et al. 2020 plot; " +
    "the figure gradient-by-layer shows the norm of one batch's gradient, which holds that batch's noise as well and is larger. Where the two tell different stories, noise is the larger part.",
  requires: ["expected-gradient"],
  spec: (data) =>
    profileGrid(data, measure, { title: title(data), axisTitle: "norm of the mean gradient (nats/unit)" }),
};
