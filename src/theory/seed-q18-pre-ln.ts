import { extent, median } from "../statistics.ts";
import type { CheckFigure, CheckPoint } from "../types.ts";
import { inner, norm } from "../vectors.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { rowTimes } from "./matrix.ts";
import {
  errorsBySum,
  local,
  measurePreLn,
  type PreLnSample,
  type Sum,
  sumDistances,
  telescoped,
} from "./pre-ln-terms.ts";
import { largestBySeed, panelOf, settingInWords } from "./recorded.ts";

/** Jacobians in float32 carry a relative error of about 1e-7 each, and up to 12 are added: below 1e-5. A sum that lacks a
 *  term is off by a hundredth or more. */
const tolerance = 1e-4;

const source = "seed, Question 18 (pre-LN)";

/** The error of a pre-LN network as the telescoped sum. */
export const seedQ18PreLn: Check = {
  name: "seed-q18-pre-ln",
  summary: "pre-LN's error at every sublayer is dE/dx_L times 1 plus the sum of the branches' Jacobians",
  source,
  conditions:
    "Each sublayer (self-attention, cross-attention, feed-forward) counts as one of the seed's layers, which have " +
    "self-attention alone; x_L is the stream at a stack's top, below the final norm, which the seed leaves out; " +
    `${settingInWords}.`,
  run: async (laboratory) => preLnFinding(await measurePreLn(laboratory)),
};

/** What the samples say of the formula. */
export function preLnFinding(samples: readonly PreLnSample[], sum: Sum = telescoped): Finding {
  const errors = samples.map((sample) => errorsBySum(sum, sample));
  const differences = samples.map((sample, i) => sumDistances(sample, errors[i]!));
  const tapDifferences = samples.map(({ recorded: { errors: all, tapNorms } }, i) =>
    [...errors[i]!, all.at(-1)!].map((error, l0) => Math.abs(norm(error) / tapNorms[l0]! - 1)),
  );
  const localDistance = median(samples.map((sample) => sumDistances(sample, errorsBySum(local, sample))[0]!));
  return {
    claims: [
      claim({
        name: "seed-q18-pre-ln/sum",
        statement:
          `${source}: dE/dx_l0 = dE/dx_L (1 + sum_l dA(LayerNorm(x_l))/dx_l0), with "1" the identity matrix. Each term is ` +
          "measured as an explicit matrix, and they are added in float64. Its derivative is to x_l0, so that it holds all " +
          `sublayers between; with derivatives to x_l instead, the sum is off by ${localDistance.toPrecision(2)} at the bottom of ` +
          "a stack (relative L2, median). Measured: the largest relative difference (L2) from the recorded dE/dx_l0, over every l0 of " +
          "encoder and decoder, before and after training; of the seeds the largest counts.",
        predicted: 0,
        measured: largestBySeed(samples, differences),
        worst: true,
        tolerance,
      }),
      claim({
        name: "seed-q18-pre-ln/taps",
        statement:
          `${source}: the norm of that sum at every l0 is what the activation-gradient probe records there in training. ` +
          "Measured: the largest relative difference of the norms, of all seeds.",
        predicted: 0,
        measured: largestBySeed(samples, tapDifferences),
        worst: true,
        tolerance,
      }),
    ],
    figure: figureOf(samples),
  };
}

/** What each kind of term gives to the error at every l0: its part along that error, in units of ||dE/dx_L||. */
function figureOf(samples: readonly PreLnSample[]): CheckFigure {
  const points = samples.flatMap((sample): CheckPoint[] => {
    const { links, errors } = sample.recorded;
    const top = errors.at(-1)!;
    return sample.terms.flatMap((_, l0) => {
      const here = errors[l0]!;
      const part = (error: ArrayLike<number>): number => inner(error, here) / norm(here) / norm(top);
      const place = { panel: panelOf(sample), seed: sample.seed, x: l0 + 1 };
      const kinds = [...new Set(links.map(({ sublayer }) => sublayer))];
      const of = (kind: string): number =>
        sample.terms.reduce(
          (sum, term, l) => sum + (l >= l0 && links[l]!.sublayer === kind ? part(rowTimes(top, term[l0]!)) : 0),
          0,
        );
      return [
        { ...place, series: "1 (identity)", y: part(top) },
        ...kinds.map((kind) => ({ ...place, series: `f of ${kind}`, y: of(kind) })),
      ];
    });
  });
  const gains = samples.flatMap(({ moment, recorded: { errors } }) =>
    moment === "trained" ? [norm(errors[0]!) / norm(errors.at(-1)!)] : [],
  );
  const [low, high] = extent(gains).map((value) => value.toPrecision(2));
  return {
    kind: "bars",
    title: `Trained pre-LN: the further down, the more the branches add to what the identity carries; the bottom of a stack has ${low} to ${high} times the error of its top`,
    caption:
      "What each term of 1 + sum df(x_l)/dx_l0 gives to the error at sublayer l0: its part along the whole error there, in units " +
      "of the error at the top. The identity has less than 1 where the branches turn the error away from that at the top. Sublayers from the bottom up as in the network. The bars of a seed at one place add up to ||dE/dx_l0|| / ||dE/dx_L||.",
    x: { title: "sublayer l0, from the bottom" },
    y: { title: "error, in units of that at the top" },
    points,
  };
}
