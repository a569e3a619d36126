import type { TopLevelSpec } from "vega-lite";
import {
  configurationName,
  layoutOf,
  lossWords,
  type ExperimentData,
  type Layout,
  type RunData,
} from "./experiment.ts";
import {
  rampCurve,
  rampLimit,
  type RampCurve,
  type RampEnd,
  type RampLimit,
  rises,
  smallestMargin,
} from "./learning-rate-ramp.ts";
import type { Plot } from "./plot.ts";
import { distinct, extent, groupBy, logMedian, quantile, round } from "../statistics.ts";
import { frame, lineLegend, lineScales, logAxis, power } from "./style.ts";

/** Points drawn a curve, evenly along the axis. */
const pointsDrawn = 120;
/** The part of the ramp that is drawn on a logarithmic axis, from its end: below a 200th of it no model breaks. */
const decadesDrawn = 200;

/** Kinds of end with their marks, in the order of the legend. */
const marks: Readonly<Record<RampEnd, { readonly shape: string; readonly name: string }>> = {
  spike: { shape: "triangle-up", name: "spike" },
  "silent degradation": { shape: "triangle-right", name: "silent degradation" },
  stagnation: { shape: "square", name: "stagnation" },
  diverged: { shape: "cross", name: "then not finite" },
  none: { shape: "circle", name: "survived the ramp" },
};

/** A finished run on a ramp. */
export interface Ramp {
  readonly run: RunData;
  readonly curve: RampCurve;
  readonly limit: RampLimit;
}

/** The runs that ramped their learning rate up and ended, each with where it broke. */
export function rampsOf(data: ExperimentData): Ramp[] {
  return data.runs.flatMap((run) => {
    const { status, unigramEntropy } = run.row;
    if (run.schedule !== "linear-ramp" || (status !== "done" && status !== "diverged")) return [];
    const curve = rampCurve(run.metrics);
    const limit = rampLimit(curve, { diverged: status === "diverged", unigramEntropy });
    return limit && rises(curve) ? [{ run, curve, limit }] : [];
  });
}

/** `0.021 (spike)`, `at least 0.05`, `0.019 (spike in 2, stagnation in 1 of 3 seeds)`: the log-median of the largest learning
 *  rates that the runs of one configuration bore; a lower bound where one of them survived its ramp. */
export function limitWords(limits: readonly RampLimit[]): string {
  const rate = power(Number(logMedian(limits.map((limit) => limit.learningRate)).toPrecision(2)));
  const kinds = groupBy(limits, (limit) => limit.kind);
  const broken = [...kinds].filter(([kind]) => kind !== "none");
  const bound = kinds.has("none") ? `at least ${rate}` : rate;
  if (broken.length === 0) return bound;
  const words = broken.map(([, same]) => {
    const { name } = marks[same[0]!.kind];
    return same.length === limits.length ? name : `${name} in ${same.length}`;
  });
  return `${bound} (${words.join(", ")}${broken[0]![1].length === limits.length ? "" : ` of ${limits.length} seeds`})`;
}

/** What a facet stands for: `depth 6`; empty where nothing but the scheme varies. */
const facetOf = (layout: Layout, run: RunData): string =>
  layout.lineTitle === "" ? "" : `${layout.lineTitle.replace(/ \(.*\)$/, "")} ${layout.lineOf(run.row)}`;

/** `Largest learning rate borne on a ramp: at depth 2 post-ln 0.022 (silent degradation), pre-ln at least 0.05; at ...`. */
function title(data: ExperimentData): string {
  const layout = layoutOf(data);
  const parts = [...groupBy(rampsOf(data), ({ run }) => facetOf(layout, run))].map(([facet, ramps]) => {
    const schemes = [...groupBy(ramps, ({ run }) => layout.panelOf(run.row))].map(([panel, same]) =>
      `${panel} ${limitWords(same.map(({ limit }) => limit))}`.trim(),
    );
    const shown = schemes.length <= 6 ? schemes : [...schemes.slice(0, 5), `and ${schemes.length - 5} more`];
    return `${facet === "" ? "" : `at ${facet} `}${shown.join(", ")}`;
  });
  if (parts.length === 0) return "Training loss as the learning rate is ramped up";
  const shown = parts.length <= 4 ? parts : [...parts.slice(0, 3), `and ${parts.length - 3} more`];
  return `Largest learning rate borne on a ramp: ${shown.join("; ")}`;
}

/** The indices nearest to `count` places spread evenly over the axis between `low` and the last rate. */
function evenly(rates: readonly number[], low: number, isLog: boolean, count = pointsDrawn): number[] {
  const scale = isLog ? Math.log : (x: number): number => x;
  const [from, to] = [scale(Math.max(low, rates[0]!)), scale(rates.at(-1)!)];
  let i = 0;
  const indices = Array.from({ length: count }, (_, n) => {
    const wanted = from + ((to - from) * n) / (count - 1);
    while (i < rates.length - 1 && scale(rates[i]!) < wanted) i++;
    return i;
  });
  return distinct(indices);
}

function spec(data: ExperimentData): TopLevelSpec {
  const layout = layoutOf(data);
  const ramps = rampsOf(data);
  const rates = ramps.flatMap(({ curve }) => [curve.rates[0]!, curve.rates.at(-1)!]);
  const [lowest, highest] = ramps.length > 0 ? extent(rates) : [0, 1];
  const low = Math.max(lowest, highest / decadesDrawn);
  const isLog = highest / low >= 20;
  const identity = ({ run }: Ramp): object => ({
    panel: layout.panelOf(run.row),
    facet: facetOf(layout, run),
    seed: run.row.seed,
    name: configurationName(layout, run.row),
  });
  const windows = distinct(ramps.map(({ curve }) => curve.window)).join(" or ");
  const curves = ramps.map((ramp) => {
    const { curve, limit } = ramp;
    // The mark's own step is among them, so that it stands on its line.
    const kept = distinct([...evenly(curve.rates, low, isLog), curve.steps.indexOf(limit.step)]).sort((a, b) => a - b);
    return {
      ...identity(ramp),
      rate: kept.map((i) => curve.rates[i]!),
      loss: kept.map((i) => curve.smooth[i]!),
    };
  });
  const entropies = distinct(
    ramps.map(({ run }) => round(run.row.unigramEntropy)).filter((entropy) => Number.isFinite(entropy)),
  );
  const values = curves.flatMap(({ loss }) => loss);
  const [least, most] = values.length > 0 ? extent(values) : [0, 1];
  // A loss that explodes leaves by orders of magnitude; the others' curves must stay readable.
  const starts = curves.map(({ loss }) => loss[0]!);
  const top = Math.min(most, Math.max(...entropies, ...starts, quantile(values, 0.5)) + 0.5);
  const pad = Math.max(0.05, (top - least) * 0.05);
  const domain = [round(least - pad, 3), round(top + pad, 3)];
  const beyond = values.filter((value) => value > domain[1]!).length;
  const points = ramps.map((ramp) => ({
    ...identity(ramp),
    rate: ramp.limit.learningRate,
    loss: Math.min(ramp.limit.loss, domain[1]!),
    kind: marks[ramp.limit.kind].name,
    step: ramp.limit.step,
  }));
  const kinds = Object.values(marks).filter(({ name }) => points.some(({ kind }) => kind === name));
  const panels = layout.panels.filter((panel) => ramps.some(({ run }) => layout.panelOf(run.row) === panel));
  const facets = distinct(ramps.map(({ run }) => facetOf(layout, run)));
  const axis = logAxis([low, highest]);
  const x = {
    field: "rate",
    type: "quantitative",
    title: "learning rate",
    scale: isLog
      ? { type: "log", domain: [low, axis.domain[1]], nice: false }
      : { domain: [lowest, highest], nice: false, zero: false },
    axis: { grid: false, ...(isLog ? axis.axis : { tickCount: 6 }) },
  };
  const y = {
    field: "loss",
    type: "quantitative",
    title: `training loss (${lossWords(data).unit})`,
    scale: { domain, nice: false, zero: false },
    axis: { tickCount: 6 },
  };
  const color = {
    field: "panel",
    type: "nominal",
    scale: lineScales(panels).color,
    legend: lineLegend("scheme", panels),
  };
  const shape = {
    field: "kind",
    type: "nominal",
    scale: { domain: kinds.map(({ name }) => name), range: kinds.map((kind) => kind.shape) },
    legend: { title: "mark", titleOrient: "left", orient: "bottom", columns: 5, labelLimit: 0 },
  };
  const faded = { condition: { param: "picked", value: 1 }, value: 0.12 };
  const place = [{ field: "name", title: "configuration" }, { field: "seed" }];
  const rate = { field: "rate", type: "quantitative", title: "learning rate", format: ".3g" };
  const loss = { field: "loss", type: "quantitative", title: "loss (running median)", format: ".4g" };
  const open = data.runs.filter(({ row }) => row.status !== "done" && row.status !== "diverged").length;
  const notes = [
    `One line a run: running median of the training loss over ${windows} steps. Mark: the last step before the loss left its lowest value for good, or (stagnation) where it first came near its lowest.` +
      (entropies.length > 0 ? ` Dashed across: unigram entropy ${entropies.join(" or ")}.` : ""),
    ...(beyond > 0 ? [`${beyond} values above the axis not drawn.`] : []),
    ...(open > 0 ? [`${open} of ${data.runs.length} runs not finished: they are left out.`] : []),
  ];
  return {
    ...frame(title(data), notes),
    data: { values: [...curves, ...points] },
    facet: { field: "facet", type: "nominal", title: null, sort: facets },
    columns: 2,
    spacing: 24,
    spec: {
      width: facets.length > 1 ? 370 : 560,
      height: 260,
      layer: [
        ...entropies.map((entropy) => ({
          data: { values: [{}] },
          mark: { type: "rule", strokeDash: [6, 4], color: "currentColor", opacity: 0.7 },
          encoding: { y: { datum: entropy, type: "quantitative" } },
        })),
        {
          transform: [{ filter: "!isValid(datum.kind)" }, { flatten: ["rate", "loss"] }],
          params: [{ name: "picked", select: { type: "point", fields: ["panel"] }, bind: "legend" }],
          mark: { type: "line", strokeWidth: 1.6, clip: true },
          encoding: { x, y, color, detail: { field: "seed" }, opacity: faded, tooltip: [...place, rate, loss] },
        },
        {
          transform: [{ filter: "isValid(datum.kind)" }],
          mark: { type: "point", filled: true, size: 110, stroke: "white", strokeWidth: 1, opacity: 1 },
          encoding: {
            x,
            y,
            color,
            shape,
            tooltip: [...place, { field: "kind", title: "end" }, { field: "step", type: "quantitative" }, rate, loss],
          },
        },
      ],
    },
  } as unknown as TopLevelSpec;
}

/** Training loss against learning rate on a linear ramp, with the rate at which each run broke. */
export const learningRateLimit: Plot = {
  name: "learning-rate-limit",
  summary: "training loss against a ramped learning rate, with the rate at which each scheme breaks and how",
  title,
  caption:
    "The learning rate rises in a straight line with the step until training breaks; the mark stands at the last step before that. " +
    "Spike: the loss rises by a nat or more at once and never comes back. Silent degradation: it turns, climbs slowly and never comes back. " +
    `Stagnation: it never falls more than ${smallestMargin} nats below the unigram entropy, the loss of a model that ignores its input, or a wider margin where batches are noisier, and the mark stands where it first came near its lowest value; on a ramp of fewer than some 500 steps it says more of the steps than of the rate. Not finite: it left the numbers. ` +
    `A healthy scheme goes on falling to the right; at high rates some climb belongs to the noise of large steps, and the rule counts it once it exceeds ${smallestMargin} nats for good, or more where batches are noisier. ` +
    "The rate depends on how long the ramp is: compare schemes on equal ramps, not with published rates.",
  requires: ["loss", "learning-rate ramp"],
  of: ["transformer", "vae"],
  spec,
};
