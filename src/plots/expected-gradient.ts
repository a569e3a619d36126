import type { ExperimentData } from "./experiment.ts";
import { layerSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, ratioSentence } from "./profile-grid.ts";

const expected: Measure = (run) => layerSeries(run, "expected-gradient");
/** Both, told apart by their stacks. */
const measure: Measure = (run) => [
  ...expected(run).map((series) => ({ ...series, stack: `${series.stack}, norm of the mean` })),
  ...layerSeries(run, "mean-gradient-norm").map((series) => ({ ...series, stack: `${series.stack}, mean of norms` })),
];
const title = (data: ExperimentData): string => ratioSentence(data, expected, "Norm of the expected gradient");

/** Norm of the mean gradient of several batches beside the mean of their norms, by layer. */
export const expectedGradient: Plot = {
  name: "expected-gradient",
  summary:
    "norm of the mean gradient of several batches, as Xiong et al. 2020 plot it, beside the mean of their norms, by layer",
  title,
  caption:
    "Over all parameters of one layer and probes.batches batches at the same parameters: the norm of the mean of the gradients, which estimates the norm of the expected gradient that Xiong et al. 2020 plot, beside the mean of the norms of the gradients, which is what a run's own gradient norms are like. " +
    "The second holds the noise of the batches as well and is larger: by the square root of the number of batches where gradients are nothing but noise, not at all where all batches agree.",
  requires: ["expected-gradient", "mean-gradient-norm"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "gradient norm (nats/unit)" }),
};
