// Multilayer perceptrons as lists of stages, for models whose networks are such: plain ones, and stacks of residual blocks
// with any scheme that the transformer has. Their stream travels in the carry under the stack's name, [B, D].
import type { Tensor } from "@tensorflow/tfjs-core";
import { UserError } from "../errors.ts";
import { type ActivationName, activations } from "../nn/activations.ts";
import { withDropout } from "../nn/dropout.ts";
import { linear, linearParameters } from "../nn/linear.ts";
import { scope } from "../nn/parameters.ts";
import { members } from "../registry.ts";
import * as residual from "../residual/index.ts";
import type { ResidualScheme } from "../residual/scheme.ts";
import type { Stage, Tensors } from "../stage.ts";
import {
  asSchemeHas,
  endStage,
  feedForwardBranch,
  layerStage,
  offerDeadUnits,
  openStream,
  placed,
  schemeOf,
  type StreamOptions,
} from "./residual-stream.ts";

// B batch, P inputs (pixels, latent numbers), H hidden units, D width of a residual stream.

/** What a matrix becomes before it is used, spectral normalisation for one. */
export interface WeightTransform {
  /** Its word in the keys of stages: what `apply` depends on beside the matrix must be told by it. */
  readonly name: string;
  /** [in, out] -> same. A matrix may be all zeros at the start, as the last ones of Fixup's branches are: where that is nothing to
   *  be transformed, the configuration has to refuse the two together. */
  apply(weight: Tensor): Tensor;
}

/** What plain and residual MLPs have in common. */
interface MlpOptions {
  /** The name of the stack: of its stages, of its parameters and of the carry entry it writes. */
  readonly stack: string;
  /** The carry entry it reads, [B, P]. */
  readonly from: string;
  readonly activation: ActivationName;
  /** What every matrix of its linear maps becomes before it is used; they stay as they are if not given. */
  readonly weight?: WeightTransform | undefined;
  /** Whether its parameters are another player's, see `Stage.frozen`. */
  readonly frozen?: true | undefined;
}

/** What decides a plain MLP. */
export interface PlainMlpOptions extends MlpOptions {
  /** Inputs, then the units of each hidden layer: [784, 500, 250]. */
  readonly sizes: readonly number[];
  /** Share of a layer's units that are dropped while training; 0 if not given. */
  readonly dropout?: number;
}

/** What decides a stack of residual blocks. */
export interface ResidualMlpOptions extends MlpOptions, Pick<StreamOptions, "residual" | "norm" | "dropout"> {
  /** P, the numbers of a row of the carry entry `from`. */
  readonly inputSize: number;
  /** Blocks. */
  readonly depth: number;
  /** D, of the stream. */
  readonly width: number;
  /** F, hidden units of a block. */
  readonly feedForward: number;
}

/** Factors on the Xavier bound by activation. Xavier's variance 2 / (in + out) keeps that of a linear layer, and of units that
 *  are nearly linear around 0; rectifiers lose half the mean square, which a gain of sqrt 2 gives back: He et al. 2015,
 *  variance 2 / in where in = out. A leaky rectifier of slope 0.2 would have 1.39, which is the same within 2 %. */
export const plainGains: Readonly<Record<ActivationName, number>> = {
  relu: Math.SQRT2,
  "leaky-relu": Math.SQRT2,
  gelu: 1,
  tanh: 1,
  sigmoid: 1,
};

/** The hidden layers of a plain MLP, a stage each: h_0 the carry entry `from`, h_{l+1} = act(h_l W_l + b_l), [B, sizes[l]] ->
 *  [B, sizes[l + 1]], taps on each; `stack` holds the last. Offers `dead-units` as {@link offerDeadUnits} does.
 *  Parameters: `<stack>/00/linear/weight` and `bias`; W Xavier-uniform times `plainGains`, b = 0. */
export function plainMlp(options: PlainMlpOptions): Stage[] {
  const { stack, from, sizes, activation, dropout = 0 } = options;
  if (sizes.length < 2)
    throw new UserError(
      `${stack}: expected at least one hidden layer, got none; give the units of each, such as [500, 250]`,
    );
  const layers = sizes.slice(1).map((size, layer): Stage => {
    const name = `${stack}/${String(layer).padStart(2, "0")}`;
    const read = layer === 0 ? from : stack;
    return {
      name,
      stack,
      layer,
      key: `mlp layer ${JSON.stringify({ stack, read, activation, dropout })}`,
      parameters: placed(name, scope("linear", linearParameters(sizes[layer]!, size, plainGains[activation]))),
      reads: [read],
      apply(p, carry, context) {
        const h_BH = activations[activation](linear(carry[read]!, p["linear/weight"]!, p["linear/bias"]));
        offerDeadUnits("layer", activation, h_BH, context);
        return { [stack]: context.tap("layer", "stream", withDropout(h_BH, "layer", dropout, context)) };
      },
    };
  });
  return layers.map((stage) => adapted(stage, options));
}

/** A stack of residual blocks: x_0 = v W + b [B, D] of the carry entry `from` [B, P], then `depth` layers of one feed-forward
 *  sublayer act(x W_in + b_in) W_out + b_out each, joined to the stream by the scheme, and what the scheme ends a stack with.
 *  `stack` holds the stream. The scheme's constants are those of a network of this stack alone with as many residual sublayers.
 *  Parameters: `<stack>/input/weight`, `<stack>/00/feed-forward/in/weight` ..., Xavier-uniform by the scheme's gains, that of
 *  the input by its embeddings'. A `UserError` where the scheme has no meaning without attention. */
export function residualMlp(options: ResidualMlpOptions): Stage[] {
  const { stack, depth } = options;
  const stream: StreamOptions = { ...options, depth: { [stack]: depth }, heads: 0 };
  refuseAttentionOnly(schemeOf(stream));
  const layers = Array.from({ length: depth }, (_, layer) =>
    layerStage(stream, stack, layer, [stack], (_, context) => ({
      "feed-forward": (x, p, inside) => feedForwardBranch(stream, x, p, context, inside),
    })),
  );
  return [inputStage(options, stream), ...layers, ...endStage(stream, stack)].map((stage) => adapted(stage, options));
}

function refuseAttentionOnly({ name, attentionOnly }: ResidualScheme): void {
  if (!attentionOnly) return;
  const known = [...members<ResidualScheme>(residual).values()].filter((scheme) => !scheme.attentionOnly);
  throw new UserError(
    `model.residual: expected a scheme that has a meaning in layers without attention, got ${name}; ` +
      `choose one of ${known.map(({ name }) => name).join(", ")}`,
  );
}

/** x_0 = v W + b, opened by the scheme. */
function inputStage({ stack, from, inputSize, width }: ResidualMlpOptions, stream: StreamOptions): Stage {
  const scheme = schemeOf(stream);
  const gain = scheme.embeddingGain?.(stack, stream) ?? 1;
  const linearMap = scope("input", linearParameters(inputSize, width, gain));
  return {
    name: `${stack}/input`,
    stack,
    layer: "",
    key: `mlp input ${JSON.stringify({ stack, from, residual: scheme.name })}`,
    parameters: placed(stack, asSchemeHas(scheme, linearMap, ["input/weight"])),
    reads: [from],
    apply(p, carry, context) {
      const x_BD = linear(carry[from]!, p["input/weight"]!, p["input/bias"]);
      return openStream(stream, stack, context.tap("input", "stream", x_BD));
    },
  };
}

/** The matrices of linear maps among the parameters of stages made here; those of hyper-connections are not. */
const isMatrix = (name: string): boolean => /^(linear|input|feed-forward\/(in|out))\/weight$/.test(name);

/** The stage of a network that is another player's: what it reads of itself is offered there. */
const asFrozen = (stage: Stage): Stage => ({
  ...stage,
  frozen: true,
  apply: (p, carry, context) => stage.apply(p, carry, { ...context, reading: () => {} }),
});

/** A stage with its matrices transformed and its parameters frozen, where options say so. */
function adapted(stage: Stage, { weight, frozen }: Pick<MlpOptions, "weight" | "frozen">): Stage {
  const kept = frozen ? asFrozen(stage) : stage;
  if (!weight) return kept;
  const transformed = (p: Tensors): Tensors =>
    Object.fromEntries(Object.entries(p).map(([name, w]) => [name, isMatrix(name) ? weight.apply(w) : w]));
  return {
    ...kept,
    key: `${stage.key} ${weight.name}`,
    apply: (p, carry, context) => kept.apply(transformed(p), carry, context),
  };
}
