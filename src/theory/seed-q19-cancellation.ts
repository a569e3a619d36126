import { logMedian, median } from "../statistics.ts";
import type { CheckPoint } from "../types.ts";
import { distance, norm } from "../vectors.ts";
import { type Check, claim, type Finding, type Laboratory } from "./check.ts";
import { deep, deepInWords, deepStack } from "./deep-stack.ts";
import { pullBack } from "./error-signal.ts";

/** Whether post-LN's two kinds of factors are free of each other, as the seed's examples have them. */
export const seedQ19Cancellation: Check = {
  name: "seed-q19-cancellation",
  summary:
    "post-LN's LayerNorm and residual factors are each exponential in depth, and nearly cancel at initialisation",
  source: "seed, Question 19 (post-LN)",
  conditions: `${deepInWords[0]!.toUpperCase()}${deepInWords.slice(1)}.`,
  async run(laboratory) {
    const stacks: FactorGains[] = [];
    for (const seed of deep.seeds) stacks.push(await measureGains(laboratory, seed));
    return cancellationFinding(stacks);
  },
};

/** log10 of what the factors make of the error's norm, by sublayer from the top down, and of what they should. */
export interface FactorGains {
  readonly seed: number;
  readonly norms: readonly number[];
  readonly residuals: readonly number[];
  /** log10 sigma, sigma^2 = E||z||^2 / E||x||^2 of the forward: what LayerNorm divides by. */
  readonly spreads: readonly number[];
  /** log10 sqrt(1 + g^2), g = ||e dF/dx|| / ||e||: what the residual factor makes of an error e if the branch's share of it is
   *  orthogonal to e. */
  readonly returns: readonly number[];
}

async function measureGains(laboratory: Laboratory, seed: number): Promise<FactorGains> {
  const { parameters, links, carries, errors } = await deepStack(laboratory, "post-ln", seed, ["residual", "norm"]);
  const stages = links.map(({ stage }) => stage);
  const below = await pullBack(laboratory.engine, stages, parameters, carries[0]!, "encoder", errors);
  const sizes = [...below, errors].map(norm);
  const gains = below.map((_, i) => Math.log10(sizes[i]! / sizes[i + 1]!)).reverse();
  const streams = carries.map(({ encoder }) => norm(encoder!.data)); // x and z in turn, from the bottom
  const places = links.flatMap((_, i) => (i % 2 === 0 ? [i] : [])).reverse();
  return {
    seed,
    norms: gains.filter((_, i) => i % 2 === 0),
    residuals: gains.filter((_, i) => i % 2 === 1),
    spreads: places.map((i) => Math.log10(streams[i + 1]! / streams[i]!)),
    // e (1 + dF/dx) - e is the branch's share.
    returns: places.map((i) => Math.log10(Math.hypot(1, distance(below[i]!, below[i + 1]!)))),
  };
}

const power = (value: number): string => `10^${Math.log10(value).toFixed(1)}`;

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** How much more all sublayers do than the upper half: 2 for an exponential of depth. */
const doubling = (gains: readonly number[]): number => total(gains) / total(gains.slice(0, gains.length / 2));

/** What the gains say. */
export function cancellationFinding(stacks: readonly FactorGains[]): Finding {
  const places = stacks[0]!.norms;
  const sublayers = places.length;
  const each = (of: (stack: FactorGains) => number): number => 10 ** median(stacks.map(of));
  const [norms, residuals] = [each(({ norms }) => total(norms)), each(({ residuals }) => total(residuals))];
  const both = logMedian(stacks.map(({ norms, residuals }) => 10 ** (total(norms) + total(residuals))));
  // Sublayers come from the top down: feed-forward, attention, ...
  const ofKind = (kind: number, values: readonly number[]): number =>
    total(values.filter((_, i) => i % 2 === 1 - kind));
  const byKind = (kind: 0 | 1): string =>
    median(stacks.map(({ spreads, returns }) => ofKind(kind, returns) / ofKind(kind, spreads))).toPrecision(2);
  const exponential =
    "Seed, Question 19: if the gradients are about constant, each product is exponential in the number of layers. ";
  const measuredAs = `Measured: log gain of all ${sublayers} sublayers over that of the upper half; 2 for an exponential.`;
  return {
    claims: [
      claim({
        name: "seed-q19-cancellation/layer-norm",
        statement: `${exponential}So it is for the LayerNorm factors of a post-LN stack at initialisation. ${measuredAs}`,
        predicted: 2,
        measured: stacks.map(({ norms }) => doubling(norms)),
        // Sublayers scatter by a tenth or two of their mean, half a stack has 64. And neither is quite even: towards the top
        // tokens grow alike, which makes attention's branch and so this loss larger; towards the bottom errors do, which makes
        // the residual gain larger. A square root of depth would give 1.41.
        tolerance: 0.1,
      }),
      claim({
        name: "seed-q19-cancellation/residual",
        statement: `${exponential}So it is for the residual factors of a post-LN stack at initialisation. ${measuredAs}`,
        predicted: 2,
        measured: stacks.map(({ residuals }) => doubling(residuals)),
        tolerance: 0.1,
      }),
      claim({
        name: "seed-q19-cancellation/both",
        statement:
          "Seed, Question 19, supposes 1 + dA/dx = 1.1 and dLayerNorm/dz = 0.5, as if one factor were free of the other: in logarithms " +
          "the one is 0.1375 of the other. Measured: log gain of all residual factors over minus that of all LayerNorm factors " +
          `(median ${power(residuals)} and ${power(norms)}; together ${both.toPrecision(1)}).`,
        predicted: median(stacks.map(({ spreads, returns }) => total(returns) / total(spreads))),
        measured: stacks.map(({ norms, residuals }) => -total(residuals) / total(norms)),
        // A LayerNorm of D elements also drops the part of an error along z, so that after the residual factor the part along x
        // is gone: up to 1 / (2 D) = 0.008 of the 0.16 that a sublayer's logarithm is, 5 %. The branch's share is orthogonal to the
        // error on average alone, which moves a seed by 4 % and the median of five by 2 %.
        tolerance: 0.07,
        correction: {
          claimed: Math.log(1.1) / Math.log(2),
          text:
            "Both come from the branch's size: LayerNorm divides an error by sigma = sqrt(E||z||^2 / E||x||^2), and 1 + dF/dx multiplies it by " +
            "sqrt(1 + g^2), g the branch's own gain. Predicted: sum log sqrt(1 + g^2) / sum log sigma, sigma from the forward and g from " +
            "the branches. Were errors treated as signals are, it would be 1, as it nearly is of the feed-forward " +
            `(${byKind(1)}); attention averages errors over positions and gives back less than it adds to the stream (${byKind(0)}).`,
        },
      }),
    ],
    figure: {
      kind: "lines",
      title: `At initialisation post-LN's LayerNorms multiply the error by ${power(norms)}, its residual paths by ${power(residuals)}, and both together by ${both.toPrecision(1)}`,
      caption:
        "What the factors of the sublayers from the top down to this one make of the norm of random errors. Dashed, the median over " +
        "seeds: 1 / sigma of the forward for the LayerNorms, sqrt(1 + g^2) of the branches' own gains for the residual paths, and " +
        "their product for both.",
      x: { title: "sublayers passed, from the top" },
      y: { title: "gain of the error", scale: "log" },
      points: [
        ...stacks.flatMap(({ seed, norms, residuals }) =>
          linesOf(norms, residuals).map((point) => ({ ...point, seed })),
        ),
        ...linesOf(
          places.map((_, i) => -median(stacks.map(({ spreads }) => spreads[i]!))),
          places.map((_, i) => median(stacks.map(({ returns }) => returns[i]!))),
        ),
      ],
    },
  };
}

/** The gains multiplied up, from log10 of single factors. */
function linesOf(norms: readonly number[], residuals: readonly number[]): CheckPoint[] {
  let [byNorms, byResiduals] = [0, 0];
  return norms.flatMap((gain, i) => {
    byNorms += gain;
    byResiduals += residuals[i]!;
    const at = (series: string, log: number): CheckPoint => ({ series, x: i + 1, y: 10 ** log });
    return [at("residual paths", byResiduals), at("both", byNorms + byResiduals), at("LayerNorms", byNorms)];
  });
}
