// The main path of `fathom bench`: looks for peers, measures one work after the other, and tells all.

import { loadavg } from "node:os";
import { UserError } from "../errors.ts";
import { lookup, members } from "../registry.ts";
import { distinct } from "../statistics.ts";
import { type Conditions, conditions, quietLoad } from "./conditions.ts";
import * as registry from "./index.ts";
import { findPeers, type PeerName } from "./peers.ts";
import { type LeftOut, leftOutText } from "./turns.ts";
import type { Comparison, Measured, Shape, Work } from "./work.ts";

/** What is to be measured. */
export interface BenchOptions {
  /** Names of works; all that are compared with peers if there are none. An unknown one is a `UserError`. */
  readonly works: readonly string[];
  /** Those of each work if not given. */
  readonly shapes?: readonly Shape[] | undefined;
  readonly threads: readonly number[];
  readonly rounds: number;
  /** Those of each work if not given. */
  readonly steps?: number | undefined;
  /** Peers that are wanted; all if not given. */
  readonly peers?: readonly PeerName[] | undefined;
  /** A Python to look for peers in. */
  readonly python?: string | undefined;
  /** Takes a line of progress. */
  say(text: string): void;
  /** Told after every work what has been found so far: an hour of measuring must not be lost with its last minute. */
  found?(report: BenchReport): Promise<void>;
}

/** What was found: the same as `--json` prints and bench.json holds. */
export interface BenchReport extends Conditions {
  readonly loadAfter: number;
  readonly rounds: number;
  /** Peers that are not here. */
  readonly leftOut: readonly LeftOut[];
  readonly comparisons: readonly Comparison[];
  /** What works found of fathom alone, by their names. */
  readonly own: Readonly<Record<string, object>>;
}

/** What a work found of fathom alone, as a table. */
export type OwnTable = { readonly work: string } & NonNullable<Measured["own"]>;

/** The works of these names in order; all that are compared with peers if there are none. */
export function selectedWorks(names: readonly string[]): Work[] {
  if (names.length > 0) return distinct(names).map((name) => lookup<Work>("work", registry, name));
  return [...members<Work>(registry).values()].filter(({ comparesWith }) => comparesWith.length > 0);
}

/** Measures. A shape for a work that has a network of its own is a `UserError`. */
export async function runBench(options: BenchOptions): Promise<{ report: BenchReport; tables: OwnTable[] }> {
  const { shapes, threads, rounds, say } = options;
  const works = selectedWorks(options.works);
  const ownNetwork = works.find((work) => work.shapes === undefined);
  if (shapes && ownNetwork)
    throw new UserError(
      `--shape: expected none with ${ownNetwork.name}, whose network is that of its configuration; leave it out`,
    );
  const wanted = distinct(works.flatMap(({ comparesWith }) => comparesWith)).filter(
    (name) => options.peers?.includes(name) ?? true,
  );
  if (wanted.length > 0) say(`looking for ${wanted.join(", ")} ...`);
  const { found, leftOut } = await findPeers(wanted, options.python);
  for (const missing of leftOut) say(leftOutText(missing));
  const facts = conditions(found);
  if (facts.loadBefore > quietLoad)
    say(`the machine is busy (load ${facts.loadBefore.toFixed(1)}): ratios will scatter`);
  const comparisons: Comparison[] = [];
  const tables: OwnTable[] = [];
  const soFar = (): BenchReport => {
    const own = Object.fromEntries(tables.map(({ work, data }) => [work, data]));
    return { ...facts, loadAfter: loadavg()[0]!, rounds, leftOut, comparisons, own };
  };
  for (const work of works) {
    const measured = await work.measure({
      shapes: shapes ?? work.shapes ?? [],
      threads,
      rounds,
      steps: options.steps ?? work.steps,
      peers: found.filter(({ name }) => work.comparesWith.includes(name)),
      say,
    });
    comparisons.push(...measured.comparisons);
    if (measured.own) tables.push({ work: work.name, ...measured.own });
    await options.found?.(soFar());
  }
  return { report: soFar(), tables };
}
