import { stream } from "../random.ts";
import { mean, median } from "../statistics.ts";
import type { CheckPoint } from "../types.ts";
import { norm, scale } from "../vectors.ts";
import { type Check, claim, type Finding } from "./check.ts";
import type { DiagonalNormal } from "./gaussian.ts";
import { bound, decode, gap, type LinearGaussian, logEvidence } from "./linear-gaussian.ts";
import { measured, seedsUpTo } from "./points.ts";

/** D and M: fewer latents than pixels, as many, and more. */
const shapes = [
  [1, 2],
  [3, 6],
  [4, 4],
  [8, 5],
] as const;

/** The three quantities of the seed's Eq. 16, each by a formula of its own, nats. */
export interface Terms {
  readonly logEvidence: number;
  readonly bound: number;
  readonly gap: number;
}

/** Terms of random models, x and q. */
export function randomTerms(seed: number): Terms[] {
  return shapes.flatMap(([latent, observed]) => {
    const random = stream(seed, `theory/identity ${latent} ${observed}`);
    return Array.from({ length: 50 }, (_, i) => {
      const draw = (part: number, length: number): Float64Array =>
        random.normal(new Float64Array(length), 5 * i + part);
      const model = { weight: draw(0, observed * latent), latent, noise: Math.exp(0.5 * draw(1, 1)[0]!) };
      const q = { mean: draw(2, latent), variance: draw(3, latent).map(Math.exp) };
      return termsOf(model, draw(4, observed), q);
    });
  });
}

const termsOf = (model: LinearGaussian, x: Float64Array, q: DiagonalNormal): Terms => ({
  logEvidence: logEvidence(model, x),
  bound: bound(model, x, q),
  gap: gap(model, x, q),
});

/** A linear VAE being trained: the means of the terms over its data, step by step. */
export interface Ascent {
  readonly seed: number;
  readonly steps: readonly Terms[];
}

const [latent, observed, images, steps] = [1, 3, 16, 160];
/** The encoder is slow to learn, so that the decoder adapts to a blind one. */
const rates = { decoder: 0.01, encoder: 0.0005 };

/** Gradient ascent on the bound, in the decoder W, log s and the encoder q(z | x) = N(A x, diag(exp c)) at once. The decoder
 *  starts as the one that made the data, the encoder blind: mean 0 and a variance of 0.3. */
export function ascend(seed: number): Ascent {
  const direction = stream(seed, "theory/ascent W").normal(new Float64Array(observed * latent));
  const weight = scale(direction, 2 / norm(direction));
  const truth: LinearGaussian = { weight, latent, noise: 0.5 };
  const data = Array.from({ length: images }, (_, n) => {
    const [z, e] = [0, 1].map((part) =>
      stream(seed, "theory/ascent data").normal(new Float64Array(part ? observed : latent), 2 * n + part),
    );
    return decode(truth, z!).map((value, m) => value + truth.noise * e![m]!);
  });
  const size = observed * latent;
  const at = new Float64Array(2 * size + 1 + latent);
  at.set(weight);
  at[size] = Math.log(truth.noise);
  at.fill(Math.log(0.3), 2 * size + 1);
  const partsOf = (all: Float64Array) => {
    const model = { weight: all.subarray(0, size), latent, noise: Math.exp(all[size]!) };
    const encoder = { weight: all.subarray(size + 1, 2 * size + 1), latent: observed, noise: 0 }; // A [D, M]
    const variance = all.subarray(2 * size + 1).map(Math.exp);
    return { model, qOf: (x: Float64Array) => ({ mean: decode(encoder, x), variance }) };
  };
  const boundAt = (all: Float64Array): number => {
    const { model, qOf } = partsOf(all);
    return mean(data.map((x) => bound(model, x, qOf(x))));
  };
  const taken: Terms[] = [];
  for (let step = 0; step <= steps; step++) {
    const { model, qOf } = partsOf(at);
    const terms = data.map((x) => termsOf(model, x, qOf(x)));
    taken.push({
      logEvidence: mean(terms.map((one) => one.logEvidence)),
      bound: mean(terms.map((one) => one.bound)),
      gap: mean(terms.map((one) => one.gap)),
    });
    const gradient = at.map((value, i) => {
      const moved = (by: number): number => boundAt(at.map((other, j) => (j === i ? value + by : other)));
      return (moved(1e-5) - moved(-1e-5)) / 2e-5;
    });
    gradient.forEach((slope, i) => (at[i]! += rates[i <= size ? "decoder" : "encoder"] * slope));
  }
  return { seed, steps: taken };
}

/** What the terms say, and the steps of ascent. */
export function identityFinding(terms: readonly (readonly Terms[])[], ascents: readonly Ascent[]): Finding {
  const changes = ascents.map(({ steps }) =>
    steps.slice(1).map((after, i) => ({
      logEvidence: after.logEvidence - steps[i]!.logEvidence,
      bound: after.bound - steps[i]!.bound,
      gap: after.gap - steps[i]!.gap,
    })),
  );
  const share = (values: readonly boolean[]): number => values.filter(Boolean).length / values.length;
  const deepest = ascents.map(({ steps }) => Math.min(...steps.map((one) => one.logEvidence)) - steps[0]!.logEvidence);
  const training = `a linear VAE by gradient ascent on the bound, ${steps} steps from the true decoder and a blind encoder`;
  return {
    claims: [
      claim({
        name: "seed-q5-bound-identity/identity",
        statement:
          "Behind the seed's Questions 4 and 5 (its Eq. 16): log p(x) = E_q[log p(x | z)] - KL(q || p(z)) + KL(q || p(z | x)). Measured: the difference of the " +
          `sides in parts of their terms, of ${shapes.length * 50} random models, x and q a seed the largest.`,
        predicted: 0,
        measured: terms.flatMap((rows) =>
          rows.map((one) => (one.logEvidence - one.bound - one.gap) / (1 + Math.abs(one.bound) + one.gap)),
        ),
        worst: true,
        tolerance: 1e-12, // sums and small Cholesky factors in float64
      }),
      claim({
        name: "seed-q5-bound-identity/rises",
        statement: `What the seed's Question 5 is about: the bound is pushed up. Measured: the share of steps that raise it; ${training}.`,
        predicted: 1,
        measured: changes.map((steps) => share(steps.map((one) => one.bound > 0))),
        worst: true,
        tolerance: 0,
      }),
      claim({
        name: "seed-q5-bound-identity/either",
        statement:
          "Seed, Question 5: when the bound is pushed up, log p(x) rises or KL(q || p(z | x)) falls or both. Measured: the share of steps that raise the bound " +
          `and do neither; ${training}. The one may come at the expense of the other: log p(x) falls to ${Math.abs(median(deepest)).toFixed(2)} nats an image below its start on the way.`,
        predicted: 0,
        measured: changes.map((steps) =>
          share(steps.map((one) => one.bound > 0 && one.logEvidence <= 0 && one.gap >= 0)),
        ),
        worst: true,
        tolerance: 0,
      }),
    ],
    figure: {
      kind: "lines",
      title: `A rising bound can cost likelihood: log p(x) first falls by ${(-median(deepest)).toFixed(1)} nats while the gap closes`,
      caption:
        `A linear VAE (${latent} latents, ${observed} pixels, ${images} images), trained by gradient ascent on the bound from the decoder that made the data and an encoder that does not ` +
        "look. Left alone, the decoder's likelihood could only have fallen; the bound rises at every step.",
      x: { title: "step" },
      y: { title: "nats an image above log p(x) at the start" },
      points: ascents.flatMap(({ seed, steps }): CheckPoint[] => {
        const shown = steps.flatMap((_, step) => (step % 4 === 0 ? [step] : []));
        const line = (series: string, of: "logEvidence" | "bound"): CheckPoint[] =>
          measured(
            { series },
            seed,
            shown,
            shown.map((step) => steps[step]![of] - steps[0]!.logEvidence),
          );
        return [...line("log p(x)", "logEvidence"), ...line("bound", "bound")];
      }),
    },
  };
}

/** The seed's Question 5: what becomes of log p(x) when the bound is raised. */
export const seedQ5BoundIdentity: Check = {
  name: "seed-q5-bound-identity",
  summary: "log p(x) is the ELBO plus KL(q || posterior): raising the ELBO raises the one or lowers the other",
  source: "seed, Questions 4 and 5",
  conditions:
    "z ~ N(0, I_D), x | z ~ N(W z, s^2 I_M) and q = N(mu, diag(S)), for which all three terms are known; D and M of " +
    `${shapes.map(([d, m]) => `${d} and ${m}`).join(", ")}; 5 seeds, in float64.`,
  run: () => Promise.resolve(identityFinding(seedsUpTo(5).map(randomTerms), seedsUpTo(5).map(ascend))),
};
