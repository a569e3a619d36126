// Axes of the page's own charts: where values stand in pixels, and ticks. Logarithmic ones are those of the figures.

import { logAxis, power } from "../../plots/style.ts";
import { extent, thinned as indicesOf } from "../../statistics.ts";
import { numberText } from "./format.ts";

/** One axis: its limits, and whether it is logarithmic. */
export interface Axis {
  readonly domain: readonly [number, number];
  readonly isLog: boolean;
}

/** A mark on an axis. */
export interface Tick {
  readonly value: number;
  readonly label: string;
}

/** An axis that holds `values` (NaN are left out), and `include` besides. */
export function axisOf(values: readonly number[], isLog: boolean, include: readonly number[] = []): Axis {
  if (isLog)
    return {
      domain: logAxis(
        values,
        include.filter((value) => value > 0),
      ).domain,
      isLog,
    };
  const [low, high] = extent([...values.filter(Number.isFinite), ...include]);
  if (low > high) return { domain: [0, 1], isLog };
  const room = high > low ? 0.04 * (high - low) : Math.abs(high) * 0.1 || 1;
  return { domain: [low >= 0 && low - room < 0 ? 0 : low - room, high + room], isLog };
}

/** At most `most` sorted values that stand for all: evenly chosen, the ends among them. */
export const thinned = (sorted: Float64Array, most: number): number[] =>
  indicesOf(sorted.length, most).map((i) => sorted[i]!);

/** The pixel of a value, when the axis goes from `start` to `end`; NaN where a logarithmic axis has no place for it. */
export function scaleOf({ domain, isLog }: Axis, start: number, end: number): (value: number) => number {
  if (!isLog) {
    const [low, high] = domain;
    const factor = (end - start) / (high - low || 1);
    return (value) => start + (value - low) * factor;
  }
  const [low, high] = [Math.log(domain[0]), Math.log(domain[1])];
  const factor = (end - start) / (high - low || 1);
  return (value) => (value > 0 ? start + (Math.log(value) - low) * factor : NaN);
}

/** The value at a pixel, the other way round. */
export function valueAt({ domain, isLog }: Axis, start: number, end: number, pixel: number): number {
  const share = (pixel - start) / (end - start || 1);
  return isLog ? domain[0] * (domain[1] / domain[0]) ** share : domain[0] + share * (domain[1] - domain[0]);
}

/** About `wanted` ticks at round values. */
export function ticksOf({ domain, isLog }: Axis, wanted: number): Tick[] {
  if (isLog) return logTicks(domain, wanted);
  const [low, high] = domain;
  if (!(high > low)) return [{ value: low, label: numberText(low) }];
  const rough = (high - low) / Math.max(1, wanted);
  const size = 10 ** Math.floor(Math.log10(rough));
  const stride = size * ([1, 2, 5, 10].find((factor) => factor * size >= rough) ?? 10);
  const first = Math.ceil(low / stride - 1e-9);
  const last = Math.floor(high / stride + 1e-9);
  return Array.from({ length: Math.min(200, last - first + 1) }, (_, i) => {
    const value = Number(((first + i) * stride).toPrecision(12));
    return { value, label: tickLabel(value) };
  });
}

const tickLabel = (value: number): string =>
  Math.abs(value) >= 10_000 && Math.abs(value) < 1e7 && Number.isInteger(value)
    ? value.toLocaleString("en").replaceAll(",", " ")
    : numberText(value);

function logTicks(domain: readonly [number, number], wanted: number): Tick[] {
  // As what is included: of values alone those far from their median would be taken for strays.
  const values = logAxis([domain[1]], [domain[0]]).axis.values.filter(
    (value) => value >= domain[0] && value <= domain[1],
  );
  // Powers of ten alone where the figures' ticks would stand too close here.
  const powers = values.filter((value) => Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6));
  const shown = values.length > wanted * 1.6 && powers.length >= 2 ? powers : values;
  const stride = Math.ceil(shown.length / Math.max(2, wanted * 1.6));
  return shown.filter((_, i) => i % stride === 0).map((value) => ({ value, label: power(value) }));
}
