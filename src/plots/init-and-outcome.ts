import type { TopLevelSpec } from "vega-lite";
import { areAll, layoutOf, lossWords, type ExperimentData, type RunData } from "./experiment.ts";
import { layerSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import { firstOverLast, type Configuration } from "./profile.ts";
import { frame, hiddenNote, logAxis } from "./style.ts";
import { finalLoss, outcomeOf } from "./verdict.ts";
import { distinct, extent, groupBy, median, rankCorrelation } from "../statistics.ts";

/** Configurations below which a correlation says nothing. */
const fewest = 8;

/** What profiles are made of, and how a reader calls it. */
const quantities = [
  { quantity: "parameter-gradient", name: "parameter gradient" },
  { quantity: "activation-gradient", name: "activation gradient" },
] as const;

/** What a run has come to: its loss, or of a GAN, whose players' losses say nothing of it, its Fréchet distance. */
function finalValue(data: ExperimentData, run: RunData): number {
  if (!areAll(data, "gan")) return finalLoss(run.row);
  return run.metrics.findLast(({ name, split }) => name === "frechet-distance" && split === "test")?.value ?? NaN;
}

/** A configuration's profile before training in one stack, and what became of it. */
interface Point {
  readonly stack: string;
  readonly quantity: string;
  readonly name: string;
  /** First layer over last at the first recorded step; Infinity where the gradient overflows there. */
  readonly ratio: number;
  readonly outcome: (typeof outcomes)[number];
  /** Median over the seeds that finished, and their range; NaN where more than half diverged. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly seeds: number;
}

const outcomes = ["learns", "does not pass the line", "finished", "diverged"] as const;
/** Okabe and Ito's blue, vermilion, green and purple. */
const looks = {
  learns: { color: "#0072B2", shape: "circle" },
  "does not pass the line": { color: "#D55E00", shape: "square" },
  finished: { color: "#009E73", shape: "circle" },
  diverged: { color: "#CC79A7", shape: "cross" },
} as const satisfies Record<(typeof outcomes)[number], object>;

function outcomeOfAll(runs: readonly RunData[]): Point["outcome"] | undefined {
  const ended = runs.map(({ row }) => outcomeOf(row)).filter((outcome) => outcome !== "unfinished");
  if (ended.length === 0) return undefined;
  const most = (outcome: string): boolean => 2 * ended.filter((one) => one === outcome).length > ended.length;
  return most("diverged")
    ? "diverged"
    : most("learns")
      ? "learns"
      : most("finished")
        ? "finished"
        : "does not pass the line";
}

/** The points of an experiment, and the configurations that have no ratio, since their first or last layers get no gradient at first. */
function pointsOf(data: ExperimentData): { readonly points: Point[]; readonly silent: string[] } {
  const outcomeBy = new Map<Configuration["name"], Pick<Point, "outcome" | "value" | "low" | "high" | "seeds">>();
  const silent = new Set<string>();
  const points = quantities.flatMap(({ quantity, name }) =>
    firstOverLast(data, (run) => layerSeries(run, quantity)).flatMap(({ configuration, stack, first }) => {
      let became = outcomeBy.get(configuration.name);
      if (!became) {
        const outcome = outcomeOfAll(configuration.runs);
        if (!outcome) return [];
        const values = configuration.runs
          .filter(({ row }) => row.status === "done")
          .map((run) => finalValue(data, run))
          .filter(Number.isFinite);
        const [low, high] = extent(values);
        became = { outcome, value: outcome === "diverged" ? NaN : median(values), low, high, seeds: values.length };
        outcomeBy.set(configuration.name, became);
      }
      if (!(first > 0)) {
        silent.add(configuration.name);
        return [];
      }
      return [{ stack, quantity: name, name: configuration.name, ratio: first, ...became }];
    }),
  );
  return { points, silent: [...silent] };
}

/** How uneven a profile is, whichever end is the larger: |log10(first / last)|. */
const unevenness = ({ ratio }: Point): number => Math.abs(Math.log10(ratio));

/** Rank correlation (Spearman) of a panel's unevenness with what became of its configurations; diverged counts as worst. */
const correlationOf = (points: readonly Point[]): number =>
  rankCorrelation(
    points.map(unevenness),
    points.map(({ value }) => (Number.isFinite(value) ? value : Infinity)),
  );

const panelsOf = (points: readonly Point[]): Map<string, Point[]> =>
  groupBy(points, ({ stack, quantity }) => `${stack}, ${quantity}`);

/** First over last below which a profile counts as vanishing towards the first layer, and its inverse, above which as growing. */
const level = 0.5;

/** `encoder, parameter gradient: 2 of 3 below 0.5, 1 of 20 between, 0 of 4 above 2`: how many configurations do not learn, by profile. */
function failuresIn([panel, points]: readonly [string, readonly Point[]]): string {
  const parts = (
    [
      [`below ${level}`, ({ ratio }) => ratio < level],
      ["between", ({ ratio }) => ratio >= level && ratio <= 1 / level],
      [`above ${1 / level}`, ({ ratio }) => ratio > 1 / level],
    ] as readonly [string, (point: Point) => boolean][]
  ).flatMap(([words, within]) => {
    const own = points.filter(within);
    const failed = own.filter(({ outcome }) => outcome === "diverged" || outcome === "does not pass the line").length;
    return own.length > 0 ? [`${failed} of ${own.length} ${words}`] : [];
  });
  return `${panel}: ${parts.join(", ")}`;
}

/** Ratios beyond this, or its inverse, stand at the edge: one that overflows would press all others together. */
const farthest = 100;
const withinReach = (ratio: number): number => Math.min(farthest, Math.max(1 / farthest, ratio));

/** Six names at most. */
const some = (names: readonly string[]): string =>
  `${names.slice(0, 6).join("; ")}${names.length > 6 ? ` and ${names.length - 6} more` : ""}`;

const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function title(data: ExperimentData): string {
  const panels = [...panelsOf(pointsOf(data).points)].map(([panel, points]) => ({ panel, rho: correlationOf(points) }));
  const known = panels.filter(({ rho }) => Number.isFinite(rho));
  if (known.length === 0) return "The gradient's profile at the first step, and what became of the network";
  const strongest = Math.max(...known.map(({ rho }) => Math.abs(rho)));
  const words =
    strongest < 0.3
      ? "How uneven the gradient's profile is at the first step says little about how training ends"
      : strongest < 0.6
        ? "How uneven the gradient's profile is at the first step says something, not much, about how training ends"
        : "How uneven the gradient's profile is at the first step goes with how training ends";
  const [low, high] = [...known]
    .sort((a, b) => a.rho - b.rho)
    .flatMap((one, i, all) => (i === 0 || i === all.length - 1 ? [one] : []));
  const named = ({ panel, rho }: { panel: string; rho: number }): string => `${signed(rho)} (${panel})`;
  return `${words}: rank correlation ${high ? `from ${named(low!)} to ${named(high)}` : named(low!)}`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const { points, silent } = pointsOf(data);
  const panels = panelsOf(points);
  const drawn = points.flatMap(({ value, low, high }) => [value, low, high]).filter(Number.isFinite);
  const line = areAll(data, "gan")
    ? NaN
    : median(data.runs.map(({ row }) => row.unigramEntropy).filter(Number.isFinite));
  const [low, high] = extent([...drawn, ...(Number.isFinite(line) ? [line] : [])]);
  const room = high > low ? 0.08 * (high - low) : 1;
  const top = high + room;
  const x = logAxis(
    points.map(({ ratio }) => withinReach(ratio)),
    [1],
  );
  const ratioTitle = "gradient norm at the first step, first layer / last";
  const unit = areAll(data, "gan") ? "Fréchet distance at the end" : `dev loss at the end (${lossWords(data).unit})`;
  const rows = [...panels].flatMap(([panel, own]) =>
    own.map((point) => ({
      panel,
      name: point.name,
      outcome: point.outcome,
      gradient: Number.isFinite(point.ratio) ? "finite" : "overflows",
      ratio: Number.isFinite(point.ratio) ? point.ratio : null,
      value: Number.isFinite(point.value) ? point.value : null,
      _at: withinReach(point.ratio),
      // A diverged network has no loss: it stands at the upper edge.
      _value: Number.isFinite(point.value) ? point.value : top,
      low: point.outcome === "diverged" || !Number.isFinite(point.low) ? null : point.low,
      high: point.outcome === "diverged" || !Number.isFinite(point.high) ? null : point.high,
      seeds: point.seeds,
    })),
  );
  const there = outcomes.filter((outcome) => points.some((point) => point.outcome === outcome));
  const scale = (look: "color" | "shape"): object => ({ domain: there, range: there.map((one) => looks[one][look]) });
  const legend = { title: null, orient: "top", symbolOpacity: 1, labelLimit: 0 };
  const xEncoding = {
    field: "_at",
    type: "quantitative",
    title: ratioTitle,
    scale: { type: "log", domain: x.domain, nice: false },
    axis: x.axis,
  };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: unit,
    scale: { zero: false, nice: false, domain: [low - room, top + room / 2] },
  });
  const color = { field: "outcome", type: "nominal", scale: scale("color"), legend };
  const names = [...panels.keys()];
  const overflowing = distinct(points.filter(({ ratio }) => ratio === Infinity).map(({ name }) => name));
  const notes = [
    `One mark a configuration (median over seeds; bars: smallest to largest), ${distinct(points.map(({ name }) => name)).length} in all.`,
    ...(points.some(({ ratio }) => withinReach(ratio) !== ratio)
      ? [`Beyond a ratio of ${farthest}, or below its inverse, marks stand at the edge.`]
      : []),
    ...(overflowing.length > 0
      ? [
          `At the right edge, and most uneven of all, since their gradient overflows at the first step: ${some(overflowing)}.`,
        ]
      : []),
    ...(silent.length > 0
      ? [`Without a ratio, since their first or last layers get no gradient at the first step: ${some(silent)}.`]
      : []),
    ...hiddenNote(x.hidden),
  ];
  const counts = [
    `Rank correlations (Spearman) of |log(first / last)| with the end: ${[...panels].map(([panel, own]) => `${panel} ${signed(correlationOf(own))} over ${own.length}`).join("; ")}.`,
    ...(points.some(({ outcome }) => outcome === "learns")
      ? [`Do not learn, by first / last: ${[...panels].map(failuresIn).join("; ")}.`]
      : []),
  ];
  return {
    ...frame(title(data), notes, 100, counts),
    data: { values: rows },
    facet: { field: "panel", type: "nominal", title: null, sort: names },
    columns: 2,
    spacing: 24,
    spec: {
      width: 330,
      height: 210,
      layer: [
        {
          transform: [{ aggregate: [{ op: "count", as: "marks" }], groupby: ["panel"] }], // one rule a panel, not one a mark
          mark: { type: "rule", color: "currentColor", opacity: 0.35 },
          encoding: { x: { datum: 1, type: "quantitative" } },
        },
        ...(Number.isFinite(line)
          ? [
              {
                transform: [{ aggregate: [{ op: "count", as: "marks" }], groupby: ["panel"] }],
                mark: { type: "rule", strokeDash: [6, 4], color: "currentColor", opacity: 0.7 },
                encoding: { y: { datum: line, type: "quantitative" } },
              },
            ]
          : []),
        {
          transform: [{ filter: "isValid(datum.low) && datum.high > datum.low" }],
          mark: { type: "rule", strokeWidth: 1.2, opacity: 0.6, clip: true },
          encoding: { x: xEncoding, y: y("low"), y2: { field: "high" }, color },
        },
        {
          mark: { type: "point", filled: true, size: 42, opacity: 0.9 },
          encoding: {
            x: xEncoding,
            y: y("_value"),
            color,
            shape: { field: "outcome", type: "nominal", scale: scale("shape"), legend },
            tooltip: [
              { field: "name", title: "configuration" },
              { field: "outcome" },
              { field: "gradient", title: "gradient at the first step" },
              { field: "ratio", type: "quantitative", title: ratioTitle, format: ".3g" },
              { field: "value", type: "quantitative", title: unit, format: ".4g" },
              { field: "seeds", type: "quantitative" },
            ],
          },
        },
      ],
    },
  } as unknown as TopLevelSpec;
}

/** Why there is nothing to correlate yet. */
function lacks(data: ExperimentData): string | undefined {
  const layout = layoutOf(data);
  const ended = data.runs.filter(({ row }) => row.status === "done" || row.status === "diverged");
  const configurations = distinct(ended.map(({ row }) => `${layout.panelOf(row)} ${layout.lineOf(row)}`)).length;
  if (configurations < fewest)
    return `it needs at least ${fewest} configurations that have ended (schemes and depths), and here are ${configurations}`;
  const { points } = pointsOf(data);
  if (points.some(({ value }) => Number.isFinite(value))) return undefined;
  return "no run has a final dev loss or, of a GAN, a Fréchet distance";
}

/** Each configuration's gradient ratio at the first step against what it has come to. */
export const initAndOutcome: Plot = {
  name: "init-and-outcome",
  summary: "the gradient's profile at the first step against the loss at the end, one mark a configuration",
  title,
  caption:
    "To the right: at the first step the first layer of the stack (farthest from the loss within it) has the larger gradient; to the left the last has; in the middle the profile is level. " +
    "Up is worse; the dashed line is the loss of the best model that ignores its input, and what diverged stands at the upper edge. " +
    "If the profile before training decided who trains, marks would lie in a V around the middle; a cloud says that it does not. " +
    "A correlation over schemes is no cause: published work disagrees on whether an uneven profile is one (Liu et al. 2020 say no).",
  requires: ["parameter-gradient"],
  lacks,
  spec,
};
