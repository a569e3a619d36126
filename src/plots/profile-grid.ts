// The grid that figures by layer share: a row a scheme, a column a stack and moment, a line a depth, log scale.

import type { TopLevelSpec } from "vega-lite";
import { placeholderKind } from "./csv.ts";
import { layoutOf, type ExperimentData } from "./experiment.ts";
import type { Moment } from "./layer-series.ts";
import { firstOverLast, profilesOf, seedNotes, type Measure, type Profile } from "./profile.ts";
import { distinct, extent, groupBy, logMedian, median, round, thinned } from "../statistics.ts";
import {
  frame,
  hiddenNote,
  layerTicks,
  linearAxis,
  lineLegend,
  lineScales,
  logAxis,
  times,
  wrapped,
  type LogAxis,
} from "./style.ts";

/** What a grid shows besides the profiles themselves. */
export interface GridOptions {
  readonly title: string;
  /** The vertical axis, with its unit. */
  readonly axisTitle: string;
  /** `log` if not given. */
  readonly scale?: "linear" | "log";
  /** A horizontal line to compare with, e.g. 1e-3. */
  readonly reference?: { readonly value: number; readonly name: string };
}

/** Layers drawn a line; deeper stacks are thinned evenly, first and last kept. */
const layersDrawn = 64;

/** The specification of a grid of profiles. */
export function profileGrid(data: ExperimentData, measure: Measure, options: GridOptions): TopLevelSpec {
  const layout = layoutOf(data);
  const profiles = profilesOf(data, measure);
  const stacks = distinct(profiles.map((profile) => profile.stack));
  const column = (stack: string, moment: Moment): string => `${stack}, ${momentName(data, measure, moment)}`;
  const columns = (["first", "end"] as const).flatMap((moment) => stacks.map((stack) => column(stack, moment)));
  const values = profiles.flatMap(({ layers }) => layers.flatMap(({ values }) => values));
  const isLog = options.scale !== "linear";
  const y: Partial<LogAxis> & Pick<LogAxis, "domain" | "hidden"> = isLog
    ? logAxis(values, options.reference ? [options.reference.value] : [])
    : linearAxis(values);
  const rows = profiles.map((profile) => gridRow(profile, column(profile.stack, profile.moment), isLog));
  // Stack and moment stand under each other where names are long.
  const lines = "split(replace(datum.label, ' ', ', '), ', ')";
  const header =
    columns.length > 4 ? { header: { labelExpr: lines, labelFontSize: columns.length > 6 ? 10 : 11 } } : {};
  // A row's name runs along its side, in as many lines as it takes; it may be longer than the row is high.
  const height = layout.panels.length > 2 ? 130 : 170;
  const linesOf = (text: string): string[] => wrapped(text, Math.floor(height / 8));
  const rowLines = Object.fromEntries(
    layout.panels.map((panel) => [panel, linesOf(panel).length > 1 ? panel.split(" · ").flatMap(linesOf) : [panel]]),
  );
  const rowHeader = Object.values(rowLines).some((lines) => lines.length > 1)
    ? { header: { labelExpr: `(${JSON.stringify(rowLines)})[datum.label]` } }
    : {};
  const deepest = Math.max(1, ...rows.flatMap((row) => row.layer));
  const thinnedNote = profiles.some(({ layers }) => layers.length > layersDrawn)
    ? [`Of stacks deeper than ${layersDrawn} layers ${layersDrawn} are drawn, evenly spread.`]
    : [];
  const referenceNote = options.reference ? [`Dashed across: ${options.reference.name}.`] : [];
  const scales = lineScales(layout.lines);
  const legend = lineLegend(layout.lineTitle, layout.lines);
  const x = {
    field: "layer",
    type: "quantitative" as const,
    title: "layer (1 = first)",
    scale: { domain: [1, deepest], nice: false, padding: 8 },
    axis: { values: layerTicks(deepest), format: "d", grid: false },
  };
  const yOf = (field: string): object => ({
    field,
    type: "quantitative",
    title: options.axisTitle,
    scale: { type: isLog ? "log" : "linear", domain: y.domain, nice: false },
    axis: { ...y.axis },
  });
  const color = { field: "line", type: "nominal", scale: scales.color, legend };
  const shape = { field: "line", type: "nominal", scale: scales.shape, legend };
  const tooltip = [
    { field: "panel", title: "scheme" },
    { field: "line", title: layout.lineTitle || "configuration" },
    { field: "column", title: "stack and moment" },
    { field: "layer", type: "quantitative", title: "layer" },
    { field: "value", type: "quantitative", title: "median", format: ".3g" },
    { field: "low", type: "quantitative", title: "smallest", format: ".3g" },
    { field: "high", type: "quantitative", title: "largest", format: ".3g" },
    { field: "runs", type: "quantitative", title: "runs" },
  ];
  const faded = { condition: { param: "picked", value: 1 }, value: 0.12 };
  const seeds = { filter: "datum.kind === 'seeds'" };
  const diverged = { filter: "datum.kind === 'diverged'" };
  return {
    ...frame(options.title, [
      ...referenceNote,
      ...seedNotes(data, "dashed, ×: last finite values"),
      ...thinnedNote,
      ...hiddenNote(y.hidden),
    ]),
    data: { values: [...rows, ...emptyCells(rows, columns)] },
    transform: [{ flatten: ["layer", "value", "low", "high"] }],
    facet: {
      row: { field: "panel", type: "nominal", title: null, sort: [...layout.panels], ...rowHeader },
      column: { field: "column", type: "nominal", title: null, sort: columns, ...header },
    },
    spacing: 12,
    spec: {
      // All columns fit a page.
      width: columns.length > 4 ? Math.floor(760 / columns.length) : columns.length > 2 ? 180 : 340,
      height,
      layer: [
        {
          transform: [seeds],
          mark: { type: "area", opacity: 0.2, clip: true },
          encoding: { x, y: yOf("low"), y2: { field: "high" }, color },
        },
        {
          transform: [seeds],
          params: [{ name: "picked", select: { type: "point", fields: ["line"] }, bind: "legend" }],
          mark: { type: "line", clip: true, strokeWidth: 1.8 },
          encoding: { x, y: yOf("value"), color, opacity: faded },
        },
        {
          transform: [seeds],
          mark: { type: "point", filled: true, size: deepest > 24 ? 12 : 34, clip: true },
          encoding: { x, y: yOf("value"), color, shape, opacity: faded, tooltip },
        },
        {
          transform: [diverged],
          mark: { type: "line", clip: true, strokeWidth: 1.2, strokeDash: [4, 3] },
          encoding: { x, y: yOf("value"), color, detail: { field: "seed" }, opacity: faded },
        },
        {
          transform: [diverged],
          mark: { type: "text", text: "×", fontSize: 13, clip: true },
          encoding: { x, y: yOf("value"), color, opacity: faded, tooltip },
        },
        ...(options.reference ? [referenceLine(options.reference.value)] : []),
      ],
    },
  } as TopLevelSpec;
}

const referenceLine = (value: number): object => ({
  data: { values: [{}] },
  mark: { type: "rule", strokeDash: [6, 4], color: "currentColor", opacity: 0.7 },
  encoding: { y: { datum: value, type: "quantitative" } },
});

/** `step 0`, `at the end`: a moment for headers and sentences. */
export function momentName(data: ExperimentData, measure: Measure, moment: Moment): string {
  if (moment === "end") return "at the end";
  const first = firstStep(data, measure);
  return first === undefined ? "first step" : `step ${first}`;
}

function firstStep(data: ExperimentData, measure: Measure): number | undefined {
  for (const run of data.runs) {
    const step = measure(run)[0]?.steps[0];
    if (step !== undefined) return step;
  }
  return undefined;
}

function gridRow(profile: Profile, column: string, isLog: boolean) {
  const isDrawn = (value: number): boolean => Number.isFinite(value) && (!isLog || value > 0);
  const drawn = profile.layers
    .map(({ layer, values }) => ({ layer, finite: values.filter(isDrawn) }))
    .filter(({ finite }) => finite.length > 0);
  const kept = thinned(drawn.length, layersDrawn).map((i) => drawn[i]!);
  return {
    panel: profile.panel,
    line: profile.line,
    column,
    kind: profile.kind,
    seed: profile.seed,
    runs: Math.max(0, ...profile.layers.map(({ values }) => values.length)),
    layer: kept.map(({ layer }) => layer + 1),
    value: kept.map(({ finite }) => (isLog ? logMedian : median)(finite)),
    low: kept.map(({ finite }) => extent(finite)[0]),
    high: kept.map(({ finite }) => extent(finite)[1]),
  };
}

/** A row that nothing draws for each cell that has no value: Vega-Lite would put such a cell before all others, and theirs
 *  one place further under the heads of their neighbours. */
function emptyCells(rows: readonly ReturnType<typeof gridRow>[], columns: readonly string[]): object[] {
  const cellOf = (panel: string, column: string): string => JSON.stringify([panel, column]);
  const drawn = rows.filter(({ layer }) => layer.length > 0);
  const filled = new Set(drawn.map(({ panel, column }) => cellOf(panel, column)));
  return distinct(drawn.map(({ panel }) => panel)).flatMap((panel) =>
    columns
      .filter((column) => !filled.has(cellOf(panel, column)))
      .map((column) => ({
        panel,
        column,
        kind: placeholderKind,
        layer: [1],
        value: [null],
        low: [null],
        high: [null],
      })),
  );
}

/** `Gradient norm of layer 1 over the last layer, step 0 → at the end: post-ln encoder 1.5× → 0.002×, decoder ...`: of
 *  each panel's deepest configuration, stack by stack; smallest to largest where several lines are as deep. */
export function ratioSentence(data: ExperimentData, measure: Measure, what: string): string {
  const ratios = firstOverLast(data, measure).filter(
    (ratio) => Number.isFinite(ratio.first) || Number.isFinite(ratio.end),
  );
  if (ratios.length === 0) return `${what}, by layer`;
  const parts = [...groupBy(ratios, (ratio) => ratio.configuration.panel)].map(([panel, inPanel]) => {
    const stacks = [...groupBy(inPanel, (ratio) => ratio.stack)].map(([stack, inStack]) => {
      const layers = Math.max(...inStack.map((ratio) => ratio.layers));
      const deepest = inStack.filter((ratio) => ratio.layers === layers);
      const first = ratioText(deepest.map((ratio) => ratio.first));
      const end = ratioText(deepest.map((ratio) => ratio.end));
      return { layers, lines: deepest.length, text: `${stack} ${first} → ${end}` };
    });
    const depth = distinct(stacks.map(({ layers }) => layers)).join("+");
    const lines = Math.max(...stacks.map((stack) => stack.lines));
    const range = lines > 1 ? `, range of ${lines} lines` : "";
    return `${panel === "" ? "" : `${panel}, `}${depth} layers${range}: ${stacks.map(({ text }) => text).join(", ")}`;
  });
  const shown = parts.length <= 4 ? parts.join("; ") : `${parts.slice(0, 3).join("; ")}; and ${parts.length - 3} more`;
  return `${what} of the first layer over the last, ${momentName(data, measure, "first")} → at the end. ${shown}`;
}

/** `Attention entropy by layer at the end: post-ln, 12 layers: encoder 0.2 to 1.1, decoder ...`: smallest and largest layer of
 *  each panel's deepest configuration; at the first step where no run has ended. */
export function rangeSentence(data: ExperimentData, measure: Measure, what: string): string {
  const profiles = profilesOf(data, measure).filter(({ kind }) => kind === "seeds");
  const moment: Moment = profiles.some((profile) => profile.moment === "end") ? "end" : "first";
  const parts = [...groupBy(profiles, ({ panel }) => panel)].flatMap(([panel, inPanel]) => {
    const stacks = [...groupBy(inPanel, ({ stack }) => stack)].flatMap(([stack, same]) => {
      const deepest = same
        .filter((profile) => profile.moment === moment)
        .reduce<Profile | undefined>((a, b) => (a && a.layers.length > b.layers.length ? a : b), undefined);
      const middles = (deepest?.layers ?? [])
        .map(({ values }) => median(values.filter(Number.isFinite)))
        .filter(Number.isFinite);
      if (middles.length === 0) return [];
      const [low, high] = extent(middles).map((value) => String(round(value, 2)));
      return [`${stack} ${low === high ? low : `${low} to ${high}`}`];
    });
    return stacks.length === 0 ? [] : [`${panel === "" ? "" : `${panel}: `}${stacks.join(", ")}`];
  });
  if (parts.length === 0) return `${what}, by layer`;
  const shown = parts.length <= 4 ? parts.join("; ") : `${parts.slice(0, 3).join("; ")}; and ${parts.length - 3} more`;
  return `${what} ${moment === "end" ? "at the end" : "at the first step"}, smallest to largest layer of the deepest network. ${shown}`;
}

/** `0.2×`, `0.2× to 0.5×`: the range of the ratios that are known. */
function ratioText(ratios: readonly number[]): string {
  const known = ratios.filter(Number.isFinite);
  return known.length === 0 ? "–" : distinct(extent(known).map(times)).join(" to ");
}
