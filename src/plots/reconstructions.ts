import type { TopLevelSpec } from "vega-lite";
import type { ExperimentData } from "./experiment.ts";
import { afterEpochs, fitting, imageView, seedNote, shownOf } from "./image-views.ts";
import { medianAt, perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";
import { frame } from "./style.ts";

const configurationsDrawn = 4;

function title(data: ExperimentData): string {
  const text = perConfiguration(data, (configuration) => {
    const value = medianAt(configuration, { name: "reconstruction", split: "dev" });
    return Number.isFinite(value) ? `${value.toFixed(1)} nats an image` : undefined;
  });
  return text === "" ? "Dev images and their reconstructions" : `What dev images cost to reconstruct: ${text}`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const shown = shownOf(data, "reconstructions");
  const drawn = shown.slice(0, configurationsDrawn);
  const views = drawn.map(({ configuration, pictures }) => {
    const picture = pictures.at(-1)!;
    const most = drawn.length > 1 ? { rows: 4, columns: 10 } : { rows: 8, columns: 10 };
    return imageView(
      fitting(picture, most),
      drawn.length > 1 ? configuration.name : `dev images, reconstructions, ${afterEpochs(picture)}`,
    );
  });
  return {
    ...frame(title(data), [
      "Odd rows: images as they are evaluated; below each what the decoder makes of the mean of q(z|x), pixel probabilities.",
      ...seedNote(data, shown, drawn.length),
    ]),
    vconcat: Array.from({ length: Math.ceil(views.length / 2) }, (_, i) => ({
      hconcat: views.slice(2 * i, 2 * i + 2),
      spacing: 16,
    })),
    spacing: 16,
  } as unknown as TopLevelSpec;
}

/** What comes back of images that a VAE has encoded. */
export const reconstructions: Plot = {
  name: "reconstructions",
  summary: "dev images above what a VAE makes of them",
  title,
  caption:
    "A good reconstruction keeps the shape and loses what no other image shares: the grain of binarised pixels, a stray stroke. Reconstructions that all look alike mean that the latent variable is not used.",
  requires: [],
  of: ["vae"],
  lacks: (data) =>
    shownOf(data, "reconstructions").length > 0
      ? undefined
      : "no run has left reconstructions: they come with the end of training",
  spec,
};
