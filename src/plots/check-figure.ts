// The figure of a check of `fathom verify`: what was measured and what was predicted, as lines over x or as stacked bars.

import type { TopLevelSpec } from "vega-lite";
import { distinct, extent, groupBy, logMedian, median, round } from "../statistics.ts";
import type { CheckFigure, CheckPoint } from "../types.ts";
import { frame, hiddenNote, lineLegend, lineScales, logAxis, power, type LogAxis } from "./style.ts";

/** The specification of a check's figure. Measured lines run through the median over seeds, between a band from the
 *  smallest to the largest; predictions are dashed, in the colour of their series. Bars stack, positive values above 0 and
 *  negative ones below. */
export function checkFigure(figure: CheckFigure): TopLevelSpec {
  return figure.kind === "bars" ? stackedBars(figure) : lines(figure);
}

/** A series at one x: over seeds if it was measured. */
interface Row {
  readonly series: string;
  readonly panel: string;
  /** `alone`: predicted, and the only one of its line, which then has no length. */
  readonly kind: "measured" | "predicted" | "alone";
  readonly x: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly seeds: number;
}

/** All pixels of panels beside each other; a text of 14 pixels takes about 8.4 a character. */
const [pageWidth, characterWidth] = [860, 8.4];

function lines(figure: CheckFigure): TopLevelSpec {
  const finite = figure.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  const log = { x: figure.x.scale === "log", y: figure.y.scale === "log" };
  const axis = { x: logAxis(finite.map(({ x }) => x)), y: logAxis(finite.map(({ y }) => y)) };
  const shown = finite.filter(({ x, y }) => (!log.x || x > 0) && (!log.y || y > 0));
  const rows = rowsOf(shown, log.y);
  const { panels, series, width, columns, titleWidth } = layoutOf(figure);
  const scales = lineScales(series);
  const legend = legendOf(series);
  const ticks = ticksAt(distinct(rows.map((row) => row.x)), log.x);
  const x = {
    field: "x",
    type: "quantitative",
    title: figure.x.title,
    scale: log.x ? { type: "log", domain: axis.x.domain, nice: false } : { zero: false, nice: false, padding: 10 },
    axis: { grid: false, labelOverlap: "greedy", labelSeparation: 4, ...(ticks ?? (log.x ? axis.x.axis : {})) },
  };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: figure.y.title,
    scale: log.y ? { type: "log", domain: axis.y.domain, nice: false } : { zero: isNearZero(rows), nice: true },
    ...(log.y && { axis: axis.y.axis }),
  });
  const color = { field: "series", type: "nominal", scale: scales.color, legend };
  const shape = { field: "series", type: "nominal", scale: scales.shape, legend };
  const tooltip = tooltipOf(figure);
  const places = groupBy(rows, ({ kind, series, panel }) => JSON.stringify([kind, series, panel]));
  const longest = Math.max(0, ...[...places.values()].map((line) => line.length));
  const drawn = rows.map((row) => ({ ...row, ...(isAlone(row, rows) && { kind: "alone" as const }) }));
  const layer = [
    ...marksOf("measured", drawn, [
      { mark: { type: "area", opacity: 0.2 }, encoding: { x, y: y("low"), y2: { field: "high" }, color } },
      { mark: { type: "line", strokeWidth: 3, opacity: 0.5 }, encoding: { x, y: y("value"), color } },
    ]),
    // Thinner and stronger than what was measured: a prediction that holds lies right on it.
    ...marksOf("predicted", drawn, [
      { mark: { type: "line", strokeWidth: 1.6, strokeDash: [5, 4] }, encoding: { x, y: y("value"), color } },
    ]),
    ...marksOf("measured", drawn, [
      {
        mark: { type: "point", filled: true, size: longest > 60 ? 7 : longest > 25 ? 20 : 40 },
        encoding: { x, y: y("value"), color, shape, tooltip },
      },
    ]),
    ...marksOf("alone", drawn, [
      { mark: { type: "point", size: 110, strokeWidth: 1.8 }, encoding: { x, y: y("value"), color, shape, tooltip } },
    ]),
  ];
  return whole(figure, {
    titleWidth,
    notes: [...readingNotes(drawn, "lines"), ...hiddenNotes(figure, log.y ? axis.y.hidden : undefined)],
    rows: drawn,
    panels,
    columns,
    spec: { width, height: panels.length > 3 ? 200 : 280, layer },
  });
}

function stackedBars(figure: CheckFigure): TopLevelSpec {
  const finite = figure.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  // Without seeds there is nothing measured to compare with: then what is given is what the bars are of.
  const isMeasured = finite.some(({ seed }) => seed !== undefined);
  const rows = rowsOf(isMeasured ? finite : finite.map((point) => ({ ...point, seed: 0 })), false);
  const { panels, series, width, columns, titleWidth } = layoutOf(figure);
  const scales = lineScales(series);
  const places = distinct(rows.map((row) => row.x)).sort((a, b) => a - b);
  const legend = legendOf(series);
  const x = {
    field: "x",
    type: "ordinal",
    title: figure.x.title,
    sort: places,
    scale: { paddingInner: places.length > 30 ? 0.05 : 0.2 },
    axis: { labelAngle: 0, labelOverlap: "parity", labelSeparation: 2, ticks: false },
  };
  const y = (stack: "zero" | null): object => ({
    field: "value",
    type: "quantitative",
    title: figure.y.title,
    stack,
    scale: { nice: true },
  });
  const color = { field: "series", type: "nominal", scale: scales.color, legend };
  const tooltip = tooltipOf(figure);
  const drawn = rows.map((row) => ({ ...row, order: series.indexOf(row.series) }));
  const order = { field: "order", type: "quantitative" };
  const layer = [
    ...marksOf("measured", drawn, [{ mark: { type: "bar" }, encoding: { x, y: y("zero"), color, order, tooltip } }]),
    { mark: { type: "rule", color: "currentColor", opacity: 0.6 }, encoding: { y: { datum: 0 } } },
    ...marksOf("predicted", drawn, [
      // A pale seam, without which the line would be lost on bars.
      {
        mark: { type: "line", strokeWidth: 5, color: "white", opacity: 0.75 },
        encoding: { x, y: y(null), detail: { field: "series" } },
      },
      {
        mark: { type: "line", strokeWidth: 2, strokeDash: [6, 3] },
        encoding: { x, y: y(null), color, tooltip },
      },
    ]),
  ];
  return whole(figure, {
    titleWidth,
    notes: [...(isMeasured ? readingNotes(rows, "bars") : []), ...hiddenNotes(figure)],
    rows: drawn,
    panels,
    columns,
    spec: { width, height: 280, layer },
    // A stack of fewer layers is no stack of the same depth with some that do nothing.
    resolve: { scale: { x: "independent" } },
  });
}

/** `marks` of the rows of one kind; none where there is no such row, since Vega finds no limits for nothing. */
function marksOf(
  kind: string,
  rows: readonly { kind: string }[],
  marks: readonly { mark: object; encoding: object }[],
) {
  if (!rows.some((row) => row.kind === kind)) return [];
  const transform = [{ filter: `datum.kind === '${kind}'` }];
  return marks.map(({ mark, encoding }) => ({ transform, mark: { ...mark, clip: true }, encoding }));
}

/** The frame around the panels: one alone without a head, several beside each other with the name of each. */
function whole(
  figure: CheckFigure,
  parts: {
    titleWidth: number;
    notes: readonly string[];
    rows: readonly object[];
    panels: readonly string[];
    columns: number;
    spec: object;
    resolve?: object;
  },
): TopLevelSpec {
  const { titleWidth, notes, rows, panels, columns, spec, resolve } = parts;
  if (rows.length === 0) {
    const mark = { type: "text", text: "no finite value to draw", color: "currentColor" };
    return { ...frame(figure.title, notes, titleWidth), data: { values: [{}] }, mark } as TopLevelSpec;
  }
  const head = { ...frame(figure.title, notes, titleWidth), data: { values: rows } };
  if (panels.length < 2) return { ...head, ...spec } as TopLevelSpec;
  const facet = { field: "panel", type: "nominal", title: null, sort: panels, header: { labelLimit: 0 } };
  return { ...head, facet, columns, spacing: 16, spec, ...(resolve && { resolve }) } as TopLevelSpec;
}

/** Panels in their order, how many stand beside each other, and how wide. */
function layoutOf({ kind, points }: CheckFigure) {
  const panels = distinct(points.map(({ panel = "" }) => panel));
  const series = distinct(points.map((point) => point.series));
  const places = new Set(points.map(({ x }) => x)).size;
  // A bar needs its pixels, a line does not.
  const fitting = kind === "bars" ? Math.max(1, Math.floor(pageWidth / Math.max(200, 9 * places))) : 3;
  const rowsNeeded = Math.ceil(panels.length / fitting);
  const columns = Math.ceil(panels.length / rowsNeeded);
  const width = columns === 1 ? 600 : Math.floor((pageWidth - 30 * columns) / columns);
  const titleWidth = Math.floor((columns === 1 ? 680 : pageWidth) / characterWidth);
  return { panels, series, columns, width, titleWidth };
}

/** Median and extremes over seeds, by panel, series and x; predictions one by one. */
function rowsOf(points: readonly CheckPoint[], isLog: boolean): Row[] {
  const key = ({ panel = "", series, x, seed }: CheckPoint): string =>
    JSON.stringify([panel, series, x, seed !== undefined]);
  return [...groupBy(points, key).values()].map((group) => {
    const { series, panel = "", x, seed } = group[0]!;
    const values = group.map(({ y }) => y);
    const [low, high] = extent(values);
    return {
      series,
      panel,
      kind: seed === undefined ? "predicted" : "measured",
      x,
      value: isLog ? logMedian(values) : median(values),
      low,
      high,
      seeds: distinct(group.map((point) => point.seed)).length,
    };
  });
}

/** Whether an axis should begin at 0: values that reach down near it would seem to touch nothing otherwise. */
function isNearZero(rows: readonly Row[]): boolean {
  const [low, high] = extent(rows.flatMap((row) => [row.low, row.high]));
  return low >= 0 && low < high / 2;
}

/** Whether a prediction is the only one of its line. */
const isAlone = (row: Row, rows: readonly Row[]): boolean =>
  row.kind === "predicted" &&
  rows.filter(({ kind, series, panel }) => kind === row.kind && series === row.series && panel === row.panel).length ===
    1;

/** The legend of series: names in full, however long; none where one series is all there is. */
function legendOf(series: readonly string[]): object | null {
  const legend = lineLegend("", series);
  return legend && { ...legend, title: null };
}

/** Ticks at the very places that were measured, where these are few; depths such as 6, 12, 24 say more than 10 and 20. */
function ticksAt(places: readonly number[], isLog: boolean): LogAxis["axis"] | undefined {
  if (places.length > 9 || places.length === 0) return undefined;
  const values = [...places].sort((a, b) => a - b);
  if (!isLog && values.some((value, i) => i > 0 && value - values[i - 1]! < (values.at(-1)! - values[0]!) / 30))
    return undefined;
  const cases = values.map((value) => `datum.value <= ${value + Math.abs(value) * 1e-9} ? '${label(value)}' : `);
  return { values, labelExpr: `${cases.join("")}''` };
}

const label = (value: number): string =>
  Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3)
    ? `${value < 0 ? "-" : ""}${power(round(Math.abs(value), 3))}`
    : String(round(value, 4));

/** How to tell what was measured from what was predicted. */
function readingNotes(rows: readonly Row[], kind: CheckFigure["kind"]): string[] {
  const measured = rows.filter((row) => row.kind === "measured");
  const [fewest, most] = extent(measured.map(({ seeds }) => seeds));
  const seeds = fewest === most ? `${most}` : `${fewest} to ${most}`;
  const what = kind === "lines" ? "Points and lines" : "Bars";
  return [
    [
      ...(measured.length === 0
        ? []
        : most > 1
          ? [
              `${what}: measured, the median over ${seeds} seeds${kind === "lines" ? "; band: smallest to largest" : ""}.`,
            ]
          : [`${what}: measured.`]),
      ...(rows.some((row) => row.kind === "predicted") ? ["Dashed: predicted."] : []),
      ...(rows.some((row) => row.kind === "alone") ? ["Hollow: predicted."] : []),
    ].join(" "),
  ].filter((note) => note !== "");
}

function hiddenNotes({ points }: CheckFigure, hidden?: LogAxis["hidden"]): string[] {
  const nonFinite = points.filter(({ x, y }) => !Number.isFinite(x) || !Number.isFinite(y)).length;
  return hiddenNote({ zero: hidden?.zero ?? 0, beyond: hidden?.beyond ?? 0, nonFinite });
}

const tooltipOf = ({ x, y }: CheckFigure): object[] => [
  { field: "panel", title: "panel" },
  { field: "series", title: "series" },
  { field: "x", type: "quantitative", title: x.title },
  { field: "value", type: "quantitative", title: y.title, format: ".4g" },
  { field: "low", type: "quantitative", title: "smallest", format: ".4g" },
  { field: "high", type: "quantitative", title: "largest", format: ".4g" },
  { field: "seeds", type: "quantitative", title: "seeds" },
];
