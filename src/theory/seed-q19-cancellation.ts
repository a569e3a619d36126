import { logMedian, median } from "../statistics.ts";
import type { CheckPoint } from "../types.ts";
import { type Check, claim, type Finding, type Laboratory } from "./check.ts";
import { deep, deepInWords, deepStack } from "./deep-stack.ts";
import { pullBack } from "./error-signal.ts";
import { norm } from "./matrix.ts";

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

/** log10 of what the factors make of the error's norm, by sublayer from the top down. */
export interface FactorGains {
  readonly seed: number;
  readonly norms: readonly number[];
  readonly residuals: readonly number[];
}

async function measureGains(laboratory: Laboratory, seed: number): Promise<FactorGains> {
  const { parameters, carries, errors, parts } = await deepStack(laboratory, "post-ln", seed);
  const stages = parts(["residual", "norm"]).map(({ stage }) => stage);
  const below = await pullBack(laboratory.engine, stages, parameters, carries[0]!, "encoder", errors);
  const sizes = [...below, errors].map(norm);
  const gains = below.map((_, i) => Math.log10(sizes[i]! / sizes[i + 1]!)).reverse();
  return {
    seed,
    norms: gains.filter((_, i) => i % 2 === 0),
    residuals: gains.filter((_, i) => i % 2 === 1),
  };
}

const power = (value: number): string => `10^${Math.log10(value).toFixed(1)}`;

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** How much more all sublayers do than the upper half: 2 for an exponential of depth. */
const doubling = (gains: readonly number[]): number => total(gains) / total(gains.slice(0, gains.length / 2));

/** What the gains say. */
export function cancellationFinding(stacks: readonly FactorGains[]): Finding {
  const sublayers = stacks[0]!.norms.length;
  const each = (of: (stack: FactorGains) => number): number => 10 ** median(stacks.map(of));
  const [norms, residuals] = [each(({ norms }) => total(norms)), each(({ residuals }) => total(residuals))];
  const both = logMedian(stacks.map(({ norms, residuals }) => 10 ** (total(norms) + total(residuals))));
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
        tolerance: 0.1, // sublayers scatter by a tenth or two of their mean, half a stack has 64; a square root gives 1.41
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
          "Seed, Question 19, supposes either product by itself, 1.1 or 0.5 a layer, as if one were free of the other. But LayerNorm " +
          "divides by sqrt(1 + Var F), and F's Jacobian multiplies an error by about sqrt(1 + Var F) at initialisation (a ReLU " +
          "network is homogeneous, so its gain on errors is that on signals): the two cancel. Measured: log gain of all residual " +
          `factors over minus that of all LayerNorm factors (median ${power(residuals)} and ${power(norms)}; together ` +
          `${both.toPrecision(1)}).`,
        predicted: 1,
        measured: stacks.map(({ norms, residuals }) => -total(residuals) / total(norms)),
        // 1.1 and 0.5 have 0.14. What is said of ReLU networks does not quite hold of attention, which averages over tokens
        // and returns less of an error than it adds to the stream: that moves it below 1, by the attention's small part.
        tolerance: 0.15,
      }),
    ],
    figure: {
      kind: "lines",
      title: `At initialisation post-LN's LayerNorms multiply the error by ${power(norms)}, its residual paths by ${power(residuals)}, and both together by ${both.toPrecision(1)}`,
      caption: "What the factors of the sublayers from the top down to this one make of the norm of random errors.",
      x: { title: "sublayers passed, from the top" },
      y: { title: "gain of the error", scale: "log" },
      points: stacks.flatMap(({ seed, norms, residuals }) => {
        let [byNorms, byResiduals] = [0, 0];
        return norms.flatMap((gain, i): CheckPoint[] => {
          byNorms += gain;
          byResiduals += residuals[i]!;
          const at = (series: string, log: number) => ({ series, seed, x: i + 1, y: 10 ** log });
          return [at("residual paths", byResiduals), at("both", byNorms + byResiduals), at("LayerNorms", byNorms)];
        });
      }),
    },
  };
}
