// What training records of the error at every sublayer of a network and a sentence: the vectors dE/dx, and their norms as
// the activation-gradient probe gives them.
import type { Engine } from "../engine/engine.ts";
import { assert } from "../errors.ts";
import { transformer, type TransformerOptions } from "../models/transformer.ts";
import { type Stack, stacks } from "../residual/scheme.ts";
import type { Parameters } from "../stage.ts";
import { distinct } from "../statistics.ts";
import type { Batch, HostTensor } from "../types.ts";
import { furthest, type Laboratory } from "./check.ts";
import { type Carry, carries, errorsAt } from "./error-signal.ts";
import { type PartLink, takenApart } from "./sublayers.ts";

/** The networks of the seed's Question 18: as small as their Jacobians have to be, which have (tokens x width)^2 elements. */
export const setting = { depth: 4, width: 16, steps: 150, tokens: 8, seeds: [1, 2, 3] } as const;

/** The setting in words, for the conditions of checks. */
export const settingInWords =
  `${setting.depth} + ${setting.depth} layers of width ${setting.width}, at initialisation and after ${setting.steps} steps of ` +
  `training on the corpus; ${setting.seeds.length} seeds; for each a real sentence pair cut to ${setting.tokens} tokens, and no dropout`;

/** When a network is looked at. */
export type Moment = "initialisation" | "trained";

/** A stack as it was recorded, of which network and when. */
export interface Sample {
  readonly seed: number;
  readonly moment: Moment;
  readonly options: TransformerOptions;
  readonly parameters: Parameters;
  readonly recorded: RecordedStack;
}

/** A stack taken apart, with what flows through it. */
export interface RecordedStack {
  readonly stack: Stack;
  /** From the bottom up. */
  readonly links: readonly PartLink[];
  /** The carry as each link finds it. */
  readonly carries: readonly Carry[];
  /** dE/dx as each link finds x, and at the stack's top: one more than links. In the encoder it comes through every
   *  decoder layer's cross-attention; at its top it is dE/d(memory) or, below a final norm, what that norm leaves of it. */
  readonly errors: readonly Float64Array[];
  /** ||dE/dx|| by the taps of the network as training runs it, at the bottom of the stack and after each sublayer. */
  readonly tapNorms: readonly number[];
}

/** Every stack of every network of the setting, at both moments, taken apart into `partsOf`. */
export async function samples(
  laboratory: Laboratory,
  residual: string,
  partsOf: (options: TransformerOptions, stack: Stack) => readonly PartLink[],
): Promise<Sample[]> {
  const { tokens, seeds, ...network } = setting;
  const found: Sample[] = [];
  for (const seed of seeds) {
    const { batch, ...trained } = await laboratory.trained({ ...network, residual, seed });
    const options = { ...trained.options, dropout: 0 };
    const sentence = shortSentence(batch, tokens, seed);
    for (const moment of ["initialisation", "trained"] as const) {
      const parameters = moment === "trained" ? trained.parameters : trained.initial;
      const recorded = await record(laboratory.engine, options, parameters, sentence, (stack) =>
        partsOf(options, stack),
      );
      for (const stack of stacks) found.push({ seed, moment, options, parameters, recorded: recorded[stack] });
    }
  }
  return found;
}

/** The largest of the numbers that each seed's samples have, one a seed: `rows[i]` are those of `samples[i]`. */
export const largestBySeed = (
  samples: readonly Pick<Sample, "seed">[],
  rows: readonly (readonly number[])[],
): number[] =>
  distinct(samples.map(({ seed }) => seed)).map((seed) =>
    furthest(
      rows.flatMap((row, i) => (samples[i]!.seed === seed ? row : [])),
      0,
    ),
  );

/** The panel of a figure in which a sample stands. */
export const panelOf = ({ moment, recorded: { stack } }: Pick<Sample, "moment" | "recorded">): string =>
  `${stack}, ${moment === "trained" ? "trained" : "at initialisation"}`;

/** Runs the network on `batch` once as training does, and once taken apart into `partsOf` its stacks. */
export async function record(
  engine: Engine,
  options: TransformerOptions,
  parameters: Parameters,
  batch: Batch,
  partsOf: (stack: Stack) => readonly PartLink[],
): Promise<Readonly<Record<Stack, RecordedStack>>> {
  const parts = { encoder: partsOf("encoder"), decoder: partsOf("decoder") };
  const stages = takenApart(options, parts);
  const found = await carries(engine, stages.slice(0, -1), parameters, batch.tensors);
  const places = stacks.map((stack) => {
    const first = stages.indexOf(parts[stack][0]!.stage);
    const shape = found[first]![stack]!.shape;
    const gauges = Array.from({ length: parts[stack].length + 1 }, (_, i) => ({
      before: first + i,
      entry: stack,
      shape,
    }));
    return { stack, first, gauges };
  });
  const step = { step: 0, seed: 0 };
  const original = await engine.differentiate(transformer(options)[0]!, parameters, batch, { ...step, tapped: true });
  const lossOfOriginal = original.scalars["loss"]!;
  const { taps } = original;
  const gauges = places.flatMap((place) => place.gauges);
  const { loss, errors } = await errorsAt(engine, stages, parameters, batch.tensors, gauges);
  // Rounding of float32, and no more, stands between a network and the same network taken apart.
  assert(
    Math.abs(loss - lossOfOriginal) <= 1e-5 * Math.abs(lossOfOriginal),
    `taken apart, the network's loss is ${loss}, and whole it is ${lossOfOriginal}`,
  );
  let next = 0;
  const recorded = places.map(({ stack, first, gauges }): [Stack, RecordedStack] => {
    const links = parts[stack];
    const ends = links.filter((link, i) => links[i + 1]?.sublayer !== link.sublayer);
    const normAt = (where: string, layer: number | "", component: string): number => {
      const tap = taps.find(
        (tap) => tap.stack === where && tap.layer === layer && tap.component === component && tap.point === "stream",
      );
      assert(tap, `no tap at ${where} ${layer} ${component}`);
      return Math.sqrt(tap.gradient.sumSquares);
    };
    return [
      stack,
      {
        stack,
        links,
        carries: found.slice(first, first + links.length),
        errors: errors.slice(next, (next += gauges.length)),
        tapNorms: [
          normAt("embedding", "", stack === "encoder" ? "source" : "target"),
          ...ends.map(({ layer, sublayer }) => normAt(stack, layer, sublayer)),
        ],
      },
    ];
  });
  return Object.fromEntries(recorded) as Record<Stack, RecordedStack>;
}

/** One real sentence pair of the batch, another for every seed, of those that have at least `tokens` tokens on both sides (or
 *  the longest there is), cut to that many: small enough for its Jacobians to be written out. */
export function shortSentence({ tensors }: Batch, tokens: number, seed: number): Batch {
  const { sourceMask, labelWeights } = tensors as Record<"sourceMask" | "labelWeights", HostTensor>;
  const rows = sourceMask.shape[0]!;
  const count = ({ shape, data }: HostTensor, row: number): number =>
    Array.from(data.subarray(row * shape[1]!, (row + 1) * shape[1]!)).reduce((sum, x) => sum + x, 0);
  const lengths = Array.from({ length: rows }, (_, row) => Math.min(count(sourceMask, row), count(labelWeights, row)));
  const length = Math.min(tokens, Math.max(...lengths));
  const candidates = lengths.flatMap((l, row) => (l >= length ? [row] : []));
  const row = candidates[seed % candidates.length]!;
  const cut = ({ dtype, shape, data }: HostTensor): HostTensor => ({
    dtype,
    shape: [1, length],
    data: data.slice(row * shape[1]!, row * shape[1]! + length),
  });
  return { tensors: Object.fromEntries(Object.entries(tensors).map(([k, v]) => [k, cut(v)])), tokens: length };
}
