// How long runs will go on, from the pace of those that have trained.

import { groupBy, median } from "../statistics.ts";

/** A run as far as its pace goes. */
export interface Paced {
  /** Done, of `plannedSteps`, which is 0 where it is not known yet. */
  readonly steps: number;
  readonly plannedSteps: number;
  /** Of training. */
  readonly seconds: number;
  /** Runs that agree in this are seeds of one configuration. */
  readonly configuration: string;
  /** How its end came, undefined while it may go on: `broken` where training did not come to it. */
  readonly end: "over" | "broken" | undefined;
}

/** The pace of a run. */
export interface Pace {
  /** Of training, evaluation included; NaN before the first step. */
  readonly secondsPerStep: number;
  /** Of training, at its own pace; of a run that has none yet at that of the others of its configuration, else of the experiment. 0 of
   *  one that has ended, NaN where it is unknown or the run is broken. */
  readonly secondsLeft: number;
}

/** The pace of each of the runs of an experiment. */
export function pacesOf(runs: readonly Paced[]): Pace[] {
  const pace = ({ steps, seconds }: Paced): number => (steps > 0 ? seconds / steps : NaN);
  const known = (values: readonly number[]): number => median(values.filter((value) => value > 0));
  const usual = (of: readonly Paced[]) => ({
    pace: known(of.map(pace)),
    steps: known(of.map((run) => run.plannedSteps)),
  });
  const inAll = usual(runs);
  const inGroup = new Map(
    [...groupBy(runs, ({ configuration }) => configuration)].map(([name, members]) => [name, usual(members)]),
  );
  return runs.map((run) => {
    const group = inGroup.get(run.configuration)!;
    const secondsPerStep = pace(run);
    const steps = run.plannedSteps || group.steps || inAll.steps;
    const left = Math.max(0, steps - run.steps) * (secondsPerStep || group.pace || inAll.pace);
    return { secondsPerStep, secondsLeft: run.end === undefined ? left : run.end === "broken" ? NaN : 0 };
  });
}
