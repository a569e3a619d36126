// Bootstrap resampling of a test set's segments (Koehn 2004, "Statistical significance tests for machine translation
// evaluation"), with the interval and the p-value of sacreBLEU's `--confidence` and `--paired-bs`. Works on segments'
// sufficient statistics: a resample's score is that of a sum.
//
// The resamples are drawn from a stream of ours, not NumPy's: means, intervals and p-values equal sacreBLEU's but for the
// chance of 1,000 draws, and digit for digit where both are given the same draws.
import { UserError } from "../../errors.ts";
import { stream } from "../../random.ts";
import { mean } from "../../statistics.ts";
import { type Statistics, sumOf } from "./sacrebleu.ts";

/** The score of summed statistics, 0 to 100: `(sum) => bleuOf(sum).score`. */
export type ScoreOf = (sum: Statistics) => number;

/** How to resample. */
export interface ResamplingOptions {
  /** Default 1,000. */
  readonly resamples?: number;
  /** Default 12345. Equal seeds and numbers of segments give equal resamples, whatever is scored. */
  readonly seed?: number;
}

/** A score with its 95 % confidence interval. */
export interface ScoreInterval {
  /** Of the segments as they are. */
  readonly score: number;
  /** Over resamples. */
  readonly mean: number;
  /** Half of `high` - `low`: what sacreBLEU writes behind "±". */
  readonly halfWidth: number;
  /** The score that a fortieth of the resamples is below. */
  readonly low: number;
  /** The score that a fortieth of the resamples is above. */
  readonly high: number;
}

/** Two systems on the same segments. */
export interface PairedComparison {
  readonly baseline: ScoreInterval;
  readonly system: ScoreInterval;
  /** The system's score less the baseline's. */
  readonly difference: number;
  /** How probable so large a difference, of either sign, is between systems that differ by chance: the share of resamples
   *  whose absolute difference exceeds the mean of all by more than the one observed, one added to both counts. 1 where the
   *  systems differ in no resample; sacreBLEU, whose comparison is strict, gives them the smallest p-value there is. */
  readonly pValue: number;
}

/** How is resampled if nothing else is said, as sacreBLEU does. */
export const bootstrapDefaults = { resamples: 1000, seed: 12345 };

/** A resample's segments: as many indices as there are `segments`, drawn with replacement; the `index`-th draw of `seed`. */
export function resampledSegments(segments: number, index: number, seed = bootstrapDefaults.seed): Int32Array {
  const draws = stream(seed, "bootstrap").uniform(new Float64Array(segments), index);
  return Int32Array.from(draws, (draw) => Math.floor(draw * segments));
}

/** A score's interval from the `statistics` of a system's segments. A `UserError` where there are none, or no resamples. */
export function confidenceInterval(
  statistics: readonly Statistics[],
  scoreOf: ScoreOf,
  options: ResamplingOptions = {},
): ScoreInterval {
  const [scores] = resampledScores([statistics], scoreOf, options);
  return intervalOf(scoreOf(sumOf(statistics)), scores!);
}

/** Whether two systems differ by more than the choice of segments explains. A `UserError` where their numbers of segments
 *  differ or are 0, or for no resamples.
 *  @param baseline statistics of its segments
 *  @param system statistics of the same segments in the same order */
export function pairedBootstrap(
  baseline: readonly Statistics[],
  system: readonly Statistics[],
  scoreOf: ScoreOf,
  options: ResamplingOptions = {},
): PairedComparison {
  if (baseline.length !== system.length)
    throw new UserError(
      `paired bootstrap: expected two systems on the same segments, got ${baseline.length} and ${system.length} segments; ` +
        `translate the same test set with both`,
    );
  const [theirs, ours] = resampledScores([baseline, system], scoreOf, options);
  const baselineInterval = intervalOf(scoreOf(sumOf(baseline)), theirs!);
  const systemInterval = intervalOf(scoreOf(sumOf(system)), ours!);
  const difference = systemInterval.score - baselineInterval.score;
  const differences = ours!.map((score, i) => Math.abs(score - theirs![i]!));
  return { baseline: baselineInterval, system: systemInterval, difference, pValue: pValueOf(differences, difference) };
}

function pValueOf(differences: readonly number[], observed: number): number {
  if (differences.every((difference) => difference === 0)) return 1;
  const expected = mean(differences);
  const beyond = differences.filter((difference) => difference - expected > Math.abs(observed)).length;
  return (beyond + 1) / (differences.length + 1);
}

/** For each system the scores of the same resamples. */
function resampledScores(
  systems: readonly (readonly Statistics[])[],
  scoreOf: ScoreOf,
  { resamples = bootstrapDefaults.resamples, seed = bootstrapDefaults.seed }: ResamplingOptions,
): number[][] {
  if (!Number.isInteger(resamples) || resamples < 1)
    throw new UserError(`bootstrap: expected a whole number of resamples, 1 or more, got ${resamples}`);
  const segments = systems[0]!.length;
  const tables = systems.map((statistics) => ({
    width: sumOf(statistics).length,
    values: Float64Array.from(statistics.flat()),
  }));
  const scores: number[][] = systems.map(() => []);
  for (let index = 0; index < resamples; index++) {
    const chosen = resampledSegments(segments, index, seed);
    tables.forEach(({ width, values }, system) => {
      const sum = new Array<number>(width).fill(0);
      for (const segment of chosen) for (let i = 0; i < width; i++) sum[i]! += values[segment * width + i]!;
      scores[system]!.push(scoreOf(sum));
    });
  }
  return scores;
}

function intervalOf(score: number, scores: readonly number[]): ScoreInterval {
  const sorted = [...scores].sort((a, b) => a - b);
  const outside = Math.floor(sorted.length / 40);
  const low = sorted[outside]!;
  const high = sorted[sorted.length - 1 - outside]!;
  return { score, mean: mean(scores), halfWidth: (high - low) / 2, low, high };
}
