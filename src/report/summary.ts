// The numbers of a report, and the sentences they make: one row a configuration, over its seeds.

import {
  areAll,
  humanised,
  layoutOf,
  lossWords,
  plain,
  type ExperimentData,
  type Layout,
  type RunData,
} from "../plots/experiment.ts";
import { endCount, layerSeries, valueAt } from "../plots/layer-series.ts";
import { configurationsOf, firstOverLast, type Configuration, type FirstOverLast } from "../plots/profile.ts";
import { distinct, groupBy, logMedian, mean, median, spreadOf, type Spread } from "../statistics.ts";
import { times } from "../plots/style.ts";
import { outcomeWords } from "../plots/verdict.ts";

/** One configuration over its seeds. */
export interface SummaryRow {
  readonly configuration: Configuration;
  /** The varied keys' values, in the order of `summaryKeys`. */
  readonly values: readonly string[];
  readonly outcome: string;
  /** Mean of the last tenth of the training losses of each run; nats a target, finished runs only. */
  readonly trainLoss: Spread;
  readonly devLoss: Spread;
  readonly unigramEntropy: number;
  /** First layer's gradient norm over the last's, by stack. */
  readonly ratios: readonly FirstOverLast[];
  /** Gradient norm, as log-median over the runs, of what has no layer number, by stack: `embedding`, `output`. */
  readonly unlayered: ReadonlyMap<string, { readonly first: number; readonly end: number }>;
  readonly seconds: Spread;
}

/** Heads of the varied keys' columns; a single unnamed configuration has none. */
export const summaryKeys = (layout: Layout): string[] => [...layout.panelKeys, ...layout.lineKeys];

/** The summary of an experiment, in order of panels, then lines. */
export function summaryOf(data: ExperimentData): SummaryRow[] {
  const layout = layoutOf(data);
  const keys = summaryKeys(layout);
  const ratios = firstOverLast(data, (run) => layerSeries(run, "parameter-gradient"));
  return configurationsOf(data, layout).map((configuration) => {
    const { runs } = configuration;
    const done = runs.filter((run) => run.row.status === "done");
    return {
      configuration,
      values: keys.map((key) => plain(runs[0]!.row.config[key])),
      outcome: outcomeWords(
        runs.map((run) => run.row),
        lossWords(data).line,
      ),
      trainLoss: spreadOf(done.map(lateTrainLoss)),
      devLoss: spreadOf(done.map((run) => run.row.finalDevLoss)),
      // A player's loss has no such line.
      unigramEntropy: areAll(data, "gan")
        ? NaN
        : median(runs.map((run) => run.row.unigramEntropy).filter(Number.isFinite)),
      ratios: ratios.filter(
        (ratio) => ratio.configuration.panel === configuration.panel && ratio.configuration.line === configuration.line,
      ),
      unlayered: unlayered(runs),
      seconds: spreadOf(runs.map((run) => run.row.seconds)),
    };
  });
}

/** What a report says of a panel. */
export interface Finding {
  readonly panel: string;
  readonly sentences: readonly string[];
}

/** The sentences of a report: for each panel what its loss did and what its gradient looks like. */
export function findings(data: ExperimentData): Finding[] {
  const layout = layoutOf(data);
  const rows = summaryOf(data);
  return layout.panels.map((panel) => {
    const own = rows.filter((row) => row.configuration.panel === panel);
    return {
      panel,
      sentences: [lossSentence(layout, own, lossWords(data).lineIs), ...gradientSentences(layout, own)].filter(
        (sentence) => sentence !== "",
      ),
    };
  });
}

/** `3.12 ± 0.04`; the deviation only where there are seeds enough. */
export function spreadText({ mean: centre, sd }: Spread, digits = 2): string {
  if (!Number.isFinite(centre)) return "–";
  return Number.isFinite(sd) ? `${centre.toFixed(digits)} ± ${sd.toFixed(digits)}` : centre.toFixed(digits);
}

function lossSentence(layout: Layout, rows: readonly SummaryRow[], lineIs: string): string {
  const entropies = distinct(
    rows.flatMap(({ unigramEntropy }) => (Number.isFinite(unigramEntropy) ? unigramEntropy.toFixed(2) : [])),
  );
  const parts = [...groupBy(rows, (row) => row.outcome)].map(([outcome, same]) => {
    const where =
      layout.lineKeys.length === 0
        ? ""
        : ` at ${lineWord(layout)} ${same.map((row) => row.configuration.line).join(", ")}`;
    const losses = same.filter((row) => Number.isFinite(row.devLoss.mean)).map((row) => spreadText(row.devLoss));
    return `${outcome}${where}${losses.length > 0 ? ` (dev loss ${losses.join(", ")})` : ""}`;
  });
  const text = parts.join("; ");
  const against = entropies.length > 0 ? ` ${capital(lineIs)} ${entropies.join(" or ")}.` : "";
  return text === "" ? "" : `${capital(text)}.${against}`;
}

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);

function gradientSentences(layout: Layout, rows: readonly SummaryRow[]): string[] {
  const stacks = [...new Set(rows.flatMap((row) => row.ratios.map(({ stack }) => stack)))];
  return stacks.map((stack) => {
    const all = rows.flatMap((row) =>
      row.ratios.filter((ratio) => ratio.stack === stack).map((ratio) => ({ row, ratio })),
    );
    // A sentence holds a few numbers; the table has them all.
    const found = all.length > 4 ? [all[0]!, all.at(-1)!] : all;
    const list = (moment: "first" | "end"): string =>
      found.map(({ row, ratio }) => `${inWords(ratio, moment)}${named(layout, row, " at ")}`).join(", ");
    return `In the ${stack} the gradient norm of the first layer, over that of the last, is ${list("first")} at the first step; at the end ${list("end")}.`;
  });
}

/** A ratio in a sentence, or why there is none. Where branches start at 0, both gradients are 0 at the first step. */
function inWords({ configuration, ...ratio }: FirstOverLast, moment: "first" | "end"): string {
  if (Number.isFinite(ratio[moment])) return times(ratio[moment]);
  const statuses = configuration.runs.map(({ row }) => row.status);
  const why =
    ratio[moment] === Infinity
      ? "overflows"
      : moment === "first" || statuses.includes("done")
        ? "no gradient"
        : statuses.every((status) => status === "diverged")
          ? "diverged"
          : "not finished";
  return `not defined (${why})`;
}

/** A ratio as text; a dash where there is none. */
export const ratioText = (ratio: number): string =>
  ratio === Infinity ? "overflows" : Number.isNaN(ratio) ? "–" : times(ratio);

/** `<before>depth 12`; empty where there is one line only. */
const named = (layout: Layout, row: SummaryRow, before: string): string =>
  layout.lineKeys.length === 0 ? "" : `${before}${lineWord(layout)} ${row.configuration.line}`;

/** What lines differ in, as a word: `depth`, `learning rate`. */
const lineWord = (layout: Layout): string =>
  layout.lineKeys[0]!.startsWith("model.depth") ? "depth" : humanised(layout.lineKeys[0]!);

function lateTrainLoss(run: RunData): number {
  const losses = run.metrics.filter((row) => row.split === "train" && row.name === "loss").map((row) => row.value);
  return mean(losses.slice(-endCount(losses.length)));
}

function unlayered(runs: readonly RunData[]): SummaryRow["unlayered"] {
  const measured = runs.map((run) => ({ run, series: layerSeries(run, "parameter-gradient", false) }));
  const stacks = [...new Set(measured.flatMap(({ series }) => series.map(({ stack }) => stack)))];
  const middle = (stack: string, moment: "first" | "end"): number =>
    logMedian(
      measured
        .filter(({ run }) => moment === "first" || run.row.status === "done")
        .flatMap(({ series }) => series.filter((one) => one.stack === stack))
        .map((one) => valueAt(one, moment))
        .filter(Number.isFinite),
    );
  return new Map(stacks.map((stack) => [stack, { first: middle(stack, "first"), end: middle(stack, "end") }]));
}
