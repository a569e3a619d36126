// Published results as checks: that they hold on the engine at full size, and that each of their claims fails on a network it
// is not true of.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { dynamicTanh, rmsNorm } from "../../src/nn/norms/index.ts";
import type { Check, Laboratory } from "../../src/theory/check.ts";
import { deepnormIsometry, gradientRatios, ratioClaims } from "../../src/theory/deepnorm-isometry.ts";
import { encoderOnly, gaussianBatch, xiongInit } from "../../src/theory/encoder-only.ts";
import { exponent, slope } from "../../src/theory/fit.ts";
import { hyperConnectionsStart, startBesidePreLn, startClaims } from "../../src/theory/hyper-connections-start.ts";
import { arrivalClaims, arrivals, keelProduct } from "../../src/theory/keel-product.ts";
import { layerNormScalingClaims, layernormScalingVariance } from "../../src/theory/layernorm-scaling-variance.ts";
import { periLnGrowthClaims, periLnVariance } from "../../src/theory/peri-ln-variance.ts";
import { fitted } from "../../src/theory/points.ts";
import { preLnGrowthClaims, preLnVariance } from "../../src/theory/pre-ln-variance.ts";
import { measureVariances } from "../../src/theory/variance.ts";
import { normClaims, squaredNorms, xiongLemma2 } from "../../src/theory/xiong-lemma2.ts";
import { jacobianClaims, jacobianNorms, xiongLemma3 } from "../../src/theory/xiong-lemma3.ts";
import { lastGradients, slopeClaims, slopesOf, xiongTheorem1 } from "../../src/theory/xiong-theorem1.ts";
import { initialize } from "../../src/train/initialize.ts";
import type { Claim } from "../../src/types.ts";
import { relativeDifference } from "../helpers.ts";

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

const checks: readonly Check[] = [
  xiongTheorem1,
  xiongLemma2,
  xiongLemma3,
  keelProduct,
  deepnormIsometry,
  preLnVariance,
  periLnVariance,
  layernormScalingVariance,
  hyperConnectionsStart,
];
const verdicts = (claims: readonly Claim[]): Record<string, Claim["verdict"]> =>
  Object.fromEntries(claims.map(({ name, verdict }) => [name.replace(/^[^/]*\//, ""), verdict]));

const corrected = new Set([
  "layernorm-scaling-variance/cross-attention", // the paper has none, and what it says of a branch is not true of this one
  "keel-product/real-post-ln", // the product is the skip path's, not the network's
]);

describe.each(checks.map((check) => [check.name, check] as const))("%s", (name, check) => {
  test("holds, in words that say whose claim it is, and is drawn beside its prediction", async () => {
    const laboratory: Laboratory = { engine, trained: () => expect.unreachable("is about initialisation") };
    const { claims, figure } = await check.run(laboratory);
    expect(claims.length).toBeGreaterThan(0);
    for (const claim of claims) {
      expect(claim.name).toMatch(new RegExp(`^${name}/[a-z-]+$`));
      const wanted = corrected.has(claim.name) ? "corrected" : "holds";
      expect(claim.verdict, `${claim.name}: ${claim.measured} for ${claim.predicted}`).toBe(wanted);
      expect(claim.statement, claim.name).toMatch(/et al\. 20\d\d|& Wei 2026|qwo877/);
      if (claim.spread) expect(claim.spread.seeds, claim.name).toBeGreaterThanOrEqual(5);
    }
    const { points, title } = figure;
    expect(title).toMatch(/\d/);
    expect(points.some(({ seed }) => seed === undefined)).toBe(true);
    expect(new Set(points.flatMap(({ seed }) => seed ?? [])).size).toBeGreaterThanOrEqual(5);
    for (const { x, y } of points) expect(Number.isFinite(x) && Number.isFinite(y)).toBe(true);
    for (const scale of [figure.x, figure.y])
      if (scale.scale === "log")
        expect(Math.min(...points.map((p) => p[scale === figure.x ? "x" : "y"]))).toBeGreaterThan(0);
    expect(points.length).toBeLessThan(1000); // a report has many figures
  });
});

describe("a claim fails on a network it is not true of:", () => {
  test("post-LN's slope on pre-LN, and pre-LN's on post-LN", async () => {
    const depths = [6, 16, 40];
    const found = await lastGradients(engine, depths, [1, 2, 3]);
    const swap = { "post-ln": "pre-ln", "pre-ln": "post-ln" } as const;
    for (const scheme of ["post-ln", "pre-ln"] as const) {
      const slopes = (of: typeof scheme) =>
        [slopesOf(found, depths, of, "meanNorm"), slopesOf(found, depths, of, "normOfMean")] as const;
      expect(Object.values(verdicts(slopeClaims(scheme, ...slopes(scheme))))).toEqual(["holds", "holds"]);
      expect(Object.values(verdicts(slopeClaims(scheme, ...slopes(swap[scheme]))))).toEqual(["fails", "fails"]);
    }
  });

  test("Lemma 2's 3d/2 on pre-LN's stream, and its bounds on a stream half or twice as large", async () => {
    const { preLn } = await squaredNorms(engine, 12, [1, 2, 3, 4]);
    const times = (factor: number) => preLn.map((row) => row.map((value) => factor * value));
    const wrong = { "post-ln": "fails", "post-ln-every-layer": "fails" };
    expect(verdicts(normClaims({ postLn: preLn, preLn }))).toEqual({ ...wrong, "pre-ln": "holds" });
    for (const factor of [0.5, 2])
      expect(verdicts(normClaims({ postLn: preLn, preLn: times(factor) }))).toEqual({ ...wrong, "pre-ln": "fails" });
  });

  test("Lemma 3 on norms that do not subtract the mean, or do not divide by a norm", async () => {
    const ofRms = jacobianClaims(await jacobianNorms(engine, [1], rmsNorm));
    expect(verdicts(ofRms)).toEqual({ slope: "holds", constant: "holds", "any-mean": "fails" });
    const ofTanh = jacobianClaims(await jacobianNorms(engine, [1], dynamicTanh));
    expect(verdicts(ofTanh)).toEqual({ slope: "fails", constant: "fails", "any-mean": "fails" });
  });

  test("Keel's products on each other's skip path, and post-LN's on the whole network", async () => {
    const layers = [2, 8, 16];
    const found = await arrivals(engine, layers, [1, 2, 3]);
    type Kind = (typeof found)[number]["kind"];
    const swapping = (a: Kind, b: Kind) =>
      verdicts(
        arrivalClaims(
          found.map((one) => ({ ...one, kind: one.kind === a ? b : one.kind === b ? a : one.kind })),
          layers,
        ),
      );
    expect(swapping("post", "post")).toEqual({
      "post-ln": "holds",
      keel: "holds",
      whole: "holds",
      "real-post-ln": "corrected",
      "real-keel": "holds",
    });
    expect(swapping("post", "keel")).toMatchObject({ "post-ln": "fails", keel: "fails" });
    expect(swapping("post", "whole")).toMatchObject({ "post-ln": "fails", whole: "fails" });
    // Were the real network its skip path alone, the paper's product would hold of it.
    expect(swapping("post", "realPost")).toMatchObject({ "post-ln": "fails", "real-post-ln": "holds" });
    expect(swapping("realPost", "realKeel")).toMatchObject({ "real-keel": "fails" });
  });

  test("DeepNorm's isometry on pre-LN and on post-LN", async () => {
    const depths = [4, 16];
    const found = await gradientRatios(engine, depths, [1, 2]);
    const swapped = (other: "post-ln" | "pre-ln") =>
      found.map((one) => ({
        ...one,
        scheme: one.scheme === other ? ("deepnorm" as const) : one.scheme === "deepnorm" ? other : one.scheme,
      }));
    expect(new Set(Object.values(verdicts(ratioClaims(found, depths))))).toEqual(new Set(["holds"]));
    for (const other of ["post-ln", "pre-ln"] as const)
      expect(verdicts(ratioClaims(swapped(other), depths))).toMatchObject({
        encoder: "fails",
        decoder: "fails",
        [`nearer-than-${other}`]: "fails",
      });
  });

  test("the variance laws on each other's networks", async () => {
    // One after another: an engine's arrays are overwritten by its next step.
    const pre = await measureVariances(engine, "pre-ln", [1, 2, 3]);
    const post = await measureVariances(engine, "post-ln", [1, 2, 3]);
    const peri = await measureVariances(engine, "peri-ln", [1, 2, 3]);
    const scaled = await measureVariances(engine, "layernorm-scaling", [1, 2, 3]);
    const holds = { "feed-forward": "holds", attention: "holds", sum: "holds" };
    expect(verdicts(preLnGrowthClaims(pre))).toEqual(holds);
    expect(verdicts(layerNormScalingClaims(scaled))).toEqual({ ...holds, "cross-attention": "corrected" });
    expect(verdicts(preLnGrowthClaims(scaled))).toMatchObject({ "feed-forward": "fails" });
    expect(verdicts(layerNormScalingClaims(pre))).toMatchObject({ "feed-forward": "fails" });
    expect(verdicts(preLnGrowthClaims(peri))).toMatchObject({ attention: "fails" }); // a norm stands behind the average
    expect(verdicts(preLnGrowthClaims(post))).toMatchObject({ sum: "fails" });
    expect(verdicts(periLnGrowthClaims(pre))).toEqual({ encoder: "fails", decoder: "fails" });
  });

  test("hyper-connections' start on another scheme with pre-LN's parameters; mHC starts as pre-LN too", async () => {
    const start = (residual: string) => startBesidePreLn(engine, residual, 1);
    const both = (verdict: string) => ({ loss: verdict, gradients: verdict });
    expect(verdicts(startClaims([await start("layernorm-scaling")]))).toEqual(both("fails"));
    expect(verdicts(startClaims([await start("mhc")]))).toEqual(both("holds"));
  });
});

describe("the encoder alone", () => {
  const sizes = { layers: 2, width: 32, heads: 1, feedForward: 32, sentences: 2, length: 5, vocabulary: 11 };

  test("as Xiong et al. start it attends to all positions alike, so that equal means are all attention sees", async () => {
    const player = xiongInit(encoderOnly("pre-ln", { ...sizes, layers: 1 }));
    const parameters = initialize([player], 1);
    const p = (path: string) => parameters.get(`encoder/00/${path}`)!.data;
    expect(Math.hypot(...p("self-attention/query/weight"), ...p("self-attention/key/weight"))).toBe(0);
    // 1024 draws give a variance to 1 / sqrt(512) = 4 %: five of those.
    for (const path of ["self-attention/value", "feed-forward/in", "feed-forward/out"])
      expect(Math.abs(p(`${path}/weight`).reduce((sum, x) => sum + x * x, 0) / 32 - 1), path).toBeLessThan(0.2);
    // A query's bias moves no score where keys are 0, so the loss stays as it is; a value's moves it.
    const loss = async () => (await engine.evaluate(player, parameters, gaussianBatch(sizes, 1)))["loss"]!;
    const before = await loss();
    p("self-attention/query/bias").fill(1);
    expect(await loss()).toBe(before);
    p("self-attention/value/bias")[0] = 1;
    expect(await loss()).not.toBe(before);
  });

  test("the gradient of `input/offset` is the one of the stream, and of a loss sum(x g) with no layer between it is g", async () => {
    const player = encoderOnly("post-ln", { ...sizes, layers: 0 }, "cotangent");
    const batch = gaussianBatch(sizes, 1);
    const options = { step: 0, seed: 1, tapped: true };
    const { gradients, taps } = await engine.differentiate(player, initialize([player], 1), batch, options);
    const g = batch.tensors["cotangent"]!.data;
    expect(relativeDifference(gradients.get("input/offset")!, g)).toBeLessThan(1e-6);
    expect(Math.sqrt(taps[0]!.gradient.sumSquares) / Math.hypot(...g)).toBeCloseTo(1, 5);
  });

  test("equal seeds and counters give equal batches, others do not", () => {
    const input = (seed: number, counter: number) => gaussianBatch(sizes, seed, counter).tensors["input"]!.data;
    expect(input(1, 2)).toEqual(input(1, 2));
    expect(input(1, 2)).not.toEqual(input(1, 3));
    expect(input(1, 2)).not.toEqual(input(2, 2));
  });
});

describe("lines through measurements", () => {
  test("a line and a power law are found exactly", () => {
    expect(slope([0, 1, 5], [2, -1, -13])).toBeCloseTo(-3, 12);
    expect(exponent([1, 2, 8], [3, 3 * 2 ** -0.5, 3 * 8 ** -0.5])).toBeCloseTo(-0.5, 12);
  });

  test("an open factor is the one that fits best on a logarithmic scale, through the medians of the seeds", () => {
    expect(
      fitted(
        [1, 2],
        [
          [3, 6],
          [2, 4],
          [1, 2],
        ],
      ),
    ).toEqual([2, 4].map((value) => expect.closeTo(value, 12)));
  });
});
