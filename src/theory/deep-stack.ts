// Deep encoders at initialisation, and how random error signals fare in them.
import { transformer, type TransformerOptions } from "../models/transformer.ts";
import { stream } from "../random.ts";
import type { Parameters } from "../stage.ts";
import { initialize } from "../train/initialize.ts";
import type { HostTensor } from "../types.ts";
import type { Laboratory } from "./check.ts";
import { type Carry, carries } from "./error-signal.ts";
import { type Part, partLinks, type PartLink } from "./sublayers.ts";

/** Layers, width and length, how many random errors go down, and the seeds: of parameters, tokens and errors. */
export const deep = { layers: 64, width: 64, tokens: 16, errors: 8, seeds: [1, 2, 3, 4, 5] } as const;

/** The stack in words, for the conditions of checks. */
export const deepInWords =
  `an encoder of ${deep.layers} layers of width ${deep.width} at initialisation, ${deep.tokens} random tokens, ${deep.errors} random ` +
  `normal errors sent down from its top; ${deep.seeds.length} seeds`;

/** A deep encoder with its tokens and errors. */
export interface DeepStack {
  readonly parameters: Parameters;
  /** Its sublayers, whole, from the bottom up. */
  readonly sublayers: readonly PartLink[];
  /** The carry as each of them finds it. */
  readonly carries: readonly Carry[];
  /** Random errors at the top, one a row. */
  readonly errors: Float32Array;
  /** The sublayers' parts as links. */
  parts(parts: readonly Part[]): PartLink[];
}

/** The deep encoder of a scheme and a seed. */
export async function deepStack({ engine }: Laboratory, residual: string, seed: number): Promise<DeepStack> {
  const { layers, width, tokens, errors: rows } = deep;
  const vocabulary = 100;
  const options: TransformerOptions = {
    depth: { encoder: layers, decoder: 1 },
    width,
    heads: 4,
    feedForward: 4 * width,
    residual,
    norm: "layer-norm",
    activation: "relu",
    dropout: 0,
    tiedEmbeddings: "none",
    vocabulary,
    labelSmoothing: 0,
  };
  const players = transformer(options);
  const parameters = initialize(players, seed);
  const parts = (parts: readonly Part[]): PartLink[] => partLinks(options, "encoder", parts);
  const sublayers = parts(["sublayer"]);
  const draws = stream(seed, "theory/tokens").uniform(new Float64Array(tokens));
  const shape = [1, tokens];
  const first: Record<string, HostTensor> = {
    source: { dtype: "int32", shape, data: Int32Array.from(draws, (u) => Math.floor(u * vocabulary)) },
    sourceMask: { dtype: "float32", shape, data: new Float32Array(tokens).fill(1) },
  };
  const chain = [players[0]!.stages[0]!, ...sublayers.map(({ stage }) => stage)]; // the first embeds the source
  const found = await carries(engine, chain, parameters, first);
  const errors = stream(seed, "theory/errors").normal(new Float32Array(rows * tokens * width));
  return { parameters, sublayers, carries: found.slice(1, -1), errors, parts };
}
