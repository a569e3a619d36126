import type { ExperimentData, RunData } from "./experiment.ts";
import { hasMetric, medianAt, metricPanels, perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf } from "./profile.ts";
import { power } from "./style.ts";

function title(data: ExperimentData): string {
  const metric = (name: string) => ({ name, split: "train" as const });
  const text = perConfiguration(data, (configuration) => {
    const norm = medianAt(configuration, metric("generator/gradient-norm"));
    const score = medianAt(configuration, metric("discriminator/fake"));
    if (!Number.isFinite(norm)) return undefined;
    const of = configuration.runs.some(isCritic) ? "the score of G(z)" : "D(G(z))";
    return `${power(Number(norm.toPrecision(2)))} where ${of} is ${power(Number(score.toPrecision(2)))}`;
  });
  return text === "" ? "Gradient norms of both players" : `The generator's gradient norm at the end: ${text}`;
}

const isScore = ({ name }: { readonly name: string }): boolean => /^discriminator\/(real|fake)$/.test(name);

/** Whether what the discriminator says is no probability. A run that diverged says NaN at its end, whatever it is. */
const isCritic = ({ metrics }: RunData): boolean =>
  metrics.some((row) => isScore(row) && (row.value < 0 || row.value > 1));

/** D(G(z)) of the configurations in which it is a probability: a critic's score has another scale, and may be negative. */
function withoutCritics(data: ExperimentData): ExperimentData {
  const critics = new Set(configurationsOf(data).flatMap(({ runs }) => (runs.some(isCritic) ? runs : [])));
  const runs = data.runs.map((run) =>
    critics.has(run) ? { ...run, metrics: run.metrics.filter((row) => !isScore(row)) } : run,
  );
  return { ...data, runs };
}

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
  spec: (data) => {
    const drawn = withoutCritics(data);
    const hasProbabilities = hasMetric(drawn, "discriminator/fake");
    return metricPanels(
      drawn,
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
        ...(hasProbabilities
          ? ([
              {
                title: "D(G(z))",
                name: "discriminator/fake",
                splits: ["train"],
                axisTitle: "mean",
                scale: "log",
              },
            ] as const)
          : []),
      ],
      {
        title: title(data),
        notes: data.runs.some(isCritic)
          ? ["D(G(z)) only where it is a probability; the figure of scores has the others."]
          : [],
      },
    );
  },
};
