import type { ExperimentData } from "./experiment.ts";
import { hasMetric, medianAt, metricPanels, perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";
import { power } from "./style.ts";

function title(data: ExperimentData): string {
  const text = perConfiguration(data, (configuration) => {
    const [real, fake] = ["real", "fake"].map((name) =>
      medianAt(configuration, { name: `discriminator/${name}`, split: "train" }),
    ) as [number, number];
    return Number.isFinite(real)
      ? `D(x) ${power(Number(real.toPrecision(2)))}, D(G(z)) ${power(Number(fake.toPrecision(2)))}`
      : undefined;
  });
  return text === "" ? "What the discriminator says" : `At the end the discriminator says: ${text}`;
}

/** What the discriminator makes of real and of generated images. */
export const ganScores: Plot = {
  name: "gan-scores",
  summary: "D(x) of real and D(G(z)) of generated images over training",
  title,
  caption:
    "Means over a batch of what the discriminator says of real images, D(x), and of generated ones, D(G(z)), as it saw them in training: with the minimax and non-saturating losses the probability of being real, with the others its score. " +
    "At the game's equilibrium both are 1/2; the two apart, near 1 and 0, mean a discriminator that is never deceived.",
  requires: [],
  of: ["gan"],
  lacks: (data) => (hasMetric(data, "discriminator/real") ? undefined : "no run has recorded scores yet"),
  spec: (data) =>
    metricPanels(
      data,
      [
        { title: "D(x), real images", name: "discriminator/real", splits: ["train"], axisTitle: "mean" },
        { title: "D(G(z)), generated images", name: "discriminator/fake", splits: ["train"], axisTitle: "mean" },
      ],
      { title: title(data) },
    ),
};
