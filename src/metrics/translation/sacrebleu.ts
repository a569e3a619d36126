// What the scores of this folder share. They are those of sacreBLEU (Post 2018, "A call for clarity in reporting BLEU
// scores"), written anew: equal texts and settings give equal numbers and signatures. Pure functions of strings.
import { UserError } from "../../errors.ts";

/** The version of sacreBLEU that the scores are compared with, and that signatures name. */
export const SACREBLEU_VERSION = "2.6.0";

/** What a segment is compared with: one translation, or several of equal standing. */
export type Reference = string | readonly string[];

/** Integers of one segment, whose sums over a corpus determine its score. */
export type Statistics = readonly number[];

/** The references of a segment as a list. */
export const referencesOf = (reference: Reference): readonly string[] =>
  typeof reference === "string" ? [reference] : reference;

/** A `UserError` unless there are segments, and for every hypothesis a reference. */
export function checkSegments(hypotheses: readonly string[], references: readonly Reference[]): void {
  if (hypotheses.length !== references.length)
    throw new UserError(
      `translation scores: expected one entry of references for each hypothesis, got ${hypotheses.length} hypotheses ` +
        `and ${references.length} references; give both in the order of the segments`,
    );
  if (hypotheses.length === 0)
    throw new UserError("translation scores: expected at least one segment, got none; a corpus of none has no score");
  const bare = references.findIndex((reference) => referencesOf(reference).length === 0);
  if (bare >= 0)
    throw new UserError(
      `translation scores: expected at least one reference for segment ${bare}, got an empty list; an empty reference is ""`,
    );
}

/** The sum of segments' statistics, all of one length. A `UserError` where there are none. */
export function sumOf(statistics: readonly Statistics[]): number[] {
  if (statistics.length === 0)
    throw new UserError("translation scores: expected at least one segment, got none; a corpus of none has no score");
  const sum = new Array<number>(statistics[0]!.length).fill(0);
  for (const segment of statistics) for (let i = 0; i < sum.length; i++) sum[i]! += segment[i]!;
  return sum;
}

// Python's white space. JavaScript's \s knows the byte-order mark but neither the four separators U+001C to U+001F nor U+0085.
const SPACE = "[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const spaces = new RegExp(`${SPACE}+`);
const isSpace = new RegExp(`^${SPACE}$`);

/** The words between white space, as Python's `str.split`. */
export const wordsOf = (text: string): string[] => text.split(spaces).filter((word) => word !== "");

/** `text` without white space at its end, as Python's `str.rstrip`. */
export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** `text` without white space at both ends, as Python's `str.strip`. */
export function trim(text: string): string {
  let start = 0;
  while (start < text.length && isSpace.test(text[start]!)) start++;
  return trimEnd(text.slice(start));
}

/** sacreBLEU's signature: what a score was computed with, `key:value|...`, the number of references per segment first
 *  ("var" where it varies) and the version last. It has no word on resampling, whose stream is not NumPy's. */
export function signatureOf(
  references: readonly Reference[],
  settings: Readonly<Record<string, string | number>>,
): string {
  const counts = new Set(references.map((reference) => referencesOf(reference).length));
  const pairs = { nrefs: counts.size === 1 ? [...counts][0]! : "var", ...settings, version: SACREBLEU_VERSION };
  return Object.entries(pairs)
    .map(([key, value]) => `${key}:${value}`)
    .join("|");
}

/** What a score's line is made of. */
export interface ScoreLine {
  readonly name: string;
  readonly score: number;
  /** What follows the score: BLEU's precisions. */
  readonly detail?: string;
  /** Told between the name and the score; left out, the line is for people. */
  readonly signature?: string;
  /** Of the bootstrap. */
  readonly interval?: { readonly mean: number; readonly halfWidth: number };
  /** Decimals; default 2. */
  readonly digits?: number;
}

/** sacreBLEU's line for a score: `BLEU|nrefs:1|... = 31.24 (μ = 31.20 ± 1.31) 62.1/...`. */
export function scoreLine({ name, score, detail, signature, interval, digits = 2 }: ScoreLine): string {
  const spread = interval && ` (μ = ${fixed(interval.mean, digits)} ± ${fixed(interval.halfWidth, digits)})`;
  return `${name}${signature ? `|${signature}` : ""} = ${fixed(score, digits)}${spread ?? ""}${detail ? ` ${detail}` : ""}`;
}

/** `value` (0 or more) with `digits` decimals, as Python writes it: a tie goes to the even digit, where `toFixed` rounds up. */
export function fixed(value: number, digits: number): string {
  const rounded = value.toFixed(digits);
  // The decimals of a tie end after one more digit: they are few enough that `toFixed` writes them all.
  const [whole, decimals] = value.toFixed(digits + 40).split(".") as [string, string];
  if (!/^50*$/.test(decimals.slice(digits))) return rounded;
  const below = digits === 0 ? whole : `${whole}.${decimals.slice(0, digits)}`;
  return Number(below.at(-1)) % 2 === 0 ? below : rounded;
}
