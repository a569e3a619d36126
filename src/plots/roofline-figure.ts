// The figure of `fathom bench roofline`: what parts of a training step reach, under the roof of what the machine can.

import type { TopLevelSpec } from "vega-lite";
import { distinct } from "../statistics.ts";
import { frame, lineLegend, lineScales, logAxis } from "./style.ts";

/** A network on a machine. */
export interface RooflinePanel {
  /** `6+6, 64`. */
  readonly title: string;
  /** 1e9 floating-point operations a second, and 1e9 bytes a second, that the machine was measured to do. */
  readonly peak: number;
  readonly bandwidth: number;
  readonly dots: readonly RooflineDot[];
}

/** A part of its training step. */
export interface RooflineDot {
  readonly part: string;
  /** What its colour stands for: `forward`. */
  readonly group: string;
  /** Floating-point operations a byte; 0 of a part without products, which is not drawn. */
  readonly intensity: number;
  /** 1e9 floating-point operations a second. */
  readonly gigaflops: number;
  /** Of a step. */
  readonly milliseconds: number;
}

/** Pixels of a panel. */
const [width, height] = [400, 300];
/** Pixels of a label: for each character, in all, and between it and its dot. */
const label = { character: 5.8, height: 12, gap: 7 } as const;

/** A panel a network: rate against arithmetic intensity, both on logarithms, with the roof min(peak, intensity x bandwidth), and a labelled
 *  dot a part. */
export function rooflineFigure(panels: readonly RooflinePanel[], conditions: string): TopLevelSpec {
  const drawn = panels.map((panel) => panel.dots.filter(({ intensity }) => intensity > 0));
  const dots = drawn.flat();
  const bare = panels
    .flatMap(({ dots }) => dots.filter(({ intensity }) => intensity === 0))
    .map(({ part, group }) => (group === part ? part : `${part} (${group})`));
  const shares = panels.flatMap(({ title, peak, dots }) =>
    dots
      .filter(({ group }) => group === "whole")
      .map(({ gigaflops }) => `${Math.round((100 * gigaflops) / peak)} % (${title})`),
  );
  const title = `a step multiplies at ${shares.join(", ")} of the rate of one large product`;
  const notes = [
    "Products of each part of a training step: how fast they come, against how many there are for every byte of the part's inputs and outputs. The line is the machine's limit: bandwidth to the left of its bend, the rate of one large product to the right. What stays in a cache can lie above the slope.",
    ...(bare.length > 0 ? [`Without products, and not drawn: ${distinct(bare).join(", ")}.`] : []),
    conditions,
  ];
  const x = logAxis(
    dots.map(({ intensity }) => intensity),
    panels.map(({ peak, bandwidth }) => peak / bandwidth),
  );
  const y = logAxis(
    dots.map(({ gigaflops }) => gigaflops),
    panels.map(({ peak }) => peak),
  );
  const groups = distinct(dots.map(({ group }) => group));
  const scales = lineScales(groups);
  const legend = lineLegend("", groups);
  const color = { field: "group", type: "nominal", scale: scales.color, legend };
  const shape = { field: "group", type: "nominal", scale: scales.shape, legend };
  const along = (field: string, title: string, { domain, axis }: ReturnType<typeof logAxis>): object => ({
    field,
    type: "quantitative",
    title,
    scale: { type: "log", domain, nice: false },
    axis,
  });
  const at = (xField: string, yField: string): object => ({
    x: along(xField, "products: FLOP a byte", x),
    y: along(yField, "GFLOP/s", y),
  });
  return {
    ...frame(title, notes, 130),
    columns: 2,
    concat: panels.map(({ title, peak, bandwidth }, i) => {
      const [low, high] = x.domain;
      const bend = peak / bandwidth;
      const roof = [low, bend, high]
        .filter((intensity) => intensity === low || intensity === high || (intensity > low && intensity < high))
        .map((intensity) => ({ intensity, gigaflops: Math.min(peak, intensity * bandwidth) }));
      const values = placed(drawn[i]!, roof, x.domain, y.domain);
      return {
        title: { text: title, fontSize: 12 },
        width,
        height,
        layer: [
          {
            data: { values: roof },
            mark: { type: "line", color: "currentColor", opacity: 0.7, clip: true },
            encoding: at("intensity", "gigaflops"),
          },
          {
            data: { values },
            mark: { type: "point", filled: true, size: 55, opacity: 1 },
            encoding: {
              ...at("intensity", "gigaflops"),
              color,
              shape,
              tooltip: ["part", "group", "intensity", "gigaflops", "milliseconds"].map((field) => ({ field })),
            },
          },
          {
            data: { values },
            mark: { type: "rule", opacity: 0.6 },
            encoding: { ...at("intensity", "gigaflops"), x2: { field: "linkX" }, y2: { field: "linkY" }, color },
          },
          {
            data: { values },
            mark: { type: "text", align: "left", baseline: "middle", fontSize: 10 },
            encoding: { ...at("labelX", "labelY"), color, text: { field: "part" } },
          },
        ],
      };
    }),
  } as TopLevelSpec;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Dots with places for their labels, in the units of the axes: the left end of each, and where a line from its dot meets it. It stands
 *  at the first place beside its dot where it covers neither a dot, the roof nor a label that was placed before, and is within the
 *  panel. */
function placed(
  dots: readonly RooflineDot[],
  roof: readonly Pick<RooflineDot, "intensity" | "gigaflops">[],
  domainX: readonly [number, number],
  domainY: readonly [number, number],
): object[] {
  const pixel = (value: number, [low, high]: readonly [number, number], size: number): number =>
    (Math.log(value / low) / Math.log(high / low)) * size;
  const value = (pixel: number, [low, high]: readonly [number, number], size: number): number =>
    low * (high / low) ** (pixel / size);
  const points = dots.map((dot) => ({
    dot,
    x: pixel(dot.intensity, domainX, width),
    y: pixel(dot.gigaflops, domainY, height),
  }));
  const corners = roof.map(({ intensity, gigaflops }) => ({
    x: pixel(intensity, domainX, width),
    y: pixel(gigaflops, domainY, height),
  }));
  const along = corners.slice(1).flatMap((to, i) => {
    const from = corners[i]!;
    return Array.from({ length: 50 }, (_, j) => ({
      x: from.x + ((to.x - from.x) * j) / 50,
      y: from.y + ((to.y - from.y) * j) / 50,
    }));
  });
  const around = (pixels: number, { x, y }: { readonly x: number; readonly y: number }): Box => ({
    left: x - pixels,
    right: x + pixels,
    top: y + pixels,
    bottom: y - pixels,
  });
  const taken = [...points.map((point) => around(5, point)), ...along.map((point) => around(2, point))];
  return points.map(({ dot, x, y }) => {
    const long = label.character * dot.part.length;
    const candidates = [0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2, -2, 3, -3].flatMap((lines) =>
      [x + label.gap, x - label.gap - long, x - long / 2].map((left): Box => {
        const middle = y + lines * label.height;
        return { left, right: left + long, top: middle + label.height / 2, bottom: middle - label.height / 2 };
      }),
    );
    const isFree = (box: Box): boolean =>
      box.left >= 0 &&
      box.right <= width &&
      box.bottom >= 0 &&
      box.top <= height &&
      !taken.some((t) => box.left < t.right && t.left < box.right && box.bottom < t.top && t.bottom < box.top);
    const box = candidates.find(isFree) ?? candidates[0]!;
    taken.push(box);
    const [labelX, labelY] = [value(box.left, domainX, width), value((box.top + box.bottom) / 2, domainY, height)];
    return {
      ...dot,
      labelX,
      labelY,
      linkX: value(Math.min(Math.max(x, box.left), box.right), domainX, width),
      linkY: value(Math.min(Math.max(y, box.bottom + 2), box.top - 2), domainY, height),
    };
  });
}
