import { stacks, sublayersOf } from "../residual/scheme.ts";
import { mean, median, round } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { type Check, claim } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import {
  growthOf,
  layerNumbers,
  measureVariances,
  ofStack,
  type Variances,
  varianceSeeds,
  varianceSetting,
} from "./variance.ts";

/** The numbers of sublayers after each layer. */
const sublayersAfter = (one: Variances): number[] =>
  layerNumbers(one).map((layer) => layer * sublayersOf[one.stack].length);
/** (Var(x_L) - Var(x_0)) over the number of sublayers of the whole stack. */
const perSublayer = (one: Variances): number => growthOf(one).at(-1)! / sublayersAfter(one).at(-1)!;

/** Compares with one normalised branch a sublayer. */
export function periLnGrowthClaims(found: readonly Variances[]): Claim[] {
  const law =
    "peri-ln: every sublayer adds a normalised branch, so the stream's variance grows linearly (Kim et al. 2025)";
  return stacks.map((stack) =>
    claim({
      name: `peri-ln-variance/${stack}`,
      statement:
        `${law}: Var(x_l) = Var(x_0) + sublayers at initialisation, ${stack} (${varianceSetting}): ` +
        "(Var(x_L) - Var(x_0)) / sublayers at the last layer",
      predicted: 1,
      measured: ofStack(found, stack).map(perSublayer),
      // Branch and stream are independent in the mean, not in a draw: once tokens are alike, 2 x.F / D has a standard
      // deviation of 2 sqrt(Var(x) / D) a sublayer, which adds up to sqrt(2 / D) = 0.125 of the sum over a stack, and
      // 0.05 for the median of nine seeds: three of those.
      tolerance: 0.15,
    }),
  );
}

/** Peri-LN at initialisation: every sublayer adds a branch of variance 1. */
export const periLnVariance: Check = {
  name: "peri-ln-variance",
  summary: "peri-LN's stream gains a variance of 1 a sublayer at initialisation (Kim et al. 2025)",
  source: "Kim et al. 2025 (ICML), Peri-LN: Revisiting Normalization Layer in the Transformer Architecture",
  conditions:
    `${varianceSetting}. Gains of the norms are 1 at initialisation, so that a branch has variance 1 by the definition of ` +
    "LayerNorm, and what is left to test is that branches add up; in training gains are learned, and the paper reports growth " +
    "that stays linear. That is not tested here.",
  async run({ engine }) {
    const found = await measureVariances(engine, "peri-ln", seedsUpTo(varianceSeeds));
    const points = stacks.flatMap((series) => {
      const own = ofStack(found, series);
      const x = sublayersAfter(own[0]!);
      const start = mean(own.map((one) => one.start));
      return [
        ...own.flatMap((one) => measured({ series }, one.seed, x, one.stream)),
        ...predicted(
          { series },
          x,
          x.map((sublayers) => start + sublayers),
        ),
      ];
    });
    const slopeOf = (stack: Variances["stack"]): number => round(median(ofStack(found, stack).map(perSublayer)), 3);
    return {
      claims: periLnGrowthClaims(found),
      figure: {
        kind: "lines",
        title: `Peri-LN's variance grows by ${slopeOf("encoder")} a sublayer in the encoder, by ${slopeOf("decoder")} in the decoder`,
        caption:
          "Variance of the stream by the number of sublayers behind it, at initialisation. Dashed: the embedding's variance " +
          "plus 1 a sublayer. Seeds stray to both sides, since in one draw of the weights branches are not quite orthogonal " +
          "to the stream.",
        x: { title: "sublayers" },
        y: { title: "Var(x)" },
        points,
      },
    };
  },
};
