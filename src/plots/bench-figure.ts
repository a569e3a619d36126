// The figure of `fathom bench`: what fathom needs in parts of what each peer needs.

import type { TopLevelSpec } from "vega-lite";
import { distinct, extent } from "../statistics.ts";
import { frame, lineLegend, lineScales } from "./style.ts";

/** A comparison with one peer. */
export interface BenchRatio {
  /** What was measured, e.g. `step 6+6, 64`. */
  readonly work: string;
  readonly peer: string;
  /** fathom / peer: median, lowest and highest of the rounds; all above 0. */
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** What is aimed at, where there is something. */
  readonly target?: number;
}

/** Ratios as dots with whiskers, a row a work: left of the line at 1 fathom needs less than the peer. A target is a short stroke. */
export function benchFigure(ratios: readonly BenchRatio[], conditions: string): TopLevelSpec {
  const peers = distinct(ratios.map(({ peer }) => peer));
  const works = distinct(ratios.map(({ work }) => work));
  const below = ratios.filter(({ median }) => median < 1).length;
  const title = `fathom needs less than its peer in ${below} of ${ratios.length} comparisons`;
  const notes = [
    "What fathom needs (time, memory) in parts of what the peer needs: left of the line at 1 it needs less. Dots are medians, whiskers the lowest and highest of rounds taken in turns.",
    ...(ratios.some(({ target }) => target !== undefined) ? ["A short stroke is the ratio that is aimed at."] : []),
    conditions,
  ];
  const [low, high] = extent(ratios.flatMap(({ min, max, target = 1 }) => [min, max, target]));
  const scales = lineScales(peers);
  const ticks = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20];
  const domain = [Math.min(low / 1.1, 0.5), Math.max(high * 1.1, 2)];
  const x = (field: string): object => ({
    field,
    type: "quantitative",
    title: "fathom / peer",
    scale: { type: "log", domain, nice: false },
    axis: { values: ticks.filter((tick) => tick >= domain[0]! && tick <= domain[1]!), format: "~r" },
  });
  const y = { field: "work", type: "nominal", title: null, sort: works, axis: { labelLimit: 0, grid: true } };
  // Peers of a work stand below each other within its row.
  const yOffset = { field: "peer", type: "nominal", sort: peers, scale: { paddingOuter: 0.5 } };
  const legend = lineLegend("", peers);
  const color = { field: "peer", type: "nominal", scale: scales.color, legend };
  const shape = { field: "peer", type: "nominal", scale: scales.shape, legend };
  const tooltip = ["work", "peer", "median", "min", "max"].map((field) => ({ field }));
  const aimed = distinct(
    ratios.flatMap(({ work, target }) => (target === undefined ? [] : [JSON.stringify({ work, target })])),
  );
  return {
    ...frame(title, notes, 95),
    data: { values: ratios },
    width: 560,
    // A step a row would contradict the stroke of a target, which has no place within its row.
    height: works.length * Math.max(18, 10 * peers.length),
    layer: [
      { mark: { type: "rule", color: "currentColor", opacity: 0.7 }, encoding: { x: { datum: 1 } } },
      ...(aimed.length > 0
        ? [
            {
              data: { values: aimed.map((text) => JSON.parse(text) as object) },
              mark: { type: "tick", color: "currentColor", thickness: 2, size: 16 },
              encoding: { x: x("target"), y },
            },
          ]
        : []),
      { mark: { type: "rule", strokeWidth: 1.5 }, encoding: { x: x("min"), x2: { field: "max" }, y, yOffset, color } },
      {
        mark: { type: "point", filled: true, size: 55, opacity: 1 },
        encoding: { x: x("median"), y, yOffset, color, shape, tooltip },
      },
    ],
  } as TopLevelSpec;
}
