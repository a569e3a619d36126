// Profiles: what a quantity is at every layer, at the first recorded step and at the end, over the seeds of each
// configuration. Figures by layer and by depth, the report's table and their sentences are all made from these.

import { configurationName, layoutOf, type ExperimentData, type Layout, type RunData } from "./experiment.ts";
import { valueAt, type LayerSeries, type Moment } from "./layer-series.ts";
import { distinct, groupBy, logMedian } from "../statistics.ts";
import { divergedStep } from "./verdict.ts";

/** A quantity as series a layer, e.g. `layerSeries` of the parameter gradient. */
export type Measure = (run: RunData) => LayerSeries[];

/** One configuration: the runs that differ by seed alone. */
export interface Configuration {
  readonly panel: string;
  readonly line: string;
  /** For sentences, e.g. `post-ln, 12 layers`. */
  readonly name: string;
  readonly runs: readonly RunData[];
}

/** The configurations of an experiment, in order of panels, then lines. */
export function configurationsOf(data: ExperimentData, layout: Layout = layoutOf(data)): Configuration[] {
  const groups = groupBy(data.runs, (run) => JSON.stringify([layout.panelOf(run.row), layout.lineOf(run.row)]));
  return [...groups.values()]
    .map((runs) => ({
      panel: layout.panelOf(runs[0]!.row),
      line: layout.lineOf(runs[0]!.row),
      name: configurationName(layout, runs[0]!.row),
      runs,
    }))
    .sort(
      (a, b) =>
        layout.panels.indexOf(a.panel) - layout.panels.indexOf(b.panel) ||
        layout.lines.indexOf(a.line) - layout.lines.indexOf(b.line),
    );
}

/** A stack's values by layer at one moment: of a configuration's seeds together, or of one diverged run. */
export interface Profile {
  readonly panel: string;
  readonly line: string;
  readonly stack: string;
  readonly moment: Moment;
  /** `seeds`: median and extremes over runs; `diverged`: a single run's last finite steps. */
  readonly kind: "seeds" | "diverged";
  readonly seed: number | null;
  /** Layers counted from 0, and for each the values of the runs that have one. */
  readonly layers: readonly { readonly layer: number; readonly values: readonly number[] }[];
}

/** All profiles of a measure. Every run that recorded a first step counts at the first; at the end runs that finished
 *  count together and diverged ones each for itself, since their last steps come at different times. */
export function profilesOf(data: ExperimentData, measure: Measure): Profile[] {
  const layout = layoutOf(data);
  return configurationsOf(data, layout).flatMap(({ panel, line, runs }) => {
    const measured = runs.map((run) => ({ run, series: measure(run) }));
    const take = (part: typeof measured, moment: Moment, kind: Profile["kind"], seed: number | null): Profile[] =>
      [
        ...groupBy(
          part.flatMap(({ series }) => series),
          (series) => series.stack,
        ),
      ].map(([stack, series]) => ({
        panel,
        line,
        stack,
        moment,
        kind,
        seed,
        layers: [...groupBy(series, (one) => String(one.layer)).values()].map((same) => ({
          layer: same[0]!.layer,
          values: same.map((one) => valueAt(one, moment)),
        })),
      }));
    // One recorded step is a start and no end.
    const moved = measured.map(({ run, series }) => ({ run, series: series.filter(({ steps }) => steps.length > 1) }));
    const ended = moved.filter(({ run }) => run.row.status === "done");
    const diverged = measured.filter(({ run }) => run.row.status === "diverged");
    return [
      ...take(measured, "first", "seeds", null),
      ...take(ended, "end", "seeds", null),
      ...diverged.flatMap((one) => take([one], "end", "diverged", one.run.row.seed)),
    ];
  });
}

/** The first layer's value over the last layer's in one stack of one configuration; medians over seeds. */
export interface FirstOverLast {
  readonly configuration: Configuration;
  readonly stack: string;
  readonly layers: number;
  /** At the first recorded step; Infinity where the gradient had overflowed by then (a norm was not finite), NaN where the last layer gets none. */
  readonly first: number;
  /** At the end, over the runs that finished; NaN where none did. */
  readonly end: number;
}

/** First-over-last ratios of every stack of at least two layers, by configuration. */
export function firstOverLast(data: ExperimentData, measure: Measure): FirstOverLast[] {
  return configurationsOf(data).flatMap((configuration) => {
    const measured = configuration.runs.map((run) => ({
      run,
      byStack: groupBy(measure(run), (series) => series.stack),
    }));
    const stacks = distinct(measured.flatMap(({ byStack }) => [...byStack.keys()]));
    return stacks.flatMap((stack) => {
      const layers = Math.max(...measured.map(({ byStack }) => byStack.get(stack)?.length ?? 0));
      if (layers < 2) return [];
      const ratio = (part: typeof measured, moment: Moment): number =>
        logMedian(
          part
            .map(({ byStack }) => byStack.get(stack) ?? [])
            .filter((series) => series.length === layers)
            .map((series) => ratioOf(valueAt(series[0]!, moment), valueAt(series.at(-1)!, moment), moment))
            .filter((one) => !Number.isNaN(one)),
        );
      const ended = measured.filter(({ run }) => run.row.status === "done");
      return [{ configuration, stack, layers, first: ratio(measured, "first"), end: ratio(ended, "end") }];
    });
  });
}

/** At the end a norm that is not finite is one that is absent: see `valueAt`. */
function ratioOf(first: number, last: number, moment: Moment): number {
  if (moment === "first" && !(Number.isFinite(first) && Number.isFinite(last))) return Infinity;
  return last === 0 ? NaN : first / last;
}

/** Notes that every figure over seeds owes its reader: what line, band and end are, who diverged and how such a run is
 *  drawn (`drawn`), who is not finished. */
export function seedNotes(
  data: ExperimentData,
  drawn: string,
  end = "End: median of the last tenth of the recorded steps.",
): string[] {
  const most = Math.max(0, ...configurationsOf(data).map(({ runs }) => runs.length));
  const spread =
    most > 1 ? `Line: median over seeds (${most}); band: smallest to largest.` : "One seed each: no spread is shown.";
  const notes = [[spread, end].filter((text) => text !== "").join(" ")];
  const layout = layoutOf(data);
  const named = (row: RunData["row"]): string => `${configurationName(layout, row)}, seed ${row.seed}`;
  const diverged = data.runs.filter((run) => run.row.status === "diverged");
  if (diverged.length > 0) {
    const shown = diverged.slice(0, 3).map(({ row }) => `${named(row)} at step ${divergedStep(row)}`);
    const more = diverged.length > 3 ? ` and ${diverged.length - 3} more` : "";
    notes.push(`Diverged: ${shown.join("; ")}${more} (${drawn}).`);
  }
  const open = data.runs.filter((run) => run.row.status !== "done" && run.row.status !== "diverged").length;
  if (open > 0) notes.push(`${open} of ${data.runs.length} runs not finished: at the end they are left out.`);
  return notes;
}
