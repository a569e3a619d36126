// A transformer's encoder alone, as theorems on one stack have it: the project's own encoder layers and output stage, fed with
// vectors instead of tokens.
import * as tf from "@tensorflow/tfjs-core";
import type { StepResult } from "../engine/engine.ts";
import { readout } from "../engine/linearize.ts";
import { transformer, type TransformerOptions } from "../models/transformer.ts";
import { constant } from "../nn/parameters.ts";
import { stream } from "../random.ts";
import type { Init, Parameter, ParameterSpec, Player, Stage, TapPoint } from "../stage.ts";
import { initialize } from "../train/initialize.ts";
import type { Batch } from "../types.ts";
import { plainOptions } from "./plain-options.ts";

// B sentences, T length, D width, V vocabulary.

/** Sizes of an encoder and of the batches it reads. */
export interface EncoderSizes {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly feedForward: number;
  readonly sentences: number;
  readonly length: number;
  readonly vocabulary: number;
}

/** What ends an encoder: the transformer's own projection and cross-entropy, or the loss sum(x_L * g) with the batch's
 *  `cotangent` g, whose gradient at x_L is g. */
export type Ending = "cross-entropy" | "cotangent";

/** An encoder as a player. The batch's `input` enters as the stream x_0; a parameter of its shape that is 0, `input/offset`,
 *  is added, so that its gradient is dL/dx_0. */
export function encoderOnly(
  residual: TransformerOptions["residual"],
  sizes: EncoderSizes,
  ending: Ending = "cross-entropy",
): Player {
  const { layers, width, heads, feedForward, sentences, length, vocabulary } = sizes;
  const depth = { encoder: layers, decoder: 1 };
  const { stages } = transformer(plainOptions({ residual, depth, width, heads, feedForward, vocabulary }))[0]!;
  const input: Stage = {
    name: "input",
    stack: "input",
    layer: "",
    key: "theory input",
    parameters: { offset: { ...constant([sentences, length, width], 0), path: "input/offset" } },
    reads: ["input"],
    apply: (p, carry, context) => ({
      encoder: context.tap("input", "stream", tf.add(carry["input"]!, p["offset"]!)),
    }),
  };
  const ends =
    ending === "cotangent"
      ? [readout("encoder", "cotangent")]
      : [asDecoder, ...stages.filter(({ stack }) => stack === "output")];
  return {
    name: "encoder",
    stages: [input, ...stages.filter(({ stack }) => stack === "encoder"), ...ends],
    scalars: ["loss"],
  };
}

/** Gives the encoder's stream the name under which the transformer's output stage reads. */
const asDecoder: Stage = {
  name: "as-decoder",
  stack: "encoder",
  layer: "",
  key: "theory encoder as decoder",
  parameters: {},
  reads: ["encoder"],
  apply: (_, carry) => ({ decoder: tf.clone(carry["encoder"]!) }),
};

/** Standard normal inputs and cotangents, and labels that are uniform: batch `counter` of `seed`. */
export function gaussianBatch(sizes: EncoderSizes, seed: number, counter = 0): Batch {
  const { sentences, length, width, vocabulary } = sizes;
  const size = sentences * length;
  const normals = (purpose: string): Batch["tensors"][string] => ({
    dtype: "float32",
    shape: [sentences, length, width],
    data: stream(seed, `theory/${purpose}`).normal(new Float32Array(size * width), counter),
  });
  const ones = { dtype: "float32", shape: [sentences, length], data: new Float32Array(size).fill(1) } as const;
  const labels = stream(seed, "theory/labels").uniform(new Float64Array(size), counter);
  return {
    tensors: {
      input: normals("input"),
      cotangent: normals("cotangent"),
      labels: {
        dtype: "int32",
        shape: [sentences, length],
        data: Int32Array.from(labels, (u) => Math.floor(u * vocabulary)),
      },
      sourceMask: ones,
      labelWeights: ones,
    },
    tokens: size,
  };
}

/** The parameters of players that share theirs, drawn anew for every seed into the same memory, so that the engine need not
 *  lay the players out again. */
export function redrawn(players: readonly Player[]): { parameters: Map<string, Parameter>; draw(seed: number): void } {
  const parameters = initialize(players, 0);
  return {
    parameters,
    draw(seed) {
      for (const [path, { data }] of initialize(players, seed)) parameters.get(path)!.data.set(data);
    },
  };
}

/** The player with parameters that start otherwise, where `change` says so. */
export function startingAs(player: Player, change: (spec: ParameterSpec) => Init | undefined): Player {
  const changed = (spec: ParameterSpec): ParameterSpec => ({ ...spec, init: change(spec) ?? spec.init });
  const stages = player.stages.map((stage) => ({
    ...stage,
    parameters: Object.fromEntries(Object.entries(stage.parameters).map(([name, spec]) => [name, changed(spec)])),
  }));
  return { ...player, stages };
}

/** The initialisation of Xiong et al. 2020, section 3.2: matrices from Xavier's normal distribution, variance
 *  2 / (n_in + n_out), but for the queries' and keys', which are 0, so that every position attends to all alike. Their single
 *  head has no output matrix: it is the identity here. */
export function xiongInit(player: Player): Player {
  return startingAs(player, ({ path, shape, init }) => {
    const [rows, columns] = shape as [number, number];
    if (/self-attention\/(query|key)\/weight$/.test(path)) return { kind: "constant", value: 0 };
    if (path.endsWith("self-attention/out/weight")) return { kind: "values", values: identity(rows) };
    return init.kind === "xavier-uniform" ? { kind: "normal", std: Math.sqrt(2 / (rows + columns)) } : undefined;
  });
}

/** The elements of the identity matrix of `n` rows, row by row. */
const identity = (n: number): number[] => Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0));

/** The readings at one component of a stack's layers, from the bottom up. */
export const readingsAt = (
  taps: StepResult["taps"],
  stack: string,
  component: string,
  point: TapPoint = "stream",
): StepResult["taps"] =>
  taps.filter((tap) => tap.stack === stack && tap.component === component && tap.point === point);
