// fathom and its peers in turns: fathom, peer, peer, fathom ... A machine that slows down for a while slows all, and each is compared
// with fathom's own measurement of the same round.

import { loadavg } from "node:os";
import { join } from "node:path";
import { assert, messageOf } from "../errors.ts";
import { median } from "../statistics.ts";
import { peerNamed, type FoundPeer, type PeerName } from "./peers.ts";
import { jsonOf, peerFolder } from "./processes.ts";
import { type Asked, type Comparison, counted, nameOf, type PeerSide, rangeOf, type Side } from "./work.ts";

/** A peer that was not measured. */
export interface LeftOut {
  readonly name: PeerName;
  /** One line. */
  readonly reason: string;
  /** How to get it. */
  readonly install: string;
}

/** What one side's process measured; in a sweep, all of its processes. */
export interface Sample {
  /** What is compared. */
  readonly cost: number;
  readonly parameters?: number;
  readonly firstStepMilliseconds?: number;
}

/** Runs a program of scripts/peers and gives the JSON it prints. */
export const runPeer = <T>(
  { command }: Pick<FoundPeer, "command">,
  [file, ...args]: readonly string[],
): Promise<T & { readonly started: number }> => jsonOf<T>(command, [join(peerFolder, file!), ...args]);

/** Measures both sides `rounds` times, in turns. What fails on fathom's side throws; a peer that fails is left out from there on, and
 *  `say` is told why. Once interrupted it gives the rounds that are whole, or throws where none is. */
export async function takeTurns(
  what: Pick<Comparison, "work" | "shape" | "threads" | "unit">,
  asked: Pick<Asked, "rounds" | "peers" | "say" | "signal" | "missed">,
  fathom: () => Promise<Sample>,
  peer: (found: FoundPeer) => Promise<Sample>,
): Promise<Comparison> {
  const before = loadavg()[0]!;
  const ours: Sample[] = [];
  const theirs = new Map<PeerName, Sample[]>(asked.peers.map(({ name }) => [name, []]));
  const leftOut: LeftOut[] = [];
  const { rounds, signal } = asked;
  let whole = 0;
  try {
    for (; whole < rounds; whole++) {
      signal.throwIfAborted();
      asked.say(`${nameOf(what)}: round ${whole + 1} of ${rounds} ...`);
      ours.push(await fathom());
      for (const found of asked.peers) {
        const samples = theirs.get(found.name);
        if (!samples) continue;
        try {
          samples.push(await peer(found));
        } catch (error) {
          signal.throwIfAborted();
          theirs.delete(found.name);
          const reason = messageOf(error);
          leftOut.push({ name: found.name, reason, install: found.install });
          asked.say(`${nameOf(what)}: ${leftOutText(leftOut.at(-1)!)}`);
        }
      }
    }
  } catch (error) {
    if (!signal.aborted || whole === 0) throw error;
    asked.missed(`${counted(rounds - whole, "round")} of ${nameOf(what)}`);
  }
  const ofWhole = new Map([...theirs].map(([name, samples]) => [name, samples.slice(0, whole)]));
  return comparisonOf(what, { before, after: loadavg()[0]! }, ours.slice(0, whole), ofWhole, leftOut);
}

/** A comparison from its samples, one a round on every side. Networks that differ in their parameters are an error of ours. */
export function comparisonOf(
  what: Pick<Comparison, "work" | "shape" | "threads" | "unit">,
  load: Comparison["load"],
  ours: readonly Sample[],
  theirs: ReadonlyMap<PeerName, readonly Sample[]>,
  leftOut: readonly LeftOut[],
): Comparison {
  const parameters = ours[0]!.parameters;
  const peers = [...theirs].map(([name, samples]): PeerSide => {
    const others = samples.find((sample) => sample.parameters !== parameters);
    assert(!others || parameters === undefined, `${name}: ${others?.parameters} parameters, in fathom ${parameters}`);
    return { name, ...sideOf(samples), ratio: rangeOf(ours.map(({ cost }, i) => cost / samples[i]!.cost)) };
  });
  return {
    ...what,
    ...(parameters !== undefined && { parameters }),
    load,
    rounds: ours.length,
    fathom: sideOf(ours),
    peers,
    leftOut,
  };
}

function sideOf(samples: readonly Sample[]): Side {
  const values = samples.map(({ cost }) => cost);
  const first = samples.flatMap(({ firstStepMilliseconds: ms }) => (ms === undefined ? [] : [ms]));
  return { cost: rangeOf(values), values, ...(first.length > 0 && { firstStepMilliseconds: rangeOf(first) }) };
}

/** `torch-fused is left out: ...; to get it: ...`. */
export const leftOutText = ({ name, reason, install }: LeftOut): string =>
  `${peerNamed(name).label} is left out: ${reason}; to get it: ${install}`;

/** The peer that fathom does worst against, undefined where there is none. */
export const bestPeer = ({ peers }: Comparison): PeerSide | undefined =>
  peers.reduce<PeerSide | undefined>(
    (best, peer) => (best && best.ratio.median >= peer.ratio.median ? best : peer),
    undefined,
  );

/** The median of the timed steps of a process that printed them. */
export const stepCost = ({ milliseconds }: { readonly milliseconds: readonly number[] }): number =>
  median(milliseconds);
