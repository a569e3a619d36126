// Words for claims, the same on the page and in the terminal.

import { groupBy } from "../statistics.ts";
import type { Claim } from "../types.ts";

/** Five significant digits; a dash for what is not there. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value) || value === 0) return String(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(5)));
}

/** `20 hold, 2 corrected, 1 fails`. */
export function verdictCounts(claims: readonly Pick<Claim, "verdict">[]): string {
  const groups = groupBy(claims, ({ verdict }) => verdict);
  const words = [
    ["holds", "holds", "hold"],
    ["corrected", "corrected", "corrected"],
    ["fails", "fails", "fail"],
  ] as const;
  return words
    .flatMap(([verdict, one, many]) => {
      const n = groups.get(verdict)?.length ?? 0;
      return n === 0 ? [] : [`${n} ${n === 1 ? one : many}`];
    })
    .join(", ");
}

/** `1 claim`, `7 claims`. */
export const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

/** A claim's tolerance and, where it has one, its interval: `0.4, within -0.7 to -0.4`. */
export const toleranceText = ({ tolerance, within }: Pick<Claim, "tolerance" | "within">): string =>
  `${numberText(tolerance)}${within ? `, within ${within.map(numberText).join(" to ")}` : ""}`;
