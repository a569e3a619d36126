import type { TopLevelSpec } from "vega-lite";
import { depthOf, layoutOf, lossWords, seriesByDepth, type ExperimentData, type RunData } from "./experiment.ts";
import type { Plot } from "./plot.ts";
import { distinct, extent, groupBy, median } from "../statistics.ts";
import { depthAxis, frame, lineLegend, lineScales } from "./style.ts";
import { finalLoss, outcomeOf, unigramMargin } from "./verdict.ts";

/** The runs of one series at one depth. */
interface Group {
  readonly series: string;
  readonly depth: number;
  readonly runs: readonly RunData[];
}

/** Groups of runs that have ended, in order of series, then depth. */
function groupsOf(data: ExperimentData): Group[] {
  const layout = layoutOf(data);
  const ended = data.runs.filter(
    ({ row }) => depthOf(layout, row) !== undefined && (row.status === "diverged" || Number.isFinite(judged(row))),
  );
  const groups = groupBy(ended, ({ row }) => JSON.stringify([seriesByDepth(layout, row), depthOf(layout, row)]));
  const series = distinct(ended.map(({ row }) => seriesByDepth(layout, row)));
  return [...groups.values()]
    .map((runs) => ({ series: seriesByDepth(layout, runs[0]!.row), depth: depthOf(layout, runs[0]!.row)!, runs }))
    .sort((a, b) => series.indexOf(a.series) - series.indexOf(b.series) || a.depth - b.depth);
}

const judged = (row: RunData["row"]): number => (row.status === "done" ? finalLoss(row) : NaN);

/** `post-ln up to depth 6, not at 12, 24; pre-ln at every depth`: where most seeds of a series learn more than the line. Of a series
 *  that lacks depths which others have, those it has are named. */
function title(data: ExperimentData): string {
  const { line } = lossWords(data);
  const layout = layoutOf(data);
  const depths = distinct(data.runs.flatMap(({ row }) => depthOf(layout, row) ?? []));
  const said = [...groupBy(groupsOf(data), ({ series }) => series)].map(([series, groups]) => {
    const passes = ({ runs }: Group): boolean =>
      2 * runs.filter(({ row }) => outcomeOf(row) === "learns").length > runs.length;
    const list = (some: readonly Group[]): string => some.map(({ depth }) => depth).join(", ");
    const [yes, no] = [groups.filter(passes), groups.filter((group) => !passes(group))];
    const deepest = Math.max(...yes.map(({ depth }) => depth));
    const has = (all: readonly number[]): boolean => all.every((one) => groups.some(({ depth }) => depth === one));
    const isWhole = has(depths);
    const words =
      no.length === 0
        ? isWhole
          ? "at every depth"
          : `at depth ${list(yes)}`
        : yes.length === 0
          ? isWhole
            ? "at none"
            : `not at ${list(no)}`
          : no.every(({ depth }) => depth > deepest) && has(depths.filter((depth) => depth < deepest))
            ? `up to depth ${deepest}, not at ${list(no)}`
            : isWhole
              ? `at depth ${list(yes)} alone`
              : `at depth ${list(yes)}, not at ${list(no)}`;
    return { series, words };
  });
  if (said.length === 0) return "Loss at the end by depth";
  const parts = [...groupBy(said, ({ words }) => words)].map(([words, same]) =>
    [same.map(({ series }) => series).join(", "), words].filter((part) => part !== "").join(" "),
  );
  const shown = parts.length <= 4 ? parts : [...parts.slice(0, 3), `and ${parts.length - 3} more`];
  return `What ends more than ${unigramMargin} nats below the ${line}, by depth: ${shown.join("; ")}`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const groups = groupsOf(data);
  const words = lossWords(data);
  const rows = groups.map(({ series, depth, runs }) => {
    const losses = runs.map(({ row }) => judged(row)).filter(Number.isFinite);
    const [low, high] = extent(losses);
    return {
      series,
      depth,
      value: losses.length > 0 ? median(losses) : null,
      low: losses.length > 0 ? low : null,
      high: losses.length > 0 ? high : null,
      seeds: losses.length,
      diverged: runs.length - losses.length,
    };
  });
  const series = distinct(rows.map((row) => row.series));
  const depths = distinct(rows.map(({ depth }) => depth)).sort((a, b) => a - b);
  const line = median(data.runs.map(({ row }) => row.unigramEntropy).filter(Number.isFinite));
  const [low, high] = extent([
    ...rows.flatMap((row) => [row.low, row.high].flatMap((value) => value ?? [])),
    ...(Number.isFinite(line) ? [line] : []),
  ]);
  const room = high > low ? 0.06 * (high - low) : 0.5;
  const broken = rows.some(({ diverged }) => diverged > 0);
  const top = high + room;
  const scales = lineScales(series);
  const legend = lineLegend("scheme", series);
  const x = depthAxis(depths);
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: `dev loss at the end (${words.unit})`,
    scale: { zero: false, nice: false, domain: [low - room, top + room] },
  });
  const color = { field: "series", type: "nominal", scale: scales.color, legend };
  const shape = { field: "series", type: "nominal", scale: scales.shape, legend };
  const faded = { condition: { param: "picked", value: 1 }, value: 0.12 };
  const there = { filter: "isValid(datum.value)" };
  const most = Math.max(0, ...groups.map(({ runs }) => runs.length));
  const notes = [
    most > 1 ? `Line: median over seeds (${most}); band: smallest to largest.` : "One seed each: no spread is shown.",
    ...(Number.isFinite(line)
      ? [
          `Dashed: ${words.definition} (${line.toFixed(2)}).`,
          `A depth counts as learnt where most seeds end more than ${unigramMargin} nats below it.`,
        ]
      : []),
    ...(broken ? ["Crosses at the upper edge: diverged seeds."] : []),
  ];
  return {
    ...frame(title(data), notes, 90),
    data: { values: rows },
    width: 560,
    height: 300,
    layer: [
      ...(Number.isFinite(line)
        ? [
            {
              data: { values: [{}] },
              mark: { type: "rule", strokeDash: [6, 4], color: "currentColor", opacity: 0.7 },
              encoding: { y: { datum: line, type: "quantitative" } },
            },
          ]
        : []),
      {
        transform: [there],
        mark: { type: "area", opacity: 0.2 },
        encoding: { x, y: y("low"), y2: { field: "high" }, color },
      },
      {
        transform: [there],
        params: [{ name: "picked", select: { type: "point", fields: ["series"] }, bind: "legend" }],
        mark: { type: "line", strokeWidth: 1.8 },
        encoding: { x, y: y("value"), color, opacity: faded },
      },
      {
        transform: [there],
        mark: { type: "point", filled: true, size: 44 },
        encoding: {
          x,
          y: y("value"),
          color,
          shape,
          opacity: faded,
          tooltip: [
            { field: "series", title: "scheme" },
            { field: "depth", type: "quantitative" },
            { field: "value", type: "quantitative", title: "median", format: ".4g" },
            { field: "low", type: "quantitative", title: "smallest", format: ".4g" },
            { field: "high", type: "quantitative", title: "largest", format: ".4g" },
            { field: "seeds", type: "quantitative" },
          ],
        },
      },
      ...(broken
        ? [
            {
              transform: [{ filter: "datum.diverged > 0" }],
              mark: { type: "point", shape: "cross", filled: true, size: 60 },
              encoding: { x, y: { datum: top, type: "quantitative" }, color, opacity: faded },
            },
          ]
        : []),
    ],
  } as unknown as TopLevelSpec;
}

/** The loss at the end against depth, by scheme, beside the line of what ignores its input. */
export const lossByDepth: Plot = {
  name: "loss-by-depth",
  summary: "loss at the end against depth, by scheme, beside the unigram line",
  title,
  caption:
    `Each mark is what a depth has come to at the end of its training. More than ${unigramMargin} nats below the dashed line a network has learnt more than how often each target occurs; nearer to it, which the loss of a small dev set comes by itself, or above it, nothing that can be told from its input. ` +
    "A line that rises slowly is a budget that suffices less and less for ever more layers; one that jumps to the dashed line is where a scheme no longer trains.",
  requires: ["loss", "varied depth"],
  of: ["transformer", "vae"],
  lacks: (data) => (groupsOf(data).length === 0 ? "no run that has ended has a loss yet" : undefined),
  spec,
};
