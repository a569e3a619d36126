import type { TopLevelSpec } from "vega-lite";
import type { LayerRow } from "../types.ts";
import { depthOf, layoutOf, seriesByDepth, type ExperimentData, type RunData } from "./experiment.ts";
import type { Plot } from "./plot.ts";
import { seedNotes } from "./profile.ts";
import { distinct, extent, groupBy, logMedian, round } from "../statistics.ts";
import { frame, hiddenNote, lineLegend, lineScales, logAxis, times } from "./style.ts";

/** A run's model update at one place of the figure: a depth or a number of updates. */
interface Point {
  readonly series: string;
  readonly column: string;
  readonly x: number;
  readonly value: number;
}

/** What the figure is drawn of: over depth where it varies, in a column for each of two moments; else over updates. */
interface Drawing {
  readonly axis: "depth" | "updates";
  readonly points: readonly Point[];
  readonly columns: readonly string[];
}

/** The rows of a run that follow an update, in order of steps: before the first the output is where it started. */
const updateRows = (run: RunData): LayerRow[] =>
  run.layers.filter((row) => row.quantity === "model-update" && row.step > 0).sort((a, b) => a.step - b.step);

/** A step's values are those before its own update, so that step t has seen t updates. */
const after = (steps: readonly number[], otherwise: string): string =>
  distinct(steps).length === 1 ? `after ${steps[0]} update${steps[0] === 1 ? "" : "s"}` : otherwise;

function drawingOf(data: ExperimentData): Drawing {
  const layout = layoutOf(data);
  const runs = data.runs.flatMap((run) => {
    const rows = updateRows(run);
    return rows.length > 0 ? [{ run, rows, depth: depthOf(layout, run.row) }] : [];
  });
  if (distinct(runs.flatMap(({ depth }) => depth ?? [])).length < 2) {
    const seriesOf = ({ row }: RunData): string =>
      [layout.panelOf(row), layout.lineOf(row)].filter((part) => part !== "").join(" · ");
    const points = runs.flatMap(({ run, rows }) =>
      rows.map(({ step, rms }) => ({ series: seriesOf(run), column: "", x: step, value: rms })),
    );
    return { axis: "updates", points, columns: [""] };
  }
  // A diverged run has no end.
  const ended = runs.filter(({ run }) => run.row.status === "done");
  const early = after(
    runs.map(({ rows }) => rows[0]!.step),
    "at the first probed step",
  );
  const late = after(
    ended.map(({ rows }) => rows.at(-1)!.step),
    "at the last probed step",
  );
  const pointsAt = (column: string, some: typeof runs, which: 0 | -1): Point[] =>
    some.flatMap(({ run, rows, depth }) =>
      depth === undefined
        ? []
        : [{ series: seriesByDepth(layout, run.row), column, x: depth, value: rows.at(which)!.rms }],
    );
  const first = pointsAt(early, runs, 0);
  if (ended.length === 0 || early === late) return { axis: "depth", points: first, columns: [early] };
  return { axis: "depth", points: [...first, ...pointsAt(late, ended, -1)], columns: [early, late] };
}

const finite = (points: readonly Point[]): number[] =>
  points.map(({ value }) => value).filter((value) => Number.isFinite(value) && value > 0);

/** `From depth 2 to 24 the model update after 1 update becomes: post-ln 28×, pre-ln 11×, deepnorm 3.9×`. */
function title(data: ExperimentData): string {
  const { axis, points, columns } = drawingOf(data);
  const own = points.filter(({ column }) => column === columns[0]);
  const [low, high] = extent(own.map(({ x }) => x));
  const middle = (some: readonly Point[], at: number): number => logMedian(finite(some.filter(({ x }) => x === at)));
  const parts = [...groupBy(own, ({ series }) => series)].flatMap(([series, same]) => {
    const [from, to] = [middle(same, low), middle(same, high)];
    const value = axis === "depth" ? to / from : to;
    if (!Number.isFinite(value)) return [];
    return [`${series === "" ? "" : `${series} `}${axis === "depth" ? times(value) : round(value, 2)}`];
  });
  if (parts.length === 0) return "How far training moves the network's output";
  const shown = parts.length <= 6 ? parts.join(", ") : `${parts.slice(0, 5).join(", ")} and ${parts.length - 5} more`;
  return axis === "depth"
    ? `From depth ${low} to ${high} the model update ${columns[0]} becomes: ${shown}`
    : `After ${high} updates the network's output has moved by (rms): ${shown}`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const { axis, points, columns } = drawingOf(data);
  const series = distinct(points.map((point) => point.series));
  const xs = distinct(points.map(({ x }) => x)).sort((a, b) => a - b);
  const yAxis = logAxis(points.map(({ value }) => value));
  const groups = groupBy(points, (point) => JSON.stringify([point.series, point.column, point.x]));
  const rows = [...groups.values()].flatMap((same) => {
    const drawn = finite(same);
    if (drawn.length === 0) return [];
    const [low, high] = extent(drawn);
    const { series: name, column, x } = same[0]!;
    const value = logMedian(drawn);
    return [{ series: name, column, x, value, low, high, runs: drawn.length }];
  });
  const scales = lineScales(series);
  const legend = lineLegend("scheme", series);
  const updates = logAxis(xs);
  const x = {
    field: "x",
    type: "quantitative",
    title: axis === "depth" ? "depth (layers a stack)" : "updates",
    scale: { type: "log", domain: [(xs[0] ?? 1) / 1.15, (xs.at(-1) ?? 10) * 1.15], nice: false },
    axis:
      axis === "depth"
        ? { values: xs, format: "d", grid: false, labelOverlap: "greedy" }
        : { ...updates.axis, grid: false },
  };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: "model update (rms)",
    scale: { type: "log", domain: yAxis.domain, nice: false },
    axis: { ...yAxis.axis },
  });
  const color = { field: "series", type: "nominal", scale: scales.color, legend };
  const shape = { field: "series", type: "nominal", scale: scales.shape, legend };
  const faded = { condition: { param: "picked", value: 1 }, value: 0.12 };
  const tooltip = [
    { field: "series", title: "scheme" },
    { field: "column", title: "moment" },
    { field: "x", type: "quantitative", title: axis },
    { field: "value", type: "quantitative", title: "median", format: ".3g" },
    { field: "low", type: "quantitative", title: "smallest", format: ".3g" },
    { field: "high", type: "quantitative", title: "largest", format: ".3g" },
    { field: "runs", type: "quantitative" },
  ];
  const end = axis === "depth" ? "A run's last probed step is its end." : "";
  return {
    ...frame(title(data), [...seedNotes(data, "no end is drawn", end), ...hiddenNote(yAxis.hidden)]),
    data: { values: rows },
    facet: { field: "column", type: "nominal", title: null, sort: [...columns] },
    columns: 2,
    spacing: 24,
    spec: {
      width: columns.length > 1 ? 370 : 560,
      height: 260,
      layer: [
        {
          mark: { type: "area", opacity: 0.2, clip: true },
          encoding: { x, y: y("low"), y2: { field: "high" }, color },
        },
        {
          params: [{ name: "picked", select: { type: "point", fields: ["series"] }, bind: "legend" }],
          mark: { type: "line", strokeWidth: 1.8, clip: true },
          encoding: { x, y: y("value"), color, opacity: faded },
        },
        {
          mark: { type: "point", filled: true, size: 40, clip: true },
          encoding: { x, y: y("value"), color, shape, opacity: faded, tooltip },
        },
      ],
    },
  } as unknown as TopLevelSpec;
}

/** How far training moves the network's output on a fixed batch: against depth where it varies, else over updates. */
export const modelUpdate: Plot = {
  name: "model-update",
  summary: "how far training moves the network's output on a fixed batch, against depth or over updates, by scheme",
  title,
  caption:
    "The root mean square of F(x; θₜ) − F(x; θ₀): what the network hands to its output projection on one fixed dev batch, without dropout, now less at the start. Both axes are logarithmic, so that a power law is a straight line. " +
    "A level line means that a step moves a deep network no farther than a shallow one. For small independent changes of the weights Liu et al. 2020 (Admin) expect the mean square to grow in proportion to depth for post-LN and with its logarithm for pre-LN and Admin; what is drawn is its root. " +
    "For plain gradient descent Wang et al. 2022 (DeepNet) bound DeepNorm's by a constant. Neither is Adam, which moves every weight by about the learning rate, however small its gradient, and all of them in directions that agree: there growth may be steeper. " +
    "Where the network ends in a norm its output has an rms of about 1: a change of about 1.4 (√2) then means an output that has nothing in common with what it was, and lines flatten towards it.",
  requires: ["model-update"],
  spec,
};
