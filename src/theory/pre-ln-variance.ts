import { median, round } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { type Check, claim } from "./check.ts";
import { exponent } from "./fit.ts";
import { fitted, measured, predicted, seedsUpTo } from "./points.ts";
import {
  growthOf,
  layerNumbers,
  measureVariances,
  ofStack,
  stacks,
  type Variances,
  varianceSeeds,
  varianceSetting,
} from "./variance.ts";

const exponents = (found: readonly Variances[], stack: Variances["stack"]): number[] =>
  ofStack(found, stack).map((one) => exponent(layerNumbers(one), growthOf(one)));

/** Compares with linear growth. */
export const preLnGrowthClaims = (found: readonly Variances[]): Claim[] =>
  stacks.map((stack) =>
    claim({
      name: `pre-ln-variance/${stack}`,
      statement:
        "pre-ln: the stream's variance grows linearly with depth at initialisation (Xiong et al. 2020, Lemma 2, there for " +
        `uniform attention and Gaussian inputs), ${stack} (${varianceSetting}): log-log slope of Var(x_l) - Var(x_0) against l`,
      predicted: 1,
      measured: exponents(found, stack),
      // Above 1 where anything: attention averages tokens that differ in the first layers and are alike in later ones, so
      // that its branch grows from Var / length to Var, which the lemma's factor of 3 between its bounds leaves room for.
      tolerance: 0.2,
    }),
  );

/** Pre-LN at initialisation: every branch adds as much, so variance grows linearly with depth. */
export const preLnVariance: Check = {
  name: "pre-ln-variance",
  summary: "pre-LN's stream grows linearly in variance with depth at initialisation (Xiong et al. 2020, Lemma 2)",
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
          "the middle of what was measured.",
        x: { title: "layer l", scale: "log" },
        y: { title: "Var(x_l) - Var(x_0)", scale: "log" },
        points,
      },
    };
  },
};
