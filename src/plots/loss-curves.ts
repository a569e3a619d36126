import type { TopLevelSpec } from "vega-lite";
import type { MetricRow } from "../types.ts";
import { layoutOf, type ExperimentData, type RunData } from "./experiment.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf, seedNotes } from "./profile.ts";
import { distinct, extent, groupBy, median, quantile, round, smoothed, thinned } from "../statistics.ts";
import { frame, lineLegend, lineScales } from "./style.ts";
import { outcomeWords } from "./verdict.ts";

/** Points drawn a curve; what lies between them is smoothed over, not skipped. */
const pointsDrawn = 150;

interface Curve {
  readonly panel: string;
  readonly line: string;
  readonly split: "train" | "dev";
  readonly kind: "seeds" | "diverged";
  readonly seed: number | null;
  readonly step: readonly number[];
  readonly value: readonly number[];
  readonly low: readonly number[];
  readonly high: readonly number[];
}

/** `post-ln: learns at depth 2, 6; at the unigram line at depth 12. pre-ln: learns at every depth`. */
function title(data: ExperimentData): string {
  const layout = layoutOf(data);
  const configurations = configurationsOf(data, layout);
  const axis = layout.lineTitle.replace(/ \(.*\)$/, "");
  const parts = layout.panels.map((panel) => {
    const inPanel = configurations.filter((configuration) => configuration.panel === panel);
    const byOutcome = groupBy(inPanel, (configuration) => outcomeWords(configuration.runs.map((run) => run.row)));
    const what = [...byOutcome].map(([words, same]) => {
      if (layout.lineTitle === "") return words;
      const all = byOutcome.size === 1 && same.length > 1;
      return all ? `${words} at every ${axis}` : `${words} at ${axis} ${same.map(({ line }) => line).join(", ")}`;
    });
    return `${panel === "" ? "" : `${panel}: `}${what.join("; ")}`;
  });
  return parts.length <= 4 ? parts.join(". ") : `${parts.slice(0, 3).join(". ")}. And ${parts.length - 3} more`;
}

function lossOf(run: RunData, split: "train" | "dev"): MetricRow[] {
  return run.metrics.filter((row) => row.name === "loss" && row.split === split).sort((a, b) => a.step - b.step);
}

/** The curves of a configuration and split: its sound runs together over the steps they share, diverged ones each. */
function curves(panel: string, line: string, runs: readonly RunData[], split: "train" | "dev"): Curve[] {
  const measured = runs.map((run) => {
    const rows = lossOf(run, split).filter((row) => Number.isFinite(row.value));
    const radius = split === "train" ? Math.floor(rows.length / 100) : 0;
    const values = smoothed(
      rows.map((row) => row.value),
      radius,
    );
    return { run, byStep: new Map(rows.map((row, i) => [row.step, values[i]!])) };
  });
  const sound = measured.filter(({ run, byStep }) => run.row.status !== "diverged" && byStep.size > 0);
  const diverged = measured.filter(({ run, byStep }) => run.row.status === "diverged" && byStep.size > 0);
  const curve = (part: typeof measured, kind: Curve["kind"], seed: number | null): Curve => {
    const steps = distinct(part.flatMap(({ byStep }) => [...byStep.keys()])).sort((a, b) => a - b);
    const kept = thinned(steps.length, pointsDrawn).map((i) => steps[i]!);
    const values = kept.map((step) =>
      part.map(({ byStep }) => byStep.get(step)).filter((value) => value !== undefined),
    );
    return {
      panel,
      line,
      split,
      kind,
      seed,
      step: kept,
      value: values.map((all) => round(median(all))),
      low: values.map((all) => round(extent(all)[0])),
      high: values.map((all) => round(extent(all)[1])),
    };
  };
  return [
    ...(sound.length > 0 ? [curve(sound, "seeds", null)] : []),
    // Of a diverged run the few dev losses would only double its line.
    ...(split === "train" ? diverged.map((one) => curve([one], "diverged", one.run.row.seed)) : []),
  ];
}

function spec(data: ExperimentData): TopLevelSpec {
  const layout = layoutOf(data);
  const all = configurationsOf(data, layout).flatMap(({ panel, line, runs }) =>
    (["train", "dev"] as const).flatMap((split) => curves(panel, line, runs, split)),
  );
  const unigram = layout.panels.flatMap((panel) => {
    const entropies = data.runs.filter((run) => layout.panelOf(run.row) === panel).map((run) => run.row.unigramEntropy);
    return distinct(entropies.filter(Number.isFinite).map((value) => round(value))).map((value) => ({
      panel,
      kind: "unigram",
      step: [0],
      value: [value],
      low: [value],
      high: [value],
    }));
  });
  const values = all.flatMap((curve) => curve.value);
  const [least, most] = extent([...values, ...unigram.flatMap((row) => row.value)]);
  // A run about to diverge may leave by orders of magnitude; the others' curves must stay readable.
  const start = extent(all.filter((curve) => curve.kind === "seeds").map((curve) => curve.value[0]!))[1];
  const top = Math.min(most, Math.max(quantile(values, 0.98), start, ...unigram.map((row) => row.value[0]!)));
  const pad = Math.max(0.05, (top - least) * 0.05);
  // Below the unigram line there must be room for its label.
  const lowest = unigram.some((row) => row.value[0]! <= least) ? least - 2 * pad : least - pad;
  const domain = [round(lowest, 3), round(top + pad, 3)];
  const beyond = values.filter((value) => value > domain[1]!).length;
  const lastStep = Math.max(1, ...all.flatMap((curve) => curve.step));
  const scales = lineScales(layout.lines);
  const legend = lineLegend(layout.lineTitle, layout.lines);
  const x = {
    field: "step",
    type: "quantitative",
    title: "step (optimizer updates)",
    scale: { domain: [0, round(1.02 * lastStep)], nice: false },
    axis: { grid: false, tickCount: 6, format: "d" },
  };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: "loss (nats a target token)",
    scale: { domain, nice: false, zero: false },
    axis: { tickCount: 6 },
  });
  const color = { field: "line", type: "nominal", scale: scales.color, legend };
  const shape = { field: "line", type: "nominal", scale: scales.shape, legend };
  const faded = (opacity: number): object => ({ condition: { param: "picked", value: opacity }, value: opacity / 8 });
  const tooltip = [
    { field: "panel", title: "scheme" },
    { field: "line", title: layout.lineTitle || "configuration" },
    { field: "split" },
    { field: "step", type: "quantitative" },
    { field: "value", type: "quantitative", title: "loss (median)", format: ".4g" },
    { field: "low", type: "quantitative", title: "smallest", format: ".4g" },
    { field: "high", type: "quantitative", title: "largest", format: ".4g" },
  ];
  const only = (condition: string): object[] => [{ filter: condition }];
  const notes = [
    "Thin: train (moving mean over 2 % of the steps); thick with points: dev; dashed across: unigram entropy.",
    ...seedNotes(data, "dashed: train, × where it ended", ""),
    ...(beyond > 0 ? [`${beyond} values above the axis not drawn.`] : []),
  ];
  return {
    ...frame(title(data), notes),
    data: { values: [...all, ...unigram] },
    transform: [{ flatten: ["step", "value", "low", "high"] }],
    facet: { field: "panel", type: "nominal", title: null, sort: [...layout.panels] },
    columns: 2,
    spacing: 24,
    spec: {
      width: layout.panels.length > 1 ? 370 : 560,
      height: 240,
      layer: [
        {
          transform: only("datum.kind === 'seeds'"),
          mark: { type: "area", opacity: 0.15, clip: true },
          encoding: { x, y: y("low"), y2: { field: "high" }, color, detail: { field: "split" } },
        },
        {
          transform: only("datum.kind === 'seeds' && datum.split === 'train'"),
          params: [{ name: "picked", select: { type: "point", fields: ["line"] }, bind: "legend" }],
          mark: { type: "line", strokeWidth: 1, clip: true },
          encoding: { x, y: y("value"), color, opacity: faded(0.7), tooltip },
        },
        {
          transform: only("datum.kind === 'seeds' && datum.split === 'dev'"),
          mark: { type: "line", strokeWidth: 2.4, clip: true },
          encoding: { x, y: y("value"), color, opacity: faded(1) },
        },
        {
          transform: only("datum.kind === 'seeds' && datum.split === 'dev'"),
          mark: { type: "point", filled: true, size: 36, clip: true },
          encoding: { x, y: y("value"), color, shape, opacity: faded(1), tooltip },
        },
        {
          transform: only("datum.kind === 'diverged'"),
          mark: { type: "line", strokeWidth: 1.2, strokeDash: [4, 3], clip: true },
          encoding: {
            x,
            y: y("value"),
            color,
            detail: { field: "seed" },
            opacity: faded(1),
            tooltip,
          },
        },
        {
          transform: [
            { filter: "datum.kind === 'diverged'" },
            { joinaggregate: [{ op: "max", field: "step", as: "last" }], groupby: ["panel", "line", "seed"] },
            { filter: "datum.step === datum.last" },
            { calculate: `min(datum.value, ${round(top)})`, as: "shown" },
          ],
          mark: { type: "text", text: "×", fontSize: 18, fontWeight: "bold" },
          encoding: { x, y: y("shown"), color, opacity: faded(1), tooltip },
        },
        {
          transform: only("datum.kind === 'unigram'"),
          mark: { type: "rule", strokeDash: [6, 4], color: "currentColor", opacity: 0.8 },
          encoding: { y: y("value") },
        },
        {
          transform: [
            { filter: "datum.kind === 'unigram'" },
            { calculate: "'unigram entropy ' + format(datum.value, '.2f')", as: "label" },
          ],
          mark: { type: "text", align: "right", baseline: "top", dy: 4, fontSize: 11, color: "currentColor" },
          encoding: { x: { datum: lastStep, type: "quantitative" }, y: y("value"), text: { field: "label" } },
        },
      ],
    },
  } as unknown as TopLevelSpec;
}

/** Train and dev loss against step, with the line a model reaches without looking at its input. */
export const lossCurves: Plot = {
  name: "loss-curves",
  summary: "train and dev loss by step, with the unigram-entropy line",
  title,
  caption:
    "Loss in nats a target token. The dashed line is the unigram entropy: the loss of the best model that ignores its input and knows only how frequent each token is. " +
    "A healthy curve falls through that line and goes on falling; one that settles on it has learnt token frequencies and nothing else, which is how a transformer whose signal does not pass usually fails. " +
    "Dev above train by a growing gap is overfitting. A curve that ends in × left the finite numbers there.",
  requires: ["loss"],
  spec,
};
