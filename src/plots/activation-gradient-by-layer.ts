import type { ExperimentData } from "./experiment.ts";
import { layerSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, ratioSentence } from "./profile-grid.ts";

const measure: Measure = (run) => layerSeries(run, "activation-gradient");
const title = (data: ExperimentData): string => ratioSentence(data, measure, "Activation-gradient norm");

/** The norm of the loss's gradient with respect to the residual stream at each layer: the error signal itself. */
export const activationGradientByLayer: Plot = {
  name: "activation-gradient-by-layer",
  summary: "norm of the error signal dL/dx in the residual stream at every layer",
  title,
  caption:
    "Each point is the L2 norm of one batch's gradient with respect to the residual stream after one layer: the error signal itself, before it meets that layer's parameters. " +
    "Level lines mean that what the layers above pass down is neither damped nor amplified. A straight slope on this log scale is a constant factor a layer, so that twice the depth squares the loss of signal. " +
    "This profile and that of the parameter gradients may slope in opposite directions, since a layer's parameter gradient is the error times its input: read both. " +
    "A transformer's encoder receives its error through the decoder's cross-attention alone. Of a GAN, `generator: discriminator` is the discriminator's stream under the generator's loss, which reaches the generator through it.",
  requires: ["activation-gradient"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "‖dL/dx‖ (nats/unit)" }),
};
