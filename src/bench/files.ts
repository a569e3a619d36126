// What `fathom bench --out DIR` leaves: all numbers, and the figure.

import { join } from "node:path";
import { benchFigure, type BenchRatio } from "../plots/bench-figure.ts";
import { pngOf, svgOf } from "../plots/picture.ts";
import { lookup } from "../registry.ts";
import { writeWhole } from "../runs/files.ts";
import { distinct } from "../statistics.ts";
import type { BenchReport } from "./bench.ts";
import * as registry from "./index.ts";
import { type PeerName, peerNamed, peers } from "./peers.ts";
import { type Comparison, counted, nameOf, type Work } from "./work.ts";

/** Writes bench.json, and bench.svg and bench.png where something was compared, into a folder that is there; the paths. */
export async function writeReport(folder: string, report: BenchReport): Promise<string[]> {
  const written: string[] = [];
  const write = (name: string, contents: string | Uint8Array): void => {
    writeWhole(join(folder, name), contents);
    written.push(join(folder, name));
  };
  write("bench.json", `${JSON.stringify(report, null, 2)}\n`);
  const ratios = ratiosOf(report.comparisons);
  if (ratios.length === 0) return written;
  const svg = await svgOf("bench", benchFigure(ratios, conditionsText(report)));
  write("bench.svg", svg);
  write("bench.png", pngOf(svg));
  return written;
}

/** One sentence: machine, load, rounds and versions. */
export const conditionsText = ({ cpu, cores, loadBefore, loadAfter, rounds, versions }: BenchReport): string =>
  `${cpu}, ${counted(cores, "core")}, load ${loadBefore.toFixed(2)} before and ${loadAfter.toFixed(2)} after; ` +
  `${counted(rounds, "round")}; ${versionsText(versions)}`;

/** Versions that matter; of PyTorch's peers, which are one package, that of the package, and each by its name where they differ. */
function versionsText(versions: BenchReport["versions"]): string {
  const ofTorch = distinct(Object.entries(versions).flatMap(([name, version]) => (isTorch(name) ? [version] : [])));
  const told = Object.entries(versions).flatMap(([name, version]) =>
    ["node", "onnxruntime-node", ...peers.map((peer) => peer.name)].includes(name)
      ? [`${isTorch(name) && ofTorch.length === 1 ? "torch" : name} ${version}`]
      : [],
  );
  return distinct(told).join(", ");
}

const isTorch = (name: string): boolean => /^torch(-|$)/.test(name);

/** Every comparison with every peer, as the figure takes them. */
export const ratiosOf = (comparisons: readonly Comparison[]): BenchRatio[] =>
  comparisons.flatMap((comparison) =>
    comparison.peers.map(({ name, ratio }) => {
      const target = targetOf(comparison, name);
      return {
        work: nameOf(comparison),
        peer: peerNamed(name).label,
        ...ratio,
        ...(target !== undefined && { target }),
      };
    }),
  );

/** The target of a ratio: of those to PyTorch's peers that to PyTorch eager has it. `depth-start`, which is measured by `depth`, has none. */
function targetOf({ work, shape }: Comparison, peer: PeerName): number | undefined {
  if (work === "depth-start") return undefined;
  const { comparesWith, target } = lookup<Work>("work", registry, work);
  return peer === "torch" || !comparesWith.includes("torch") ? target?.(shape) : undefined;
}
