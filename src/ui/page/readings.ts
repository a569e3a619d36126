// What a chart's lines have at the place of a pointer or of the keyboard.

import type { Axis } from "./axes.ts";
import { numberText } from "./format.ts";
import type { Line } from "./lines.ts";

/** Lines that are read under the pointer at most. */
const read = 9;

/** Where a pointer or the keyboard stands. */
export interface Cursor {
  readonly x: number;
  /** Pixel of the pointer, by which lines are ordered; undefined of the keyboard. */
  readonly pixelY: number | undefined;
}

/** What a line has at one place. */
export interface Reading {
  readonly line: Line;
  /** Where it was recorded, which is not where other lines were. */
  readonly x: number;
  readonly value: number;
  readonly low: number | undefined;
  readonly high: number | undefined;
}

/** What lies under the cursor. */
export interface Found {
  /** The recorded place nearest to the cursor. */
  readonly x: number;
  /** Lines that have a value there. */
  readonly of: number;
  readonly readings: readonly Reading[];
}

/** The values of the lines nearest to the cursor, each at its own recorded place nearest to it, from top to bottom. `toX` and `toY` give
 *  pixels. */
export function readingsAt(
  lines: readonly Line[],
  { x, pixelY }: Cursor,
  toX: (value: number) => number,
  toY: (value: number) => number,
  emphasis: string | undefined,
): Found | undefined {
  const all = lines.flatMap((line): Reading[] => {
    const i = nearest(line.x, x);
    if (i < 0 || Math.abs(toX(line.x[i]!) - toX(x)) > 40 || !Number.isFinite(line.y[i]!)) return [];
    return [{ line, x: line.x[i]!, value: line.y[i]!, low: line.low?.[i], high: line.high?.[i] }];
  });
  if (all.length === 0) return undefined;
  const distance = (reading: Reading): number =>
    reading.line.key === emphasis ? -1 : pixelY === undefined ? 0 : Math.abs(toY(reading.value) - pixelY);
  const near = [...all].sort((a, b) => distance(a) - distance(b)).slice(0, read);
  const at = near.reduce((best, one) => (Math.abs(one.x - x) < Math.abs(best.x - x) ? one : best)).x;
  return { x: at, of: all.length, readings: near.sort((a, b) => b.value - a.value) };
}

/** The index of the place nearest to `wanted`; -1 of none. Places rise. */
function nearest(places: readonly number[], wanted: number): number {
  let [low, high] = [0, places.length - 1];
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (places[middle]! <= wanted) low = middle;
    else high = middle;
  }
  return wanted - places[low]! <= places[high]! - wanted ? low : high;
}

/** The next recorded place within the axis, in a direction; from nowhere the first or last. */
export function neighbour(
  lines: readonly Line[],
  from: number | undefined,
  direction: number,
  axis: Axis,
): number | undefined {
  let best: number | undefined;
  for (const line of lines) {
    for (const place of line.x) {
      if (place < axis.domain[0] || place > axis.domain[1]) continue;
      const isBeyond = from === undefined || (place - from) * direction > 1e-9;
      if (isBeyond && (best === undefined || (place - best) * direction < 0)) best = place;
    }
  }
  return best ?? from;
}

/** A place in words: a share of a whole, else a whole step or layer, since a band's places are means of steps. */
export const placeText = (place: number): string => (place > 1 ? String(Math.round(place)) : numberText(place));

/** Where a reading stands, if that is not what the tooltip is headed with; else empty. */
export const elsewhere = (place: number, heading: number): string =>
  placeText(place) === placeText(heading) ? "" : placeText(place);
