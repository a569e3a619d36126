// Metrics that compare generated images with real ones.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/select.ts";
import { histogram } from "../../src/metrics/class-histogram.ts";
import { eigenSymmetric, frechet, gaussianOf } from "../../src/metrics/gaussians.ts";
import { parzen, parzenLogLikelihoods } from "../../src/metrics/parzen.ts";
import { vae } from "../../src/models/vae.ts";
import { stream } from "../../src/random.ts";
import { initialize } from "../../src/train/initialize.ts";
import { contextOf, examplesOf, noise, valueOf } from "./context.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine("onnx", { threads: 1 });
});
afterAll(() => engine.dispose());

describe("parzen", () => {
  const pixels = 784;
  const [count, n] = [130, 70]; // more than one call's rows

  /** The definition, term by term in float64. */
  const direct = (x: Float32Array, y: Float32Array, sigma: number): number[] =>
    Array.from({ length: count }, (_, i) => {
      const exponents = Array.from({ length: n }, (_, j) => {
        let d = 0;
        for (let p = 0; p < pixels; p++) d += (x[i * pixels + p]! - y[j * pixels + p]!) ** 2;
        return -d / (2 * sigma * sigma);
      });
      const largest = Math.max(...exponents);
      const sum = exponents.reduce((s, e) => s + Math.exp(e - largest), 0);
      return largest + Math.log(sum / n) - (pixels / 2) * Math.log(2 * Math.PI * sigma ** 2);
    });

  test("equals the definition in float64", async () => {
    const [x, y] = [noise("x", count, pixels), noise("y", n, pixels)];
    const sigmas = [0.1, 0.2, 1];
    const found = await parzenLogLikelihoods({ engine }, { x, count, samples: y, n, sigmas });
    sigmas.forEach((sigma, s) =>
      direct(x, y, sigma).forEach((expected, i) => {
        // Products of 784 terms in float32, about 200, are right to 1e-4 or so, and so are squared distances.
        expect(Math.abs(found[s]![i]! - expected)).toBeLessThan(2e-4 / (2 * sigma * sigma));
      }),
    );
  });

  test("chooses on dev the sigma that dev likes best, and measures test with it", async () => {
    const [small, images] = [16, 60];
    const model = vae({
      latent: 1,
      pixels: small,
      encoder: { hidden: [2], activation: "tanh" },
      decoder: { hidden: [2], activation: "tanh" },
      binarized: true,
      objective: "elbo",
      samples: 1,
      beta: 1,
      klWarmupSteps: 0,
      freeBits: 0,
    });
    const parameters = initialize(model.players, 1);
    // All images it generates are of the same grey, 1/2; real ones are that and Gaussian noise of standard deviation 0.11.
    parameters.get("output/logits/weight")!.data.fill(0);
    const around = (purpose: string): Float32Array =>
      stream(5, purpose)
        .normal(new Float32Array(images * small))
        .map((z) => 0.5 + 0.11 * z);
    const [dev, real] = [examplesOf(around("dev"), images), examplesOf(around("test"), images)];
    const splits = { train: dev, dev, test: real };
    const context = contextOf({ engine, parameters, views: model.views, latent: 1, splits, images: 20 });
    const values = await parzen.measure(context);
    const sigma = valueOf(values, "parzen-sigma");
    // Steps of the grid are 10 %, and 960 numbers tell a standard deviation to 2 %.
    expect(Math.abs(Math.log(sigma / 0.11))).toBeLessThan(0.08);
    const log = (v: number): number => -((v - 0.5) ** 2) / (2 * sigma ** 2) - 0.5 * Math.log(2 * Math.PI * sigma ** 2);
    const expected = real.grey.reduce((sum, v) => sum + log(v), 0) / images;
    // Distances of about 0.2 left of norms of 4, in float32, over 2 sigma^2.
    expect(Math.abs(valueOf(values, "parzen") - expected)).toBeLessThan(1e-3);
    const { standardError } = values.find(({ name }) => name === "parzen")!;
    // The logarithm of a Gaussian of 16 dimensions has variance 8.
    expect(standardError).toBeGreaterThan(Math.sqrt(8 / images) / 1.5);
    expect(standardError).toBeLessThan(Math.sqrt(8 / images) * 1.5);
  });
});

describe("Fréchet distance of Gaussians", () => {
  const diagonal = (values: readonly number[]): Float64Array =>
    Float64Array.from({ length: values.length ** 2 }, (_, at) =>
      at % (values.length + 1) === 0 ? values[at / (values.length + 1)]! : 0,
    );
  /** R diag(values) R^T in the plane, R a rotation by `angle`. */
  const rotated = ([a, b]: readonly [number, number], angle: number): Float64Array => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return Float64Array.of(c * c * a + s * s * b, c * s * (a - b), c * s * (a - b), s * s * a + c * c * b);
  };

  test("of diagonal ones is that of their means and deviations", () => {
    const [a, b] = [
      [1, 4, 0.25],
      [9, 1, 0],
    ];
    const mean = Float64Array.of(1, 0, -2);
    const distance = frechet(
      { mean, covariance: diagonal(a!) },
      { mean: new Float64Array(3), covariance: diagonal(b!) },
    );
    const expected = 5 + a!.reduce((sum, s, i) => sum + (Math.sqrt(s) - Math.sqrt(b![i]!)) ** 2, 0);
    expect(distance).toBeCloseTo(expected, 10);
  });

  test("of rotated ones, which do not commute, is the closed form in the plane", () => {
    const [s, t] = [rotated([4, 1], 0.3), rotated([9, 0.5], 1.4)];
    const zero = new Float64Array(2);
    // Of two by two matrices tr (S T)^(1/2) = sqrt(tr(S T) + 2 sqrt(det(S T))).
    const trace = s[0]! * t[0]! + s[1]! * t[2]! + s[2]! * t[1]! + s[3]! * t[3]!;
    const expected = 5 + 9.5 - 2 * Math.sqrt(trace + 2 * Math.sqrt(4 * 4.5));
    const distance = frechet({ mean: zero, covariance: s }, { mean: zero, covariance: t });
    expect(distance).toBeCloseTo(expected, 10);
    expect(frechet({ mean: zero, covariance: t }, { mean: zero, covariance: s })).toBeCloseTo(expected, 10);
  });

  test("is 0 of a Gaussian and itself, though it is flat in some directions", () => {
    const features = noise("features", 50, 30).map((v, i) => (i % 30 < 20 ? v : 0));
    const gaussian = gaussianOf(features, 50);
    expect(Math.abs(frechet(gaussian, gaussian))).toBeLessThan(1e-9);
  });

  test("takes mean and sample covariance of features", () => {
    const { mean, covariance } = gaussianOf(Float32Array.of(1, 2, 3, 6, 5, 1), 3);
    expect([...mean]).toEqual([3, 3]);
    [4, -1, -1, 7].forEach((value, i) => expect(covariance[i]).toBeCloseTo(value, 12));
  });

  test("rests on eigenvalues that put the matrix together again", () => {
    const size = 40;
    const random = stream(2, "matrix").normal(new Float64Array(size * size));
    const symmetric = random.map((x, at) => x + random[(at % size) * size + Math.floor(at / size)]!);
    const { values, vectors } = eigenSymmetric(symmetric, size);
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = 0; k < size; k++) sum += vectors[i * size + k]! * values[k]! * vectors[j * size + k]!;
        expect(Math.abs(sum - symmetric[i * size + j]!)).toBeLessThan(1e-11);
      }
  });
});

describe("histogram of classes", () => {
  const of = (...counts: readonly number[]): Uint8Array =>
    Uint8Array.from(counts.flatMap((count, label) => Array.from({ length: count }, () => label)));

  test("is 0 from uniform where all classes are equally frequent", () => {
    const values = histogram(of(5, 5, 5, 5), 4);
    expect(valueOf(values, "class-kl")).toBeCloseTo(0, 12);
    expect(valueOf(values, "modes")).toBe(4);
  });

  test("of a single class is log C from it", () => {
    const values = histogram(of(0, 20), 4);
    expect(valueOf(values, "class-kl")).toBeCloseTo(Math.log(4), 12);
    expect(valueOf(values, "modes")).toBe(1);
    expect(valueOf(values, "class/1")).toBeCloseTo(1, 12);
    expect(valueOf(values, "class/3")).toBe(0);
  });

  test("counts a class as covered from a tenth of its fair share", () => {
    expect(valueOf(histogram(of(10, 195, 195), 4), "modes")).toBe(3); // 10 of 400 is exactly that
    expect(valueOf(histogram(of(9, 196, 195), 4), "modes")).toBe(2);
  });
});
