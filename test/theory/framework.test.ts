import { expect, test } from "vitest";
import { claim, relativeError } from "../../src/theory/check.ts";

const base = { name: "a/b", statement: "Somebody 2020, Theorem 1: it is so.", predicted: 2, tolerance: 0.1 };

test("a claim holds up to its tolerance and fails beyond it", () => {
  expect(claim({ ...base, measured: 2.19 }).verdict).toBe("holds");
  expect(claim({ ...base, measured: 2.21 }).verdict).toBe("fails");
  expect(claim({ ...base, measured: 1.79 }).verdict).toBe("fails");
});

test("the relative error is in parts of the prediction, of a prediction of 0 it is the measurement", () => {
  expect(relativeError(3, 2)).toBe(0.5);
  expect(relativeError(-3, -2)).toBe(0.5);
  expect(relativeError(-0.25, 0)).toBe(0.25);
  expect(claim({ ...base, predicted: 0, measured: -0.05 }).verdict).toBe("holds");
  expect(claim({ ...base, predicted: 0, measured: -0.15 })).toMatchObject({ verdict: "fails", relativeError: 0.15 });
});

test("of several seeds the median counts, and the smallest and the largest are told", () => {
  const made = claim({ ...base, measured: [2, 2.1, 9] });
  expect(made).toMatchObject({ measured: 2.1, verdict: "holds", spread: { seeds: 3, low: 2, high: 9 } });
  expect(claim({ ...base, measured: [2, 8, 9] }).verdict).toBe("fails");
  expect(claim({ ...base, measured: 2 })).not.toHaveProperty("spread");
});

test("of a claim about every seed the seed furthest from the prediction counts", () => {
  const every = { ...base, worst: true } as const;
  expect(claim({ ...every, measured: [2, 2.1, 9] })).toMatchObject({
    measured: 9,
    relativeError: 3.5,
    verdict: "fails",
    spread: { seeds: 3, low: 2, high: 9 },
  });
  expect(claim({ ...every, measured: [1.85, 2, 2.1] })).toMatchObject({ measured: 1.85, verdict: "holds" });
  expect(claim({ ...every, measured: [1.85, 2, 2.1], within: [1.9, 3] }).verdict).toBe("fails");
  // One bad seed is enough where the median would do.
  expect(claim({ ...base, measured: [2, 2, 5] }).verdict).toBe("holds");
  expect(claim({ ...every, measured: [2, 2, 5] }).verdict).toBe("fails");
  expect(claim({ ...every, measured: 2.1 })).toMatchObject({ measured: 2.1, verdict: "holds" });
  expect(claim({ ...every, measured: [2] })).not.toHaveProperty("worst");
});

test("furthest from what was stated and from what was put in its place are different seeds", () => {
  const every = { ...base, worst: true, correction: { claimed: 3, text: "it is 2" } } as const;
  expect(claim({ ...every, measured: [2.9, 3.1, 3.2] })).toMatchObject({
    verdict: "holds",
    predicted: 3,
    measured: 3.2,
  });
  expect(claim({ ...every, measured: [1.9, 2, 2.15] })).toMatchObject({ verdict: "corrected", measured: 2.15 });
  expect(claim({ ...every, measured: [2, 3] }).verdict).toBe("fails");
});

test("a claim with an interval holds only inside of it, however small its error", () => {
  expect(claim({ ...base, measured: 2.01, within: [1.9, 2.0] }).verdict).toBe("fails");
  expect(claim({ ...base, measured: 1.95, within: [1.9, 2.0] }).verdict).toBe("holds");
  expect(claim({ ...base, measured: 2, within: [1.9, 2.0] })).toMatchObject({ verdict: "holds", within: [1.9, 2.0] });
});

const correction = { claimed: 3325, text: "1.1 to the 20th is 6.7; 3325 is 1.5 to the 20th" };

test("a claim is corrected where it does not hold as stated and the other formula does", () => {
  expect(claim({ ...base, measured: 2, correction })).toMatchObject({ verdict: "corrected", correction, predicted: 2 });
});

test("a claim that has a correction but holds as it was stated holds, without the correction", () => {
  const made = claim({ ...base, measured: 3325, correction });
  expect(made).toMatchObject({ verdict: "holds", predicted: 3325, relativeError: 0 });
  expect(made).not.toHaveProperty("correction");
  // Outside its interval it does not hold as stated either.
  expect(claim({ ...base, measured: 3325, within: [0, 10], correction }).verdict).toBe("fails");
});

test("a claim whose correction does not hold either fails", () => {
  expect(claim({ ...base, measured: 50, correction })).toMatchObject({ verdict: "fails", correction });
});

test("what is not a number holds nothing", () => {
  for (const measured of [NaN, Infinity, [NaN, NaN, NaN]])
    expect(claim({ ...base, measured, correction }).verdict).toBe("fails");
  for (const measured of [[2, NaN, 2], [NaN, 2, 2], [2, 2, NaN], [NaN], []])
    expect(claim({ ...base, worst: true, measured, correction }).verdict).toBe("fails");
});
