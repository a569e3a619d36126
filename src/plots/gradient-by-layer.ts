import type { ExperimentData } from "./experiment.ts";
import { layerSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, ratioSentence } from "./profile-grid.ts";

const measure: Measure = (run) => layerSeries(run, "parameter-gradient");
const title = (data: ExperimentData): string => ratioSentence(data, measure, "Gradient norm");

/** The norm of the loss's gradient with respect to each layer's parameters, before clipping. */
export const gradientByLayer: Plot = {
  name: "gradient-by-layer",
  summary: "parameter-gradient norm of every layer, at the first step and at the end",
  title,
  caption:
    "Each point is the L2 norm, before clipping, of one batch's gradient with respect to all parameters of one layer; the loss is in nats, the mean over target tokens, or over images. " +
    "The signal goes from left to right, through the encoder and then the decoder, or through the generator and then the discriminator; the error travels the other way. Even lines, within a factor of about ten from first to last layer, " +
    "mean that the error reaches every layer at similar size; a line that falls by orders of magnitude towards layer 1 is a gradient that vanishes on its way down, one that rises there explodes. " +
    "Lines of different depth that lie on each other mean that depth costs no signal. This describes where the signal arrives; it is no verdict on training: see the loss curves for that. " +
    "Embeddings, final norms, latent variable and output are left out, because their size would set the ratio.",
  requires: ["parameter-gradient"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "gradient norm (nats/unit)" }),
};
