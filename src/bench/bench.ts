// The main path of `fathom bench`: looks for peers, measures one work after the other, and tells all.

import { loadavg } from "node:os";
import { UserError } from "../errors.ts";
import { members, unknownName } from "../registry.ts";
import { distinct } from "../statistics.ts";
import { type Conditions, conditions, quietLoad } from "./conditions.ts";
import * as registry from "./index.ts";
import { findPeers, type FoundPeer, type PeerName, requireNamed } from "./peers.ts";
import { endChildren } from "./processes.ts";
import { type LeftOut, leftOutText } from "./turns.ts";
import { type Comparison, counted, type Measured, type Shape, type Work } from "./work.ts";

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
  /** Once aborted, what is measured so far is all; its reason is thrown where nothing was begun. */
  readonly signal: AbortSignal;
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
  /** Where it was interrupted what is not measured because of that, works that were not begun by their names. */
  readonly missing?: readonly string[];
}

/** What a work found of fathom alone, as a table. */
export type OwnTable = { readonly work: string } & NonNullable<Measured["own"]>;

/** The works of these names in order; all that are compared with peers if there are none. */
export function selectedWorks(names: readonly string[]): Work[] {
  const all = members<Work>(registry);
  if (names.length === 0) return [...all.values()].filter(({ comparesWith }) => comparesWith.length > 0);
  return distinct(names).map((name) => {
    const work = all.get(name);
    if (!work) throw new UserError(unknownName("work", name, [...all.keys(), "soak"].sort())); // which stands on its own
    return work;
  });
}

/** About how many minutes that takes; undefined where it is not known of a work. */
export function minutesOf(
  works: readonly Pick<Work, "minutes" | "comparesWith">[],
  { rounds, threads, found }: Pick<BenchOptions, "rounds" | "threads"> & { readonly found: readonly FoundPeer[] },
): number | undefined {
  const minutes = works.map(({ minutes = NaN, comparesWith }) => {
    const peers = found.filter(({ name }) => comparesWith.includes(name));
    return minutes * peers.reduce((sides, { timesAsLong = 1 }) => sides + timesAsLong, 1);
  });
  const all = rounds * threads.length * minutes.reduce((sum, one) => sum + one, 0);
  return Number.isNaN(all) ? undefined : all;
}

/** Measures. A shape for a work that has a network of its own is a `UserError`. */
export async function runBench(options: BenchOptions): Promise<{ report: BenchReport; tables: OwnTable[] }> {
  const { shapes, threads, rounds, say, signal } = options;
  const works = selectedWorks(options.works);
  const ownNetwork = works.find((work) => work.shapes === undefined);
  if (shapes && ownNetwork)
    throw new UserError(
      `--shape: expected none with ${ownNetwork.name}, whose network is that of its configuration; leave it out`,
    );
  const comparable = distinct(works.flatMap(({ comparesWith }) => comparesWith));
  const wanted = comparable.filter((name) => options.peers?.includes(name) ?? true);
  const names = works.map(({ name }) => name).join(", ");
  if (options.peers && options.peers.length > 0 && wanted.length === 0)
    throw new UserError(
      `--peer: ${names} cannot be compared with ${options.peers.join(", ")}; ` +
        (comparable.length > 0 ? `expected some of ${comparable.join(", ")}` : "leave it out"),
    );
  say(`${counted(works.length, "work")}, ${counted(rounds, "round")} of each: ${names}`);
  if (wanted.length > 0) say(`looking for ${wanted.join(", ")} ...`);
  signal.addEventListener("abort", endChildren);
  const { found, leftOut } = await findPeers(wanted, options.python, signal);
  requireNamed({ found, leftOut }, options);
  for (const missing of leftOut) say(leftOutText(missing));
  const minutes = shapes || options.steps !== undefined ? undefined : minutesOf(works, { rounds, threads, found });
  say(
    (found.length > 0 ? `beside ${found.map(({ label }) => label).join(", ")}` : "fathom alone") +
      (minutes === undefined ? "" : `; about ${Math.ceil(minutes)} min on the machine of docs/performance.md`) +
      "; Ctrl-C ends it with what is measured by then",
  );
  const facts = conditions(found);
  if (facts.loadBefore > quietLoad)
    say(`the machine is busy (load ${facts.loadBefore.toFixed(1)}): ratios will scatter`);
  const comparisons: Comparison[] = [];
  const tables: OwnTable[] = [];
  const missing: string[] = [];
  const soFar = (): BenchReport => {
    const own = Object.fromEntries(tables.map(({ work, data }) => [work, data]));
    const report = { ...facts, loadAfter: loadavg()[0]!, rounds, leftOut, comparisons, own };
    return missing.length > 0 ? { ...report, missing } : report;
  };
  for (const [i, work] of works.entries()) {
    if (signal.aborted) {
      missing.push(work.name);
      continue;
    }
    const measured = await work.measure({
      shapes: shapes ?? work.shapes ?? [],
      threads,
      rounds,
      steps: options.steps ?? work.steps,
      peers: found.filter(({ name }) => work.comparesWith.includes(name)),
      say: (text) => say(`work ${i + 1} of ${works.length}, ${text}`),
      signal,
      missed: (what) => void missing.push(what),
    });
    comparisons.push(...measured.comparisons);
    if (measured.own && measured.own.rows.length > 0) tables.push({ work: work.name, ...measured.own });
    if (!signal.aborted) await options.found?.(soFar());
  }
  if (signal.aborted) await options.found?.(soFar());
  return { report: soFar(), tables };
}
