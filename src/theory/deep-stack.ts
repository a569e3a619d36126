// Deep encoders at initialisation, and how random error signals fare in them.
import { transformer, type TransformerOptions } from "../models/transformer.ts";
import { stream } from "../random.ts";
import type { Parameters } from "../stage.ts";
import { initialize } from "../train/initialize.ts";
import type { HostTensor } from "../types.ts";
import type { Laboratory } from "./check.ts";
import { type Carry, carries } from "./error-signal.ts";
import { plainOptions } from "./plain-options.ts";
import { type Part, partLinks, type PartLink } from "./sublayers.ts";

/** Layers, width and length, how many random errors go down, and the seeds: of parameters, tokens and errors. */
export const deep = { layers: 64, width: 64, tokens: 16, errors: 8, seeds: [1, 2, 3, 4, 5] } as const;

/** The stack in words, for the conditions of checks. */
export const deepInWords =
  `an encoder of ${deep.layers} layers of width ${deep.width} at initialisation, ${deep.tokens} random tokens, ${deep.errors} random ` +
  `normal errors sent down from its top; ${deep.seeds.length} seeds`;

/** A deep encoder with its tokens and errors. */
export interface DeepStack {
  readonly options: TransformerOptions;
  readonly parameters: Parameters;
  /** Its sublayers' parts, from the bottom up. */
  readonly links: readonly PartLink[];
  /** The carry as each of them finds it. */
  readonly carries: readonly Carry[];
  /** Random errors at the top, one a row. */
  readonly errors: Float32Array;
}

/** The deep encoder of a scheme and a seed, taken apart into the `parts` of its sublayers. */
export async function deepStack(
  { engine }: Laboratory,
  residual: string,
  seed: number,
  parts: readonly Part[],
): Promise<DeepStack> {
  const { layers, width, tokens, errors: rows } = deep;
  const vocabulary = 100;
  const depth = { encoder: layers, decoder: 1 };
  const options = plainOptions({ residual, depth, width, heads: 4, feedForward: 4 * width, vocabulary });
  const players = transformer(options);
  const parameters = initialize(players, seed);
  const links = partLinks(options, "encoder", parts);
  const draws = stream(seed, "theory/tokens").uniform(new Float64Array(tokens));
  const shape = [1, tokens];
  const first: Record<string, HostTensor> = {
    source: { dtype: "int32", shape, data: Int32Array.from(draws, (u) => Math.floor(u * vocabulary)) },
    sourceMask: { dtype: "float32", shape, data: new Float32Array(tokens).fill(1) },
  };
  const chain = [players[0]!.stages[0]!, ...links.map(({ stage }) => stage)]; // the first embeds the source
  const found = await carries(engine, chain, parameters, first);
  const errors = stream(seed, "theory/errors").normal(new Float32Array(rows * tokens * width));
  return { options, parameters, links, carries: found.slice(1, -1), errors };
}
