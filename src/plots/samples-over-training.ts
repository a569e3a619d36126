import type { TopLevelSpec } from "vega-lite";
import { distinct, thinned } from "../statistics.ts";
import type { ExperimentData } from "./experiment.ts";
import { afterEpochs, fitting, imageView, seedNote, shownOf, type Shown } from "./image-views.ts";
import type { Plot } from "./plot.ts";
import { frame } from "./style.ts";

/** Configurations shown, and grids of each. */
const configurationsDrawn = 8;
const gridsOfOne = 6;
const gridsOfEach = 3;

/** The configurations shown, each with the grids that are drawn of it. */
function drawnOf(shown: readonly Shown[]): Shown[] {
  const drawn = shown.slice(0, configurationsDrawn);
  const grids = drawn.length === 1 ? gridsOfOne : gridsOfEach;
  return drawn.map((one) => ({ ...one, pictures: thinned(one.pictures.length, grids).map((i) => one.pictures[i]!) }));
}

/** `Images generated after 0, 10 and 80 epochs`: of the grids that are drawn. */
function title(data: ExperimentData): string {
  const epochs = distinct(
    drawnOf(shownOf(data, "generated")).flatMap(({ pictures }) =>
      pictures.map(({ epoch }) => String(Number(epoch.toPrecision(3)))),
    ),
  ).sort((a, b) => Number(a) - Number(b));
  const [last, ...before] = epochs.toReversed();
  const shown = before.length > 4 ? [...before.toReversed().slice(0, 3), "..."] : before.toReversed();
  return `Images generated after ${shown.length > 0 ? `${shown.join(", ")} and ` : ""}${last ?? "no"} epochs`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const shown = shownOf(data, "generated");
  const drawn = drawnOf(shown);
  const single = drawn.length === 1;
  const size = single ? { rows: 10, columns: 10 } : { rows: drawn.length > 4 ? 3 : 5, columns: 5 };
  const rows = drawn.flatMap(({ configuration, pictures }) => {
    const name = single ? [] : [configuration.name];
    const views = pictures.map((picture) => imageView(fitting(picture, size), ...name, afterEpochs(picture)));
    // Four do not fit a page beside each other, two rows of two do.
    const across = views.length === 4 ? 2 : 3;
    return Array.from({ length: Math.ceil(views.length / across) }, (_, i) =>
      views.slice(across * i, across * (i + 1)),
    );
  });
  const left = drawn.some(({ pictures }, i) => pictures.length < shown[i]!.pictures.length)
    ? ["Of more epochs some are shown, the first and the last among them."]
    : [];
  return {
    ...frame(title(data), [
      "The same latent variables z ~ N(0, I) at every epoch. White is 1: the probability of a pixel, or its grey value.",
      ...seedNote(data, shown, drawn.length),
      ...left,
    ]),
    vconcat: rows.map((views) => ({ hconcat: views, spacing: 16 })),
    spacing: 16,
  } as unknown as TopLevelSpec;
}

/** What a model of images generates as it learns. */
export const samplesOverTraining: Plot = {
  name: "samples-over-training",
  summary: "images generated from the same latent variables, at several epochs side by side",
  title,
  caption:
    "Each place of a grid is one latent variable, the same in all grids. Noise before training should become shapes, then images of the set's kinds, all of them. Places that all become one image are a collapse of the generator (GAN), or of the latent variable (VAE); " +
    "blur is what a VAE says of pixels it is not sure of. Images picked by eye prove nothing of a distribution: see the likelihoods and distances.",
  requires: [],
  of: ["vae", "gan"],
  lacks: (data) =>
    shownOf(data, "generated").length > 0
      ? undefined
      : "no run has left generated images (see samples in the configuration)",
  spec,
};
