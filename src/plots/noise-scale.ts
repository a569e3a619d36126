import type { TopLevelSpec } from "vega-lite";
import { layoutOf, type ExperimentData, type RunData } from "./experiment.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf, seedNotes } from "./profile.ts";
import { distinct, extent, logMedian, mean, round } from "../statistics.ts";
import { frame, hiddenNote, lineLegend, lineScales, logAxis } from "./style.ts";

/** Measurements averaged at each point: trace and signal each, before their quotient. */
const window = 10;

/** The players that have one; a transformer has a single player. */
const playersOf = (run: RunData): string[] =>
  distinct((run.readings ?? []).flatMap(({ quantity, player }) => (quantity === "noise-scale" ? [player] : [])));

/** A player's noise scale over the steps: the mean of the last ten traces over that of the last ten signals. */
function scalesOf(run: RunData, player: string): { step: number; value: number }[] {
  const of = (quantity: string) =>
    (run.readings ?? [])
      .filter((row) => row.player === player && row.stack === "all" && row.quantity === quantity)
      .sort((a, b) => a.step - b.step);
  const [traces, signals] = [of("noise-trace"), of("noise-signal")];
  return traces.map(({ step }, i) => {
    const recent = (rows: typeof traces): number =>
      mean(rows.slice(Math.max(0, i + 1 - window), i + 1).map(({ value }) => value));
    return { step, value: recent(traces) / recent(signals) };
  });
}

/** A configuration's points, medians over its seeds. */
function pointsOf(data: ExperimentData) {
  const players = distinct(data.runs.flatMap(playersOf));
  const places = configurationsOf(data).flatMap((configuration) =>
    players.map((player) => ({ ...configuration, player })),
  );
  return places.flatMap(({ panel: scheme, line, runs, player }) => {
    const panel = [scheme, players.length > 1 ? player : ""].filter((part) => part !== "").join(" · ");
    const measured = runs.map((run) => scalesOf(run, player));
    return distinct(measured.flatMap((points) => points.map(({ step }) => step))).flatMap((step) => {
      const values = measured
        .flatMap((points) => points.filter((point) => point.step === step).map(({ value }) => value))
        .filter((value) => Number.isFinite(value) && value > 0);
      if (values.length === 0) return [];
      const [low, high] = extent(values);
      return [{ panel, line, step, value: logMedian(values), low, high }];
    });
  });
}

/** `Gradient noise scale, first → last measurement, in targets: post-ln 200 → 3000`. */
function title(data: ExperimentData): string {
  const points = pointsOf(data);
  const parts = distinct(points.map(({ panel }) => panel)).flatMap((panel) => {
    const own = points.filter((point) => point.panel === panel);
    const line = own.at(-1)!.line; // the deepest
    const same = own.filter((point) => point.line === line).sort((a, b) => a.step - b.step);
    return [`${panel === "" ? "" : `${panel} `}${round(same[0]!.value, 2)} → ${round(same.at(-1)!.value, 2)}`];
  });
  if (parts.length === 0) return "Gradient noise scale";
  const shown = parts.length <= 5 ? parts.join(", ") : `${parts.slice(0, 4).join(", ")} and ${parts.length - 4} more`;
  return `Gradient noise scale, first → last measurement, in targets: ${shown}`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const layout = layoutOf(data);
  const points = pointsOf(data);
  const panels = distinct(points.map(({ panel }) => panel));
  const axis = logAxis(points.flatMap(({ low, high }) => [low, high]));
  const scales = lineScales(layout.lines);
  const legend = lineLegend(layout.lineTitle, layout.lines);
  const x = { field: "step", type: "quantitative", title: "step", axis: { format: "d", tickCount: 6, tickMinStep: 1 } };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: "noise scale (targets)",
    scale: { type: "log", domain: axis.domain, nice: false },
    axis: { ...axis.axis },
  });
  const color = { field: "line", type: "nominal", scale: scales.color, legend };
  const tooltip = [
    { field: "panel", title: "scheme" },
    { field: "line", title: layout.lineTitle || "configuration" },
    { field: "step", type: "quantitative" },
    { field: "value", type: "quantitative", title: "median", format: ".3g" },
    { field: "low", type: "quantitative", title: "smallest", format: ".3g" },
    { field: "high", type: "quantitative", title: "largest", format: ".3g" },
  ];
  return {
    ...frame(title(data), [...seedNotes(data, "up to there", ""), ...hiddenNote(axis.hidden)]),
    data: { values: points },
    facet: { field: "panel", type: "nominal", title: null, sort: panels },
    columns: 2,
    spacing: 24,
    spec: {
      width: panels.length > 1 ? 370 : 560,
      height: 220,
      layer: [
        {
          mark: { type: "area", opacity: 0.2, clip: true },
          encoding: { x, y: y("low"), y2: { field: "high" }, color },
        },
        { mark: { type: "line", strokeWidth: 1.8, clip: true }, encoding: { x, y: y("value"), color } },
        { mark: { type: "point", filled: true, size: 20, clip: true }, encoding: { x, y: y("value"), color, tooltip } },
      ],
    },
  } as unknown as TopLevelSpec;
}

/** The gradient noise scale of the whole network over training. */
export const noiseScale: Plot = {
  name: "noise-scale",
  summary: "gradient noise scale of the whole network over training: the batch size that is worth its cost",
  title,
  caption:
    "The noise scale tr(Σ) / |G|² in targets (McCandlish et al. 2018): far below it, twice the batch is nearly twice the progress a step; far above it, more data a step brings next to nothing. " +
    "Trace and squared gradient are averaged over the last ten measurements before they are divided, for at one step their quotient is rough; points where the average came out below 0 are left out. " +
    "It grows as the loss falls: late in training larger batches pay.",
  requires: ["noise-scale"],
  spec,
};
