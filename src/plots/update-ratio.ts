import { layoutOf, type ExperimentData } from "./experiment.ts";
import { updateRatioSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import { profilesOf } from "./profile.ts";
import { profileGrid } from "./profile-grid.ts";
import { extent, median } from "../statistics.ts";
import { power } from "./style.ts";

const rule = 1e-3;

/** `At the end layers move by 4·10⁻⁴ to 3·10⁻³ of their size a step (post-ln), ...`. */
function title(data: ExperimentData): string {
  const profiles = profilesOf(data, updateRatioSeries).filter(({ kind }) => kind === "seeds");
  const moment = profiles.some((profile) => profile.moment === "end") ? "end" : "first";
  const parts = layoutOf(data).panels.flatMap((panel) => {
    const medians = profiles
      .filter((profile) => profile.panel === panel && profile.moment === moment)
      .flatMap(({ layers }) => layers.map(({ values }) => median(values.filter(Number.isFinite))))
      .filter(Number.isFinite);
    if (medians.length === 0) return [];
    const [low, high] = extent(medians).map((value) => power(Number(value.toPrecision(1))));
    return [`${low} to ${high} of its norm${panel === "" ? "" : ` (${panel})`}`];
  });
  if (parts.length === 0) return "Size of a step relative to the weights, by layer";
  const shown = parts.length <= 4 ? parts.join(", ") : `${parts.slice(0, 3).join(", ")} and ${parts.length - 3} more`;
  return `${moment === "end" ? "At the end" : "At the first step"} a step moves a layer by ${shown}`;
}

/** How far a step moves each layer's parameters, relative to their size. */
export const updateRatio: Plot = {
  name: "update-ratio",
  summary: "norm of the update over norm of the parameters, by layer, with the 1e-3 rule of thumb",
  title,
  caption:
    "Each point is the norm of what one optimizer step changed in a layer, over the norm of that layer's parameters, all of the layer's parameters taken together. " +
    "A common rule of thumb is about 10⁻³ (dashed): far above it, steps overwrite what was learnt; far below, the layer hardly trains. " +
    "Under Adam the size of a step depends little on the size of the gradient, so that these lines can be level where gradient norms are not, and the reverse. " +
    "During warm-up the ratio grows with the learning rate.",
  requires: ["update", "parameter"],
  spec: (data) =>
    profileGrid(data, updateRatioSeries, {
      title: title(data),
      axisTitle: "update ratio (a step)",
      reference: { value: rule, name: "10⁻³, a rule of thumb" },
    }),
};
