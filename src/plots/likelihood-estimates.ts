import type { TopLevelSpec } from "vega-lite";
import { extent, groupBy, median, round } from "../statistics.ts";
import type { ExperimentData } from "./experiment.ts";
import { perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf, seedNotes, type Configuration } from "./profile.ts";
import { frame, power } from "./style.ts";

const pattern = /^(naive|importance)-log-likelihood\/(\d+)$/;

/** Panels drawn. */
const panelsDrawn = 9;

interface Estimate {
  readonly estimator: string;
  readonly samples: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Estimates over seeds, of the test images. */
function estimatesOf({ runs }: Configuration): Estimate[] {
  const found = runs.flatMap(({ metrics }) =>
    metrics.flatMap(({ name, split, value }) => {
      const [, estimator, samples] = pattern.exec(name) ?? [];
      return estimator !== undefined && split === "test" && Number.isFinite(value)
        ? [
            {
              estimator: estimator === "naive" ? "naive, z ~ p(z)" : "importance, z ~ q(z|x)",
              samples: Number(samples),
              value,
            },
          ]
        : [];
    }),
  );
  return [...groupBy(found, ({ estimator, samples }) => `${estimator}/${samples}`).values()]
    .map((same) => {
      const [low, high] = extent(same.map(({ value }) => value));
      return {
        ...same[0]!,
        value: median(same.map(({ value }) => value)),
        low,
        high,
      };
    })
    .sort((a, b) => a.samples - b.samples);
}

function title(data: ExperimentData): string {
  const text = perConfiguration(data, (configuration) => {
    const all = estimatesOf(configuration);
    const most = Math.max(...all.map(({ samples }) => samples));
    const at = (kind: string): number =>
      all.find(({ estimator, samples }) => estimator.startsWith(kind) && samples === most)?.value ?? NaN;
    const gap = at("importance") - at("naive");
    return Number.isFinite(gap) ? `${gap.toFixed(1)} nats at ${power(most)} samples` : undefined;
  });
  return text === ""
    ? "Naive and importance-weighted estimates of log p(x)"
    : `The naive estimate of log p(x) falls short of the importance-weighted one: ${text}`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const all = configurationsOf(data)
    .map((configuration) => ({ name: configuration.name, estimates: estimatesOf(configuration) }))
    .filter(({ estimates }) => estimates.length > 0);
  const panels = all.slice(0, panelsDrawn).map((one) => (all.length > 1 ? one : { ...one, name: "" }));
  const rows = panels.flatMap(({ name, estimates }) => estimates.map((estimate) => ({ panel: name, ...estimate })));
  const samples = [...new Set(rows.map((row) => row.samples))].sort((a, b) => a - b);
  const [low, high] = extent(rows.flatMap((row) => [row.low, row.high]));
  const pad = Math.max(1, 0.05 * (high - low));
  const estimators = ["importance, z ~ q(z|x)", "naive, z ~ p(z)"];
  const cases = samples.map((value) => `datum.value === ${value} ? '${power(value)}' : `).join("");
  const x = {
    field: "samples",
    type: "quantitative",
    title: "samples of z an image (log scale)",
    scale: { type: "log", domain: [samples[0]! / 1.3, samples.at(-1)! * 1.3], nice: false },
    axis: { values: samples, grid: false, labelExpr: `${cases}''` },
  };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: "estimate of log p(x) (nats an image)",
    scale: { domain: [round(low - pad), round(high + pad)], nice: false, zero: false },
    axis: { tickCount: 6 },
  });
  const color = {
    field: "estimator",
    type: "nominal",
    scale: { domain: estimators, range: ["#0072B2", "#D55E00"] },
    legend: { title: null, orient: "top", symbolOpacity: 1, labelLimit: 0 },
  };
  const shape = { ...color, scale: { domain: estimators, range: ["circle", "square"] } };
  const tooltip = [
    { field: "panel", title: "configuration" },
    { field: "estimator" },
    { field: "samples", type: "quantitative" },
    { field: "value", type: "quantitative", title: "median", format: ".2f" },
    { field: "low", type: "quantitative", title: "smallest", format: ".2f" },
    { field: "high", type: "quantitative", title: "largest", format: ".2f" },
  ];
  return {
    ...frame(title(data), [
      "Test images. Both estimates are lower bounds in expectation and rise to log p(x) with the number of samples.",
      ...seedNotes(data, "left out", ""),
      ...(all.length > panels.length ? [`Of ${all.length} configurations ${panels.length} are drawn.`] : []),
    ]),
    data: { values: rows },
    facet: { field: "panel", type: "nominal", title: null, sort: panels.map(({ name }) => name) },
    columns: 3,
    spacing: 24,
    spec: {
      width: panels.length > 2 ? 230 : panels.length > 1 ? 320 : 480,
      height: 210,
      layer: [
        { mark: { type: "area", opacity: 0.2 }, encoding: { x, y: y("low"), y2: { field: "high" }, color } },
        { mark: { type: "line", strokeWidth: 1.8 }, encoding: { x, y: y("value"), color } },
        { mark: { type: "point", filled: true, size: 40 }, encoding: { x, y: y("value"), color, shape, tooltip } },
      ],
    },
  } as unknown as TopLevelSpec;
}

/** Question 2 of the seed: what naive Monte Carlo needs to estimate the evidence. */
export const likelihoodEstimates: Plot = {
  name: "likelihood-estimates",
  summary: "naive and importance-weighted estimates of log p(x) by number of samples (nats an image)",
  title,
  caption:
    "The naive estimate averages p(x|z) over z drawn from the prior, most of which say nothing of x; its log is far too small until a sample falls where x is likely, and the number of samples that takes grows exponentially with the KL term, so with the latent dimension. " +
    "The importance-weighted estimate draws z from q(z|x) and levels off early. Where both agree, the likelihood is known.",
  requires: [],
  of: ["vae"],
  lacks: (data) =>
    data.runs.some(({ metrics }) => metrics.some(({ name, split }) => split === "test" && pattern.test(name)))
      ? undefined
      : "no run has recorded likelihoods by number of samples (metrics.final: naive-likelihood)",
  spec,
};
