// Student's t distribution and the paired test against SciPy 1.17.1 (scipy.stats.t, ttest_rel), Holm's correction against R's p.adjust by
// hand.
import { expect, test } from "vitest";
import { holm, pairedDifference, studentQuantile, twoSided } from "../src/paired.ts";

/** Degrees, 2 t.sf(t) at t = 0.5, 1, 2.5 and 12, t.ppf(0.975). */
const published = [
  [1, 0.7048327646991335, 0.5000000000000001, 0.24223788318168682, 0.052929352119179755, 12.706204736174694],
  [2, 0.6666666666666667, 0.4226497308103742, 0.12961172022151082, 0.00687293367715846, 4.302652729749462],
  [3, 0.651447964848151, 0.3910022189557705, 0.08770664700806556, 0.0012450158007893362, 3.1824463052837078],
  [4, 0.6433299631818633, 0.37390096630005887, 0.06676654481198814, 0.000276428548502973, 2.7764451051977934],
  [5, 0.6382988716409291, 0.3632174676491229, 0.05449009934237626, 7.089492517161522e-5, 2.5705818356363146],
  [9, 0.6290712998260263, 0.3434363961379136, 0.033861827682985735, 7.699886222985653e-7, 2.262157162798205],
  [10, 0.627893605742973, 0.34089313230206, 0.03144684423660882, 2.921408824769984e-7, 2.228138851986274],
  [29, 0.6208480841937812, 0.32558198801619365, 0.018325344338426086, 9.060708333137183e-13, 2.045229642132703],
  [100, 0.6181735658308866, 0.31972415578412333, 0.014045789124077172, 4.395087715604393e-21, 1.9839715185235518],
  [999, 0.6171851909302895, 0.31755266017641226, 0.012578727584509217, 4.34310390771633e-31, 1.9623414611334493],
] as const;

test.each(published)("Student's t distribution with %i degrees of freedom is SciPy's", (degrees, ...values) => {
  const quantile = values[4];
  for (const [i, t] of [0.5, 1, 2.5, 12].entries()) {
    // Of a sum of up to 500 terms near one, each rounded in the sixteenth place.
    expect(Math.abs(twoSided(t, degrees) - values[i]!)).toBeLessThan(3e-14);
    expect(twoSided(-t, degrees)).toBe(twoSided(t, degrees));
  }
  expect(twoSided(0, degrees)).toBe(1);
  // At the quantile the probability has a slope of 0.05 and less, which divides its last place.
  expect(Math.abs(studentQuantile(0.95, degrees) / quantile - 1)).toBeLessThan(1e-12);
});

test("a paired comparison is SciPy's ttest_rel with its interval", () => {
  const before = [5.12, 5.31, 5.05, 5.44, 5.2];
  const after = [5.01, 5.22, 5.07, 5.21, 5.02];
  const { pairs, difference, low, high, p } = pairedDifference(after.map((value, i) => value - before[i]!));
  expect(pairs).toBe(5);
  expect(difference).toBeCloseTo(-0.118, 12);
  expect(p).toBeCloseTo(0.05030352314675969, 12);
  expect([low, high]).toEqual([
    expect.closeTo(-0.23625179247617703, 12) as number,
    expect.closeTo(0.0002517924761767376, 12) as number,
  ]);
});

test("what one pair or none cannot tell is NaN; equal pairs differ by nothing", () => {
  expect(pairedDifference([])).toEqual({ pairs: 0, difference: NaN, low: NaN, high: NaN, p: NaN });
  expect(pairedDifference([0.5])).toEqual({ pairs: 1, difference: 0.5, low: NaN, high: NaN, p: NaN });
  expect(pairedDifference([0, 0, 0])).toEqual({ pairs: 3, difference: 0, low: 0, high: 0, p: 1 });
  expect(pairedDifference([0.5, 0.5])).toEqual({ pairs: 2, difference: 0.5, low: 0.5, high: 0.5, p: 0 });
});

test("Holm's correction steps down, never below an earlier one nor above 1; what was not tested does not count", () => {
  const rounded = (ps: readonly number[]): number[] => holm(ps).map((p) => Number(p.toPrecision(12)));
  expect(rounded([0.01, 0.04, 0.03, 0.005, 0.9])).toEqual([0.04, 0.09, 0.09, 0.025, 0.9]);
  expect(rounded([0.01, NaN, 0.04, 0.03, 0.005, NaN, 0.9])).toEqual([0.04, NaN, 0.09, 0.09, 0.025, NaN, 0.9]);
  expect(rounded([0.6, 0.7])).toEqual([1, 1]);
  expect(holm([])).toEqual([]);
});
