// The unigram language model of Kudo 2018 ("Subword Regularization", section 3.2) over bytes: a text is a sequence of
// pieces drawn independently, so the probability of a segmentation is the product of those of its pieces, and a word is
// encoded by its most probable one. Training starts from the frequent substrings of the words, and turn by turn fits
// the probabilities by expectation maximisation and drops the pieces whose loss costs least.
//
// Nothing depends on the order of the words: they are sorted, so that even sums are rounded alike. Tie rules: of seeds
// that save as much, of pieces whose loss costs as much, and in the file of those as probable, the one whose bytes are
// first in order comes first; of segmentations that are as probable, the one whose last piece is longest is taken, then
// the last but one and so on, as Hugging Face's `tokenizers` does.

import { BYTE_CHARACTERS, bytesOfPiece } from "./bpe.ts";

/** A piece is at most this many characters long, as in SentencePiece, unless it is a single byte. */
const LONGEST_PIECE = 16;
/** Bytes of such a piece. */
export const LONGEST_PIECE_BYTES = 4 * LONGEST_PIECE;
/** Seeds for each piece asked for, and in all. */
const SEEDS_PER_PIECE = 10;
const MOST_SEEDS = 1_000_000;
/** What a turn of pruning leaves, at least. */
const KEPT = 0.75;
/** Steps of expectation maximisation before each pruning, and after the last. */
const STEPS = 2;
const LAST_STEPS = 4;
/** Added to the expected count of every piece: the Dirichlet prior that keeps a byte possible which the training text
 *  never needs. What expectation maximisation then maximises is the logarithm of the posterior. */
const PRIOR = 0.01;

/** What training yields. */
export interface Unigram {
  /** Pieces in GPT-2's alphabet: the 256 bytes, then the others, the most probable first. */
  readonly pieces: readonly string[];
  /** Their log-probabilities in nats, to six decimals: few enough that every parser reads the same double. */
  readonly scores: readonly number[];
}

/** A step of expectation maximisation, before which the model had `pieces` pieces. */
export interface UnigramStep {
  readonly pieces: number;
  /** Log-probability of all words under the model, in nats. */
  readonly logLikelihood: number;
  /** The same with the prior's, up to a constant: no step lets it fall while `pieces` stays. */
  readonly logPosterior: number;
}

/** Trains a unigram model of `size` pieces (bytes included), or of all that the words yield. `words` maps each word to
 *  how often it occurs; `tell` hears of each step. */
export function trainUnigram(
  words: ReadonlyMap<string, number>,
  size: number,
  tell: (step: UnigramStep) => void = () => {},
): Unigram {
  const text = layOut(words);
  let model = seedModel(text, size);
  const fit = (steps: number): Float64Array => {
    let counts = new Float64Array();
    for (let step = 0; step < steps; step++) {
      const expected = expectedCounts(text, model);
      const prior = PRIOR * model.scores.reduce((sum, score) => sum + score, 0);
      tell({
        pieces: model.scores.length,
        logLikelihood: expected.logLikelihood,
        logPosterior: expected.logLikelihood + prior,
      });
      counts = expected.counts.map((count) => count + PRIOR);
      model = { ...model, scores: logShares(counts) };
    }
    return counts;
  };
  while (model.pieces.length > size) {
    const losses = lossesOf(model, fit(STEPS));
    model = pruned(model, losses, Math.max(size, Math.floor(KEPT * model.pieces.length)));
  }
  fit(LAST_STEPS);
  const { pieces } = model;
  const scores = Array.from(model.scores, (score) => Math.round(score * 1e6) / 1e6);
  const order = [...pieces.keys()].sort((a, b) =>
    a < 256 || b < 256 ? a - b : scores[b]! - scores[a]! || Buffer.compare(pieces[a]!, pieces[b]!),
  );
  return { pieces: order.map((id) => nameOf(pieces[id]!)), scores: order.map((id) => scores[id]!) };
}

/** Gives the ids of a word (as UTF-8): its most probable segmentation. `pieces` are in GPT-2's alphabet, `scores` their
 *  log-probabilities; the first `special` are no part of a word. Takes time in proportion to the word's length. */
export function unigramEncoder(
  pieces: readonly string[],
  scores: readonly number[],
  special: number,
): (bytes: Uint8Array) => number[] {
  const trie = makeTrie(pieces.map((piece, id) => (id < special ? new Uint8Array() : bytesOfPiece(piece))));
  return (bytes) => segment(trie, scores, bytes);
}

const nameOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => BYTE_CHARACTERS[byte]).join("");

/** Words one after the other, in UTF-8. */
interface Text {
  readonly bytes: Uint8Array;
  /** Where each word begins, and where the last ends. */
  readonly starts: readonly number[];
  readonly frequencies: readonly number[];
}

function layOut(words: ReadonlyMap<string, number>): Text {
  const sorted = [...words].sort(([a], [b]) => (a < b ? -1 : 1));
  const ofWords = sorted.map(([word]) => Buffer.from(word, "utf8"));
  const starts = [0];
  for (const { length } of ofWords) starts.push(starts.at(-1)! + length);
  return { bytes: Buffer.concat(ofWords), starts, frequencies: sorted.map(([, count]) => count) };
}

interface Model {
  /** The 256 bytes, then the others. */
  readonly pieces: readonly Uint8Array[];
  /** Log-probabilities in nats. */
  readonly scores: Float64Array;
  readonly trie: Trie;
}

const logShares = (counts: Float64Array): Float64Array => {
  const total = Math.log(counts.reduce((sum, count) => sum + count, 0));
  return counts.map((count) => Math.log(count) - total);
};

/** The model to start from: the bytes, and the substrings that would save most symbols, each in proportion to the bytes
 *  it covers. */
function seedModel(text: Text, size: number): Model {
  const counts = new Float64Array(256).fill(PRIOR);
  for (const [word, frequency] of text.frequencies.entries())
    for (let i = text.starts[word]!; i < text.starts[word + 1]!; i++) counts[text.bytes[i]!]! += frequency;
  const seeds = frequentSubstrings(text)
    .map(({ start, end, count }) => ({ bytes: text.bytes.subarray(start, end), count }))
    .map((seed) => ({ ...seed, saved: seed.count * (seed.bytes.length - 1) }))
    .sort((a, b) => b.saved - a.saved || Buffer.compare(a.bytes, b.bytes))
    .slice(0, Math.min(MOST_SEEDS, SEEDS_PER_PIECE * size));
  const ofBytes = Array.from({ length: 256 }, (_, byte): Uint8Array => Uint8Array.of(byte));
  const pieces = [...ofBytes, ...seeds.map(({ bytes }) => bytes)];
  const scores = logShares(Float64Array.of(...counts, ...seeds.map(({ bytes, count }) => count * bytes.length)));
  return { pieces, scores, trie: makeTrie(pieces) };
}

interface Substring {
  /** Its first occurrence, in bytes. */
  readonly start: number;
  readonly end: number;
  readonly count: number;
}

/** Substrings of words that occur at least twice, of whole characters and more than one byte, at most `LONGEST_PIECE`
 *  characters long. Goes from length to length: a substring is frequent only if it is so without its last character.
 *  SentencePiece leaves out those that are always followed by the same character; with them, the segmentations that
 *  prunings compare are better, and so is the vocabulary (by nearly 2 % fewer pieces for software-messages). */
function frequentSubstrings({ bytes, starts, frequencies }: Text): Substring[] {
  // Characters: where they begin in `bytes`, of which word, and which they are (numbered as they come).
  const offsets: number[] = [];
  const words: number[] = [];
  for (const word of frequencies.keys())
    for (let i = starts[word]!; i < starts[word + 1]!; i++)
      if ((bytes[i]! & 0xc0) !== 0x80) {
        offsets.push(i);
        words.push(word);
      }
  const characters = offsets.length;
  offsets.push(bytes.length);
  const alphabet = new Map<number, number>();
  const codes = words.map((_, i) => {
    let utf8 = 0;
    for (let at = offsets[i]!; at < offsets[i + 1]!; at++) utf8 = utf8 * 256 + bytes[at]!;
    if (!alphabet.has(utf8)) alphabet.set(utf8, alphabet.size);
    return alphabet.get(utf8)!;
  });

  const found: Substring[] = [];
  // Where the frequent substrings of the length before begin, and which is there; at first the empty one everywhere.
  let places = words.map((_, i) => i);
  let ids = words.map(() => 0);
  for (let length = 1; length <= LONGEST_PIECE && places.length > 0; length++) {
    const longer: { count: number; readonly place: number }[] = [];
    const numbers = new Map<number, number>();
    const [nextPlaces, nextIds]: [number[], number[]] = [[], []];
    for (const [i, place] of places.entries()) {
      const last = place + length - 1;
      if (last >= characters || words[last] !== words[place]) continue;
      // There are fewer than 2^21 characters, and fewer than 2^32 substrings: the pair is an exact double.
      const pair = ids[i]! * 2 ** 21 + codes[last]!;
      let id = numbers.get(pair);
      if (id === undefined) {
        id = longer.length;
        numbers.set(pair, id);
        longer.push({ count: 0, place });
      }
      longer[id]!.count += frequencies[words[place]!]!;
      nextPlaces.push(place);
      nextIds.push(id);
    }
    for (const { count, place } of longer) {
      const [start, end] = [offsets[place]!, offsets[place + length]!];
      if (count >= 2 && end - start > 1) found.push({ start, end, count });
    }
    const frequent = nextIds.map((id) => longer[id]!.count >= 2);
    places = nextPlaces.filter((_, i) => frequent[i]);
    ids = nextIds.filter((_, i) => frequent[i]);
  }
  return found;
}

/** How often each piece is expected to occur, over all segmentations of all words: the E step, by the forward-backward
 *  algorithm on logarithms. */
function expectedCounts(text: Text, { scores, trie }: Model): { counts: Float64Array; logLikelihood: number } {
  const counts = new Float64Array(scores.length);
  let logLikelihood = 0;
  const edges: Edge[] = [];
  for (const [word, frequency] of text.frequencies.entries()) {
    const bytes = text.bytes.subarray(text.starts[word], text.starts[word + 1]);
    const forward = new Float64Array(bytes.length + 1).fill(-Infinity);
    const backward = forward.slice();
    forward[0] = 0;
    backward[bytes.length] = 0;
    edges.length = 0;
    // Edges come by where they begin, so all that end at a place have been added before any that begins there.
    forEachPiece(trie, bytes, (id, start, end) => {
      edges.push({ id, start, end });
      forward[end] = logAdd(forward[end]!, forward[start]! + scores[id]!);
    });
    for (let i = edges.length - 1; i >= 0; i--) {
      const { id, start, end } = edges[i]!;
      backward[start] = logAdd(backward[start]!, scores[id]! + backward[end]!);
    }
    const ofWord = forward[bytes.length]!;
    for (const { id, start, end } of edges)
      counts[id]! += frequency * Math.exp(forward[start]! + scores[id]! + backward[end]! - ofWord);
    logLikelihood += frequency * ofWord;
  }
  return { counts, logLikelihood };
}

interface Edge {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

/** log(exp(a) + exp(b)) */
const logAdd = (a: number, b: number): number =>
  a === -Infinity ? b : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));

/** What the log-likelihood would lose without each piece, in nats, if all its occurrences became its best segmentation
 *  into others, whose probabilities are then counted anew (as SentencePiece does it). Infinite for bytes, which
 *  stay. */
function lossesOf({ pieces, scores, trie }: Model, counts: Float64Array): Float64Array {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count, id) => {
    if (id < 256) return Infinity;
    const others = segment(trie, scores, pieces[id]!, id);
    const newTotal = Math.log(total + count * (others.length - 1));
    const instead = others.reduce((sum, other) => sum + Math.log(counts[other]! + count) - newTotal, 0);
    return count * (Math.log(count / total) - instead);
  });
}

/** The model without all but the `size` pieces of the highest losses; probabilities keep their proportions. */
function pruned({ pieces, scores }: Model, losses: Float64Array, size: number): Model {
  const kept = [...pieces.keys()]
    .sort((a, b) => (a < 256 || b < 256 ? a - b : losses[b]! - losses[a]! || Buffer.compare(pieces[a]!, pieces[b]!)))
    .slice(0, size)
    .sort((a, b) => a - b);
  const left = kept.map((id) => pieces[id]!);
  return {
    pieces: left,
    scores: logShares(Float64Array.from(kept, (id) => Math.exp(scores[id]!))),
    trie: makeTrie(left),
  };
}

/** The most probable segmentation of a word, by Viterbi's algorithm; without the piece `without`. */
function segment(trie: Trie, scores: ArrayLike<number>, bytes: Uint8Array, without = -1): number[] {
  const best = new Float64Array(bytes.length + 1).fill(-Infinity);
  const last = new Int32Array(bytes.length + 1);
  const from = new Int32Array(bytes.length + 1);
  best[0] = 0;
  forEachPiece(trie, bytes, (id, start, end) => {
    // Of equals the first stays, which begins earliest.
    const score = best[start]! + scores[id]!;
    if (id === without || !(score > best[end]!)) return;
    best[end] = score;
    last[end] = id;
    from[end] = start;
  });
  const ids: number[] = [];
  for (let end = bytes.length; end > 0; end = from[end]!) ids.push(last[end]!);
  return ids.reverse();
}

/** Calls `visit` with every piece in `bytes`, by where it begins, then by where it ends. */
function forEachPiece(
  { child, pieceAt }: Trie,
  bytes: Uint8Array,
  visit: (id: number, start: number, end: number) => void,
): void {
  for (let start = 0; start < bytes.length; start++)
    for (let end = start, node = 0; end < bytes.length;) {
      node = child(node, bytes[end++]!);
      if (node < 0) break;
      if (pieceAt[node]! >= 0) visit(pieceAt[node]!, start, end);
    }
}

/** A tree of pieces, byte by byte; its root is node 0. */
interface Trie {
  /** The node that a byte leads to, or -1. */
  child(node: number, byte: number): number;
  /** The piece that ends at a node, or -1. */
  readonly pieceAt: Int32Array;
}

/** Empty pieces are left out. Edges are in a hash table with open addressing, since training looks up millions. */
function makeTrie(pieces: readonly Uint8Array[]): Trie {
  const most = pieces.reduce((sum, piece) => sum + piece.length, 1);
  const slots = 2 ** Math.ceil(Math.log2(2 * most));
  const parents = new Int32Array(slots).fill(-1);
  const children = new Int32Array(slots);
  const labels = new Uint8Array(slots);
  const pieceAt = new Int32Array(most).fill(-1);
  /** The slot of an edge, or the empty one where it belongs. */
  const slotOf = (node: number, byte: number): number => {
    const hash = Math.imul(node * 256 + byte, 0x9e3779b1);
    let slot = (hash ^ (hash >>> 15)) & (slots - 1);
    while (parents[slot]! >= 0 && (parents[slot] !== node || labels[slot] !== byte)) slot = (slot + 1) & (slots - 1);
    return slot;
  };
  let nodes = 1;
  for (const [id, piece] of pieces.entries()) {
    if (piece.length === 0) continue;
    let node = 0;
    for (const byte of piece) {
      const slot = slotOf(node, byte);
      if (parents[slot]! < 0) {
        parents[slot] = node;
        labels[slot] = byte;
        children[slot] = nodes++;
      }
      node = children[slot]!;
    }
    pieceAt[node] = id;
  }
  return {
    child(node, byte) {
      const slot = slotOf(node, byte);
      return parents[slot]! < 0 ? -1 : children[slot]!;
    },
    pieceAt,
  };
}
