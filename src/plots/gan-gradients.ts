import type { ExperimentData } from "./experiment.ts";
import { hasMetric, medianAt, metricPanels, perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";
import { power } from "./style.ts";

function title(data: ExperimentData): string {
  const metric = (name: string) => ({ name, split: "train" as const });
  const text = perConfiguration(data, (configuration) => {
    const norm = medianAt(configuration, metric("generator/gradient-norm"));
    const score = medianAt(configuration, metric("discriminator/fake"));
    return Number.isFinite(norm)
      ? `${power(Number(norm.toPrecision(2)))} where D(G(z)) is ${power(Number(score.toPrecision(2)))}`
      : undefined;
  });
  return text === "" ? "Gradient norms of both players" : `The generator's gradient norm at the end: ${text}`;
}

/** D(G(z)) of the runs in which it is a probability: a critic's score has another scale, and may be negative. */
const withoutCritics = (data: ExperimentData): ExperimentData => ({
  ...data,
  runs: data.runs.map((run) => {
    const isCritic = run.metrics.some(
      ({ name, value }) => name === "discriminator/fake" && !(value >= 0 && value <= 1),
    );
    return isCritic ? { ...run, metrics: run.metrics.filter(({ name }) => name !== "discriminator/fake") } : run;
  }),
});

/** Whether gradient reaches the generator, and what the discriminator says then. */
export const ganGradients: Plot = {
  name: "gan-gradients",
  summary: "gradient norms of both players, beside D(G(z)): where the generator's vanishes",
  title,
  caption:
    "Global norms of each player's gradient, before clipping, on a logarithmic scale, beside what the discriminator says of generated images. " +
    "With the minimax loss the generator's gradient carries the factor D(G(z)): a discriminator that is never deceived leaves it nothing to learn from. With the non-saturating loss the factor is 1 - D(G(z)), " +
    "so that the gradient is largest just where the discriminator wins (Goodfellow et al. 2014, section 3).",
  requires: [],
  of: ["gan"],
  lacks: (data) => (hasMetric(data, "generator/gradient-norm") ? undefined : "no run has recorded gradient norms yet"),
  spec: (data) =>
    metricPanels(
      withoutCritics(data),
      [
        {
          title: "generator",
          name: "generator/gradient-norm",
          splits: ["train"],
          axisTitle: "gradient norm",
          scale: "log",
        },
        {
          title: "discriminator",
          name: "discriminator/gradient-norm",
          splits: ["train"],
          axisTitle: "gradient norm",
          scale: "log",
        },
        // Probabilities near 0 differ by orders of magnitude.
        {
          title: "D(G(z))",
          name: "discriminator/fake",
          splits: ["train"],
          axisTitle: "mean",
          scale: "log",
        },
      ],
      { title: title(data) },
    ),
};
