// Learning-rate schedules by the name used in configs. Each gives the learning rate of step t, counted from 0.
import type { ScheduleConfig } from "../config/schema.ts";

type Kind = ScheduleConfig["kind"];

/** What a schedule may depend on beside its own section. */
export interface ScheduleContext {
  /** Peak learning rate: the optimizer's `learningRate`. */
  readonly peak: number;
  /** Steps of the whole run. */
  readonly steps: number;
  /** Width of the model, for noam. */
  readonly width: number;
}

type Rule<K extends Kind> = (
  schedule: Extract<ScheduleConfig, { kind: K }>,
  context: ScheduleContext,
) => (step: number) => number;

/** Linear warm-up: (t + 1) / warmupSteps until it reaches 1. */
const warmedUp = (warmupSteps: number, step: number): number =>
  warmupSteps > 0 ? Math.min(1, (step + 1) / warmupSteps) : 1;

/** How far step t is from the end of the warm-up (0) to the last step (1). */
const afterWarmup = (warmupSteps: number, steps: number, step: number): number =>
  Math.min(1, Math.max(0, (step + 1 - warmupSteps) / Math.max(1, steps - warmupSteps)));

export const schedules: { readonly [K in Kind]: Rule<K> } = {
  constant:
    ({ warmupSteps }, { peak }) =>
    (step) =>
      peak * warmedUp(warmupSteps, step),
  // peak * sqrt(w / max(w, t)), as fairseq's inverse_sqrt: at its peak when the warm-up ends, and from the first step on
  // without one.
  "inverse-sqrt": ({ warmupSteps }, { peak }) => {
    const from = Math.max(1, warmupSteps);
    return (step) => peak * warmedUp(warmupSteps, step) * Math.sqrt(from / Math.max(from, step + 1));
  },
  // Vaswani et al. 2017, equation 3, times the learning rate as its factor.
  noam:
    ({ warmupSteps }, { peak, width }) =>
    (step) =>
      peak * width ** -0.5 * Math.min((step + 1) ** -0.5, (step + 1) * warmupSteps ** -1.5),
  cosine:
    ({ warmupSteps, final }, { peak, steps }) =>
    (step) => {
      const fall = (1 + Math.cos(Math.PI * afterWarmup(warmupSteps, steps, step))) / 2;
      return peak * warmedUp(warmupSteps, step) * (final + (1 - final) * fall);
    },
  // From the optimizer's learning rate to `to`: up, to find the largest rate a model bears, or down, as a linear decay.
  "linear-ramp":
    ({ warmupSteps, to }, { peak, steps }) =>
    (step) =>
      warmedUp(warmupSteps, step) * (peak + (to - peak) * afterWarmup(warmupSteps, steps, step)),
};

/** The learning rate as a function of the step. */
export function learningRateOf(schedule: ScheduleConfig, context: ScheduleContext): (step: number) => number {
  return (schedules[schedule.kind] as Rule<Kind>)(schedule, context);
}
