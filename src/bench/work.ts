// What a work of `fathom bench` is: data and one function. Each is a file of this folder and a line in index.ts.

import type { Member } from "../registry.ts";
import { extent, median } from "../statistics.ts";
import type { FoundPeer, PeerName } from "./peers.ts";
import type { LeftOut } from "./turns.ts";

/** Something whose cost is measured. */
export interface Work extends Member {
  /** Peers that do the same work; of a work that has some, all costs are compared with theirs. */
  readonly comparesWith: readonly PeerName[];
  /** Networks that are measured where none is named; undefined of a work that has a network of its own. */
  readonly shapes?: readonly Shape[];
  /** Timed steps (or what takes their place) a round where nothing is said. */
  readonly steps: number;
  /** The ratio to PyTorch eager that is aimed at for a shape, as {@link Comparison.shape} has it, where there is one: a mark in the
   *  figure. */
  readonly target?: (shape: string) => number;
  measure(asked: Asked): Promise<Measured>;
}

/** What is asked of a work. */
export interface Asked {
  readonly shapes: readonly Shape[];
  /** Thread counts, one after the other; both sides have as many. */
  readonly threads: readonly number[];
  /** Times each side is measured, in turns. */
  readonly rounds: number;
  readonly steps: number;
  /** Those of {@link Work.comparesWith} that were found. */
  readonly peers: readonly FoundPeer[];
  /** Takes a line of progress. */
  say(text: string): void;
}

/** What a work found. */
export interface Measured {
  /** Beside peers. */
  readonly comparisons: readonly Comparison[];
  /** Of fathom alone: a table, what stands under it, and the same as data. */
  readonly own?: {
    readonly head: readonly string[];
    readonly rows: readonly (readonly string[])[];
    readonly under: string;
    readonly data: object;
  };
}

/** A network: encoder and decoder layers each, and width; 4 heads, feed-forward 4 x width, pre-LN. */
export interface Shape {
  readonly depth: number;
  readonly width: number;
}

/** Median, lowest and highest of several measurements. */
export interface Range {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The range of at least one number. */
export function rangeOf(values: readonly number[]): Range {
  const [min, max] = extent(values);
  return { median: median(values), min, max };
}

/** What one thing costs in fathom and in peers: one number a round, less is better. */
export interface Comparison {
  readonly work: string;
  /** For people: `6+6, 64`. */
  readonly shape: string;
  readonly threads: number;
  readonly unit: Unit;
  /** Of the network, the same on all sides. */
  readonly parameters?: number;
  /** Load averages of the last minute. */
  readonly load: { readonly before: number; readonly after: number };
  readonly rounds: number;
  readonly fathom: Side;
  readonly peers: readonly PeerSide[];
  readonly leftOut: readonly LeftOut[];
}

/** `ms/token`: of all sentences together. */
export type Unit = "ms/step" | "s" | "MiB" | "s/epoch" | "ms/token";

/** One side's costs. */
export interface Side {
  readonly cost: Range;
  readonly values: readonly number[];
  /** Milliseconds of the first step, in which networks are compiled, where there is one. */
  readonly firstStepMilliseconds?: Range;
}

/** A peer's. */
export interface PeerSide extends Side {
  readonly name: PeerName;
  /** fathom / peer, round by round: below 1 fathom needs less. */
  readonly ratio: Range;
}

/** `6+6, 64`. */
export const shapeText = ({ depth, width }: Shape): string => `${depth}+${depth}, ${width}`;

/** `6+6 layers, width 64`, for progress. */
export const shapeWords = ({ depth, width }: Shape): string => `${depth}+${depth} layers, width ${width}`;
