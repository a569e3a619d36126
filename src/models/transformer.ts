// The encoder-decoder transformer of Vaswani et al. 2017 as a list of stages. The residual stream of the encoder travels
// in the carry under `encoder`, where it ends as the memory that cross-attention reads; the decoder's under `decoder`.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { ActivationName } from "../nn/activations.ts";
import { attentionParameters, causalMask, multiHeadAttention, paddingMask } from "../nn/attention.ts";
import { feedForward, feedForwardParameters } from "../nn/feed-forward.ts";
import { linearParameters } from "../nn/linear.ts";
import * as norms from "../nn/norms/index.ts";
import type { Norm } from "../nn/norms/norm.ts";
import { type ParameterShapes, scope, under } from "../nn/parameters.ts";
import { sinusoidalPositions } from "../nn/positions.ts";
import { embeddingLookup, linearCrossEntropy } from "../ops/index.ts";
import { lookup } from "../registry.ts";
import * as residual from "../residual/index.ts";
import type { ParameterSpec, Player, Stage, StageContext, Tensors } from "../stage.ts";

// B batch, S source length, T target length, D width, V vocabulary.

/** What decides the network: the `model` section of a config, the vocabulary's size and the loss's smoothing. */
export interface TransformerOptions {
  readonly depth: { readonly encoder: number; readonly decoder: number };
  readonly width: number;
  readonly heads: number;
  readonly feedForward: number;
  readonly residual: string;
  readonly norm: string;
  readonly finalNorm: boolean;
  readonly activation: ActivationName;
  readonly dropout: number;
  /** `decoder`: target embedding and output share one matrix; `all`: the source embedding too. */
  readonly tiedEmbeddings: "none" | "decoder" | "all";
  readonly vocabulary: number;
  readonly labelSmoothing: number;
}

/** The one player of a transformer: embed, encode, embed, decode, project and score. */
export function transformer(options: TransformerOptions): Player[] {
  const { depth } = options;
  const layers = (count: number, make: (layer: number) => Stage): Stage[] =>
    Array.from({ length: count }, (_, l) => make(l));
  const stages = [
    embedStage(options, "source", "encoder"),
    ...layers(depth.encoder, (layer) => encoderLayer(options, layer)),
    ...(options.finalNorm ? [finalNormStage(options, "encoder")] : []),
    embedStage(options, "target", "decoder"),
    ...layers(depth.decoder, (layer) => decoderLayer(options, layer)),
    ...(options.finalNorm ? [finalNormStage(options, "decoder")] : []),
    outputStage(options),
  ];
  return [{ name: "model", stages, scalars: ["loss", "nll"] }];
}

/** x_0 = sqrt(D) E[ids] + positions, with dropout. E starts as N(0, 1/D), so that scaled rows have unit variance. Where
 *  the output shares E, logits start with unit variance as well, and the loss half a nat above ln V. */
function embedStage(options: TransformerOptions, ids: "source" | "target", stream: "encoder" | "decoder"): Stage {
  const { width, vocabulary, dropout } = options;
  const table: ParameterSpec = {
    path: embeddingPath(options, ids),
    shape: [vocabulary, width],
    init: { kind: "normal", std: 1 / Math.sqrt(width) },
  };
  return {
    name: `embedding/${ids}`,
    stack: "embedding",
    layer: "",
    key: `embed ${JSON.stringify({ ids, dropout })}`,
    parameters: { table },
    reads: [ids],
    apply(p, carry, context) {
      const ids_BL = carry[ids]!;
      const scaled = tf.mul(embeddingLookup(p["table"]!, ids_BL), Math.sqrt(width));
      const x_BLD = tf.add(scaled, sinusoidalPositions(ids_BL.shape[1]!, width));
      return { [stream]: context.tap(ids, "stream", withDropout(x_BLD, "embedding", dropout, context)) };
    },
  };
}

function embeddingPath(options: TransformerOptions, ids: "source" | "target"): string {
  return `embedding/${options.tiedEmbeddings === "all" ? "shared" : ids}/weight`;
}

/** Self-attention and feed-forward, each a residual branch. */
function encoderLayer(options: TransformerOptions, layer: number): Stage {
  return layerStage(options, "encoder", layer, ["encoder", "sourceMask"], (p, carry, context) => {
    const block = sublayers(options, p, context);
    const mask = paddingMask(carry["sourceMask"]!);
    let x_BSD = carry["encoder"]!;
    x_BSD = block("self-attention", x_BSD, (x) => attend(options, x, x, mask, "self-attention", p, context));
    x_BSD = block("feed-forward", x_BSD, (x) => transform(options, x, p, context));
    return { encoder: context.tap("layer", "stream", x_BSD) };
  });
}

/** Causal self-attention, cross-attention to the encoder's output, and feed-forward, each a residual branch. Targets are
 *  padded at their end, so causality already hides padding from every real position. */
function decoderLayer(options: TransformerOptions, layer: number): Stage {
  return layerStage(options, "decoder", layer, ["decoder", "encoder", "sourceMask"], (p, carry, context) => {
    const block = sublayers(options, p, context);
    const memory_BSD = carry["encoder"]!;
    const mask = paddingMask(carry["sourceMask"]!);
    let x_BTD = carry["decoder"]!;
    const causal = causalMask(x_BTD.shape[1]!);
    x_BTD = block("self-attention", x_BTD, (x) => attend(options, x, x, causal, "self-attention", p, context));
    x_BTD = block("cross-attention", x_BTD, (x) => attend(options, x, memory_BSD, mask, "cross-attention", p, context));
    x_BTD = block("feed-forward", x_BTD, (x) => transform(options, x, p, context));
    return { decoder: context.tap("layer", "stream", x_BTD) };
  });
}

/** A layer of a stack as a stage: the parameters of its sublayers and of their norms. */
function layerStage(
  options: TransformerOptions,
  stack: "encoder" | "decoder",
  layer: number,
  reads: readonly string[],
  apply: Stage["apply"],
): Stage {
  const { width, feedForward, residual, norm, heads, activation, dropout } = options;
  const attentions = stack === "encoder" ? ["self-attention"] : ["self-attention", "cross-attention"];
  const normShapes = lookup<Norm>("norm", norms, norm).parameters(width);
  const shapes: ParameterShapes = {
    ...Object.assign({}, ...attentions.map((name) => scope(name, attentionParameters(width)))),
    ...scope("feed-forward", feedForwardParameters(width, feedForward)),
    ...Object.assign({}, ...[...attentions, "feed-forward"].map((name) => scope(`norm/${name}`, normShapes))),
  };
  const name = `${stack}/${String(layer).padStart(2, "0")}`;
  return {
    name,
    stack,
    layer,
    key: `${stack} layer ${JSON.stringify({ residual, norm, heads, activation, dropout })}`,
    parameters: placed(name, shapes),
    reads,
    apply,
  };
}

/** The residual connection around every sublayer of a layer: the scheme, this sublayer's norm, dropout on the branch,
 *  and the two taps, on the branch and on the stream after it. */
function sublayers(options: TransformerOptions, p: Tensors, context: StageContext) {
  const scheme = lookup("residual scheme", residual, options.residual);
  const norm = lookup<Norm>("norm", norms, options.norm);
  return (name: string, x: Tensor, transform: (x: Tensor) => Tensor): Tensor => {
    const branch = (x: Tensor): Tensor =>
      context.tap(name, "branch", withDropout(transform(x), name, options.dropout, context));
    const connected = scheme.connect(x, branch, (x) => norm.apply(x, under(p, `norm/${name}`)));
    return context.tap(name, "stream", connected);
  };
}

function attend(
  options: TransformerOptions,
  x_BTD: Tensor,
  memory_BSD: Tensor,
  mask: Tensor,
  name: string,
  p: Tensors,
  context: StageContext,
): Tensor {
  const { heads, dropout } = options;
  const shape = [x_BTD.shape[0]!, heads, x_BTD.shape[1]!, memory_BSD.shape[1]!];
  const drop =
    context.training && dropout
      ? { dropout: context.noise(`${name}/probabilities`, shape, { kind: "dropout", rate: dropout }) }
      : {};
  return multiHeadAttention(x_BTD, memory_BSD, under(p, name), { heads, mask, ...drop });
}

function transform(options: TransformerOptions, x_BTD: Tensor, p: Tensors, context: StageContext): Tensor {
  const { activation, dropout, feedForward: hidden } = options;
  const shape = [x_BTD.shape[0]!, x_BTD.shape[1]!, hidden];
  const factors =
    context.training && dropout
      ? context.noise("feed-forward/hidden", shape, { kind: "dropout", rate: dropout })
      : undefined;
  return feedForward(x_BTD, under(p, "feed-forward"), activation, factors);
}

/** The norm that ends a stack whose stream is never normalised. */
function finalNormStage(options: TransformerOptions, stack: "encoder" | "decoder"): Stage {
  const norm = lookup<Norm>("norm", norms, options.norm);
  return {
    name: `${stack}/norm`,
    stack,
    layer: "",
    key: `final norm ${JSON.stringify({ stack, norm: options.norm })}`,
    parameters: placed(`${stack}/norm`, norm.parameters(options.width)),
    reads: [stack],
    apply: (p, carry, context) => ({ [stack]: context.tap("norm", "stream", norm.apply(carry[stack]!, p)) }),
  };
}

/** Logits and loss: cross-entropy in nats, averaged over the targets that are no padding. */
function outputStage(options: TransformerOptions): Stage {
  const { width, vocabulary, labelSmoothing, tiedEmbeddings } = options;
  const tied = tiedEmbeddings !== "none";
  const { weight, bias } = linearParameters(width, vocabulary) as Record<"weight" | "bias", ParameterSpec>;
  const parameters: Record<string, ParameterSpec> = {
    weight: tied
      ? {
          path: embeddingPath(options, "target"),
          shape: [vocabulary, width],
          init: { kind: "normal", std: 1 / Math.sqrt(width) },
        }
      : { ...weight, path: "output/projection/weight" },
    bias: { ...bias, path: "output/projection/bias" },
  };
  return {
    name: "output",
    stack: "output",
    layer: "",
    key: `output ${JSON.stringify({ tied, labelSmoothing })}`,
    parameters,
    reads: ["decoder", "labels", "labelWeights"],
    apply(p, carry, { training }) {
      const x_ND = tf.reshape(carry["decoder"]!, [-1, width]);
      const labels_N = tf.reshape(carry["labels"]!, [-1]);
      const weights_N = tf.reshape(carry["labelWeights"]!, [-1]);
      const weight_DV = tied ? tf.transpose(p["weight"]!) : p["weight"]!;
      const count = tf.sum(weights_N);
      const score = (smoothing: number): Tensor =>
        tf.div(tf.sum(tf.mul(linearCrossEntropy(x_ND, weight_DV, p["bias"]!, labels_N, smoothing), weights_N)), count);
      const loss = score(training ? labelSmoothing : 0);
      return { loss, nll: training && labelSmoothing ? score(0) : loss };
    },
  };
}

/** Gives the parameters of a layer their place: `weight` becomes `encoder/03/.../weight`. */
function placed(prefix: string, shapes: ParameterShapes): Record<string, ParameterSpec> {
  return Object.fromEntries(
    Object.entries(shapes).map(([path, shape]) => [path, { ...shape, path: `${prefix}/${path}` }]),
  );
}

/** Inverted dropout on the last operation of a branch; nothing during evaluation. */
function withDropout(x: Tensor, name: string, rate: number, context: StageContext): Tensor {
  return context.training && rate ? tf.mul(x, context.noise(name, x.shape, { kind: "dropout", rate })) : x;
}
