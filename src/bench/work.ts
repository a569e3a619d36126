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
  /** About how many minutes one side takes for a round of all that, with one thread, on the machine of docs/performance.md. */
  readonly minutes?: number;
  /** The ratio to PyTorch eager that is aimed at for a shape, as {@link Comparison.shape} has it, where there is one: a mark in the
   *  figure. Of a work that is not compared with PyTorch, the ratio to its own peer. */
  readonly target?: (shape: string) => number | undefined;
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
  /** Aborted where the user interrupts: what is under way is given up, and nothing else is begun. */
  readonly signal: AbortSignal;
  /** Told what is not measured because of that: `step 24+24, 64`. */
  missed(what: string): void;
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

/** `6+6, 64, 2 threads`; one thread is not mentioned. */
export const withThreads = (text: string, threads: number): string =>
  threads > 1 ? `${text}, ${threads} threads` : text;

/** `step 6+6, 64, 2 threads`. */
export const nameOf = ({ work, shape, threads }: Pick<Comparison, "work" | "shape" | "threads">): string =>
  `${work} ${withThreads(shape, threads)}`;

/** `1 round`, `3 rounds`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** `20 (10-30)`, each as `text` writes it; the median alone where all are the same, as of one round. */
export const rangeText = ({ median, min, max }: Range, text: (value: number) => string, between = "-"): string =>
  min === max ? text(median) : `${text(median)} (${text(min)}${between}${text(max)})`;
