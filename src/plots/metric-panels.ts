// Metrics over training, a panel each, side by side; a line a configuration. What figures of VAEs and GANs share.

import type { TopLevelSpec } from "vega-lite";
import { distinct, extent, mean, median, quantile, round } from "../statistics.ts";
import { curvesOf, type Curve } from "./curves.ts";
import type { ExperimentData, RunData } from "./experiment.ts";
import { endCount } from "./layer-series.ts";
import { configurationsOf, seedNotes, type Configuration } from "./profile.ts";
import { frame, hiddenNote, lineLegend, lineScales, logAxis } from "./style.ts";

/** One panel: a metric of metrics.csv. */
export interface MetricPanel {
  readonly title: string;
  /** The metric's name, e.g. `generator/loss`. */
  readonly name: string;
  readonly splits: readonly Curve["split"][];
  /** The vertical axis, with its unit. */
  readonly axisTitle: string;
  /** `linear` if not given. */
  readonly scale?: "linear" | "log";
}

const panelWidth = (panels: number): number => (panels > 2 ? 215 : 340);

/** The specification of panels side by side, against epochs where all runs know theirs, else against steps. */
export function metricPanels(
  data: ExperimentData,
  panels: readonly MetricPanel[],
  { title, notes = [] }: { readonly title: string; readonly notes?: readonly string[] },
): TopLevelSpec {
  const configurations = configurationsOf(data);
  const lines = configurations.map(({ name }) => name);
  const lengths = distinct(data.runs.flatMap(({ model }) => model?.stepsPerEpoch ?? []));
  const stepsPerEpoch = lengths.length === 1 ? lengths[0] : undefined;
  const scales = lineScales(lines);
  const legend = lineLegend("", lines);
  const drawn = panels.map((panel) => {
    const curves = configurations.flatMap(({ name, runs }) =>
      panel.splits.flatMap((split) => curvesOf(runs, { name: panel.name, split }, { panel: panel.title, line: name })),
    );
    return { panel, curves, axis: axisOf(panel, curves) };
  });
  const lastStep = Math.max(1, ...drawn.flatMap(({ curves }) => curves.flatMap(({ step }) => step)));
  const last = stepsPerEpoch === undefined ? lastStep : lastStep / stepsPerEpoch;
  const hasBoth = panels.some(({ splits }) => splits.length > 1);
  const hidden = drawn.reduce(
    (sum, { axis }) => ({
      zero: sum.zero + axis.hidden.zero,
      nonFinite: sum.nonFinite + axis.hidden.nonFinite,
      beyond: sum.beyond + axis.hidden.beyond,
    }),
    { zero: 0, nonFinite: 0, beyond: 0 },
  );
  const view = ({ panel, curves, axis }: (typeof drawn)[number]): object => {
    const longest = Math.max(0, ...curves.filter(({ split }) => split === "dev").map(({ step }) => step.length));
    const x = {
      field: "at",
      type: "quantitative",
      title: stepsPerEpoch === undefined ? "step" : "epoch",
      scale: { domain: [0, round(1.02 * last)], nice: false },
      axis: { grid: false, tickCount: 5 },
    };
    const y = (field: string): object => ({
      field,
      type: "quantitative",
      title: panel.axisTitle,
      scale: { type: panel.scale ?? "linear", domain: axis.domain, nice: false },
      axis: { tickCount: 6, ...axis.axis },
    });
    const color = { field: "line", type: "nominal", scale: scales.color, legend };
    const tooltip = [
      { field: "line", title: "configuration" },
      { field: "split" },
      { field: "step", type: "quantitative" },
      { field: "value", type: "quantitative", title: "median", format: ".4g" },
      { field: "low", type: "quantitative", title: "smallest", format: ".4g" },
      { field: "high", type: "quantitative", title: "largest", format: ".4g" },
    ];
    const only = (condition: string): object[] => [{ filter: condition }];
    return {
      title: { text: panel.title, fontSize: 12, anchor: "middle", offset: 6 },
      width: panelWidth(panels.length),
      height: 200,
      data: { values: curves },
      transform: [
        { flatten: ["step", "value", "low", "high"] },
        { calculate: `datum.step / ${stepsPerEpoch ?? 1}`, as: "at" },
      ],
      layer: [
        {
          transform: only("datum.kind === 'seeds'"),
          mark: { type: "area", opacity: 0.15, clip: true },
          encoding: { x, y: y("low"), y2: { field: "high" }, color, detail: { field: "split" } },
        },
        {
          transform: only("datum.kind === 'seeds' && datum.split === 'train'"),
          mark: { type: "line", strokeWidth: panel.splits.length > 1 ? 1 : 1.6, clip: true },
          encoding: { x, y: y("value"), color, tooltip },
        },
        {
          // A line through two or three points would seem to know what lies between.
          transform: only(`datum.kind === 'seeds' && datum.split === 'dev' && ${longest} > 3`),
          mark: { type: "line", strokeWidth: 2.4, clip: true },
          encoding: { x, y: y("value"), color },
        },
        {
          transform: only("datum.kind === 'seeds' && datum.split === 'dev'"),
          mark: { type: "point", filled: true, size: 36, clip: true },
          encoding: { x, y: y("value"), color, tooltip },
        },
        {
          transform: only("datum.kind === 'diverged'"),
          mark: { type: "line", strokeWidth: 1.2, strokeDash: [4, 3], clip: true },
          encoding: { x, y: y("value"), color, detail: { field: "seed" }, tooltip },
        },
      ],
    };
  };
  return {
    ...frame(title, [
      hasBoth
        ? "Thin: train (moving mean over 2 % of the steps); thick with points: dev."
        : "Moving means over 2 % of the steps.",
      ...seedNotes(data, "dashed", ""),
      ...notes,
      ...hiddenNote(hidden),
    ]),
    hconcat: drawn.map(view),
    // Titles stand at one height, whatever labels the axes have: the space between holds an axis.
    bounds: "flush",
    spacing: 75,
    resolve: { scale: { color: "shared" } },
  } as unknown as TopLevelSpec;
}

/** The vertical axis: a first outlier must not flatten the rest, which are most of the curve. */
function axisOf(
  { scale }: MetricPanel,
  curves: readonly Curve[],
): Pick<ReturnType<typeof logAxis>, "hidden"> & { readonly domain: readonly number[]; readonly axis?: object } {
  const values = curves.flatMap(({ value, low, high }) => [...value, ...low, ...high]);
  if (scale === "log") return logAxis(values);
  const nothing = { zero: 0, nonFinite: 0, beyond: 0 };
  if (values.length === 0) return { domain: [0, 1], hidden: nothing };
  const [low, high] = extent(values);
  const [usualLow, usualHigh] = [quantile(values, 0.02), quantile(values, 0.98)];
  const usual = Math.max(usualHigh - usualLow, 1e-9 * Math.max(1, Math.abs(high)));
  const from = Math.max(low, usualLow - usual);
  const to = Math.min(high, usualHigh + usual);
  const pad = 0.05 * Math.max(to - from, 1e-9 * Math.max(1, Math.abs(to)));
  const domain = [round(from - pad), round(to + pad)];
  const beyond = values.filter((value) => value < domain[0]! || value > domain[1]!).length;
  return { domain, hidden: { ...nothing, beyond } };
}

/** Runs of a configuration that count at the end: those that finished, or where none did all that have not diverged. */
export function endedRuns({ runs }: Configuration): readonly RunData[] {
  const done = runs.filter(({ row }) => row.status === "done");
  return done.length > 0 ? done : runs.filter(({ row }) => row.status !== "diverged");
}

/** A metric of a run at the start or the end of training: the mean of the first or last tenth of its values, 20 at most; of
 *  dev the first or last value. NaN where there is none. */
export function metricAt(
  run: RunData,
  { name, split }: Pick<Curve, "split"> & { name: string },
  moment: "first" | "end",
): number {
  const values = run.metrics
    .filter((row) => row.name === name && row.split === split && Number.isFinite(row.value))
    .sort((a, b) => a.step - b.step)
    .map(({ value }) => value);
  const count = split === "dev" ? 1 : endCount(values.length);
  return mean(moment === "end" ? values.slice(-count) : values.slice(0, count));
}

/** `metricAt` over a configuration's seeds: their median; NaN of nothing. */
export const medianAt = (
  configuration: Configuration,
  metric: Parameters<typeof metricAt>[1],
  moment: "first" | "end" = "end",
): number =>
  median(
    endedRuns(configuration)
      .map((run) => metricAt(run, metric, moment))
      .filter(Number.isFinite),
  );

/** A sentence a configuration, three at most, with its name before it where there are several. */
export function perConfiguration(
  data: ExperimentData,
  sentence: (configuration: Configuration) => string | undefined,
): string {
  const configurations = configurationsOf(data);
  const parts = configurations.flatMap((configuration) => {
    const said = sentence(configuration);
    return said === undefined ? [] : [configurations.length > 1 ? `${configuration.name}: ${said}` : said];
  });
  return parts.length <= 4 ? parts.join("; ") : `${parts.slice(0, 3).join("; ")}; and ${parts.length - 3} more`;
}

/** Whether any run recorded a metric. */
export const hasMetric = (data: ExperimentData, name: string, split?: string): boolean =>
  data.runs.some(({ metrics }) =>
    metrics.some((row) => row.name === name && (split === undefined || row.split === split)),
  );
