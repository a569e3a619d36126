import { round } from "../statistics.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { klOfNormals, logDensity, type Normal } from "./gaussian.ts";
import { measured, predicted } from "./points.ts";
import { normalExpectation } from "./quadrature.ts";

/** KL(q || p) as the integral it is: int q(x) [log q(x) - log p(x)] dx. */
export const integratedKl = (q: Normal, p: Normal): number =>
  normalExpectation((x) => logDensity(x, q) - logDensity(x, p), q.mean, q.variance);

/** sigma_q / sigma_p. */
const ratios = Array.from({ length: 33 }, (_, i) => 10 ** (i / 8 - 2));
/** |mu_q - mu_p| / sigma_p. */
const shifts = [0.1, 0.5, 2];
/** The seed's two examples. */
const examples = {
  small: { q: { mean: 0, variance: 1 }, p: { mean: 0.1, variance: 1 }, claimed: 0.005 },
  large: { q: { mean: 0, variance: 1 }, p: { mean: 1, variance: 0.0001 }, claimed: 9994.9 },
} as const;

const pair = (ratio: number, shift: number): { q: Normal; p: Normal } => {
  const p = { mean: -0.3, variance: 4 }; // nothing may rest on p being the standard normal
  return { p, q: { mean: p.mean + shift * 2, variance: p.variance * ratio ** 2 } };
};

/** What the integrals say of the formula `kl`. */
export function gaussianKlFinding(kl = klOfNormals): Finding {
  const pairs = shifts.flatMap((shift) => ratios.map((ratio) => pair(ratio, shift)));
  const formula =
    "Seed, Question 3: KL(q || p) = log(sigma_p / sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2";
  const { small, large } = examples;
  return {
    claims: [
      claim({
        name: "seed-q3-gaussian-kl/formula",
        statement: `${formula}. Measured: its largest distance from int q log(q / p) by quadrature, over four decades of sigma_q / sigma_p and three distances of the means, in parts of 1 + KL.`,
        predicted: 0,
        measured: pairs.map(({ q, p }) => (kl(q, p) - integratedKl(q, p)) / (1 + integratedKl(q, p))),
        worst: true,
        tolerance: 1e-12, // a sum of 769 terms in float64
      }),
      claim({
        name: "seed-q3-gaussian-kl/small",
        statement:
          "Seed, Question 3: (mu_q, mu_p, sigma_q^2, sigma_p^2) = (0, 0.1, 1, 1) gives 0.005. Measured by quadrature.",
        predicted: small.claimed,
        measured: integratedKl(small.q, small.p),
        tolerance: 1e-9, // 0.005 is exact
      }),
      claim({
        name: "seed-q3-gaussian-kl/large",
        statement:
          "Seed, Question 3: (mu_q, mu_p, sigma_q^2, sigma_p^2) = (0, 1, 1, 0.0001) gives 9994.9. Measured by quadrature; the same with " +
          `q and p exchanged is ${round(integratedKl(large.p, large.q), 3)}.`,
        predicted: large.claimed,
        measured: integratedKl(large.q, large.p),
        tolerance: 0.05 / large.claimed, // the seed gives one decimal
      }),
      claim({
        name: "seed-q3-gaussian-kl/smallest",
        statement:
          "Seed, Question 3: the divergence is smallest, 0, for q = p. Measured: of the pairs above, where q is not p, the share with a formula of 0 or less " +
          `(the smallest is ${round(Math.min(...pairs.map(({ q, p }) => kl(q, p))), 3)}), and 1 more if it is not 0 for q = p.`,
        predicted: 0,
        measured: pairs.filter(({ q, p }) => kl(q, p) <= 0).length / pairs.length + Number(kl(small.q, small.q) !== 0),
        tolerance: 0,
      }),
    ],
    figure: {
      kind: "lines",
      title: "The closed form of KL between two Gaussians is the integral",
      caption:
        "int q log(q / p) by quadrature; dashed the seed's formula. A q that is too wide costs the square of its width, one that is too narrow only a logarithm.",
      x: { title: "sigma_q / sigma_p", scale: "log" },
      y: { title: "KL(q || p), nats", scale: "log" },
      points: shifts.flatMap((shift) => {
        const where = { series: `means ${shift} sigma_p apart` };
        return [
          ...measured(
            where,
            0,
            ratios,
            ratios.map((ratio) => integratedKl(pair(ratio, shift).q, pair(ratio, shift).p)),
          ),
          ...predicted(
            where,
            ratios,
            ratios.map((ratio) => kl(pair(ratio, shift).q, pair(ratio, shift).p)),
          ),
        ];
      }),
    },
  };
}

/** The seed's Question 3: the divergence of two Gaussians. */
export const seedQ3GaussianKl: Check = {
  name: "seed-q3-gaussian-kl",
  summary: "the closed-form KL of two univariate Gaussians is the integral, and the seed's two examples are right",
  source: "seed, Question 3",
  conditions:
    "Univariate Gaussians; integrals by the trapezoidal rule over 12 standard deviations to either side, in float64.",
  run: () => Promise.resolve(gaussianKlFinding()),
};
