// Early stopping: when going on has ceased to pay.
import type { TrainingState } from "./checkpoint.ts";

/** Why training ends at an evaluation, after `state.step` updates; undefined where it goes on. It ends once `patience` evaluations in a
 *  row have given no new lowest dev loss (Goodfellow, Bengio & Courville 2016, Deep Learning, algorithm 7.1; fairseq's `--patience`).
 *  Evaluations lie at the multiples of `evaluateEverySteps`, so that the step of the lowest loss, which checkpoints hold, says how many
 *  there have been since: a run that was interrupted stops where it would have stopped. */
export function reasonToStop(
  training: { readonly earlyStopping?: { readonly patience: number }; readonly evaluateEverySteps: number },
  { step, best }: Pick<TrainingState, "step" | "best">,
): string | undefined {
  const { earlyStopping, evaluateEverySteps } = training;
  if (!earlyStopping || !best) return undefined;
  const evaluations = (step - best.step) / evaluateEverySteps;
  if (evaluations < earlyStopping.patience) return undefined;
  return (
    `stopped early at step ${step}: the dev loss has not fallen below ${best.loss.toPrecision(6)} (step ${best.step}) in ` +
    `${evaluations} evaluation${evaluations === 1 ? "" : "s"}`
  );
}
