// The trainer of byte-pair encodings (Sennrich, Haddow and Birch 2016) over bytes. Pair counts are kept up to date word
// by word, so a merge costs no more than the words it occurs in.
//
// Tie rule: of the pairs with the highest count, the one with the smallest left id, then the smallest right id. Ids are
// the 256 bytes, then the pieces in the order in which they were made. With this rule the result is a function of the
// counts of the words alone, whatever their order.

/** GPT-2's alphabet: byte -> a printable character, so that pieces can be written in JSON. */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

/** The byte of a character of that alphabet. */
export const CHARACTER_BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((c, byte) => [c, byte]));

function byteCharacters(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/** What training yields. */
export interface BytePairs {
  /** Pieces in GPT-2's alphabet: the 256 bytes, then the products of merges. */
  readonly pieces: readonly string[];
  /** Pairs of ids in the order of merging. There can be more merges than products: "a"+"bc" and "ab"+"c" make one piece. */
  readonly merges: readonly (readonly [number, number])[];
}

/** Merges the commonest pairs within words until there are `size` pieces (bytes included), or no pair is left.
 *  `words` maps each word to how often it occurs. */
export function trainBytePairs(words: ReadonlyMap<string, number>, size: number): BytePairs {
  const encoder = new TextEncoder();
  const symbols = Array.from(words.keys(), (word) => Array.from(encoder.encode(word)));
  const frequencies = [...words.values()];
  const pieces = [...BYTE_CHARACTERS];
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const merges: [number, number][] = [];
  const merged = new Set<number>();

  const counts = new Map<number, number>();
  const occurrences = new Map<number, number[]>();
  const heap = makeHeap();
  const count = (left: number, right: number, word: number, sign: 1 | -1): number => {
    const pair = pairKey(left, right);
    counts.set(pair, (counts.get(pair) ?? 0) + sign * frequencies[word]!);
    if (sign > 0) {
      // A word may be listed twice, or have lost the pair since: merging it then finds nothing to do.
      const where = occurrences.get(pair);
      if (!where) occurrences.set(pair, [word]);
      else if (where.at(-1) !== word) where.push(word);
    }
    return pair;
  };
  const pushAll = (pairs: Iterable<number>): void => {
    for (const pair of pairs) if (counts.get(pair)! > 0) heap.push(counts.get(pair)!, pair);
  };

  for (const [word, ofWord] of symbols.entries())
    for (let i = 1; i < ofWord.length; i++) count(ofWord[i - 1]!, ofWord[i]!, word, 1);
  pushAll(counts.keys());
  while (pieces.length < size) {
    const top = heap.pop();
    if (!top) break;
    // Entries are not removed when a count changes: one that no longer tells the count is out of date.
    if (counts.get(top.pair) !== top.count) continue;
    const [left, right] = [Math.floor(top.pair / PAIR_BASE), top.pair % PAIR_BASE];
    const product = pieces[left]! + pieces[right]!;
    const id = ids.get(product) ?? pieces.length;
    if (id === pieces.length) {
      pieces.push(product);
      ids.set(product, id);
    }
    // A piece with two derivations can bring back a pair that has been merged: that needs no second rule.
    if (!merged.has(top.pair)) merges.push([left, right]);
    merged.add(top.pair);
    const changed = new Set<number>();
    for (const word of occurrences.get(top.pair)!) {
      const ofWord = symbols[word]!;
      let length = 0;
      for (let i = 0; i < ofWord.length; i++) {
        if (ofWord[i] !== left || ofWord[i + 1] !== right) {
          ofWord[length++] = ofWord[i]!;
          continue;
        }
        // The neighbour before is already as it will be, the one after still as it was.
        if (length > 0) {
          changed.add(count(ofWord[length - 1]!, left, word, -1));
          changed.add(count(ofWord[length - 1]!, id, word, 1));
        }
        const next = ofWord[i + 2];
        if (next !== undefined) {
          changed.add(count(right, next, word, -1));
          changed.add(count(id, next, word, 1));
        }
        ofWord[length++] = id;
        i++;
      }
      ofWord.length = length;
    }
    counts.delete(top.pair);
    occurrences.delete(top.pair);
    changed.delete(top.pair);
    pushAll(changed);
  }
  return { pieces, merges };
}

/** Ids stay below 2^21, so a pair is an exact double and pairs sort by left id, then right id. */
const PAIR_BASE = 2 ** 21;
/** Two ids as one number. */
export const pairKey = (left: number, right: number): number => left * PAIR_BASE + right;

interface Entry {
  readonly count: number;
  readonly pair: number;
}

/** A binary heap that gives the highest count first, then the smallest pair. */
function makeHeap(): { push(count: number, pair: number): void; pop(): Entry | undefined } {
  const entries: Entry[] = [];
  const before = (a: Entry, b: Entry): boolean => a.count > b.count || (a.count === b.count && a.pair < b.pair);
  return {
    push(count, pair) {
      const entry = { count, pair };
      let i = entries.length;
      for (; i > 0 && before(entry, entries[(i - 1) >> 1]!); i = (i - 1) >> 1) entries[i] = entries[(i - 1) >> 1]!;
      entries[i] = entry;
    },
    pop() {
      const top = entries[0];
      const last = entries.pop();
      if (!last || entries.length === 0) return top;
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= entries.length) break;
        if (child + 1 < entries.length && before(entries[child + 1]!, entries[child]!)) child++;
        if (!before(entries[child]!, last)) break;
        entries[i] = entries[child]!;
        i = child;
      }
      entries[i] = last;
      return top;
    },
  };
}
