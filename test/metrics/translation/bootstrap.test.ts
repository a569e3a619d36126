import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { bleuOf, bleuStatistics } from "../../../src/metrics/translation/bleu.ts";
import { confidenceInterval, pairedBootstrap, resampledSegments } from "../../../src/metrics/translation/bootstrap.ts";
import type { Statistics } from "../../../src/metrics/translation/sacrebleu.ts";
import { stream } from "../../../src/random.ts";
import { mean, standardDeviation } from "../../../src/statistics.ts";

// A score whose bootstrap is known: the mean of one number a segment, 0 to 100.
const average = (sum: Statistics): number => sum[0]! / sum[1]!;
const segmentsOf = (values: ArrayLike<number>): Statistics[] => Array.from(values, (value) => [value, 1]);
const values = Array.from(stream(3, "values").uniform(new Float64Array(400)), (draw) => Math.floor(100 * draw));

describe("the interval of one system", () => {
  test("of a mean is 1.96 standard errors to either side", () => {
    const { score, mean: centre, halfWidth, low, high } = confidenceInterval(segmentsOf(values), average);
    // The bootstrap's standard error is that of the population, of n and not n - 1.
    const error = (standardDeviation(values) * Math.sqrt(399 / 400)) / Math.sqrt(400);
    expect(score).toBe(mean(values));
    // Five standard errors of 1,000 draws: of their mean, and of half the distance of two quantiles at 2.5 % (0.06 errors).
    expect(Math.abs(centre - score)).toBeLessThan((5 * error) / Math.sqrt(1000));
    expect(Math.abs(halfWidth - 1.96 * error)).toBeLessThan(5 * 0.06 * error);
    expect(halfWidth).toBe((high - low) / 2);
    expect(low).toBeLessThan(score);
    expect(high).toBeGreaterThan(score);
  });

  test("leaves a fortieth of the resamples out at either end", () => {
    const segments = segmentsOf(values.slice(0, 20));
    const scores = Array.from({ length: 80 }, (_, i) =>
      mean([...resampledSegments(20, i, 9)].map((at) => values[at]!)),
    );
    scores.sort((a, b) => a - b);
    const { low, high } = confidenceInterval(segments, average, { resamples: 80, seed: 9 });
    expect([low, high]).toEqual([scores[2], scores[77]]);
  });

  test("has no width where all segments are alike, and depends on the seed otherwise", () => {
    expect(confidenceInterval(segmentsOf([7, 7, 7]), average).halfWidth).toBe(0);
    const of = (seed: number): number => confidenceInterval(segmentsOf(values), average, { seed, resamples: 50 }).mean;
    expect(of(1)).not.toBe(of(2));
    expect(of(1)).toBe(of(1));
  });
});

describe("two systems", () => {
  const shifted = (by: (i: number) => number): Statistics[] => segmentsOf(values.map((value, i) => value + by(i)));

  test("that differ by much on every segment differ significantly, whichever is the baseline", () => {
    const better = shifted((i) => 5 + (i % 3));
    const { difference, pValue, baseline, system } = pairedBootstrap(segmentsOf(values), better, average);
    expect(difference).toBeCloseTo(mean(values.map((_, i) => 5 + (i % 3))), 12);
    expect(system.score - baseline.score).toBe(difference);
    expect(pValue).toBe(1 / 1001);
    expect(pairedBootstrap(better, segmentsOf(values), average)).toMatchObject({ difference: -difference, pValue });
  });

  test("that differ by chance do not", () => {
    const noise = stream(5, "noise").normal(new Float64Array(values.length));
    expect(
      pairedBootstrap(
        segmentsOf(values),
        shifted((i) => 10 * noise[i]!),
        average,
      ).pValue,
    ).toBeGreaterThan(0.05);
  });

  test("that are the same do not differ, nor do two without a single match", () => {
    expect(pairedBootstrap(segmentsOf(values), segmentsOf(values), average)).toMatchObject({
      difference: 0,
      pValue: 1,
    });
    const nothing = (text: string): Statistics[] => bleuStatistics([text, text], ["a b c d", "e f g h"]);
    const bleu = (sum: Statistics): number => bleuOf(sum).score;
    expect(pairedBootstrap(nothing("x"), nothing("y z"), bleu)).toMatchObject({ difference: 0, pValue: 1 });
  });

  test("have the p-value that counting gives", () => {
    const others = shifted((i) => (i % 7) - 2.8);
    const chosen = Array.from({ length: 200 }, (_, i) => [...resampledSegments(values.length, i, 4)]);
    const gaps = chosen.map((segments) => Math.abs(mean(segments.map((at) => (at % 7) - 2.8))));
    const observed = Math.abs(mean(values.map((_, i) => (i % 7) - 2.8)));
    const beyond = gaps.filter((gap) => gap - mean(gaps) > observed).length;
    expect(beyond).toBeGreaterThan(0);
    expect(beyond).toBeLessThan(150);
    const { pValue } = pairedBootstrap(segmentsOf(values), others, average, { resamples: 200, seed: 4 });
    expect(pValue).toBeCloseTo((beyond + 1) / 201, 12);
  });

  test("on different segments, without segments or without resamples are refused", () => {
    const two = segmentsOf([1, 2]);
    expect(() => pairedBootstrap(two, segmentsOf([1]), average)).toThrow("on the same segments, got 2 and 1 segments");
    expect(() => pairedBootstrap([], [], average)).toThrow("expected at least one segment, got none");
    expect(() => confidenceInterval([], average)).toThrow(UserError);
    expect(() => confidenceInterval(two, average, { resamples: 0 })).toThrow("1 or more, got 0");
  });
});

test("resamples draw every segment equally often, with replacement", () => {
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 1000; i++) for (const at of resampledSegments(10, i)) counts[at]!++;
  expect(counts.reduce((a, b) => a + b)).toBe(10_000);
  // Five standard deviations of a binomial of 10,000 draws at a tenth.
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(900));
  expect(new Set(resampledSegments(10, 0)).size).toBeLessThan(10);
});
