// Byte-pair encoding (Sennrich, Haddow and Birch 2016) over bytes: its trainer and its encoder. In training, pair
// counts are kept up to date word by word, so a merge costs no more than the words it occurs in.
//
// Tie rule: of the pairs with the highest count, the one with the smallest left id, then the smallest right id. Ids are
// the 256 bytes, then the pieces in the order in which they were made. With this rule the result is a function of the
// counts of the words alone, whatever their order.

/** GPT-2's alphabet: byte -> a printable character, so that pieces can be written in JSON. */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

/** The byte of a character of that alphabet. */
export const CHARACTER_BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((c, byte) => [c, byte]));

/** The bytes of a piece in that alphabet. */
export const bytesOfPiece = (piece: string): Uint8Array =>
  Uint8Array.from(piece, (character) => CHARACTER_BYTES.get(character)!);

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
  /** Pairs of ids in the order of merging. There can be more merges than products: "a"+"bc" and "ab"+"c" make one
   *  piece. */
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
    if (counts.get(top.key) !== top.priority) continue;
    const [left, right] = [Math.floor(top.key / PAIR_BASE), top.key % PAIR_BASE];
    const product = pieces[left]! + pieces[right]!;
    const id = ids.get(product) ?? pieces.length;
    if (id === pieces.length) {
      pieces.push(product);
      ids.set(product, id);
    }
    // A piece with two derivations can bring back a pair that has been merged: that needs no second rule.
    if (!merged.has(top.key)) merges.push([left, right]);
    merged.add(top.key);
    const changed = new Set<number>();
    for (const word of occurrences.get(top.key)!) {
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
    counts.delete(top.key);
    occurrences.delete(top.key);
    changed.delete(top.key);
    pushAll(changed);
  }
  return { pieces, merges };
}

/** Gives the ids of a word (as UTF-8): of the pairs that a merge applies to, the earliest merge at its leftmost place,
 *  until none is left. `merges` are pairs of ids of `pieces`, which are in GPT-2's alphabet. Takes n log n time for n
 *  bytes. */
export function bytePairEncoder(
  pieces: readonly string[],
  merges: readonly (readonly [number, number])[],
): (bytes: Uint8Array) => number[] {
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const ofByte = BYTE_CHARACTERS.map((character) => ids.get(character)!);
  const ranks = new Map(merges.map(([left, right], rank) => [pairKey(left, right), rank]));
  const products = merges.map(([left, right]) => ids.get(pieces[left]! + pieces[right]!)!);
  return (bytes) => {
    // A list linked both ways: a merge at i takes in the symbol after it, whose place then holds -1.
    const symbols = Int32Array.from(bytes, (byte) => ofByte[byte]!);
    const previous = Int32Array.from(symbols, (_, i) => i - 1);
    const next = Int32Array.from(symbols, (_, i) => i + 1);
    const heap = makeHeap();
    const rankAt = (i: number): number | undefined =>
      next[i]! < symbols.length ? ranks.get(pairKey(symbols[i]!, symbols[next[i]!]!)) : undefined;
    const push = (i: number): void => {
      const rank = rankAt(i);
      if (rank !== undefined) heap.push(-rank, i);
    };
    for (let i = 0; i < symbols.length; i++) push(i);
    for (let top = heap.pop(); top; top = heap.pop()) {
      const [rank, i] = [-top.priority, top.key];
      // Entries stay when a symbol changes: one that no longer tells what is there is out of date.
      if (symbols[i]! < 0 || rankAt(i) !== rank) continue;
      symbols[i] = products[rank]!;
      const after = next[i]!;
      symbols[after] = -1;
      next[i] = next[after]!;
      if (next[i]! < symbols.length) previous[next[i]!] = i;
      push(i);
      if (previous[i]! >= 0) push(previous[i]!);
    }
    return Array.from(symbols).filter((symbol) => symbol >= 0);
  };
}

/** Ids stay below 2^21, so a pair is an exact double and pairs sort by left id, then right id. */
const PAIR_BASE = 2 ** 21;
/** Two ids as one number. */
const pairKey = (left: number, right: number): number => left * PAIR_BASE + right;

interface Entry {
  readonly priority: number;
  readonly key: number;
}

/** A binary heap that gives the highest priority first, then the smallest key. */
function makeHeap(): { push(priority: number, key: number): void; pop(): Entry | undefined } {
  const entries: Entry[] = [];
  const before = (a: Entry, b: Entry): boolean =>
    a.priority > b.priority || (a.priority === b.priority && a.key < b.key);
  return {
    push(priority, key) {
      const entry = { priority, key };
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
