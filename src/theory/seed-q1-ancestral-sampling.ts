import type { Engine } from "../engine/engine.ts";
import { stream } from "../random.ts";
import { furthest, type Check, claim, type Finding } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { normalNodes } from "./quadrature.ts";
import { decoderParameters, decoderStage, pixelsOf } from "./small-decoder.ts";

const sizes = { latent: 1, hidden: 8, pixels: 8 };
const { pixels } = sizes;
const draws = 2 ** 17;

/** Means of the pixels, and covariances of the first with each of the others, as samples have them. */
export interface PixelMoments {
  readonly seed: number;
  readonly means: readonly number[];
  readonly covariances: readonly number[];
}

/** What the samples are compared with: the same as integrals over z. */
export type PixelIntegrals = Omit<PixelMoments, "seed">;

/** Steps 1-3 of the seed: z from the prior, f_theta(z) by the network, and every pixel from Bern(f_theta(z)_m). */
export async function sampleMoments(engine: Engine, seed: number): Promise<PixelMoments> {
  const stage = decoderStage(sizes);
  const z = stream(seed, "theory/latent").normal(new Float32Array(draws));
  const f = await pixelsOf(engine, stage, decoderParameters(stage, 1), z, 1);
  const u = stream(seed, "theory/pixels").uniform(new Float64Array(f.length));
  const [sums, withFirst] = [new Array<number>(pixels).fill(0), new Array<number>(pixels).fill(0)];
  for (let n = 0; n < draws; n++) {
    const first = u[n * pixels]! < f[n * pixels]!;
    for (let m = 0; m < pixels; m++)
      if (u[n * pixels + m]! < f[n * pixels + m]!) {
        sums[m]!++;
        if (first) withFirst[m]!++;
      }
  }
  const means = sums.map((sum) => sum / draws);
  return { seed, means, covariances: withFirst.slice(1).map((sum, i) => sum / draws - means[0]! * means[i + 1]!) };
}

/** P(x_m = 1) = E_z[f_theta(z)_m] and Cov(x_1, x_m) = E_z[f_1 f_m] - E_z[f_1] E_z[f_m], by quadrature over z. */
export async function integrateMoments(engine: Engine): Promise<PixelIntegrals> {
  const stage = decoderStage(sizes);
  const { nodes, weights } = normalNodes();
  const f = await pixelsOf(engine, stage, decoderParameters(stage, 1), nodes, 1);
  const expectation = (of: (at: number) => number): number =>
    weights.reduce((sum, weight, i) => sum + weight * of(i * pixels), 0);
  const places = Array.from({ length: pixels }, (_, m) => m);
  const means = places.map((m) => expectation((at) => f[at + m]!));
  const covariances = places.slice(1).map((m) => expectation((at) => f[at]! * f[at + m]!) - means[0]! * means[m]!);
  return { means, covariances };
}

/** What the samples say. */
export function ancestralFinding(samples: readonly PixelMoments[], integrals: PixelIntegrals): Finding {
  const worst = (of: keyof PixelIntegrals): number[] =>
    samples.map((sample) =>
      furthest(
        sample[of].map((value, i) => value - integrals[of][i]!),
        0,
      ),
    );
  // Five standard errors; those of a mean or covariance of bits are 1 / (2 sqrt(N)) at most.
  const tolerance = 5 / (2 * Math.sqrt(draws));
  const ancestral =
    "Seed, Question 1: x is sampled by drawing z from N(0, I), passing it through f_theta, and drawing each pixel from Bern(f_theta(z)_m). ";
  const where = { means: { series: "mean of pixel m" }, covariances: { series: "covariance of pixels 1 and m" } };
  const places = {
    means: integrals.means.map((_, m) => m + 1),
    covariances: integrals.covariances.map((_, m) => m + 2),
  };
  return {
    claims: [
      claim({
        name: "seed-q1-ancestral-sampling/means",
        statement: `${ancestral}Measured: the pixels' means less the integral of f_theta(z)_m over the prior, that of the pixel furthest off.`,
        predicted: 0,
        measured: worst("means"),
        worst: true,
        tolerance,
      }),
      claim({
        name: "seed-q1-ancestral-sampling/covariances",
        statement: `${ancestral}Pixels are independent given z alone. Measured: the covariances of the first pixel with the others less those of the integrals, that of the pair furthest off.`,
        predicted: 0,
        measured: worst("covariances"),
        worst: true,
        tolerance,
      }),
    ],
    figure: {
      kind: "lines",
      title: "Ancestral samples have the means and covariances of the integrals over z",
      caption:
        `${draws} samples of ${pixels} pixels from a decoder with one latent number and one hidden layer, and the integrals over ` +
        "the latent. Covariances come from the z that the pixels of an image share: with a z of its own for each pixel they would be 0.",
      x: { title: "pixel m" },
      y: { title: "probability" },
      points: (["means", "covariances"] as const).flatMap((of) => [
        ...samples.flatMap((sample) => measured(where[of], sample.seed, places[of], sample[of])),
        ...predicted(where[of], places[of], integrals[of]),
      ]),
    },
  };
}

/** The seed's Question 1: how to sample an image. */
export const seedQ1AncestralSampling: Check = {
  name: "seed-q1-ancestral-sampling",
  summary: "images sampled ancestrally have the moments of p(x): z from the prior, pixels from Bern(f(z))",
  source: "seed, Question 1",
  conditions:
    `A decoder with one latent number, ${sizes.hidden} hidden units and ${pixels} pixels, run by the engine; ${draws} samples of ` +
    "each of 5 seeds, against integrals over z by the trapezoidal rule.",
  async run({ engine }) {
    const samples: PixelMoments[] = [];
    for (const seed of seedsUpTo(5)) samples.push(await sampleMoments(engine, seed));
    return ancestralFinding(samples, await integrateMoments(engine));
  },
};
