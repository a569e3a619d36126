import { extent, median } from "../statistics.ts";
import type { CheckFigure, CheckPoint } from "../types.ts";
import { norm } from "../vectors.ts";
import { type Check, claim, type Finding } from "./check.ts";
import {
  along,
  ascending,
  chained,
  distancesFrom,
  errorsBy,
  isTrainedEncoder,
  measurePostLn,
  type PostLnSample,
  type Product,
  recordedErrors,
} from "./post-ln-factors.ts";
import { largestBySeed, panelOf, settingInWords } from "./recorded.ts";

/** Jacobians in float32 carry a relative error of about 1e-7 each, and up to 24 of them are multiplied: below 1e-5. A wrong
 *  formula is off by a tenth or more. */
const tolerance = 1e-4;

const source = "seed, Question 18 (post-LN)";

/** The error of a post-LN network as the product of LayerNorm and residual Jacobians. */
export const seedQ18PostLn: Check = {
  name: "seed-q18-post-ln",
  summary: "post-LN's error at every sublayer is dE/dx_L times the product of LayerNorm and residual Jacobians",
  source,
  conditions:
    `Each sublayer (self-attention, cross-attention, feed-forward) counts as one of the seed's layers, which have ` +
    `self-attention alone; ${settingInWords}.`,
  run: async (laboratory) => postLnFinding(await measurePostLn(laboratory)),
};

/** What the samples say of the formula. */
export function postLnFinding(samples: readonly PostLnSample[], product: Product = chained): Finding {
  const errors = samples.map((sample) => errorsBy(product, sample));
  const differences = samples.map((sample, i) => distancesFrom(sample, errors[i]!));
  const tapDifferences = samples.map(({ recorded: { errors: all, tapNorms } }, i) =>
    [...errors[i]!, all.at(-1)!].map((error, l0) => Math.abs(norm(error) / tapNorms[l0]! - 1)),
  );
  const atBottom = samples.flatMap((sample, i) => {
    if (!isTrainedEncoder(sample)) return [];
    const [unit] = errors[i]!;
    const literal = errorsBy(ascending, sample);
    return {
      recorded: along(recordedErrors(sample)[0]!, unit!),
      literal: along(literal[0]!, unit!),
      off: distancesFrom(sample, literal)[0]!,
    };
  });
  const literalPart = median(atBottom.map(({ literal }) => literal));
  const literalDistance = median(atBottom.map(({ off }) => off));
  return {
    claims: [
      claim({
        name: "seed-q18-post-ln/product",
        statement:
          `${source}: dE/dx_l0 = dE/dx_L prod_l [dLayerNorm(z_l)/dz_l (1 + dA(x_l)/dx_l)], with "1" the identity matrix and ` +
          "later sublayers on the left. Each factor is measured as an explicit matrix, and they are multiplied in float64. " +
          "Measured: the largest relative difference (L2) from the recorded dE/dx_l0, over every l0 of encoder and decoder, " +
          "before and after training; of the seeds the largest counts.",
        predicted: 0,
        measured: largestBySeed(samples, differences),
        worst: true,
        tolerance,
      }),
      claim({
        name: "seed-q18-post-ln/taps",
        statement:
          `${source}: the norm of that product at every l0 is what the activation-gradient probe records there in training. ` +
          "Measured: the largest relative difference of the norms, of all seeds.",
        predicted: 0,
        measured: largestBySeed(samples, tapDifferences),
        worst: true,
        tolerance,
      }),
      claim({
        name: "seed-q18-post-ln/order",
        statement:
          `${source}: the factors stand in the order that the seed writes out, dE/dx_L dx_L/dx_{L-1} ... dx_{l0+1}/dx_l0, for which its ` +
          "product sign over l = l0 ... L-1 is short. Jacobians do not commute: read from left to right, l ascending, that sign would give " +
          `an error at the bottom of the encoder that is off by ${literalDistance.toPrecision(2)} of its norm (relative L2, median), ` +
          `with ${literalPart.toPrecision(2)} of the right one in it. Measured: the part of dE/dx_l0 along what the product in descending order ` +
          "gives, in units of that, at the bottom of the trained encoder; of the seeds the one furthest off counts.",
        predicted: 1,
        measured: atBottom.map(({ recorded }) => recorded),
        worst: true,
        tolerance,
      }),
    ],
    figure: figureOf(samples),
  };
}

/** log10 of what each factor makes of the error's norm, by sublayer. */
function figureOf(samples: readonly PostLnSample[]): CheckFigure {
  const points = samples.flatMap((sample): CheckPoint[] => {
    const { errors } = sample.recorded;
    const place = { panel: panelOf(sample), seed: sample.seed };
    const gain = (link: number): number => Math.log10(norm(errors[link]!) / norm(errors[link + 1]!));
    return sample.factors.flatMap((_, l) => [
      { ...place, x: l + 1, series: "LayerNorm", y: gain(2 * l + 1) },
      { ...place, x: l + 1, series: "1 + dF/dx", y: gain(2 * l) },
    ]);
  });
  const whole = (series: string): string => {
    const sums = samples.flatMap((sample) => {
      const own = points.filter((p) => p.panel === panelOf(sample) && p.seed === sample.seed && p.series === series);
      return sample.moment === "trained" ? [10 ** own.reduce((sum, { y }) => sum + y, 0)] : [];
    });
    return extent(sums)
      .map((value) => value.toPrecision(2))
      .join(" to ");
  };
  return {
    kind: "bars",
    title: `Trained post-LN: from the top of a stack to its bottom LayerNorm multiplies the error by ${whole("LayerNorm")}, the residual path by ${whole("1 + dF/dx")}`,
    caption:
      "What the two Jacobians of each sublayer make of the norm of the error on its way down, log10: above 0 it grows, below 0 it " +
      "dies. Sublayers from the bottom up: self-attention and feed-forward in turn in the encoder, self-attention, " +
      "cross-attention and feed-forward in the decoder. The bars of a seed add up to the change from top to bottom.",
    x: { title: "sublayer, from the bottom" },
    y: { title: "log10 gain of the error" },
    points,
  };
}
