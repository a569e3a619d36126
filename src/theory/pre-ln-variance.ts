import { stacks } from "../residual/scheme.ts";
import { median, round } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { branchClaims } from "./branch-laws.ts";
import type { Check } from "./check.ts";
import { exponent } from "./fit.ts";
import { fitted, measured, predicted, seedsUpTo } from "./points.ts";
import {
  growthOf,
  layerNumbers,
  measureVariances,
  ofStack,
  type Variances,
  varianceSeeds,
  varianceSetting,
} from "./variance.ts";

const exponents = (found: readonly Variances[], stack: Variances["stack"]): number[] =>
  ofStack(found, stack).map((one) => exponent(layerNumbers(one), growthOf(one)));

/** Compares with branches that add the same at every layer. */
export const preLnGrowthClaims = (found: readonly Variances[]): Claim[] =>
  branchClaims(
    "pre-ln-variance",
    "pre-ln: every layer adds a branch of the same variance, so that the stream's grows linearly with depth (after Xiong et al. " +
      "2020, Lemma 2, whose bounds differ by what attention's averaging takes away)",
    0,
    found,
  );

/** Pre-LN at initialisation: every branch adds as much, so variance grows linearly with depth. */
export const preLnVariance: Check = {
  name: "pre-ln-variance",
  summary:
    "pre-LN's stream grows linearly in variance at initialisation, but for attention's averaging in the first layers",
  source:
    "Xiong et al. 2020 (ICML), Lemma 2; Kim et al. 2025 (Peri-LN) and Sun et al. 2025 (Curse of Depth) on training",
  conditions:
    `${varianceSetting}. This is initialisation: Sun et al. and Kim et al. report the variance of pre-LN growing up to ` +
    "exponentially in depth in training; nothing of that shows here.",
  async run({ engine }) {
    const found = await measureVariances(engine, "pre-ln", seedsUpTo(varianceSeeds));
    const layers = layerNumbers(found[0]!);
    const points = stacks.flatMap((series) => {
      const own = ofStack(found, series);
      return [
        ...own.flatMap((one) => measured({ series }, one.seed, layers, growthOf(one))),
        ...predicted({ series }, layers, fitted(layers, own.map(growthOf))),
      ];
    });
    const power = (stack: Variances["stack"]): string => `l^${round(median(exponents(found, stack)), 3)}`;
    return {
      claims: preLnGrowthClaims(found),
      figure: {
        kind: "lines",
        title: `Pre-LN's variance grows as ${power("encoder")} in the encoder, ${power("decoder")} in the decoder`,
        caption:
          "What l layers add to the variance of the embedding, at initialisation. Dashed: growth in proportion to l, through " +
          "the middle of what was measured. It is a little steeper in fact: in the first layers attention averages positions " +
          "that still differ, and adds less.",
        x: { title: "layer l", scale: "log" },
        y: { title: "Var(x_l) - Var(x_0)", scale: "log" },
        points,
      },
    };
  },
};
