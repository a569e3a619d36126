// The seed's Questions 9 and 11-17: each check finds what it should, and finds a wrong formula wrong.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { onnx } from "../../src/engine/onnx.ts";
import { stream } from "../../src/random.ts";
import type { Check, Finding, Laboratory } from "../../src/theory/check.ts";
import { backwardByHand, forwardByHand, handActivations, type Layer } from "../../src/theory/hand-backpropagation.ts";
import * as checks from "../../src/theory/index.ts";
import { seedsUpTo } from "../../src/theory/points.ts";
import {
  discriminatorFinding,
  discriminatorGradients,
  seedGradient,
} from "../../src/theory/seed-q11-discriminator-gradient.ts";
import { outputDerivatives, outputFinding } from "../../src/theory/seed-q12-output-derivative.ts";
import { exponentialDistance, recursionFinding, recursionGames } from "../../src/theory/seed-q13-recursion.ts";
import { inputFinding, inputGradients, throughFirstLayer } from "../../src/theory/seed-q14-input-gradient.ts";
import { generatorFinding, generatorGradients, throughJacobian } from "../../src/theory/seed-q15-generator-gradient.ts";
import { orbitOf, simultaneousGrowth, updatesFinding, updatesOf } from "../../src/theory/seed-q16-updates.ts";
import { saturationFinding, saturationOf, scoreSlopes, slopeBy } from "../../src/theory/seed-q17-saturation.ts";
import { countOf, initialLosses, parameterCounts, vaeFinding } from "../../src/theory/seed-q9-vae.ts";
import { apart, type ByPath, smallGan } from "../../src/theory/small-gan.ts";
import { distance } from "../../src/vectors.ts";
import * as float64 from "../float64.ts";

let engine: Engine;
beforeAll(async () => void (engine = await onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

/** Verdicts by the part of the claim after the check's name. */
const verdicts = ({ claims }: Finding): Record<string, string> =>
  Object.fromEntries(claims.map(({ name, verdict }) => [name.split("/")[1]!, verdict]));

const own = (Object.values(checks) as Check[]).filter(({ name }) => /^seed-q(9|1[1-7])-/.test(name));

test("eight checks run in any laboratory, none fails, and every figure can be drawn", async () => {
  expect(own).toHaveLength(8);
  for (const check of own) {
    const { claims, figure } = await check.run({ engine } as Laboratory);
    for (const claim of claims) {
      expect(claim.verdict, claim.name).not.toBe("fails");
      expect(claim.name.startsWith(`${check.name}/`)).toBe(true);
    }
    expect(figure.points.length, check.name).toBeGreaterThan(6);
    for (const { x, y } of figure.points) {
      expect(Number.isFinite(x) && Number.isFinite(y), check.name).toBe(true);
      if (figure.y.scale === "log") expect(y, check.name).toBeGreaterThan(0);
    }
  }
});

describe("backpropagation by hand", () => {
  const rows = 4;
  const normals = (what: string, size: number): Float64Array =>
    stream(1, `test ${what}`).normal(new Float64Array(size));
  const sizes = [3, 5, 4, 2];
  const layers = (names: readonly (keyof typeof handActivations)[]): (Layer & { weight: Float64Array })[] =>
    names.map((name, l) => ({
      weight: normals(`weight ${l}`, sizes[l]! * sizes[l + 1]!),
      bias: normals(`bias ${l}`, sizes[l + 1]!),
      activation: handActivations[name],
    }));

  test("goes forward as networks do", () => {
    const [first, second] = layers(["tanh", "sigmoid"]);
    const x = normals("x", rows * sizes[0]!);
    const h = float64.linear(x, first!.weight, first!.bias).map(Math.tanh);
    const y = float64.sigmoid(float64.linear(h, second!.weight, second!.bias));
    expect(distance(forwardByHand([first!, second!], x, rows).output, y)).toBeLessThan(1e-15);
  });

  test("gives the slopes of central differences, of weights and input", () => {
    const all = layers(["leaky-relu", "exponential", "sigmoid"]).map((layer, l) =>
      l === 1 ? { ...layer, weight: layer.weight.map((value) => 0.2 * value) } : layer,
    );
    const x = normals("x", rows * sizes[0]!);
    const last = normals("cotangent", rows * sizes[3]!);
    // sum of last . z of the last layer
    const value = (): number =>
      forwardByHand(all, x, rows)
        .z.at(-1)!
        .reduce((sum, z, i) => sum + z * last[i]!, 0);
    const { weights, input } = backwardByHand(all, forwardByHand(all, x, rows), last);
    const slopes = (array: Float64Array): Float64Array =>
      array.map((start, i) => {
        const at = (shift: number): number => {
          array[i] = start + shift;
          const found = value();
          array[i] = start;
          return found;
        };
        return (at(1e-5) - at(-1e-5)) / 2e-5;
      });
    all.forEach(({ weight }, l) => expect(distance(weights[l]!, slopes(weight))).toBeLessThan(1e-8));
    expect(distance(input, slopes(x))).toBeLessThan(1e-8);
  });

  test("distances take in all parameters and a factor", () => {
    const a: ByPath = new Map([["one", [1, 2]]]);
    const b: ByPath = new Map([["one", [-2, -4]]]);
    expect(apart(a, b, -2)).toBe(0);
    expect(apart(a, b)).toBeCloseTo(1.5, 15);
  });
});

describe("Question 9", () => {
  test("a network of another size, and a mean over pixels, are seen", async () => {
    const losses = [await initialLosses(engine, 1)];
    expect(verdicts(vaeFinding(parameterCounts(), losses))).toEqual({
      parameters: "holds",
      reconstruction: "holds",
      kl: "holds",
      loss: "holds",
    });
    expect(countOf([[784, 500]])).toBe(392_500);
    const { reconstruction, kl } = losses[0]!.hand;
    expect(reconstruction).toBeGreaterThan(400); // 784 log 2 = 543 where nothing is known
    expect(kl).toBeGreaterThan(0.1);
    const perPixel = losses.map((one) => ({ ...one, hand: { ...one.hand, reconstruction: reconstruction / 784 } }));
    expect(verdicts(vaeFinding(parameterCounts().slice(1), perPixel))).toMatchObject({
      parameters: "fails",
      reconstruction: "fails",
      kl: "holds",
    });
  });
});

describe("Question 11", () => {
  test("the formula is the engine's gradient; without its denominators it is not", async () => {
    const found = [await discriminatorGradients(engine, 1), await discriminatorGradients(engine, 2)];
    expect(verdicts(discriminatorFinding(found))).toEqual({ value: "holds", formula: "holds", slope: "holds" });
    const plain: typeof seedGradient = ({ real, generated }) =>
      seedGradient({
        real: real.map((one) => ({ ...one, D: 1 })),
        generated: generated.map((one) => ({ ...one, D: 0 })),
      });
    expect(verdicts(discriminatorFinding(found, plain))).toMatchObject({ formula: "fails" });
    const flat = found.map((one) => ({ ...one, slope: 0.999, loss: -one.loss }));
    expect(verdicts(discriminatorFinding(flat))).toEqual({ value: "fails", formula: "holds", slope: "fails" });
  });
});

describe("Question 12", () => {
  test("the sign is corrected; a seed that had been right would hold, and other formulas fail", async () => {
    const found = await outputDerivatives(engine);
    const corrected = { real: "holds", generated: "corrected", passes: "corrected" };
    expect(verdicts(outputFinding(found))).toEqual(corrected);
    const plus = { ...found, generated: found.generated.map((slope) => -slope) };
    expect(verdicts(outputFinding(plus))).toMatchObject({ real: "holds", generated: "holds" });
    const swapped = { real: (D: number) => D, generated: (D: number) => D - 1 };
    expect(verdicts(outputFinding(found, swapped))).toEqual({ real: "fails", generated: "fails", passes: "fails" });
  });
});

describe("Question 13", () => {
  test("g' is right and g is not, but for exponentials", async () => {
    const games = await recursionGames(engine, [1]);
    const finding = recursionFinding(games);
    expect(verdicts(finding)).toEqual({ recursion: "corrected", whole: "holds", exponential: "holds" });
    expect(verdicts(recursionFinding(games, (activation, z) => activation.value(z)))).toMatchObject({
      recursion: "fails",
      whole: "fails",
    });
    expect(exponentialDistance((_, z) => z)).toBeGreaterThan(0.1);
    expect(exponentialDistance((activation, z) => activation.slope(z))).toBeLessThan(1e-8);
  });
});

describe("Questions 14 and 15", () => {
  test("the gradient by images is W^T dL/dz, and not W^T of half of it", async () => {
    const found = [await inputGradients(engine, 1)];
    expect(verdicts(inputFinding(found))).toEqual({ formula: "holds" });
    const halved: typeof throughFirstLayer = (one) => throughFirstLayer(one).map((value) => value / 2);
    expect(verdicts(inputFinding(found, halved))).toEqual({ formula: "fails" });
  });

  test("the Jacobian and the derivation by hand give the generator's gradient; the 1/n is in them once", async () => {
    const found = [await generatorGradients(engine, 1)];
    expect(verdicts(generatorFinding(found))).toEqual({
      jacobian: "holds",
      generator: "holds",
      discriminator: "holds",
    });
    const again: typeof throughJacobian = (one) =>
      new Map([...throughJacobian(one)].map(([path, values]) => [path, Array.from(values, (value) => value / 6)]));
    expect(verdicts(generatorFinding(found, again))).toMatchObject({ jacobian: "fails" });
    const swapped = found.map((one) => ({ ...one, hand: { ...one.hand, generator: negative(one.hand.generator) } }));
    expect(verdicts(generatorFinding(swapped))).toMatchObject({ generator: "fails", discriminator: "holds" });
  });

  const negative = (gradients: ByPath): ByPath =>
    new Map([...gradients].map(([path, values]) => [path, Array.from(values, (value) => -value)]));
});

describe("Questions 16 and 17", () => {
  test("the trainer's steps are the seed's; orders, signs and other growths are told apart", async () => {
    const updates = [await updatesOf(engine, 1), await updatesOf(engine, 2)];
    const orbits = [];
    for (const seed of seedsUpTo(2))
      for (const order of ["simultaneous", "alternating"] as const) orbits.push(await orbitOf(engine, seed, order));
    const holding = {
      discriminator: "holds",
      generator: "holds",
      alternating: "holds",
      rotation: "holds",
      "closed-orbit": "holds",
    };
    expect(verdicts(updatesFinding(updates, orbits))).toEqual(holding);
    const exchanged = updates.map((one) => ({
      ...one,
      moved: { simultaneous: one.moved.alternating, alternating: one.moved.simultaneous },
    }));
    expect(verdicts(updatesFinding(exchanged, orbits))).toEqual({
      ...holding,
      generator: "fails",
      alternating: "fails",
    });
    const slower = (step: number): number => simultaneousGrowth(step) ** 0.999;
    expect(verdicts(updatesFinding(updates, orbits, slower))).toEqual({ ...holding, rotation: "fails" });
    const other = orbits.map((orbit) => ({
      ...orbit,
      order: orbit.order === "simultaneous" ? ("alternating" as const) : ("simultaneous" as const),
    }));
    expect(verdicts(updatesFinding(updates, other))).toMatchObject({ rotation: "fails", "closed-orbit": "fails" });
  });

  test("the saturating gradient vanishes and the other stays; exchanged they fail", async () => {
    const slopes = {
      minimax: await scoreSlopes(engine, "minimax"),
      "non-saturating": await scoreSlopes(engine, "non-saturating"),
    };
    const found = [await saturationOf(engine, 1, "minimax"), await saturationOf(engine, 1, "non-saturating")];
    expect([...new Set(Object.values(verdicts(saturationFinding(slopes, found))))]).toEqual(["holds"]);
    const exchanged = { minimax: slopeBy["non-saturating"], "non-saturating": slopeBy.minimax };
    expect(verdicts(saturationFinding(slopes, found, exchanged))).toMatchObject({
      "minimax-slope": "fails",
      "non-saturating-slope": "fails",
    });
    const swapped = found.map((one) => ({
      ...one,
      loss: one.loss === "minimax" ? ("non-saturating" as const) : ("minimax" as const),
    }));
    expect(verdicts(saturationFinding(slopes, swapped))).toMatchObject({ vanishes: "fails", stays: "fails" });
  });

  test("the small GAN says the same every time, and something else for another seed", () => {
    const weight = (seed: number): Float32Array => smallGan(seed).parameters.get("generator/pixels/weight")!.data;
    expect(weight(1)).toEqual(weight(1));
    expect(distance(weight(1), weight(2))).toBeGreaterThan(0.1);
  });
});
