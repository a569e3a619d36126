// The encoder-decoder transformer of Vaswani et al. 2017 as a list of stages. The residual stream of the encoder travels
// in the carry under `encoder`, where it ends as the memory that cross-attention reads; the decoder's under `decoder`.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { ActivationName } from "../nn/activations.ts";
import { causalMask, type InsideAttention, multiHeadAttention, paddingMask } from "../nn/attention.ts";
import { withDropout } from "../nn/dropout.ts";
import { attentionEntropy, largestAttentionLogit } from "../nn/readings.ts";
import { linearParameters } from "../nn/linear.ts";
import { constant } from "../nn/parameters.ts";
import { sinusoidalPositions } from "../nn/positions.ts";
import { attentionProbabilities, embeddingLookup, linearCrossEntropy } from "../ops/index.ts";
import type { ResidualScheme, Stack } from "../residual/scheme.ts";
import type { Init, ParameterShape, ParameterSpec, Player, Stage, StageContext, Tensors } from "../stage.ts";
import { endStage, feedForwardBranch, layerStage, openStream, schemeOf } from "./residual-stream.ts";

// B batch, S source length, T target length, D width, V vocabulary.

/** What decides the network: the `model` section of a config, the vocabulary's size and the loss's smoothing. */
export interface TransformerOptions {
  readonly depth: { readonly encoder: number; readonly decoder: number };
  readonly width: number;
  readonly heads: number;
  readonly feedForward: number;
  /** A scheme by its name in the registry, or one of your own. */
  readonly residual: string | ResidualScheme;
  readonly norm: string;
  readonly activation: ActivationName;
  readonly dropout: number;
  /** `decoder`: target embedding and output share one matrix; `all`: the source embedding too. */
  readonly tiedEmbeddings: "none" | "decoder" | "all";
  readonly vocabulary: number;
  readonly labelSmoothing: number;
}

/** The one player of a transformer: embed, encode, embed, decode, project and score. */
export function transformer(options: TransformerOptions): Player[] {
  const { profiling } = schemeOf(options);
  const profile = profiling && { profile: stagesOf({ ...options, residual: profiling }) };
  return [{ name: "model", stages: stagesOf(options), ...profile, scalars: ["loss", "nll"], output: "decoder" }];
}

const stagesOf = (options: TransformerOptions): Stage[] => [
  ...encoderStages(options),
  ...decoderStages(options),
  outputStage(options),
];

/** From `source` and `sourceMask` to the encoder's output. */
export const encoderStages = (options: TransformerOptions): Stage[] => [
  embedStage(options, "source", "encoder"),
  ...Array.from({ length: options.depth.encoder }, (_, layer) => encoderLayer(options, layer)),
  ...endStage(options, "encoder"),
];

/** From `target` and the encoder's output to the stream that the output projection reads. */
export const decoderStages = (options: TransformerOptions): Stage[] => [
  embedStage(options, "target", "decoder"),
  ...Array.from({ length: options.depth.decoder }, (_, layer) => decoderLayer(options, layer)),
  ...endStage(options, "decoder"),
];

/** Positions that do not count from 0: [B, L, D] from what else the stage reads. */
export interface OwnPositions {
  /** What they are called in the stage's key. */
  readonly name: string;
  readonly reads: readonly string[];
  of(carry: Tensors): Tensor;
}

/** x_0 = sqrt(D) E[ids] + positions, with dropout. E starts as N(0, 1/D), so that scaled rows have unit variance. Where
 *  the output shares E, logits start with unit variance as well, and the loss half a nat above ln V. */
export function embedStage(
  options: TransformerOptions,
  ids: "source" | "target",
  stack: Stack,
  positions?: OwnPositions,
): Stage {
  const { width, dropout } = options;
  const residual = schemeOf(options).name;
  return {
    name: `embedding/${ids}`,
    stack: "embedding",
    layer: "",
    key: `embed ${JSON.stringify({ ids, dropout, residual, positions: positions?.name })}`,
    parameters: { table: embedding(options, ids) },
    reads: [ids, ...(positions?.reads ?? [])],
    apply(p, carry, context) {
      const ids_BL = carry[ids]!;
      const scaled = tf.mul(embeddingLookup(p["table"]!, ids_BL), Math.sqrt(width));
      const x_BLD = tf.add(scaled, positions ? positions.of(carry) : sinusoidalPositions(ids_BL.shape[1]!, width));
      return openStream(options, stack, context.tap(ids, "stream", withDropout(x_BLD, "embedding", dropout, context)));
    },
  };
}

/** The embedding of source or target, or the one they share. A scheme may start it smaller; a shared one starts as the
 *  encoder's. */
function embedding(options: TransformerOptions, ids: "source" | "target"): ParameterSpec {
  const { width, vocabulary, tiedEmbeddings } = options;
  const table = tiedEmbeddings === "all" ? "shared" : ids;
  const { embeddingGain, unitSphere } = schemeOf(options);
  const gain = embeddingGain?.(table === "target" ? "decoder" : "encoder", options) ?? 1;
  const init: Init = { kind: "normal", std: gain / Math.sqrt(width) };
  const shape = [vocabulary, width];
  return { path: `embedding/${table}/weight`, shape, init, ...(unitSphere && { unitNorm: 1 }) };
}

/** Self-attention and feed-forward, each a residual branch. */
function encoderLayer(options: TransformerOptions, layer: number): Stage {
  return layerStage(options, "encoder", layer, ["encoder", "sourceMask"], (carry, context) => {
    const mask = paddingMask(carry["sourceMask"]!);
    return {
      "self-attention": (x, p, inside) => attend(options, x, x, mask, "self-attention", p, context, inside),
      "feed-forward": (x, p, inside) => feedForwardBranch(options, x, p, context, inside),
    };
  });
}

/** Causal self-attention, cross-attention to the encoder's output, and feed-forward, each a residual branch. Targets are
 *  padded at their end, so causality already hides padding from every real position. */
function decoderLayer(options: TransformerOptions, layer: number): Stage {
  return layerStage(options, "decoder", layer, ["decoder", "encoder", "sourceMask"], (carry, context) => {
    const memory_BSD = carry["encoder"]!;
    const mask = paddingMask(carry["sourceMask"]!);
    const causal = causalMask(carry["decoder"]!.shape.at(-2)!);
    return {
      "self-attention": (x, p, inside) => attend(options, x, x, causal, "self-attention", p, context, inside),
      "cross-attention": (x, p, inside) => attend(options, x, memory_BSD, mask, "cross-attention", p, context, inside),
      "feed-forward": (x, p, inside) => feedForwardBranch(options, x, p, context, inside),
    };
  });
}

/** Multi-head attention with the parameters `p` of the sublayer `name`. */
function attend(
  options: TransformerOptions,
  x_BTD: Tensor,
  memory_BSD: Tensor,
  mask: Tensor,
  name: string,
  p: Tensors,
  context: StageContext,
  inside: InsideAttention,
): Tensor {
  const { heads, dropout } = options;
  const shape = [x_BTD.shape[0]!, heads, x_BTD.shape[1]!, memory_BSD.shape[1]!];
  const drop =
    context.training && dropout
      ? { dropout: context.noise(`${name}/probabilities`, shape, { kind: "dropout", rate: dropout }) }
      : {};
  const observe = (q: Tensor, k: Tensor): void => {
    context.reading(name, "attention-entropy", () => attentionEntropy(q, k, mask));
    context.reading(name, "attention-logit", () => largestAttentionLogit(q, k, mask));
    context.reading(name, "attention-probabilities", () => tf.reshape(attentionProbabilities(q, k, mask), [-1]));
  };
  return multiHeadAttention(x_BTD, memory_BSD, p, { heads, mask, inside, observe, ...drop });
}

/** The output projection: logits are x W + b, and s (x W) with a factor s for each word, stored as s / sqrt(D), where the
 *  scheme has one. `weights` are W with that factor in it, [D, V], and b [V]. */
export function outputProjection(options: TransformerOptions): {
  readonly parameters: Record<string, ParameterSpec>;
  weights(p: Tensors): { weight_DV: Tensor; bias_V: Tensor };
} {
  const { width, vocabulary, tiedEmbeddings } = options;
  const tied = tiedEmbeddings !== "none";
  const { outputGain, unitSphere, unbiasedLinear } = schemeOf(options);
  const { weight, bias } = linearParameters(width, vocabulary, outputGain) as Record<"weight" | "bias", ParameterShape>;
  const projection = "output/projection";
  return {
    parameters: {
      weight: tied
        ? embedding(options, "target")
        : { ...weight, path: `${projection}/weight`, ...(unitSphere && { unitNorm: 0 }) },
      ...(!unbiasedLinear && { bias: { ...bias, path: `${projection}/bias` } }),
      ...(unitSphere && { scale: { ...constant([vocabulary], 1 / Math.sqrt(width)), path: `${projection}/scale` } }),
    },
    weights(p) {
      const unscaled_DV = tied ? tf.transpose(p["weight"]!) : p["weight"]!;
      return {
        weight_DV: p["scale"] ? tf.mul(unscaled_DV, tf.mul(p["scale"], Math.sqrt(width))) : unscaled_DV,
        bias_V: p["bias"] ?? tf.zeros([vocabulary]),
      };
    },
  };
}

/** Logits and loss: cross-entropy in nats, averaged over the targets that are no padding. */
function outputStage(options: TransformerOptions): Stage {
  const { width, labelSmoothing, tiedEmbeddings } = options;
  const projection = outputProjection(options);
  return {
    name: "output",
    stack: "output",
    layer: "",
    key: `output ${JSON.stringify({ tied: tiedEmbeddings !== "none", labelSmoothing })}`,
    parameters: projection.parameters,
    reads: ["decoder", "labels", "labelWeights"],
    apply(p, carry, { training }) {
      const x_ND = tf.reshape(carry["decoder"]!, [-1, width]);
      const labels_N = tf.reshape(carry["labels"]!, [-1]);
      const weights_N = tf.reshape(carry["labelWeights"]!, [-1]);
      const { weight_DV, bias_V } = projection.weights(p);
      const count = tf.sum(weights_N);
      const score = (smoothing: number): Tensor =>
        tf.div(tf.sum(tf.mul(linearCrossEntropy(x_ND, weight_DV, bias_V, labels_N, smoothing), weights_N)), count);
      const loss = score(training ? labelSmoothing : 0);
      return { loss, nll: training && labelSmoothing ? score(0) : loss };
    },
  };
}
