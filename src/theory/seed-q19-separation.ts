import { median } from "../statistics.ts";
import type { CheckFigure, CheckPoint } from "../types.ts";
import { type Check, claim, type Finding } from "./check.ts";
import {
  along,
  chained,
  distancesFrom,
  errorsBy,
  isTrainedEncoder,
  measurePostLn,
  type PostLnSample,
  type Product,
  recordedErrors,
  separated,
} from "./post-ln-factors.ts";
import { largestBySeed, panelOf, settingInWords } from "./recorded.ts";

/** As in Question 18: float32 factors leave less than 1e-5. */
const tolerance = 1e-4;

/** LayerNorm and residual Jacobians in two separate products, as Question 19 writes Question 18's. */
export const seedQ19Separation: Check = {
  name: "seed-q19-separation",
  summary: "post-LN's product cannot be split into one of LayerNorm and one of residual Jacobians",
  source: "seed, Question 19 (first equation)",
  conditions: `Later sublayers on the left in either product, which is more than the seed says; ${settingInWords}.`,
  run: async (laboratory) => separationFinding(await measurePostLn(laboratory)),
};

/** What the samples say of the formula as the seed has it, `stated`, and of the one that should stand there. */
export function separationFinding(
  samples: readonly PostLnSample[],
  stated: Product = separated,
  corrected: Product = chained,
): Finding {
  const found = samples.map((sample): Found => {
    const [two, interleaved] = [errorsBy(stated, sample), errorsBy(corrected, sample)];
    return {
      sample,
      two: distancesFrom(sample, two),
      interleaved: distancesFrom(sample, interleaved),
      claimed: along(two[0]!, interleaved[0]!),
      measured: along(recordedErrors(sample)[0]!, interleaved[0]!),
    };
  });
  const atBottom = found.filter(({ sample }) => isTrainedEncoder(sample));
  const off = median(atBottom.map(({ two }) => two[0]!));
  return {
    claims: [
      claim({
        name: "seed-q19-separation/two-products",
        statement:
          "Seed, Question 19: dE/dx_l0 = dE/dx_L prod_l [dLayerNorm(z_l)/dz_l] prod_l (1 + dA(x_l)/dx_l), two products. " +
          "Matrices do not commute, so those of Question 18 must stay interleaved. Measured: the part of dE/dx_l0 along what the " +
          "interleaved product gives, in units of that, at the bottom of the trained encoder.",
        predicted: 1,
        measured: atBottom.map(({ measured }) => measured),
        worst: true,
        tolerance,
        correction: {
          claimed: median(atBottom.map(({ claimed }) => claimed)),
          text:
            "dE/dx_l0 = dE/dx_L prod_l [dLayerNorm(z_l)/dz_l (1 + dA(x_l)/dx_l)], l descending. Two separate products are off by " +
            `${off.toPrecision(2)} at the bottom of the encoder (relative L2, median).`,
        },
      }),
      claim({
        name: "seed-q19-separation/interleaved",
        statement:
          "Seed, Question 18, from which Question 19's equation was made: the interleaved product equals the error. Measured: the largest " +
          "relative difference (L2) from the recorded dE/dx_l0, over every l0 of encoder and decoder, before and after training; of the seeds the largest counts.",
        predicted: 0,
        measured: largestBySeed(
          samples,
          found.map(({ interleaved }) => interleaved),
        ),
        worst: true,
        tolerance,
      }),
    ],
    figure: figureOf(found),
  };
}

/** What the two formulas give for a sample. */
interface Found {
  readonly sample: PostLnSample;
  /** How far either is from the recorded error, by l0. */
  readonly two: readonly number[];
  readonly interleaved: readonly number[];
  /** The parts of the seed's formula, and of the recorded error, along the interleaved product at the bottom of the stack. */
  readonly claimed: number;
  readonly measured: number;
}

function figureOf(found: readonly Found[]): CheckFigure {
  const line = (series: string, of: "two" | "interleaved"): CheckPoint[] =>
    found.flatMap(({ sample, [of]: distances }) =>
      distances.map((y, l0) => ({ series, panel: panelOf(sample), seed: sample.seed, x: l0 + 1, y })),
    );
  return {
    kind: "lines",
    title: "LayerNorm and residual Jacobians do not commute: in two separate products they do not give the error",
    caption:
      "Relative difference (L2) of either formula from the recorded error at sublayer l0. At the last sublayer there is one factor of " +
      "each kind, so that nothing is out of order.",
    x: { title: "sublayer l0, from the bottom" },
    y: { title: "relative difference from the error", scale: "log" },
    points: [...line("two products (seed)", "two"), ...line("one interleaved product", "interleaved")],
  };
}
