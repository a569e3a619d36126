import { sublayersOf } from "../residual/scheme.ts";
import { logMedian, mean, median, round } from "../statistics.ts";
import type { CheckPoint } from "../types.ts";
import { norm } from "../vectors.ts";
import { type Check, claim, type Laboratory } from "./check.ts";
import { deep, deepInWords, deepStack } from "./deep-stack.ts";
import { pullBack } from "./error-signal.ts";
import { exponent } from "./fit.ts";
import { fitted, measured, predicted } from "./points.ts";
import { partLinks } from "./sublayers.ts";
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
  /** By sublayer: what the LayerNorm within f multiplies by, 1 / the standard deviation of a token's elements, root mean square
   *  over tokens. */
  readonly factors: readonly number[];
  /** By sublayer: how alike the errors of the tokens are as they arrive, ||their mean|| / root mean square of them; 1 where all
   *  are the same, 1 / sqrt(tokens) where they have nothing to do with each other. */
  readonly likeness: readonly number[];
  /** By sublayer: ||error below it|| / ||error at the top||. */
  readonly whole: readonly number[];
}

async function measureBranches(laboratory: Laboratory, seed: number): Promise<BranchGains> {
  const { engine } = laboratory;
  const { options, parameters, links, carries, errors } = await deepStack(laboratory, "pre-ln", seed, ["sublayer"]);
  const stages = links.map(({ stage }) => stage);
  const below = await pullBack(engine, stages, parameters, carries[0]!, "encoder", errors);
  const gains: number[] = [];
  const likeness: number[] = [];
  for (const [l, { stage }] of partLinks(options, "encoder", ["branch"]).entries()) {
    const arriving = l + 1 < below.length ? Float32Array.from(below[l + 1]!) : errors;
    const [pulled] = await pullBack(engine, [stage], parameters, carries[l]!, "encoder", arriving);
    gains.push(norm(pulled!) / norm(arriving));
    likeness.push(likenessOf(arriving));
  }
  return {
    seed,
    gains,
    factors: carries.map(({ encoder }) => normFactor(encoder!.data)),
    likeness,
    whole: below.map((error) => norm(error) / norm(errors)),
  };
}

/** The tokens of a stream [..., tokens, width], one after another. */
const tokensOf = (stream: ArrayLike<number>): number[][] =>
  Array.from({ length: stream.length / deep.width }, (_, t) =>
    Array.from({ length: deep.width }, (_, d) => stream[t * deep.width + d]!),
  );

/** sqrt(mean over tokens of 1 / Var(x_t)). */
const normFactor = (x: ArrayLike<number>): number =>
  Math.sqrt(
    mean(
      tokensOf(x).map((token) => {
        const centre = mean(token);
        return 1 / mean(token.map((value) => (value - centre) ** 2));
      }),
    ),
  );

/** ||mean over the tokens of e|| / root mean square of ||e_t||, root mean square over errors [rows, tokens, width]. */
function likenessOf(errors: Float32Array): number {
  const { tokens, width } = deep;
  const means: number[] = [];
  for (let row = 0; row < errors.length; row += tokens * width) {
    const own = tokensOf(errors.subarray(row, row + tokens * width));
    for (let d = 0; d < width; d++) means.push(mean(own.map((token) => token[d]!)));
  }
  return (norm(means) * Math.sqrt(tokens)) / norm(errors);
}

/** A large number to one digit: 70,000. */
const inWords = (value: number): string => Number(value.toPrecision(1)).toLocaleString("en-GB");

const perLayer = sublayersOf.encoder.length;

/** prod sqrt(1 + g^2). */
const productOf = (gains: readonly number[]): number =>
  Math.sqrt(gains.reduce((product, gain) => product * (1 + gain * gain), 1));

/** The values of one kind of sublayer, by layer: 0 for self-attention, 1 for the feed-forward. */
const ofKind = (kind: 0 | 1, values: readonly number[]): number[] => values.filter((_, i) => i % perLayer === kind);
/** What attention's gain goes with: the average over positions, and LayerNorm. */
const averaged = ({ factors, likeness }: BranchGains): number[] =>
  ofKind(
    0,
    factors.map((factor, i) => factor * likeness[i]!),
  );

/** What the numbers say. */
export function sumFinding(example: number, stacks: readonly BranchGains[]) {
  const layers = ofKind(1, stacks[0]!.gains).map((_, l) => l + 1);
  const power = (values: readonly number[]): number => exponent(layers, values);
  const gainPowers = stacks.map(({ gains }) => power(ofKind(1, gains)));
  const factorPower = median(stacks.map(({ factors }) => power(ofKind(1, factors))));
  const attentionPower = median(stacks.map(({ gains }) => power(ofKind(0, gains))));
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
          "Seed, Question 19, argues with derivatives that are equal in all layers: exponent 0 in depth. But in pre-LN every branch adds to " +
          "the stream's variance, and the LayerNorm within f divides by its square root. Measured: the exponent p of " +
          `||e df/dx|| / ||e|| ~ l^p over layers 1 to ${layers.length}, f a feed-forward and e the error that arrives.`,
        predicted: factorPower,
        measured: gainPowers,
        // Every layer has its own weights, whose gains scatter by 5 % about the law: 0.01 of a slope over 64 layers.
        tolerance: 0.05,
        correction: {
          claimed: 0,
          text:
            "df(x_l)/dx_l falls like 1/sigma(x_l), which is 1/sqrt(l) once the branches outweigh the embedding. Predicted: the exponent of " +
            "1/sigma(x_l) in the forward, root mean square over tokens.",
        },
      }),
      claim({
        name: "seed-q19-sum/layer-norm",
        statement:
          "The cause of that fall (Xiong et al. 2020, Lemma 3; seed, Question 19): LayerNorm's Jacobian is proportional to 1/sigma(x). " +
          "Measured: the exponent p of a feed-forward branch's gain as a power of 1/sigma(x_l), over all layers.",
        predicted: 1,
        measured: stacks.map(({ gains, factors }) => exponent(ofKind(1, factors), ofKind(1, gains))),
        tolerance: 0.03, // 0.01 of a slope by the scatter, over a sigma that grows four- to sixfold
      }),
      claim({
        name: "seed-q19-sum/attention",
        statement:
          `Beside that (seed, Question 19): attention's gain falls faster, like l^${round(attentionPower, 2)}, since it averages errors over positions ` +
          "too, and towards the top these are as different as the random errors that were sent down. Measured: the exponent p of its " +
          "gain as a power of (1/sigma(x_l)) ||mean_t e_t|| / ||e||, over all layers.",
        predicted: 1,
        measured: stacks.map((stack) => exponent(averaged(stack), ofKind(0, stack.gains))),
        // Scores are not quite equal, so that a little comes back that is no average, the more of it the less alike errors are.
        tolerance: 0.05,
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
            `With g_l as measured, which falls with depth, the product is a power of depth: the error grows ${reached.toPrecision(2)}-fold, ` +
            `and not ${inWords(median(constant))}-fold.`,
        },
      }),
    ],
    figure: {
      kind: "lines" as const,
      title: `Pre-LN's error grows ${reached.toPrecision(2)}-fold over ${layers.length} layers because branch Jacobians fall with depth, not because a sum replaces a product`,
      caption:
        "Left: the norm of what a branch gives back, in units of the error that arrives; dashed, in proportion to 1/sigma(x_l), for attention " +
        "times how alike the errors of the tokens are, through the middle of what was measured. Right: the error below the first " +
        "l layers in units of the error above them; dashed the product of sqrt(1 + g^2) over their branches. With the first layer's gain " +
        `at every layer it would be ${inWords(median(constant))} at ${layers.length} layers.`,
      x: { title: "layer or number of layers, from the bottom", scale: "log" as const },
      y: { title: "gain of the error", scale: "log" as const },
      points: pointsOf(stacks, layers),
    },
  };
}

function pointsOf(stacks: readonly BranchGains[], layers: readonly number[]): CheckPoint[] {
  const ofLayers = { series: "all branches", panel: "the layers up to here" };
  const branches = ([0, 1] as const).flatMap((kind) => {
    const where = { series: sublayersOf.encoder[kind], panel: "one branch" };
    const law = stacks.map((stack) => (kind === 0 ? averaged(stack) : ofKind(1, stack.factors)));
    const shape = layers.map((_, i) => logMedian(law.map((row) => row[i]!)));
    const rows = stacks.map(({ gains }) => ofKind(kind, gains));
    return [
      ...rows.flatMap((row, i) => measured(where, stacks[i]!.seed, layers, row)),
      ...predicted(where, layers, fitted(shape, rows)),
    ];
  });
  // From the bottom up to layer l: the whole stack's gain without that of the layers above.
  const whole = stacks.flatMap(({ seed, whole }) =>
    measured(
      ofLayers,
      seed,
      layers,
      layers.map((l) => whole[0]! / (whole[perLayer * l] ?? 1)),
    ),
  );
  const products = layers.map((l) => median(stacks.map(({ gains }) => productOf(gains.slice(0, perLayer * l)))));
  return [...branches, ...whole, ...predicted(ofLayers, layers, products)];
}
