// What `fathom bench --out DIR` leaves: all numbers, and the figure.

import { join } from "node:path";
import { benchFigure, type BenchRatio } from "../plots/bench-figure.ts";
import { pngOf, svgOf } from "../plots/picture.ts";
import { lookup } from "../registry.ts";
import { writeWhole } from "../runs/files.ts";
import type { BenchReport } from "./bench.ts";
import * as registry from "./index.ts";
import { peerNamed } from "./peers.ts";
import type { Comparison, Work } from "./work.ts";

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
  `${cpu}, ${cores} cores, load ${loadBefore.toFixed(2)} before and ${loadAfter.toFixed(2)} after; ${rounds} rounds; ` +
  Object.entries(versions)
    .filter(([name]) => ["node", "onnxruntime-node"].includes(name) || /^(torch|jax)$|^tfjs-/.test(name))
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");

/** Every comparison with every peer, as the figure takes them. */
export const ratiosOf = (comparisons: readonly Comparison[]): BenchRatio[] =>
  comparisons.flatMap(({ work, shape, threads, peers }) =>
    peers.map(({ name, ratio }) => {
      const target = targetOf(work, shape);
      return {
        work: `${work} ${shape}${threads > 1 ? `, ${threads} threads` : ""}`,
        peer: peerNamed(name).label,
        ...ratio,
        ...(name === "torch" && target !== undefined && { target }),
      };
    }),
  );

/** The target of a work; `depth-start`, which is measured by `depth`, has none. */
const targetOf = (work: string, shape: string): number | undefined =>
  work === "depth-start" ? undefined : lookup<Work>("work", registry, work).target?.(shape);
