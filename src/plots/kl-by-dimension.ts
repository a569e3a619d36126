import type { TopLevelSpec } from "vega-lite";
import { median } from "../statistics.ts";
import type { ExperimentData, RunData } from "./experiment.ts";
import { endedRuns, perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf, type Configuration } from "./profile.ts";
import { frame } from "./style.ts";

/** Panels and bars drawn. */
const panelsDrawn = 9;
const barsDrawn = 64;

interface Dimensions {
  /** KL terms, largest first. */
  readonly kl: readonly number[];
  /** Units that are active; NaN where that was not recorded. */
  readonly active: number;
  readonly seeds: number;
}

/** The last value of a metric, of the test images where there is one. */
function lastOf(run: RunData, name: string): number {
  const rows = run.metrics.filter((row) => row.name === name && row.split !== "train");
  return (rows.findLast(({ split }) => split === "test") ?? rows.at(-1))?.value ?? NaN;
}

function dimensionsOf(configuration: Configuration): Dimensions | undefined {
  const ended = endedRuns(configuration);
  const sorted = ended.flatMap((run) => {
    const names = new Set(run.metrics.map(({ name }) => name).filter((name) => /^kl\/\d+$/.test(name)));
    const values = [...names].map((name) => lastOf(run, name)).filter(Number.isFinite);
    return values.length > 0 ? [values.sort((a, b) => b - a)] : [];
  });
  if (sorted.length === 0) return undefined;
  // A seed's dimensions have no order of their own: by size those of all seeds can be put together.
  const kl = sorted[0]!.map((_, i) => median(sorted.flatMap((values) => values[i] ?? [])));
  const seeds = sorted.length;
  return {
    kl,
    seeds,
    active: Math.round(median(ended.map((run) => lastOf(run, "active-units")).filter(Number.isFinite))),
  };
}

function title(data: ExperimentData): string {
  const text = perConfiguration(data, (configuration) => {
    const found = dimensionsOf(configuration);
    if (!found) return undefined;
    const total = found.kl.reduce((sum, value) => sum + value, 0);
    const active = Number.isFinite(found.active) ? `${found.active} of ${found.kl.length}` : `${found.kl.length}`;
    return `${active} latent dimensions carry ${total.toFixed(1)} nats an image`;
  });
  return text === "" ? "KL term of each latent dimension" : text[0]!.toUpperCase() + text.slice(1);
}

function spec(data: ExperimentData): TopLevelSpec {
  const all = configurationsOf(data).flatMap((configuration) => {
    const found = dimensionsOf(configuration);
    return found ? [{ name: configuration.name, ...found }] : [];
  });
  const panels = all.slice(0, panelsDrawn).map((one) => (all.length > 1 ? one : { ...one, name: "" }));
  const rows = panels.flatMap(({ name, kl, active }) =>
    kl.slice(0, barsDrawn).map((value, i) => ({
      panel: name,
      rank: i + 1,
      kl: value,
      state: !(i >= active) ? "active" : "not active",
    })),
  );
  const states = ["active", "not active"];
  return {
    ...frame(title(data), [
      "Dimensions by the size of their KL term, of the last evaluation; as many are marked active as the run counted.",
      ...(panels.some(({ seeds }) => seeds > 1) ? ["Bars: medians over seeds."] : ["One seed each."]),
      ...(all.length > panels.length ? [`Of ${all.length} configurations ${panels.length} are drawn.`] : []),
      ...(panels.some(({ kl }) => kl.length > barsDrawn) ? [`The largest ${barsDrawn} dimensions are drawn.`] : []),
    ]),
    data: { values: rows },
    facet: { field: "panel", type: "nominal", title: null, sort: panels.map(({ name }) => name) },
    columns: 3,
    spacing: 24,
    resolve: { scale: { x: "independent" } },
    spec: {
      width: panels.length > 1 ? 240 : 560,
      height: 180,
      mark: { type: "bar" },
      encoding: {
        x: {
          field: "rank",
          type: "ordinal",
          title: "latent dimension, by KL",
          axis: { labelAngle: 0, labelOverlap: true },
        },
        y: { field: "kl", type: "quantitative", title: "KL (nats an image)", axis: { tickCount: 5 } },
        color: {
          field: "state",
          type: "nominal",
          scale: { domain: states, range: ["#0072B2", "#999999"] },
          legend: { title: null, orient: "top", symbolType: "square" },
        },
        tooltip: [
          { field: "panel", title: "configuration" },
          { field: "rank", type: "ordinal" },
          { field: "kl", type: "quantitative", title: "KL", format: ".3g" },
          { field: "state", type: "nominal" },
        ],
      },
    },
  } as unknown as TopLevelSpec;
}

/** How the KL term of a VAE is shared among its latent dimensions. */
export const klByDimension: Plot = {
  name: "kl-by-dimension",
  summary: "KL term of each latent dimension of a VAE, active ones marked (nats an image)",
  title,
  caption:
    "A dimension whose KL term is 0 says nothing of the image: its posterior is the prior. A unit is active where the mean of q(z|x) varies over images by more than 0.01 (Burda et al. 2016). " +
    "VAEs commonly leave part of a large latent space unused; that is no fault where the likelihood does not suffer, and none of optimisation alone. All dimensions near 0 is posterior collapse.",
  requires: [],
  of: ["vae"],
  lacks: (data) =>
    data.runs.some(({ metrics }) => metrics.some(({ name }) => /^kl\/\d+$/.test(name)))
      ? undefined
      : "no run has recorded KL terms by dimension (metrics.evaluation: latent-units)",
  spec,
};
