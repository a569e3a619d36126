import { momentsOf } from "../engine/moments.ts";
import type { Engine } from "../engine/engine.ts";
import { median, round } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { type Check, claim } from "./check.ts";
import { encoderOnly, gaussianBatch, redrawn, xiongInit } from "./encoder-only.ts";
import { exponent } from "./fit.ts";
import { fitted, measured, predicted, seedsUpTo } from "./points.ts";

const allDepths = [6, 9, 12, 18, 24, 36, 48, 64];
const sizes = { width: 128, heads: 1, feedForward: 128, sentences: 1, length: 32, vocabulary: 500 };
/** Batches a seed, over which gradients or their norms are averaged. */
const batches = 4;
const schemes = ["post-ln", "pre-ln"] as const;
type Scheme = (typeof schemes)[number];

/** The Frobenius norm of dL/dW2 of the last layer by depth, averaged over batches in either order. */
export interface LastGradient {
  readonly scheme: Scheme;
  readonly seed: number;
  /** Of single batches: the mean of the norms. */
  readonly meanNorm: readonly number[];
  /** Of the expected gradient: the norm of the mean. */
  readonly normOfMean: readonly number[];
}

/** Measures on encoders of these depths. Layer l has the same weights in all of them, and in both schemes. */
export async function lastGradients(
  engine: Engine,
  depths: readonly number[],
  seeds: readonly number[],
): Promise<LastGradient[]> {
  const networks = schemes.map((scheme) => ({
    scheme,
    players: depths.map((layers) => xiongInit(encoderOnly(scheme, { ...sizes, layers }))),
  }));
  const { parameters, draw } = redrawn(networks.flatMap(({ players }) => players));
  const found: LastGradient[] = [];
  for (const seed of seeds) {
    draw(seed);
    for (const { scheme, players } of networks) {
      const meanNorm: number[] = [];
      const normOfMean: number[] = [];
      for (const [i, player] of players.entries()) {
        const layers = depths[i]!;
        const path = `encoder/${String(layers - 1).padStart(2, "0")}/feed-forward/out/weight`;
        const sum = new Float64Array(sizes.width * sizes.feedForward);
        let norms = 0;
        for (let b = 0; b < batches; b++) {
          const batch = gaussianBatch({ ...sizes, layers }, seed, b);
          const { gradients } = await engine.differentiate(player, parameters, batch, { step: 0, seed, tapped: false });
          const gradient = gradients.get(path)!;
          for (const [j, value] of gradient.entries()) sum[j]! += value;
          norms += Math.sqrt(momentsOf(gradient).sumSquares);
        }
        meanNorm.push(norms / batches);
        normOfMean.push(Math.sqrt(momentsOf(sum).sumSquares) / batches);
      }
      found.push({ scheme, seed, meanNorm, normOfMean });
    }
  }
  return found;
}

/** The slopes of log ||dL/dW2|| against log L, one a seed. */
export const slopesOf = (
  found: readonly LastGradient[],
  depths: readonly number[],
  scheme: Scheme,
  norms: "meanNorm" | "normOfMean",
): number[] => found.filter((one) => one.scheme === scheme).map((one) => exponent(depths, one[norms]));

const setting =
  "encoder at initialisation, single head without output matrix, W_Q = W_K = 0, matrices d x d from Xavier's normal " +
  "distribution, gains 1, biases 0, Gaussian inputs, L = 6 to 64";

/** Compares the slopes of one scheme with the theorem's. */
export function slopeClaims(scheme: Scheme, single: readonly number[], expected: readonly number[]): Claim[] {
  // The theorem bounds from above and leaves constants open, so that a slope is all that can be compared. 0.1 of post-LN is
  // a factor of 1.3 over the whole range of depths, which seeds differ by. Pre-LN's gradient goes with 1 / ||x_L||, and
  // ||x_L||^2 / d may lie anywhere between 1 + L/2 and 1 + 3L/2 (Lemma 2): from 6 to 64 layers that allows slopes down to
  // -0.67, so the interval fixed beforehand is wider below -0.5 than above. 0.4 of -0.5 reaches its lower end, and `within`
  // cuts the upper.
  const laws = {
    "post-ln": { predicted: 0, tolerance: 0.1, bound: "O(d sqrt(ln d)), whatever the depth" },
    "pre-ln": { predicted: -0.5, tolerance: 0.4, within: [-0.7, -0.4] as const, bound: "O(d sqrt(ln(d) / L))" },
  };
  const { bound, ...law } = laws[scheme];
  const says = `${scheme}: ||dL/dW2||_F of the last layer is ${bound} (Xiong et al. 2020, Theorem 1; ${setting})`;
  return [
    claim({
      ...law,
      name: `xiong-theorem1/${scheme}`,
      statement: `${says}: its log-log slope against L, mean of the norms of ${batches} batches`,
      measured: single,
    }),
    claim({
      ...law,
      name: `xiong-theorem1/${scheme}-expected`,
      statement: `${says}: its log-log slope against L, norm of the mean gradient of ${batches} batches`,
      measured: expected,
    }),
  ];
}

/** Xiong et al. 2020, Theorem 1: how the last layer's gradient goes with depth, on a network as the theorem has it. */
export const xiongTheorem1: Check = {
  name: "xiong-theorem1",
  summary:
    "the last feed-forward's gradient: constant in depth with post-LN, 1/sqrt(L) with pre-LN (Xiong et al. 2020)",
  source: "Xiong et al. 2020 (ICML), On Layer Normalization in the Transformer Architecture, Theorem 1",
  conditions:
    `${setting}; d = ${sizes.width}, ${sizes.length} positions, ${sizes.vocabulary} words, cross-entropy with random ` +
    "labels averaged over positions (with pre-LN after the final norm). The theorem speaks of one loss's gradient, the " +
    "paper's figure 3 of the norm of the expected gradient; both are measured, and labelled.",
  async run({ engine }) {
    const found = await lastGradients(engine, allDepths, seedsUpTo(7));
    const slopes = (scheme: Scheme, norms: "meanNorm" | "normOfMean") => slopesOf(found, allDepths, scheme, norms);
    const claims = schemes.flatMap((scheme) =>
      slopeClaims(scheme, slopes(scheme, "meanNorm"), slopes(scheme, "normOfMean")),
    );
    const panels = { meanNorm: "mean of the norms", normOfMean: `norm of the mean of ${batches} batches` } as const;
    const points = (["meanNorm", "normOfMean"] as const).flatMap((norms) =>
      schemes.flatMap((series) => {
        const where = { series, panel: panels[norms] };
        const own = found.filter(({ scheme }) => scheme === series);
        const law = allDepths.map((L) => (series === "post-ln" ? 1 : L ** -0.5));
        const line = fitted(
          law,
          own.map((one) => one[norms]),
        );
        return [
          ...own.flatMap((one) => measured(where, one.seed, allDepths, one[norms])),
          ...predicted(where, allDepths, line),
        ];
      }),
    );
    const power = (scheme: Scheme): string => `L^${round(median(slopes(scheme, "meanNorm")), 2)}`;
    return {
      claims,
      figure: {
        kind: "lines",
        title: `The last layer's gradient goes as ${power("post-ln")} with post-LN, as ${power("pre-ln")} with pre-LN`,
        caption:
          "Frobenius norm of dL/dW2 of the last of L layers at initialisation. Dashed: the theorem's slopes, 0 and -1/2, " +
          "through the middle of what was measured, since the theorem leaves the constant open. Left and right differ in " +
          "whether norms or gradients are averaged over batches.",
        x: { title: "layers L", scale: "log" },
        y: { title: "||dL/dW2|| of the last layer", scale: "log" },
        points,
      },
    };
  },
};
