// Curves of a metric over steps: a configuration's sound runs together, diverged ones each for itself.

import { distinct, extent, median, smoothed, thinned } from "../statistics.ts";
import type { RunData } from "./experiment.ts";

/** Points drawn a curve; what lies between them is smoothed over, not skipped. */
const pointsDrawn = 150;

/** A curve as a row of data: median and extremes over seeds, or one run that diverged. */
export interface Curve {
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

/** The curves of a metric of one configuration and split: its sound runs together over the steps they share, diverged ones
 *  each. Values of training are smoothed by a moving mean over 2 % of the steps. */
export function curvesOf(
  runs: readonly RunData[],
  { name, split }: { readonly name: string; readonly split: "train" | "dev" },
  { panel, line }: { readonly panel: string; readonly line: string },
): Curve[] {
  const measured = runs.map((run) => {
    const rows = run.metrics
      .filter((row) => row.name === name && row.split === split)
      .sort((a, b) => a.step - b.step)
      .filter((row) => Number.isFinite(row.value));
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
      value: values.map((all) => median(all)),
      low: values.map((all) => extent(all)[0]),
      high: values.map((all) => extent(all)[1]),
    };
  };
  return [
    ...(sound.length > 0 ? [curve(sound, "seeds", null)] : []),
    // Of a diverged run the few dev values would only double its line.
    ...(split === "train" ? diverged.map((one) => curve([one], "diverged", one.run.row.seed)) : []),
  ];
}
