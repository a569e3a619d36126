// Lines of a chart, and the axis that they are read on.

import { axisOf, thinned, type Axis } from "./axes.ts";

/** One line. Places rise; values are NaN where there is none, and the line is broken there. */
export interface Line {
  readonly key: string;
  readonly name: string;
  readonly colour: string;
  readonly x: readonly number[];
  readonly y: readonly number[];
  /** A band around it, place by place. */
  readonly low?: readonly number[];
  readonly high?: readonly number[];
  readonly isDashed?: boolean;
  /** Pixels; 1.5 where absent. */
  readonly thickness?: number;
  readonly hasPoints?: boolean;
  /** Drawn pale, and not read under the pointer: a memory of another step. */
  readonly isGhost?: boolean;
}

/** A dashed line across, with its name. */
export interface Rule {
  readonly value: number;
  readonly label: string;
}

/** Limits for the sorted values in the window. On a linear axis a run about to diverge may leave by orders of magnitude, and the others' curves
 *  must stay readable: then its top is what 98 % of the values keep to, as in the figure of losses. */
export function verticalAxis(sorted: Float64Array, isLog: boolean, rules: readonly Rule[]): { y: Axis; above: number } {
  const include = rules.map(({ value }) => value);
  if (isLog) return { y: axisOf(thinned(sorted, 2000), true, include), above: 0 };
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 1;
  const [middle, high, most] = [at(0.5), at(0.98), at(1)];
  const isFarOut = most - middle > 4 * Math.max(1e-12, high - middle);
  const y = axisOf([at(0), isFarOut ? high : most], false, include);
  return { y, above: isFarOut ? sorted.reduce((n, value) => n + Number(value > y.domain[1]), 0) : 0 };
}

/** All finite values of lines and bands within an axis, from the smallest to the largest. */
export function sortedWithin(lines: readonly Line[], { domain }: Axis): Float64Array {
  const values = new Float64Array(lines.reduce((n, { x, low }) => n + (low ? 3 : 1) * x.length, 0));
  let n = 0;
  for (const { x, y, low, high } of lines)
    for (const column of [y, low, high])
      if (column)
        for (let i = 0; i < x.length; i++)
          if (x[i]! >= domain[0] && x[i]! <= domain[1] && Number.isFinite(column[i])) values[n++] = column[i]!;
  return values.subarray(0, n).sort();
}
