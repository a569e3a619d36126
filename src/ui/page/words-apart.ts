// Which words of a translation are not those of the reference: what marks in the table of translations stand for.

/** A word of a text with the spaces behind it. */
export interface Part {
  readonly text: string;
  /** Whether it is in the longest common subsequence of both texts' words. */
  readonly isCommon: boolean;
}

/** Longer texts are not compared word by word: the table of words grows with their product. */
const longest = 400;

/** `text` in words, each with whether `other` has it in the same order. */
export function wordsApart(text: string, other: string): Part[] {
  const [own, its] = [split(text), split(other)];
  if (own.length === 0 || own.length > longest || its.length > longest) return [{ text, isCommon: true }];
  const same = (i: number, j: number): boolean => own[i]!.trim().toLowerCase() === its[j]!.trim().toLowerCase();
  const table = Array.from({ length: own.length + 1 }, () => new Uint16Array(its.length + 1));
  for (let i = own.length - 1; i >= 0; i--)
    for (let j = its.length - 1; j >= 0; j--)
      table[i]![j] = same(i, j) ? table[i + 1]![j + 1]! + 1 : Math.max(table[i + 1]![j]!, table[i]![j + 1]!);
  const parts: Part[] = [];
  let [i, j] = [0, 0];
  while (i < own.length) {
    if (j < its.length && same(i, j)) {
      parts.push({ text: own[i]!, isCommon: true });
      i += 1;
      j += 1;
    } else if (j < its.length && table[i]![j + 1]! >= table[i + 1]![j]!) j += 1;
    else parts.push({ text: own[i++]!, isCommon: false });
  }
  return parts;
}

/** Words with the spaces behind them; punctuation apart, so that a full stop more makes no other word. */
const split = (text: string): string[] => text.match(/(?:[\p{L}\p{N}_'’{}-]+|[^\s\p{L}\p{N}_])\s*/gu) ?? [];
