// A trained transformer as it writes a translation, one token after the other: views of the parameters of `transformer`. A
// decoder layer works on each position alone but for its attention, so the layers are those of training on a stream of
// one position a row, [B, D], with attention over keys and values that were kept from the positions before.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { attendHeads, attendKept, paddingMask, projectHeads } from "../nn/attention.ts";
import { under } from "../nn/parameters.ts";
import { sinusoidalPositions } from "../nn/positions.ts";
import type { Player, Stage, StageContext, Tensors } from "../stage.ts";
import { aheadStage, endStage, feedForwardBranch, layerStage } from "./residual-stream.ts";
import {
  decoderStages,
  embedStage,
  encoderStages,
  outputProjection,
  type OwnPositions,
  type TransformerOptions,
} from "./transformer.ts";

// B rows, S source length, C cached positions, D width, H heads, K head width, V vocabulary, L decoder layers. Lists of 2 L
// hold the keys of layer 0, its values, the keys of layer 1 ...

/** The players that decode, and the sizes their tensors have. Each reads a batch and gives one tensor:
 *  `encode`: `source` int32 [B, S], `sourceMask` [B, S] -> the memory [2 L, B, H, S, K], keys and values of cross-attention;
 *  `step`: `target` int32 [B], the newest token of every row, `position` int32 [B], how many came before it,
 *  `cache` [2 L B, H, C, K], keys and values of self-attention at those (what stands behind them does not matter; C is at
 *  least the largest position), `memory` [2 L B, H, S, K] and `sourceMask` -> [B, V + 2 L D], log-probabilities of the next
 *  token, then keys and values of the newest one for the cache;
 *  `stepOfMany`: the same of `cache/0` ... and `memory/0` ..., the lists [B, H, C, K] and [B, H, S, K] one by one, which copies none of
 *  what is kept and takes longer where that is little;
 *  `full`: `source`, `sourceMask`, `target` int32 [B, T] and `position` int32 [B] -> [B, V], log-probabilities of what
 *  follows the token at `position`, with nothing kept from before;
 *  `attention`: `source`, `sourceMask` and `target` of one row -> all attention probabilities end to end, layer by layer from the
 *  encoder's first to the decoder's last: [H, S, S] of an encoder layer, [H, T, T] and then [H, T, S] of a decoder layer. */
export interface Decoder {
  readonly encode: Player;
  readonly step: Player;
  readonly stepOfMany: Player;
  readonly full: Player;
  readonly attention: Player;
  /** Of the decoder. */
  readonly layers: number;
  readonly encoderLayers: number;
  readonly heads: number;
  readonly headWidth: number;
  readonly vocabulary: number;
}

/** The views of a transformer that decode. */
export function decoder(options: TransformerOptions): Decoder {
  const { depth, width, heads, vocabulary } = options;
  const layers = Array.from({ length: depth.decoder }, (_, layer) => layer);
  const lists = layers.flatMap((layer) => [keysOf(layer), valuesOf(layer)]);
  const view = (name: string, output: string, stages: Stage[]): Player => ({ name, stages, scalars: [], output });
  const step = (name: string, first: readonly Stage[], attend: typeof attendKept, reads: readonly string[]): Player => {
    const stages = [
      ...first,
      stepEmbedStage(options),
      ...layers.map((layer) => stepLayer(options, layer, attend)),
      ...endStage(options, "decoder"),
      stepOutputStage(options, lists),
    ];
    return view(name, "output", [
      together(name, stages, { reads: ["target", "position", "sourceMask", ...reads], writes: ["output"] }),
    ]);
  };
  return {
    encode: view("encode", "memory", [
      ...encoderStages(options),
      together("decoder/memory", [...layers.map((layer) => memoryStage(options, layer)), listStage(lists)], {
        reads: ["encoder"],
        writes: ["memory"],
      }),
    ]),
    step: step("decoder/step", [unpackStage(lists)], attendJoined, ["cache", "memory"]),
    stepOfMany: step("decoder/step-of-many", [], attendKept, [...lists.map(cached), ...lists.map(remembered)]),
    full: view("full", "output", [...encoderStages(options), ...decoderStages(options), fullOutputStage(options)]),
    attention: view("attention", "attention", [attentionStage(options)]),
    layers: depth.decoder,
    encoderLayers: depth.encoder,
    heads,
    headWidth: width / heads,
    vocabulary,
  };
}

const keysOf = (layer: number): number => 2 * layer;
const valuesOf = (layer: number): number => 2 * layer + 1;
const cached = (list: number): string => `cache/${list}`;
const remembered = (list: number): string => `memory/${list}`;
const fresh = (list: number): string => `fresh/${list}`;

const outside = (name: string) => ({ name, stack: "output", layer: "" }) as const;

/** Stages of an evaluation as one with one graph: a position takes so little time that most of it would go into calling program
 *  after program. `reads` are what the first of them to read it finds in the carry. */
function together(
  name: string,
  stages: readonly Stage[],
  { reads, writes }: { readonly reads: readonly string[]; readonly writes: readonly string[] },
): Stage {
  const joined = <T>(entriesOf: (stage: Stage) => Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(
      stages.flatMap((stage, i) =>
        Object.entries(entriesOf(stage)).map(([entry, value]) => [`${i}/${entry}`, value] as const),
      ),
    );
  return {
    ...outside(name),
    key: `together ${JSON.stringify([writes, stages.map(({ key, reads }) => [key, reads])])}`,
    parameters: joined(({ parameters }) => parameters),
    reads,
    constants: joined(({ constants }) => constants ?? {}),
    apply(p, carry, context) {
      let all = carry;
      for (const [i, stage] of stages.entries()) {
        const own = { ...context, constant: (symbol: string) => context.constant(`${i}/${symbol}`) };
        all = { ...all, ...stage.apply(under(p, String(i)), all, own) };
      }
      return Object.fromEntries(writes.map((entry) => [entry, all[entry]!]));
    },
  };
}

/** The whole network, of which what every layer offers as `attention-probabilities` is kept. */
function attentionStage(options: TransformerOptions): Stage {
  const network = together("attention", [...encoderStages(options), ...decoderStages(options)], {
    reads: ["source", "sourceMask", "target"],
    writes: ["decoder"],
  });
  return {
    ...network,
    key: `attention of ${network.key}`,
    apply(p, carry, context) {
      const found: Tensor[] = [];
      const reading: StageContext["reading"] = (_, name, make) => {
        if (name === "attention-probabilities") found.push(make());
      };
      network.apply(p, carry, { ...context, reading });
      return { attention: tf.concat(found) };
    },
  };
}

/** Keys and values of a layer's cross-attention, which no target changes. */
const memoryStage = (options: TransformerOptions, layer: number): Stage =>
  aheadStage(
    options,
    { stack: "decoder", layer, sublayer: "cross-attention" },
    { input: "encoder", variant: `memory ${layer}` },
    (encoder_BSD, p, inside) => {
      const { heads } = options;
      const [k, v] = projectHeads(encoder_BSD, ["key", "value"], p, { heads, inside });
      return { [remembered(keysOf(layer))]: k!, [remembered(valuesOf(layer))]: v! };
    },
  );

/** The memory of all layers as one tensor. */
const listStage = (lists: readonly number[]): Stage => ({
  ...outside("memory"),
  key: "memory",
  parameters: {},
  reads: lists.map(remembered),
  apply: (_, carry) => ({ memory: tf.stack(lists.map((list) => carry[remembered(list)]!)) }),
});

/** The lists of a step's cache and memory, which come as one tensor each: handing over two takes the runtime less than 4 L. */
const unpackStage = (lists: readonly number[]): Stage => ({
  ...outside("unpacked"),
  key: `unpacked ${lists.length}`,
  parameters: {},
  reads: ["cache", "memory"],
  apply(_, { cache, memory }) {
    const [caches, memories] = [cache!, memory!].map((packed) => tf.split(packed, lists.length));
    return Object.fromEntries(
      lists.flatMap((list, i) => [
        [cached(list), caches![i]!],
        [remembered(list), memories![i]!],
      ]),
    );
  },
});

/** The embedding of a token at a position of its row's own, and which entries of the cache the row has filled. */
function stepEmbedStage(options: TransformerOptions): Stage {
  const { width } = options;
  const cachedPositions = (carry: Tensors): number => carry[cached(0)]!.shape[2]!;
  const positions: OwnPositions = {
    name: "of each row",
    reads: ["position", cached(0)],
    of: (carry) => tf.gather(sinusoidalPositions(cachedPositions(carry) + 1, width), carry["position"] as tf.Tensor1D),
  };
  const embed = embedStage(options, "target", "decoder", positions);
  return {
    ...embed,
    key: `step of ${embed.key}`,
    apply(p, carry, context) {
      const rows = carry["target"]!.shape[0]!;
      const position_B1 = tf.reshape(tf.cast(carry["position"]!, "float32"), [rows, 1]);
      const places_C = tf.tensor1d(Float32Array.from({ length: cachedPositions(carry) }, (_, c) => c));
      const filled_BC = tf.cast(tf.less(places_C, position_B1), "float32");
      // The newest token sees itself, too, behind the cache.
      return { ...embed.apply(p, carry, context), visible: tf.concat([filled_BC, tf.ones([rows, 1])], 1) };
    },
  };
}

/** {@link attendKept} by joining what is kept with what is new. */
const attendJoined: typeof attendKept = (q, own, kept, p, options) =>
  attendHeads(q, tf.concat([kept.k, own.k], 2), tf.concat([kept.v, own.v], 2), p, options);

/** A decoder layer on one position of every row. */
function stepLayer(options: TransformerOptions, layer: number, attend: typeof attendKept): Stage {
  const { heads } = options;
  const [keys, values] = [keysOf(layer), valuesOf(layer)];
  const lists = [keys, values];
  const reads = ["decoder", "visible", "sourceMask", ...lists.map(cached), ...lists.map(remembered)];
  return layerStage(
    options,
    "decoder",
    layer,
    reads,
    (carry, context, write) => ({
      "self-attention"(x_BD, p, inside) {
        const [q, k, v] = projectHeads(x_BD, ["query", "key", "value"], p, { heads, inside }) as [
          Tensor,
          Tensor,
          Tensor,
        ];
        write(fresh(keys), k);
        write(fresh(values), v);
        const kept = { k: carry[cached(keys)]!, v: carry[cached(values)]! };
        const mask = paddingMask(carry["visible"]!);
        return attend(q, { k, v }, kept, p, { positions: x_BD.shape.slice(0, 1), mask, inside });
      },
      "cross-attention"(x_BD, p, inside) {
        const [q] = projectHeads(x_BD, ["query"], p, { heads, inside });
        const [k, v] = lists.map((list) => carry[remembered(list)]!);
        const mask = paddingMask(carry["sourceMask"]!);
        return attendHeads(q!, k!, v!, p, { positions: x_BD.shape.slice(0, 1), mask, inside });
      },
      "feed-forward": (x_BD, p, inside) => feedForwardBranch(options, x_BD, p, context, inside),
    }),
    `step ${layer} ${attend.name}`,
  );
}

/** Log-probabilities [B, V] of a stream [B, D]. */
function logProbabilities(options: TransformerOptions, p: Tensors, x_BD: Tensor): Tensor {
  const { weight_DV, bias_V } = outputProjection(options).weights(p);
  return tf.logSoftmax(tf.add(tf.matMul(x_BD as tf.Tensor2D, weight_DV as tf.Tensor2D), bias_V));
}

function stepOutputStage(options: TransformerOptions, lists: readonly number[]): Stage {
  const { tiedEmbeddings } = options;
  return {
    ...outside("output"),
    key: `step output ${JSON.stringify({ tied: tiedEmbeddings !== "none" })}`,
    parameters: outputProjection(options).parameters,
    reads: ["decoder", ...lists.map(fresh)],
    apply(p, carry) {
      const scores_BV = logProbabilities(options, p, carry["decoder"]!);
      // [B, H, 1, K] each: one tensor after the other, and heads within.
      const fresh_BHK = tf.concat(
        lists.map((list) => carry[fresh(list)]!),
        1,
      );
      return { output: tf.concat([scores_BV, tf.reshape(fresh_BHK, [scores_BV.shape[0]!, -1])], 1) };
    },
  };
}

function fullOutputStage(options: TransformerOptions): Stage {
  const { width, tiedEmbeddings } = options;
  return {
    ...outside("output"),
    key: `full output ${JSON.stringify({ tied: tiedEmbeddings !== "none" })}`,
    parameters: outputProjection(options).parameters,
    reads: ["decoder", "position"],
    apply(p, carry) {
      const [rows, length] = carry["decoder"]!.shape as [number, number];
      const starts_B = tf.tensor1d(
        Int32Array.from({ length: rows }, (_, row) => row * length),
        "int32",
      );
      const asked_B = tf.add(starts_B, carry["position"]!);
      const x_BD = tf.gather(tf.reshape(carry["decoder"]!, [-1, width]), asked_B as tf.Tensor1D);
      return { output: logProbabilities(options, p, x_BD) };
    },
  };
}
