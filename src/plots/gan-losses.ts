import type { ExperimentData } from "./experiment.ts";
import { hasMetric, medianAt, metricPanels, perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";
import { power } from "./style.ts";

function title(data: ExperimentData): string {
  const text = perConfiguration(data, (configuration) => {
    const [ours, theirs] = ["discriminator/loss", "generator/loss"].map((name) =>
      medianAt(configuration, { name, split: "train" }),
    ) as [number, number];
    return Number.isFinite(ours)
      ? `discriminator ${power(Number(ours.toPrecision(3)))}, generator ${power(Number(theirs.toPrecision(3)))}`
      : undefined;
  });
  return text === "" ? "Losses of both players" : `Losses at the end: ${text}`;
}

/** What both players of a GAN minimise. */
export const ganLosses: Plot = {
  name: "gan-losses",
  summary: "losses of a GAN's discriminator and generator",
  title,
  caption:
    "Each player's loss against the other as it was then. Neither need fall, and a smaller one is no better model: the game is judged by its images and by metrics of them. " +
    "Where the players balance, the discriminator's loss of the minimax game is 2 log 2 = 1.39; near 0 it tells all images apart, and what the generator then still learns is seen in its gradient.",
  requires: [],
  of: ["gan"],
  lacks: (data) => (hasMetric(data, "generator/loss") ? undefined : "no run has recorded losses yet"),
  spec: (data) =>
    metricPanels(
      data,
      [
        { title: "discriminator", name: "discriminator/loss", splits: ["train"], axisTitle: "loss" },
        { title: "generator", name: "generator/loss", splits: ["train"], axisTitle: "loss" },
      ],
      { title: title(data) },
    ),
};
