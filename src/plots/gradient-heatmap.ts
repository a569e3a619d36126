import type { TopLevelSpec } from "vega-lite";
import { layoutOf, type ExperimentData, type RunData } from "./experiment.ts";
import { layerSeries, type LayerSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf, type Configuration } from "./profile.ts";
import { extent, median, thinned } from "../statistics.ts";
import { frame, hiddenNote, logAxis, times, wrapped } from "./style.ts";
import { divergedStep } from "./verdict.ts";

/** Coloured cells in all panels together: what keeps the picture's file small enough for a report. */
const cellsDrawn = 7000;
const rowsDrawn = 64;
const panelHeight = 170;

const measure = (run: RunData): LayerSeries[] => layerSeries(run, "parameter-gradient");

/** One panel: a configuration's run of the lowest seed. */
interface Panel {
  readonly configuration: Configuration;
  readonly run: RunData;
  readonly series: readonly LayerSeries[];
}

const panelsOf = (data: ExperimentData): Panel[] =>
  configurationsOf(data).flatMap((configuration) => {
    const run = [...configuration.runs].sort((a, b) => a.row.seed - b.row.seed)[0]!;
    const series = measure(run);
    return series.length > 0 ? [{ configuration, run, series }] : [];
  });

/** `Largest change during training: post-ln, 12 layers, encoder layer 1, 0.001× from step 0 to 39`. */
function title(data: ExperimentData): string {
  let found = { size: -1, text: "" };
  for (const { configuration, series } of panelsOf(data)) {
    for (const { stack, layer, steps, values } of series) {
      const last = values.findLastIndex((value) => Number.isFinite(value) && value > 0);
      const ratio = values[last]! / values[0]!;
      const size = Math.abs(Math.log(ratio));
      if (Number.isFinite(size) && size > found.size)
        found = {
          size,
          text: `${configuration.name}, ${stack} layer ${layer + 1}: ${times(ratio)} from step ${steps[0]} to ${steps[last]}`,
        };
    }
  }
  return found.size < 0 ? "Gradient norm by layer and step" : `Gradient norm changes most in ${found.text}`;
}

/** The rectangles of a panel, a row of the data a layer: [step, until) and value, steps gathered into `bins`. */
function cells(panel: Panel, bins: number) {
  const kept = thinned(panel.series.length, rowsDrawn);
  return kept.map((index, i) => {
    const { stack, layer, steps, values } = panel.series[index]!;
    const count = Math.min(bins, steps.length);
    const starts = Array.from({ length: count }, (_, bin) => Math.floor((bin * steps.length) / count));
    const stride = (steps.at(-1)! - steps[0]!) / Math.max(1, steps.length - 1) || 1;
    const parts = starts.map((start, bin) => {
      const stop = starts[bin + 1] ?? steps.length;
      const finite = values.slice(start, stop).filter((value) => Number.isFinite(value) && value > 0);
      return {
        step: steps[start]!,
        until: steps[stop] ?? steps.at(-1)! + stride,
        value: finite.length > 0 ? median(finite) : null,
      };
    });
    const drawn = parts.filter((part) => part.value !== null);
    return {
      stack,
      layer: layer + 1,
      _from: index + 0.5,
      _to: (kept[i + 1] ?? panel.series.length) + 0.5,
      step: drawn.map((part) => part.step),
      until: drawn.map((part) => part.until),
      value: drawn.map((part) => part.value!),
    };
  });
}

/** Ticks as `enc 1`: first the ends of the path and of each stack, then what lies between, wherever there is room. */
function rowTicks(series: readonly LayerSeries[]): { values: number[]; labelExpr: string } {
  const ends = series.flatMap(({ stack }, i) => (stack === series[i + 1]?.stack ? [] : [i]));
  const wanted = [0, series.length - 1, ...ends, ...thinned(series.length, 9)];
  const room = (15 * series.length) / panelHeight;
  const values = wanted.reduce<number[]>(
    (kept, i) => (kept.every((other) => Math.abs(other - i - 1) >= room) ? [...kept, i + 1] : kept),
    [],
  );
  values.sort((a, b) => a - b);
  const label = (position: number): string => {
    const { stack, layer } = series[position - 1]!;
    return `${stack.split(": ").at(-1)!.slice(0, 3)} ${layer + 1}`;
  };
  const cases = values.map((position) => `datum.value === ${position} ? ${JSON.stringify(label(position))} : `);
  return { values, labelExpr: `${cases.join("")}''` };
}

function spec(data: ExperimentData): TopLevelSpec {
  const layout = layoutOf(data);
  const panels = panelsOf(data);
  const rows = panels.reduce((sum, panel) => sum + Math.min(rowsDrawn, panel.series.length), 0);
  const bins = Math.min(120, Math.max(8, Math.floor(cellsDrawn / rows)));
  const scale = logAxis(panels.flatMap(({ series }) => series.flatMap((one) => one.values)));
  const color = {
    field: "value",
    type: "quantitative",
    title: "gradient norm (log scale)",
    scale: { type: "log", domain: scale.domain, scheme: "viridis", clamp: true },
    legend: {
      orient: "top",
      direction: "horizontal",
      gradientLength: 320,
      values: scale.axis.values,
      labelExpr: scale.axis.labelExpr,
    },
  };
  const lastStep = extent(panels.flatMap(({ series }) => series.map((one) => one.steps.at(-1)!)))[1];
  // Schemes with the same few depths stand below each other; where each has its own, panels fill the rows.
  const byScheme = layout.panels.map((name) => panels.filter((panel) => panel.configuration.panel === name));
  const linesOf = (own: readonly Panel[]): string => JSON.stringify(own.map(({ configuration }) => configuration.line));
  const isGrid = new Set(byScheme.map(linesOf)).size === 1 && byScheme.some(({ length }) => length > 1);
  const panelRows = (isGrid ? byScheme : [panels]).flatMap((own) => {
    return Array.from({ length: Math.ceil(own.length / 3) }, (_, i) => own.slice(3 * i, 3 * i + 3));
  });
  const width = panelRows.some((row) => row.length > 2) ? 225 : 330;
  const view = (panel: Panel, first: boolean): object => {
    const boundary = panel.series.findIndex((one, i) => i > 0 && one.stack !== panel.series[i - 1]!.stack);
    const stop = panel.run.row.status === "diverged" ? divergedStep(panel.run.row) : undefined;
    const x = {
      field: "step",
      type: "quantitative",
      title: "step",
      scale: { domain: [0, lastStep + 1], nice: false },
      axis: { grid: false, tickCount: 5, format: "d" },
    };
    // All layers must agree on the axis, or Vega-Lite falls back to dropping labels.
    const axis = { grid: false, labelOverlap: false, ...rowTicks(panel.series) };
    const y = {
      field: "_from",
      type: "quantitative",
      title: first ? "layer" : null,
      scale: { domain: [0.5, panel.series.length + 0.5], nice: false, zero: false },
      axis,
    };
    return {
      title: { text: wrapped(panel.configuration.name, 30), fontSize: 12, anchor: "middle", offset: 4 },
      width,
      height: panelHeight,
      data: { values: cells(panel, bins) },
      transform: [{ flatten: ["step", "until", "value"] }],
      layer: [
        {
          // Cells reach a little over their right and upper neighbours: renderers leave seams between edges that just meet.
          transform: [
            { calculate: "datum.until + 0.3 * (datum.until - datum.step)", as: "right" },
            { calculate: "datum._to + 0.1", as: "upper" },
          ],
          mark: { type: "rect", clip: true },
          encoding: {
            x,
            x2: { field: "right" },
            y,
            y2: { field: "upper" },
            color,
            tooltip: [
              { field: "stack" },
              { field: "layer", type: "quantitative" },
              { field: "step", type: "quantitative" },
              { field: "value", type: "quantitative", title: "gradient norm", format: ".3g" },
            ],
          },
        },
        ...(boundary > 0
          ? [
              {
                data: { values: [{}] },
                mark: { type: "rule", color: "white", strokeWidth: 1.5 },
                encoding: { y: { datum: boundary + 0.5, type: "quantitative", axis } },
              },
            ]
          : []),
        ...(stop === undefined
          ? []
          : [
              {
                data: { values: [{}] },
                mark: { type: "rule", color: "#D55E00", strokeWidth: 2 },
                encoding: { x: { datum: stop, type: "quantitative" } },
              },
              {
                data: { values: [{ label: `diverged at step ${stop}` }] },
                mark: { type: "text", angle: 270, baseline: "top", dy: 5, color: "currentColor", fontSize: 11 },
                encoding: {
                  x: { datum: stop, type: "quantitative" },
                  y: { datum: panel.series.length / 2 + 0.5, type: "quantitative", axis },
                  text: { field: "label" },
                },
              },
            ]),
      ],
    };
  };
  const coarse = panels.some(({ series }) => (series[0]?.steps.length ?? 0) > bins)
    ? [`A cell is the median of the recorded steps it spans (${bins} cells a layer).`]
    : [];
  const thin = panels.some(({ series }) => series.length > rowsDrawn)
    ? [`Of more than ${rowsDrawn} layers ${rowsDrawn} are drawn, evenly spread.`]
    : [];
  const seeds =
    new Set(data.runs.map((run) => run.row.seed)).size > 1 ? ["The run of the lowest seed of each configuration."] : [];
  return {
    ...frame(title(data), [...seeds, ...coarse, ...thin, ...hiddenNote(scale.hidden)]),
    vconcat: panelRows.map((row) => ({ hconcat: row.map((panel, i) => view(panel, i === 0)), spacing: 14 })),
    spacing: 18,
    resolve: { scale: { color: "shared" } },
  } as unknown as TopLevelSpec;
}

/** The gradient norm of every layer at every step, one panel a configuration. */
export const gradientHeatmap: Plot = {
  name: "gradient-heatmap",
  summary: "parameter-gradient norm of every layer (up) at every step (right), log colour",
  title,
  caption:
    "Each panel is one run: steps go right, layers go up from the first layer of the encoder, or generator, to the last of the decoder, or discriminator, above the white line, next to the loss. Bright is a large gradient, dark a small one; the scale is logarithmic and shared by all panels. " +
    "Healthy is a picture without strong vertical colour gradient that fades evenly as the loss falls. A dark lower part means that little error reaches the layers farthest from the loss; bright vertical streaks are steps with outlying batches; " +
    "a sudden step to bright or dark in all layers at once is an instability or a collapse. Blank is what was not recorded, zero or not finite.",
  requires: ["parameter-gradient"],
  spec,
};
