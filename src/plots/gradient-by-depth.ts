import type { TopLevelSpec } from "vega-lite";
import { depthOf, layoutOf, seriesByDepth, type ExperimentData } from "./experiment.ts";
import { layerSeries, valueAt, type Moment } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import { seedNotes, type Measure } from "./profile.ts";
import { momentName } from "./profile-grid.ts";
import { distinct, extent, groupBy, logMedian } from "../statistics.ts";
import { depthAxis, frame, hiddenNote, lineLegend, lineScales, logAxis, times } from "./style.ts";

const measure: Measure = (run) => layerSeries(run, "parameter-gradient");

interface Point {
  readonly series: string;
  readonly stack: string;
  readonly moment: Moment;
  readonly end: "first layer" | "last layer";
  readonly depth: number;
  readonly value: number;
}

/** The first and the last layer's norm of every run and stack, at both moments. A diverged run has no end, nor has one that recorded a single step. */
function pointsOf(data: ExperimentData): Point[] {
  const layout = layoutOf(data);
  return data.runs.flatMap((run) => {
    const depth = depthOf(layout, run.row);
    if (depth === undefined) return [];
    const measured = measure(run);
    // One recorded step is a start and no end.
    const hasEnd = run.row.status === "done" && measured.some(({ steps }) => steps.length > 1);
    const moments: Moment[] = hasEnd ? ["first", "end"] : ["first"];
    return [...groupBy(measured, (series) => series.stack)].flatMap(([stack, series]) =>
      moments.flatMap((moment) => [
        {
          series: seriesByDepth(layout, run.row),
          stack,
          moment,
          end: "first layer" as const,
          depth,
          value: valueAt(series[0]!, moment),
        },
        {
          series: seriesByDepth(layout, run.row),
          stack,
          moment,
          end: "last layer" as const,
          depth,
          value: valueAt(series.at(-1)!, moment),
        },
      ]),
    );
  });
}

/** `From depth 2 to 12 the gradient norm of layer 1 at the end becomes: post-ln encoder 0.02×, decoder 0.001×; ...`. */
function title(data: ExperimentData): string {
  const points = pointsOf(data).filter((point) => point.end === "first layer");
  const moment = points.some((point) => point.moment === "end") ? "end" : "first";
  const own = points.filter((point) => point.moment === moment);
  const [low, high] = extent(own.map((point) => point.depth));
  const parts = [...groupBy(own, (point) => point.series)].flatMap(([series, inSeries]) => {
    const ratios = [...groupBy(inSeries, (point) => point.stack)].flatMap(([stack, inStack]) => {
      const at = (depth: number): number =>
        logMedian(
          inStack.flatMap((point) => (point.depth === depth && Number.isFinite(point.value) ? point.value : [])),
        );
      const ratio = at(high) / at(low);
      return Number.isFinite(ratio) ? [`${stack} ${times(ratio)}`] : [];
    });
    return ratios.length > 0 ? [`${series === "" ? "" : `${series} `}${ratios.join(", ")}`] : [];
  });
  if (parts.length === 0) return "Gradient norm of the first and the last layer by depth";
  const shown = parts.length <= 4 ? parts.join("; ") : `${parts.slice(0, 3).join("; ")}; and ${parts.length - 3} more`;
  return `From depth ${low} to ${high} the gradient norm of layer 1 ${moment === "end" ? "at the end" : `at ${momentName(data, measure, moment)}`} becomes: ${shown}`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const points = pointsOf(data);
  const series = distinct(points.map((point) => point.series));
  const stacks = distinct(points.map((point) => point.stack));
  const columnOf = (stack: string, moment: Moment): string => `${stack}, ${momentName(data, measure, moment)}`;
  const y = logAxis(points.map((point) => point.value));
  const groups = groupBy(points, (point) =>
    JSON.stringify([point.series, point.stack, point.moment, point.end, point.depth]),
  );
  const rows = [...groups.values()].flatMap((same) => {
    const { series: name, stack, moment, end, depth } = same[0]!;
    const drawn = same.map(({ value }) => value).filter((value) => Number.isFinite(value) && value > 0);
    if (drawn.length === 0) return [];
    const [low, high] = extent(drawn);
    return [
      {
        series: name,
        end,
        depth,
        column: columnOf(stack, moment),
        value: logMedian(drawn),
        low,
        high,
        runs: drawn.length,
      },
    ];
  });
  const depths = distinct(points.map((point) => point.depth)).sort((a, b) => a - b);
  const scales = lineScales(series);
  const legend = lineLegend("scheme", series);
  const x = depthAxis(depths);
  const yOf = (field: string): object => ({
    field,
    type: "quantitative",
    title: "gradient norm (nats/unit)",
    scale: { type: "log", domain: y.domain, nice: false },
    axis: { ...y.axis },
  });
  const color = { field: "series", type: "nominal", scale: scales.color, legend };
  const shape = { field: "series", type: "nominal", scale: scales.shape, legend };
  const faded = { condition: { param: "picked", value: 1 }, value: 0.12 };
  const tooltip = [
    { field: "series", title: "scheme" },
    { field: "column", title: "stack and moment" },
    { field: "end", title: "layer" },
    { field: "depth", type: "quantitative" },
    { field: "value", type: "quantitative", title: "median", format: ".3g" },
    { field: "low", type: "quantitative", title: "smallest", format: ".3g" },
    { field: "high", type: "quantitative", title: "largest", format: ".3g" },
    { field: "runs", type: "quantitative" },
  ];
  return {
    ...frame(title(data), [...seedNotes(data, "no end is drawn"), ...hiddenNote(y.hidden)]),
    data: { values: rows },
    facet: {
      row: { field: "end", type: "nominal", title: null, sort: ["first layer", "last layer"] },
      column: {
        field: "column",
        type: "nominal",
        title: null,
        sort: (["first", "end"] as const).flatMap((moment) => stacks.map((stack) => columnOf(stack, moment))),
      },
    },
    spacing: 12,
    spec: {
      width: stacks.length > 1 ? 180 : 340,
      height: 150,
      layer: [
        {
          mark: { type: "area", opacity: 0.2, clip: true },
          encoding: { x, y: yOf("low"), y2: { field: "high" }, color },
        },
        {
          params: [{ name: "picked", select: { type: "point", fields: ["series"] }, bind: "legend" }],
          mark: { type: "line", strokeWidth: 1.8, clip: true },
          encoding: { x, y: yOf("value"), color, opacity: faded },
        },
        {
          mark: { type: "point", filled: true, size: 40, clip: true },
          encoding: { x, y: yOf("value"), color, shape, opacity: faded, tooltip },
        },
      ],
    },
  } as unknown as TopLevelSpec;
}

/** The gradient norm of a stack's first and last layer against depth, by scheme. */
export const gradientByDepth: Plot = {
  name: "gradient-by-depth",
  summary: "gradient norm of the first and the last layer against depth, by scheme",
  title,
  caption:
    "Above the first layer of each stack (farthest from the loss within it), below the last; both axes logarithmic, so that a power law in depth is a straight line and exponential decay bends down. " +
    "Level lines mean that depth does not change how much gradient arrives. For reference, at initialisation theory (Xiong et al. 2020, Theorem 1) expects the last layer of post-LN not to depend on depth and that of pre-LN to fall as depth^(-1/2); " +
    "it speaks of the expected gradient of one weight matrix, while these are norms of single batches over a whole layer, so that only the slope may be compared.",
  requires: ["parameter-gradient", "varied depth"],
  spec,
};
