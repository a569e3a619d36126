import { median } from "../statistics.ts";
import type { CheckPoint } from "../types.ts";
import { type Check, claim, type Laboratory } from "./check.ts";
import { deep, deepInWords, deepStack } from "./deep-stack.ts";
import { pullBack } from "./error-signal.ts";
import { exponent } from "./fit.ts";
import { norm } from "./matrix.ts";
import { scalarGradients, type ScalarLayer } from "./scalar-chain.ts";

/** What the seed concludes from the sum: that with pre-LN nothing is exponential in depth. */
export const seedQ19Sum: Check = {
  name: "seed-q19-sum",
  summary:
    "pre-LN's sum hides a product; what tames it is the stream's growth, by which branch Jacobians fall like 1/sqrt(l)",
  source: "seed, Question 19 (pre-LN)",
  conditions: `The seed's example: 20 layers of one number with df/dx = 0.1. The rest: ${deepInWords}.`,
  async run(laboratory) {
    const example = await sumOfExample(laboratory, 20, 0.1);
    const stacks: BranchGains[] = [];
    for (const seed of deep.seeds) stacks.push(await measureBranches(laboratory, seed));
    return sumFinding(example, stacks);
  },
};

/** 1 + sum_{l=1}^{count} df(x_l)/dx_1 of layers x + slope x, each term measured on its own. */
async function sumOfExample({ engine }: Laboratory, count: number, slope: number): Promise<number> {
  let sum = 1;
  for (let l = 0; l < count; l++) {
    const below: ScalarLayer[] = Array.from({ length: l }, () => "residual");
    sum += (await scalarGradients(engine, [...below, "branch"], slope))[0]!;
  }
  return sum;
}

/** How the error fares in a deep pre-LN stack. */
export interface BranchGains {
  readonly seed: number;
  /** By sublayer from the bottom: ||e df/dx|| / ||e||, e the error as it arrives from above, root mean square over errors. */
  readonly gains: readonly number[];
  /** By sublayer: the root mean square of the stream's elements, of which the LayerNorm within f is the inverse. */
  readonly scales: readonly number[];
  /** By sublayer: ||error below it|| / ||error at the top||. */
  readonly whole: readonly number[];
}

async function measureBranches(laboratory: Laboratory, seed: number): Promise<BranchGains> {
  const { engine } = laboratory;
  const { parameters, sublayers, carries, errors, parts } = await deepStack(laboratory, "pre-ln", seed);
  const stages = sublayers.map(({ stage }) => stage);
  const below = await pullBack(engine, stages, parameters, carries[0]!, "encoder", errors);
  const gains: number[] = [];
  for (const [l, { stage }] of parts(["branch"]).entries()) {
    const arriving = l + 1 < below.length ? Float32Array.from(below[l + 1]!) : errors;
    const [pulled] = await pullBack(engine, [stage], parameters, carries[l]!, "encoder", arriving);
    gains.push(norm(pulled!) / norm(arriving));
  }
  const scales = carries.map(({ encoder }) => norm(encoder!.data) / Math.sqrt(encoder!.data.length));
  return { seed, gains, scales, whole: below.map((error) => norm(error) / norm(errors)) };
}

/** A large number to one digit: 70,000. */
const inWords = (value: number): string => Number(value.toPrecision(1)).toLocaleString("en-GB");

/** Sublayers of an encoder layer. */
const perLayer = 2;

/** The gain of a layer's branches together, sqrt(g_attention^2 + g_feed-forward^2), for every layer from the bottom. */
const layerGains = (gains: readonly number[]): number[] =>
  Array.from({ length: gains.length / perLayer }, (_, l) => norm(gains.slice(perLayer * l, perLayer * (l + 1))));

/** prod sqrt(1 + g^2). */
const productOf = (gains: readonly number[]): number =>
  Math.sqrt(gains.reduce((product, gain) => product * (1 + gain * gain), 1));

/** Layers below this one stand where the embedding still outweighs what the branches have added. */
const firstFitted = 4;

/** What the numbers say. */
export function sumFinding(example: number, stacks: readonly BranchGains[]) {
  const layers = layerGains(stacks[0]!.gains).map((_, l) => l + 1);
  const fitted = layers.slice(firstFitted - 1);
  const exponents = stacks.map(({ gains }) => exponent(fitted, layerGains(gains).slice(firstFitted - 1)));
  const byScale = stacks.map(({ gains, scales }) => {
    const ofFeedForward = <T>(values: readonly T[]): T[] => values.filter((_, i) => i % perLayer === perLayer - 1);
    return exponent(ofFeedForward(scales), ofFeedForward(gains));
  });
  const whole = stacks.map(({ gains, whole }) => whole[0]! / productOf(gains));
  // What it would be if every layer's branches kept the gain of the first.
  const constant = stacks.map(({ gains }) => productOf(layers.flatMap(() => gains.slice(0, perLayer))));
  const inParts = median(constant.map((value, i) => value / productOf(stacks[i]!.gains)));
  const reached = median(stacks.map(({ whole }) => whole[0]!));
  return {
    claims: [
      claim({
        name: "seed-q19-sum/hidden-product",
        statement:
          'Seed, Question 19: with pre-LN "we only have a sum of the gradients", where post-LN has an exponential term. In its own ' +
          "example, L = 21, l0 = 1 and df/dx = 0.1, nothing but a sum would be 1 + 20 x 0.1 = 3. But df(x_l)/dx_l0 holds all " +
          "layers between: it is 0.1 x 1.1^(l - l0). Measured: 1 plus the 20 terms, each differentiated by the engine.",
        predicted: 1.1 ** 20,
        measured: example,
        tolerance: 1e-5, // 20 products in float32, 6e-8 each
        correction: {
          claimed: 3,
          text: "1 + sum_l df(x_l)/dx_l0 = prod_l (1 + df/dx) = 1.1^20 = 6.7275: the same exponential, written as a sum.",
        },
      }),
      claim({
        name: "seed-q19-sum/branch-gain",
        statement:
          "Seed, Question 19, argues with derivatives that are equal in all layers: exponent 0 in depth. In pre-LN the stream's variance grows " +
          "with every branch, about linearly in l, and the LayerNorm within f divides by its square root. " +
          `Measured: the exponent p of ||e df/dx|| / ||e|| ~ l^p over layers ${firstFitted} to ${layers.length}, e the error that arrives.`,
        predicted: -0.5,
        measured: exponents,
        // From -0.65 to -0.35, nearer to -1/2 than to a constant (0) or 1/l (-1). The law is asymptotic: low down the
        // embedding's share of the stream holds p up; higher, tokens grow alike, attention adds more, and p falls.
        tolerance: 0.3,
        correction: { claimed: 0, text: "df(x_l)/dx_l falls like 1/sqrt(l) at initialisation." },
      }),
      claim({
        name: "seed-q19-sum/layer-norm",
        statement:
          "The cause of that fall (Xiong et al. 2020, Lemma 3): LayerNorm's Jacobian is proportional to 1/||x||. " +
          "Measured: the exponent p of a feed-forward branch's gain as a power of the stream's root mean square, over all layers.",
        predicted: -1,
        measured: byScale,
        // Exact for one branch and one direction of the stream; every layer has its own weights, whose gains scatter by a
        // few percent over a stream that grows four- to sixfold.
        tolerance: 0.1,
      }),
      claim({
        name: "seed-q19-sum/whole-stack",
        statement:
          "What pre-LN's sum comes to over a whole stack (seed, Question 19): prod_l sqrt(1 + g_l^2), with g_l the gain of branch l, since " +
          "at initialisation a branch's share of the error is as often along the rest as against it. With the seed's equal derivatives, " +
          "those of the first layer, that would be exponential in depth. " +
          `Measured: ||error at the bottom|| / ||error at the top||, in parts of that product, ${layers.length} layers.`,
        predicted: 1,
        measured: whole,
        tolerance: 0.1, // 128 cross terms that are zero on average leave a few percent
        correction: {
          claimed: inParts,
          text:
            `With g_l as measured, which falls like 1/sqrt(l), the product is a power of depth: the error grows ${reached.toPrecision(2)}-fold, ` +
            `and not ${inWords(median(constant))}-fold.`,
        },
      }),
    ],
    figure: {
      kind: "lines" as const,
      title: `Pre-LN's error grows ${reached.toPrecision(2)}-fold over ${layers.length} layers because branch Jacobians fall with depth, not because a sum replaces a product`,
      caption:
        "Left: the norm of what a layer's branches give back, in units of the error that arrives; dashed c/sqrt(l). Right: the error " +
        "below the first l layers in units of the error above them; dashed the product of sqrt(1 + g^2) over their branches. With " +
        `the first layer's gain at every layer it would be ${inWords(median(constant))} at ${layers.length} layers.`,
      x: { title: "layer or number of layers, from the bottom", scale: "log" as const },
      y: { title: "gain of the error", scale: "log" as const },
      points: pointsOf(stacks, layers),
    },
  };
}

function pointsOf(stacks: readonly BranchGains[], layers: readonly number[]): CheckPoint[] {
  const panels = { branch: "one layer's branches", whole: "the layers up to here" };
  const middle = Math.sqrt(layers.length);
  const anchor = median(stacks.map(({ gains }) => layerGains(gains)[Math.round(middle) - 1]!)) * Math.sqrt(middle);
  const measured = stacks.flatMap(({ seed, gains, whole }) => {
    const own = layerGains(gains);
    return layers.flatMap((l): CheckPoint[] => [
      { panel: panels.branch, series: "branch gain", seed, x: l, y: own[l - 1]! },
      // From the bottom up to layer l: the whole stack's gain without that of the layers above.
      { panel: panels.whole, series: "gain of the layers", seed, x: l, y: whole[0]! / (whole[perLayer * l] ?? 1) },
    ]);
  });
  const ofEachDepth = (gainsOf: (stack: BranchGains, l: number) => readonly number[]) =>
    layers.map((l) => median(stacks.map((stack) => productOf(gainsOf(stack, l)))));
  const product = ofEachDepth(({ gains }, l) => gains.slice(0, perLayer * l));
  return [
    ...measured,
    ...layers.map((l) => ({ panel: panels.branch, series: "branch gain", x: l, y: anchor / Math.sqrt(l) })),
    ...layers.map((l, i) => ({ panel: panels.whole, series: "gain of the layers", x: l, y: product[i]! })),
  ];
}
