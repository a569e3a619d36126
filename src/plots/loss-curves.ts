import type { TopLevelSpec } from "vega-lite";
import { curvesOf } from "./curves.ts";
import { layoutOf, lossWords, type ExperimentData } from "./experiment.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf, seedNotes } from "./profile.ts";
import { extent, groupBy, median, quantile, round } from "../statistics.ts";
import { frame, inPanelLabel, lineLegend, lineScales } from "./style.ts";
import { outcomeWords } from "./verdict.ts";

/** `post-ln: learns at depth 2, 6; at the unigram line at depth 12. pre-ln: learns at every depth`. */
function title(data: ExperimentData): string {
  const layout = layoutOf(data);
  const configurations = configurationsOf(data, layout);
  const axis = layout.lineTitle.replace(/ \(.*\)$/, "");
  const parts = layout.panels.map((panel) => {
    const inPanel = configurations.filter((configuration) => configuration.panel === panel);
    const byOutcome = groupBy(inPanel, (configuration) =>
      outcomeWords(
        configuration.runs.map((run) => run.row),
        lossWords(data).line,
      ),
    );
    const what = [...byOutcome].map(([words, same]) => {
      if (layout.lineTitle === "") return words;
      const all = byOutcome.size === 1 && same.length > 1;
      return all ? `${words} at every ${axis}` : `${words} at ${axis} ${same.map(({ line }) => line).join(", ")}`;
    });
    return `${panel === "" ? "" : `${panel}: `}${what.join("; ")}`;
  });
  return parts.length <= 4 ? parts.join(". ") : `${parts.slice(0, 3).join(". ")}. And ${parts.length - 3} more`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const layout = layoutOf(data);
  const words = lossWords(data);
  const all = configurationsOf(data, layout).flatMap(({ panel, line, runs }) =>
    (["train", "dev"] as const).flatMap((split) => curvesOf(runs, { name: "loss", split }, { panel, line })),
  );
  const unigram = layout.panels.flatMap((panel) => {
    const entropies = data.runs.filter((run) => layout.panelOf(run.row) === panel).map((run) => run.row.unigramEntropy);
    // Seeds that share their data differ in the last digits at most.
    const different = groupBy(entropies.filter(Number.isFinite), (value) => String(round(value)));
    return [...different.values()].map(([value = NaN]) => ({
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
  // A run about to diverge may leave by orders of magnitude, and one without norms start there; the others' curves must stay readable.
  const starts = all.filter((curve) => curve.kind === "seeds").map((curve) => curve.value[0]!);
  const farthest = starts.length > 0 ? 10 * median(starts) : Infinity;
  const usual = (value: number): boolean => value <= farthest;
  const top = Math.min(
    most,
    Math.max(quantile(values.filter(usual), 0.98), ...starts.filter(usual), ...unigram.map((row) => row.value[0]!)),
  );
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
    title: `loss (${words.unit})`,
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
    { field: "value", type: "quantitative", title: "median", format: ".4g" },
    { field: "low", type: "quantitative", title: "smallest", format: ".4g" },
    { field: "high", type: "quantitative", title: "largest", format: ".4g" },
  ];
  const only = (condition: string): object[] => [{ filter: condition }];
  const notes = [
    `Thin: train (moving mean over 2 % of the steps); thick with points: dev; dashed across: ${words.entropy}.`,
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
          name: inPanelLabel,
          transform: [
            { filter: "datum.kind === 'unigram'" },
            { calculate: `'${words.entropy} ' + format(datum.value, '.2f')`, as: "label" },
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
    "Loss in nats, a target token of a translation or an image. The dashed line is the loss of the best model that ignores its input and knows only how frequent each token is (the unigram entropy), or each pixel. " +
    "A healthy curve falls through that line and goes on falling; one that settles on it has learnt these frequencies and nothing else, which is how a transformer whose signal does not pass usually fails. " +
    "Dev above train by a growing gap is overfitting. A curve that ends in × left the finite numbers there.",
  requires: ["loss"],
  of: ["transformer", "vae"],
  spec,
};
