// The seed's Questions 1-8: each check finds what it should, and finds a wrong formula wrong.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { onnx } from "../../src/engine/onnx.ts";
import { stream } from "../../src/random.ts";
import type { Finding, Laboratory } from "../../src/theory/check.ts";
import { cholesky, logDeterminant, solve } from "../../src/theory/cholesky.ts";
import { klOfNormals, klToStandard, logDensity } from "../../src/theory/gaussian.ts";
import {
  bound,
  decode,
  expectedLogLikelihood,
  type LinearGaussian,
  logEvidence,
  posterior,
} from "../../src/theory/linear-gaussian.ts";
import { identity, multiply } from "../../src/theory/matrix.ts";
import { seedsUpTo } from "../../src/theory/points.ts";
import { integral, normalExpectation, normalNodes } from "../../src/theory/quadrature.ts";
import {
  ancestralFinding,
  integrateMoments,
  type PixelIntegrals,
  type PixelMoments,
  sampleMoments,
  seedQ1AncestralSampling,
} from "../../src/theory/seed-q1-ancestral-sampling.ts";
import {
  growthPerDimension,
  monteCarloFinding,
  sampleAllWeights,
  type Weights,
} from "../../src/theory/seed-q2-monte-carlo.ts";
import { gaussianKlFinding, integratedKl } from "../../src/theory/seed-q3-gaussian-kl.ts";
import { boundFinding, jensenSides, sampleBounds } from "../../src/theory/seed-q4-bound.ts";
import { ascend, identityFinding, randomTerms } from "../../src/theory/seed-q5-bound-identity.ts";
import {
  crossEntropy,
  type OneSampleLosses,
  reconstructionFinding,
  sampleLosses,
} from "../../src/theory/seed-q6-reconstruction.ts";
import { derivation, diagonalKlFinding } from "../../src/theory/seed-q7-kl.ts";
import {
  decoderEstimates,
  type Estimates,
  quadraticVariances,
  reparameterizationFinding,
  scoreVariance,
  type Variances,
} from "../../src/theory/seed-q8-reparameterization.ts";
import { decoderParameters, decoderStage, pixelsOf } from "../../src/theory/small-decoder.ts";
import * as float64 from "../float64.ts";

let engine: Engine;
beforeAll(async () => void (engine = await onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

/** Verdicts by the part of the claim after the check's name. */
const verdicts = ({ claims }: Finding): Record<string, string> =>
  Object.fromEntries(claims.map(({ name, verdict }) => [name.split("/")[1]!, verdict]));

describe("the tools", () => {
  test("quadrature gives moments, an exponential's expectation and an area to rounding", () => {
    const { nodes, weights } = normalNodes();
    const moment = (power: number): number => weights.reduce((sum, w, i) => sum + w * nodes[i]! ** power, 0);
    expect([0, 1, 2, 4, 6].map(moment).map((value) => Math.round(value * 1e12) / 1e12 + 0)).toEqual([1, 0, 1, 3, 15]);
    expect(normalExpectation(Math.exp, 0.3, 0.5)).toBeCloseTo(Math.exp(0.3 + 0.25), 12); // E[e^x] = e^(mu + S / 2)
    // A pole 0.25 standard deviations off the real line: tanh is odd, and sigmoid(x) + sigmoid(-x) = 1.
    expect(normalExpectation((x) => 1 / (1 + Math.exp(-12.5 * x)), 0, 1)).toBeCloseTo(0.5, 12);
    expect(integral((x) => Math.exp(-(x ** 2)), -8, 8, 0.1)).toBeCloseTo(Math.sqrt(Math.PI), 12);
  });

  test("a Cholesky factor gives back its matrix, its determinant and its solutions; what has none is refused", () => {
    const data = Float64Array.of(4, 2, 0.6, 2, 5, 1, 0.6, 1, 3);
    const factor = cholesky({ size: 3, data });
    const transposed = { size: 3, data: factor.data.map((_, i) => factor.data[3 * (i % 3) + Math.floor(i / 3)]!) };
    multiply(factor, transposed).data.forEach((value, i) => expect(value).toBeCloseTo(data[i]!, 14));
    expect(logDeterminant(factor)).toBeCloseTo(Math.log(4 * 14 - 2 * 5.4 + 0.6 * -1), 13); // along the first row
    const x = solve(factor, [1, 2, 3]);
    for (let i = 0; i < 3; i++)
      expect(x.reduce((sum, value, j) => sum + data[3 * i + j]! * value, 0)).toBeCloseTo(i + 1, 13);
    expect(() => cholesky({ size: 2, data: Float64Array.of(1, 2, 2, 1) })).toThrow(/not positive definite/);
    expect(logDeterminant(cholesky(identity(4)))).toBe(0);
  });

  test("evidence and posterior of the linear decoder are those of quadrature over its latent", () => {
    const model: LinearGaussian = { weight: Float64Array.of(0.8, -1.3, 0.4), latent: 1, noise: 0.6 };
    const x = [0.5, -0.2, 1.1];
    const logLikelihood = (z: number): number =>
      decode(model, [z]).reduce((sum, y, m) => sum + logDensity(x[m]!, { mean: y, variance: 0.36 }), 0);
    const evidence = normalExpectation((z) => Math.exp(logLikelihood(z)), 0, 1);
    expect(logEvidence(model, x)).toBeCloseTo(Math.log(evidence), 12);
    const { mean, precision } = posterior(model, x);
    const moment = (power: number): number =>
      normalExpectation((z) => Math.exp(logLikelihood(z)) * z ** power, 0, 1) / evidence;
    expect(mean[0]).toBeCloseTo(moment(1), 12);
    expect(1 / precision.data[0]!).toBeCloseTo(moment(2) - moment(1) ** 2, 12);
    const q = { mean: Float64Array.of(0.7), variance: Float64Array.of(0.2) };
    expect(expectedLogLikelihood(model, x, q)).toBeCloseTo(normalExpectation(logLikelihood, 0.7, 0.2), 12);
  });

  test("the small decoder is a network of one hidden layer", async () => {
    const stage = decoderStage({ latent: 2, hidden: 3, pixels: 4 });
    const parameters = decoderParameters(stage, 1);
    const of = (name: string): Float32Array => parameters.get(`small-decoder/${name}`)!.data;
    const z = stream(1, "test z").normal(new Float64Array(10));
    const hidden = float64.linear(z, of("hidden/weight"), of("hidden/bias")).map(Math.tanh);
    const logits = float64.linear(hidden, of("output/weight"), of("output/bias"));
    const pixels = await pixelsOf(engine, stage, parameters, z, 2);
    // Probabilities in float32.
    pixels.forEach((value, i) => expect(value).toBeCloseTo(1 / (1 + Math.exp(-logits[i]!)), 6));
  });
});

describe("Question 1", () => {
  let samples: PixelMoments[];
  let integrals: PixelIntegrals;
  beforeAll(async () => {
    samples = [await sampleMoments(engine, 1), await sampleMoments(engine, 2)];
    integrals = await integrateMoments(engine);
  });

  test("ancestral samples have the moments of the integrals", () => {
    expect(verdicts(ancestralFinding(samples, integrals))).toEqual({ means: "holds", covariances: "holds" });
    expect(Math.max(...integrals.covariances.map(Math.abs))).toBeGreaterThan(0.03); // or there is nothing to see
  });

  test("pixels with a z each, and the pixels of the mean z, have not", async () => {
    const independent = samples.map((one) => ({ ...one, covariances: one.covariances.map(() => 0) }));
    expect(verdicts(ancestralFinding(independent, integrals))).toEqual({ means: "holds", covariances: "fails" });
    const stage = decoderStage({ latent: 1, hidden: 8, pixels: 8 });
    const means = [...(await pixelsOf(engine, stage, decoderParameters(stage, 1), [0], 1))];
    expect(verdicts(ancestralFinding(samples, { ...integrals, means }))).toEqual({
      means: "fails",
      covariances: "holds",
    });
  });

  test("the check runs in any laboratory", async () => {
    const { claims, figure } = await seedQ1AncestralSampling.run({ engine } as Laboratory);
    expect(claims.map(({ verdict }) => verdict)).toEqual(["holds", "holds"]);
    expect(figure.points.every(({ y }) => Number.isFinite(y))).toBe(true);
  });
});

describe("Question 2", () => {
  let weights: Weights[];
  beforeAll(() => void (weights = sampleAllWeights(seedsUpTo(2))));

  test("samples grow exponentially with the dimension, by the model's base and not by 10", () => {
    const finding = monteCarloFinding(weights);
    expect(verdicts(finding)).toEqual({
      growth: "corrected",
      sharpness: "holds",
      "square-root": "holds",
      posterior: "holds",
      logarithm: "holds",
    });
    expect(finding.claims[0]!.correction!.claimed).toBe(10);
  });

  test("the base is E[w^2] / E[w]^2 of one dimension, by quadrature over the prior", () => {
    for (const noise of [0.25, 0.5, 1]) {
      const x = Math.sqrt(1 + noise ** 2);
      const weight = (z: number): number => Math.exp(logDensity(x, { mean: z, variance: noise ** 2 }));
      const [first, second] = [weight, (z: number) => weight(z) ** 2].map((f) => normalExpectation(f, 0, 1));
      expect(growthPerDimension(noise)).toBeCloseTo(second! / first! ** 2, 10);
    }
  });

  test("another base, an error that falls as 1 / L, and a wrong posterior are seen", () => {
    expect(verdicts(monteCarloFinding(weights, (noise) => 1.2 * growthPerDimension(noise)))).toMatchObject({
      growth: "fails",
      sharpness: "fails",
      logarithm: "fails",
    });
    const faster = weights.map((one) => ({ ...one, errors: one.errors.map((error) => error ** 2) }));
    expect(verdicts(monteCarloFinding(faster))["square-root"]).toBe("fails");
    const off = weights.map((one) => ({ ...one, posteriorError: 1e-3 }));
    expect(verdicts(monteCarloFinding(off))["posterior"]).toBe("fails");
  });

  test("a seed that had been right would hold", () => {
    const tenfold = weights.map((one) => ({ ...one, secondMoment: 10 ** one.dimension }));
    expect(verdicts(monteCarloFinding(tenfold))["growth"]).toBe("holds");
  });
});

describe("Question 3", () => {
  test("the closed form is the integral, and both examples are right", () => {
    expect(verdicts(gaussianKlFinding())).toEqual({
      formula: "holds",
      small: "holds",
      large: "holds",
      smallest: "holds",
    });
    expect(integratedKl({ mean: 0, variance: 1 }, { mean: 1, variance: 1 })).toBeCloseTo(0.5, 12);
  });

  test.each<[string, typeof klOfNormals]>([
    ["q and p exchanged", (q, p) => klOfNormals(p, q)],
    ["the logarithm's sign turned", (q, p) => klOfNormals(q, p) - Math.log(p.variance / q.variance)],
    ["the 1/2 left out", (q, p) => klOfNormals(q, p) + 0.5],
    [
      "the logarithm of variances in place of deviations",
      (q, p) => klOfNormals(q, p) + 0.5 * Math.log(p.variance / q.variance),
    ],
  ])("%s is seen", (_, wrong) => {
    expect(verdicts(gaussianKlFinding(wrong))["formula"]).toBe("fails");
  });
});

describe("Question 4", () => {
  const samples = () => seedsUpTo(3).map((seed) => sampleBounds(seed));

  test("the bound holds, and Jensen's inequality is the wrong way round in the seed", () => {
    const { claims, figure } = boundFinding(samples());
    expect(verdicts({ claims, figure })).toEqual({
      below: "holds",
      tight: "holds",
      jensen: "corrected",
      normalised: "holds",
    });
    // What is drawn is KL(q || p(z | x)), to rounding.
    for (const { x, y } of figure.points.filter(({ seed }) => seed !== undefined))
      expect(y).toBeCloseTo(1.5 * (x + x ** 2 - Math.log1p(x)), 10);
  });

  test("a bound with the KL added, or left out, is none", () => {
    const added = (...[model, x, q]: Parameters<typeof bound>): number => bound(model, x, q) + 2 * klToStandard(q);
    const without = (...[model, x, q]: Parameters<typeof bound>): number => expectedLogLikelihood(model, x, q);
    for (const wrong of [added, without])
      expect(verdicts(boundFinding(seedsUpTo(3).map((seed) => sampleBounds(seed, wrong))))).toMatchObject({
        below: "fails",
        tight: "fails",
      });
  });

  test("had the logarithm been convex, the seed would be right; one of both ways, neither is", () => {
    const convex: typeof jensenSides = (q, p) => {
      const { inside, outside } = jensenSides(q, p);
      return { inside: outside, outside: inside };
    };
    expect(verdicts(boundFinding(samples(), convex))["jensen"]).toBe("holds");
    let count = 0;
    const mixed: typeof jensenSides = (q, p) => (count++ % 2 ? jensenSides(q, p) : convex(q, p));
    expect(verdicts(boundFinding(samples(), mixed))["jensen"]).toBe("fails");
  });
});

describe("Question 5", () => {
  const terms = [1, 2].map(randomTerms);
  const ascents = [1, 2].map(ascend);

  test("log p(x) is the bound and the gap, and a rising bound raises the one or closes the other", () => {
    const finding = identityFinding(terms, ascents);
    expect(verdicts(finding)).toEqual({ identity: "holds", rises: "holds", either: "holds" });
    for (const { steps } of ascents) {
      expect(Math.min(...steps.map((one) => one.logEvidence))).toBeLessThan(steps[0]!.logEvidence - 0.2);
      expect(steps.at(-1)!.gap).toBeLessThan(steps[0]!.gap / 4);
    }
  });

  test("a gap that is off by a millionth, and a step down, are seen", () => {
    const off = terms.map((rows) => rows.map((one) => ({ ...one, gap: 1.000001 * one.gap })));
    expect(verdicts(identityFinding(off, ascents))).toMatchObject({ identity: "fails" });
    const backwards = ascents.map(({ seed, steps }) => ({ seed, steps: [...steps].reverse() }));
    expect(verdicts(identityFinding(terms, backwards))).toMatchObject({ rises: "fails" });
    // log p(x) falls at first; were the gap to grow with it, the bound could not rise.
    const growing = ascents.map(({ seed, steps }) => ({
      seed,
      steps: steps.map((one) => ({ ...one, gap: -one.gap })),
    }));
    expect(verdicts(identityFinding(terms, growing))).toMatchObject({ either: "fails" });
  });
});

describe("Questions 6 and 7, reconstruction", () => {
  let losses: OneSampleLosses;
  beforeAll(async () => void (losses = await sampleLosses(engine, [1, 2])));

  test("one sample is unbiased, and the seed's sum needs brackets", () => {
    expect(verdicts(reconstructionFinding(losses))).toEqual({
      "one-sample": "holds",
      noise: "holds",
      bernoulli: "holds",
      brackets: "corrected",
    });
  });

  test("a biased loss is seen, and with brackets the seed holds", () => {
    const biased = losses.losses.map((one) => ({ ...one, values: one.values.map((value) => 1.01 * value) }));
    expect(verdicts(reconstructionFinding({ ...losses, losses: biased }))["one-sample"]).toBe("fails");
    // All of one z: averaging takes nothing off.
    const same = losses.losses.map((one) => ({
      ...one,
      values: one.values.map((_, i) => one.values[Math.floor(i / 256)]!),
    }));
    expect(verdicts(reconstructionFinding({ ...losses, losses: same }))["noise"]).toBe("fails");
    expect(verdicts(reconstructionFinding(losses, crossEntropy))["brackets"]).toBe("holds");
  });
});

describe("Question 7, regularization", () => {
  test("the closed form is the integral, the mean over samples, and every line of the derivation", () => {
    expect(verdicts(diagonalKlFinding([1, 2]))).toEqual({
      quadrature: "holds",
      "monte-carlo": "holds",
      derivation: "holds",
    });
  });

  test.each<[string, typeof klToStandard]>([
    ["log S taken for log sigma", ({ mean, variance }) => klToStandard({ mean, variance }) + logOf(variance) / 4],
    ["S taken for sigma", ({ mean, variance }) => klToStandard({ mean, variance: variance.map(Math.sqrt) })],
    ["the means left out", ({ mean, variance }) => klToStandard({ mean: mean.map(() => 0), variance })],
  ])("%s is seen", (_, wrong) => {
    expect(verdicts(diagonalKlFinding([1], wrong))).toEqual({
      quadrature: "fails",
      "monte-carlo": "fails",
      derivation: "fails",
    });
  });

  test("a line that says something else is seen", () => {
    const off: typeof derivation = (q) => derivation(q).map((value, i) => (i === 2 ? value + 0.5 : value));
    expect(verdicts(diagonalKlFinding([1], undefined, off))).toMatchObject({
      quadrature: "holds",
      derivation: "fails",
    });
  });
});

const logOf = (variance: Float64Array): number => variance.reduce((sum, value) => sum + Math.log(value), 0);

describe("Question 8", () => {
  let decoded: Awaited<ReturnType<typeof decoderEstimates>>;
  let variances: Variances[];
  beforeAll(async () => {
    decoded = await decoderEstimates(engine, [1, 2]);
    variances = await quadraticVariances(engine, [1, 2]);
  });
  const all = {
    sample: "holds",
    reparameterized: "holds",
    score: "corrected",
    variance: "holds",
    "score-variance": "holds",
  };

  test("both estimators give the integral's gradient, the score function's with the larger variance", () => {
    expect(verdicts(reparameterizationFinding(decoded, variances))).toEqual(all);
    for (const { score, reparameterized } of variances)
      for (const [i, value] of score.entries()) expect(value).toBeGreaterThan(5 * reparameterized[i]!);
  });

  const estimatesWith = (change: (one: Estimates) => Partial<Estimates>) => ({
    ...decoded,
    estimates: decoded.estimates.map((one) => ({ ...one, ...change(one) })),
  });
  const scaled = (gradients: Estimates["score"], mean: number, logVariance: number) => ({
    mean: gradients.mean.map((value) => mean * value),
    logVariance: gradients.logVariance.map((value) => logVariance * value),
  });

  test.each<[string, (one: Estimates) => Partial<Estimates>, string]>([
    [
      "the log variance's gradient for the log deviation's",
      ({ reparameterized: r }) => ({ reparameterized: scaled(r, 1, 2) }),
      "reparameterized",
    ],
    [
      "a mean's gradient of the wrong sign",
      ({ reparameterized: r }) => ({ reparameterized: scaled(r, -1, 1) }),
      "reparameterized",
    ],
    ["a score without its 1/2", ({ score }) => ({ score: scaled(score, 1, 2) }), "score"],
    [
      "z = mu + S epsilon",
      ({ latents }) => ({ latents: latents.map((z) => 0.4 + Math.sqrt(0.3) * (z - 0.4)) }),
      "sample",
    ],
  ])("%s is seen", (_, change, part) => {
    expect(verdicts(reparameterizationFinding(estimatesWith(change), variances))).toEqual({ ...all, [part]: "fails" });
  });

  test("if nothing came from the score function, the seed would be right", () => {
    const cut = estimatesWith(({ score }) => ({ score: scaled(score, 0, 0) }));
    expect(verdicts(reparameterizationFinding(cut, variances))["score"]).toBe("holds");
  });

  test("a variance that grows with D alone is seen", () => {
    const linear = (size: number): number => size * scoreVariance(1);
    expect(verdicts(reparameterizationFinding(decoded, variances, linear))["score-variance"]).toBe("fails");
  });
});
