// Train, dev and test are divided by template group, so that no evaluated sentence has a near-copy in training, in any
// language. Segments are in one group when, in any language, they have the same template or nearly the same words.

import type { Segment } from "./corpus.ts";
import { sha256 } from "./cache.ts";
import { template, words } from "./text.ts";

export const SPLITS = ["train", "dev", "test"] as const;
export type Split = (typeof SPLITS)[number];

/** Word overlap (Jaccard index of word sets) from which two texts count as copies of each other. */
export const NEAR_COPY = 0.8;

/** Shares in percent: below the first train, below the second dev, the rest test. */
const BOUNDS = [90, 95] as const;

/** A segment and the split it belongs to. */
export interface SplitSegment extends Segment {
  readonly split: Split;
  /** Number of the template group, in the order of first appearance; none where a split keeps clear of near-copies otherwise. */
  readonly group?: number;
}

/** Divides segments into splits, about 90/5/5 of the groups. A group's split follows from a hash of its first English
 *  template (in code-unit order), so added data moves nothing but what it joins to an older group. */
export function divide(segments: readonly Segment[]): SplitSegment[] {
  const groups = templateGroups(segments);
  const names = new Map<number, string>();
  for (const [i, segment] of segments.entries()) {
    const key = template(segment.text.en!);
    const name = names.get(groups[i]!);
    if (name === undefined || key < name) names.set(groups[i]!, key);
  }
  const splits = new Map([...names].map(([group, name]) => [group, splitOf(name)]));
  return segments.map((segment, i) => ({ ...segment, split: splits.get(groups[i]!)!, group: groups[i]! }));
}

function splitOf(name: string): Split {
  const percent = (100 * parseInt(sha256(name).slice(0, 8), 16)) / 2 ** 32;
  return percent < BOUNDS[0] ? "train" : percent < BOUNDS[1] ? "dev" : "test";
}

/** The group of each segment, counted from 0 in the order of first appearance. */
export function templateGroups(segments: readonly Segment[]): number[] {
  const parent = Int32Array.from({ length: segments.length }, (_, i) => i);
  const find = (i: number): number => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]!]!;
    return i;
  };
  const union = (i: number, j: number): void => {
    const [a, b] = [find(i), find(j)];
    // The earlier one is the root, which keeps the numbering independent of the order of unions.
    parent[Math.max(a, b)] = Math.min(a, b);
  };
  const languages = new Set(segments.flatMap((segment) => Object.keys(segment.text)));
  for (const language of languages) {
    const present = segments.flatMap((segment, index) => {
      const text = segment.text[language];
      return text === undefined ? [] : [{ index, text, template: template(text) }];
    });
    const first = new Map<string, number>();
    for (const { index, template } of present) {
      const earlier = first.get(template);
      if (earlier === undefined) first.set(template, index);
      else union(earlier, index);
    }
    // With and without the masked parts: quoted text may make up most of a sentence, or hide what two have in common.
    for (const form of ["template", "text"] as const)
      joinNearCopies(
        present.map((entry) => ({ index: entry.index, words: words(entry[form]) })),
        (i, j) => find(i) === find(j),
        union,
      );
  }
  const numbers = new Map<number, number>();
  return segments.map((_, i) => {
    const root = find(i);
    if (!numbers.has(root)) numbers.set(root, numbers.size);
    return numbers.get(root)!;
  });
}

/** Unites all pairs of records whose word sets have a Jaccard index of at least `NEAR_COPY`. Prefix filtering (Bayardo,
 *  Ma and Srikant 2007): with words in order of rarity, two such sets share a word among the first few of each. */
function joinNearCopies(
  records: readonly { readonly index: number; readonly words: readonly string[] }[],
  together: (i: number, j: number) => boolean,
  union: (i: number, j: number) => void,
): void {
  const { sets: unsorted, vocabulary } = rankedSets(records);
  const sets = unsorted.sort((a, b) => a.words.length - b.words.length);
  const byPrefix: number[][] = Array.from({ length: vocabulary }, () => []);
  for (const [position, set] of sets.entries()) {
    const size = set.words.length;
    const least = leastShared(size);
    for (const word of set.words.subarray(0, size - least + 1)) {
      for (const candidate of byPrefix[word]!) {
        const other = sets[candidate]!;
        if (other.words.length < least || together(set.index, other.index)) continue;
        const shared = countShared(set.words, other.words);
        if (shared / (size + other.words.length - shared) >= NEAR_COPY) union(set.index, other.index);
      }
      byPrefix[word]!.push(position);
    }
  }
}

/** The word sets as ascending ranks, the rarest word 0; among equally frequent words the one seen first is the rarer. */
function rankedSets(records: readonly { readonly index: number; readonly words: readonly string[] }[]): {
  sets: { index: number; words: Int32Array }[];
  vocabulary: number;
} {
  const ids = new Map<string, number>();
  const frequency: number[] = [];
  const coded = records.map(({ index, words }) => {
    const codes = new Int32Array(words.length);
    for (const [i, word] of words.entries()) {
      let id = ids.get(word);
      if (id === undefined) ids.set(word, (id = frequency.push(0) - 1));
      frequency[id]!++;
      codes[i] = id;
    }
    return { index, words: codes };
  });
  const byRarity = Int32Array.from(frequency.keys()).sort((a, b) => frequency[a]! - frequency[b]! || a - b);
  const ranks = new Int32Array(frequency.length);
  for (const [rank, id] of byRarity.entries()) ranks[id] = rank;
  const sets = coded.map(({ index, words }) => {
    const ascending = words.map((id) => ranks[id]!).sort();
    return { index, words: ascending.filter((rank, i) => rank !== ascending[i - 1]) };
  });
  return { sets, vocabulary: frequency.length };
}

/** Tells whether a text is a near-copy of one of `texts`: of the same template, or with nearly the same words. */
export function nearCopiesOf(texts: readonly string[]): (text: string) => boolean {
  const templates = new Set(texts.map(template));
  const forms = (["template", "text"] as const).map((form) => {
    const shown = (text: string): string => (form === "template" ? template(text) : text);
    return nearWords(texts.map((text) => words(shown(text))));
  });
  return (text) => {
    const own = template(text);
    if (templates.has(own)) return true;
    const masked = words(own);
    return forms[0]!(masked) || forms[1]!(own.includes("#") ? words(text) : masked);
  };
}

/** Tells whether a word set has a Jaccard index of at least `NEAR_COPY` with one of `sets`, by prefixes as above. */
function nearWords(sets: readonly (readonly string[])[]): (words: readonly string[]) => boolean {
  const frequency = new Map<string, number>();
  for (const set of sets) for (const word of new Set(set)) frequency.set(word, (frequency.get(word) ?? 0) + 1);
  const byRarity = [...frequency].sort(([a, n], [b, m]) => n - m || (a < b ? -1 : 1));
  const ranks = new Map(byRarity.map(([word], rank) => [word, rank]));
  const known = (words: Iterable<string>): Int32Array =>
    Int32Array.from(new Set(words), (word) => ranks.get(word) ?? -1)
      .filter((rank) => rank >= 0)
      .sort();
  const ranked = sets.map(known);
  const byPrefix: number[][] = Array.from({ length: ranks.size }, () => []);
  for (const [i, set] of ranked.entries())
    for (const word of set.subarray(0, set.length - leastShared(set.length) + 1)) byPrefix[word]!.push(i);
  return (words) => {
    const size = new Set(words).size;
    const own = known(words);
    const least = leastShared(size);
    // Words that no set has are the rarest of all.
    const strange = size - own.length;
    if (size === 0 || own.length < least) return false;
    for (const word of own.subarray(0, Math.max(0, size - least + 1 - strange)))
      for (const candidate of byPrefix[word]!) {
        const other = ranked[candidate]!;
        if (other.length < least || size < leastShared(other.length)) continue;
        const shared = countShared(own, other);
        if (shared / (size + other.length - shared) >= NEAR_COPY) return true;
      }
    return false;
  };
}

/** Words that two sets must share for a Jaccard index of `NEAR_COPY`, one of them having `size` words. */
const leastShared = (size: number): number => Math.ceil(NEAR_COPY * size - 1e-9);

/** How many elements two ascending arrays have in common. */
function countShared(a: Int32Array, b: Int32Array): number {
  let shared = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const difference = a[i]! - b[j]!;
    if (difference === 0) shared++;
    if (difference <= 0) i++;
    if (difference >= 0) j++;
  }
  return shared;
}
