import type { TopLevelSpec } from "vega-lite";
import { GAP } from "../runs/samples.ts";
import type { ExperimentData } from "./experiment.ts";
import { imageLayer, seedNote, shownOf, sizeOf, type Shown } from "./image-views.ts";
import type { Plot } from "./plot.ts";
import { frame, wrapped } from "./style.ts";

const configurationsDrawn = 3;

const title = (data: ExperimentData): string => {
  const rows = Math.max(0, ...shownOf(data, "traversal").map(({ pictures }) => pictures.at(-1)!.rows));
  return `What the ${rows} most active latent dimension${rows === 1 ? "" : "s"} of the VAE change${rows === 1 ? "s" : ""} in an image`;
};

/** A grid with axes: the value of the dimension across, the dimension down. */
function view({ configuration, pictures }: Shown, several: boolean): object {
  const picture = pictures.at(-1)!;
  const size = sizeOf(picture);
  const { rows, columns, width, height, dimensions = [], range = [-3, 3] } = picture;
  // Ticks stand at the middle of images, of which there are gaps between.
  const across = (range[1] - range[0]) / Math.max(1, (columns - 1) * (width + GAP));
  const margin = across * (GAP + width / 2);
  const down = (GAP + height / 2) / (height + GAP);
  const values = Array.from({ length: rows }, (_, i) => i);
  const names = values.map((i) => `datum.value === ${i} ? 'z ${(dimensions[i] ?? i) + 1}' : `).join("");
  const x = {
    field: "_x",
    type: "quantitative",
    title: "value of the dimension",
    scale: { domain: [range[0] - margin, range[1] + margin], nice: false },
    axis: { grid: false, tickCount: 7, domain: false },
  };
  const y = {
    field: "_y",
    type: "quantitative",
    title: null,
    scale: { domain: [rows - 1 + down, -down], nice: false, zero: false },
    axis: { grid: false, domain: false, ticks: false, values, labelExpr: `${names}''` },
  };
  return {
    ...size,
    ...(several && { title: { text: wrapped(configuration.name, 36), fontSize: 12, anchor: "middle", offset: 4 } }),
    view: { stroke: null },
    layer: [
      imageLayer(picture),
      { data: { values: [{ _x: 0, _y: 0 }] }, mark: { type: "point", opacity: 0 }, encoding: { x, y } },
    ],
  };
}

function spec(data: ExperimentData): TopLevelSpec {
  const shown = shownOf(data, "traversal");
  const drawn = shown.slice(0, configurationsDrawn);
  return {
    ...frame(title(data), [
      "A row a dimension (numbered from 1, the most active on top) which goes from -3 to 3; all others stay at the mean of q(z|x) of one dev image.",
      ...seedNote(data, shown, drawn.length),
    ]),
    hconcat: drawn.map((one) => view(one, drawn.length > 1)),
    spacing: 24,
  } as unknown as TopLevelSpec;
}

/** What each latent dimension of a VAE stands for. */
export const latentTraversal: Plot = {
  name: "latent-traversal",
  summary: "the most active latent dimensions of a VAE, each from -3 to 3",
  title,
  caption:
    "Activity is the variance over images of the mean of q(z|x). Along a row one property should change, slant, stroke or class, and smoothly so; a row that does not change is a dimension which the decoder ignores. " +
    "The prior is N(0, I): nearly all latent variables lie between -3 and 3.",
  requires: [],
  of: ["vae"],
  lacks: (data) =>
    shownOf(data, "traversal").length > 0
      ? undefined
      : "no run has left a latent traversal: it comes with the end of training",
  spec,
};
