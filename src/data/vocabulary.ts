// The joint vocabulary of all languages, over bytes, so that nothing is unknown and every text comes back as it was: by
// byte-pair encoding, or as a unigram language model. Its file is Hugging Face's tokenizer.json, and it is that file
// which is cached and hashed.

import { UserError } from "../errors.ts";
import { BYTE_CHARACTERS, bytePairEncoder, bytesOfPiece, trainBytePairs } from "./bpe.ts";
import { cachedJson, sha256 } from "./cache.ts";
import { languageTag, parseTokenizer, PATTERN, SPECIAL, tokenizerFile } from "./tokenizer-file.ts";
import { trainUnigram, unigramEncoder } from "./unigram.ts";

/** Ids of the special symbols; the tags of the target languages follow them, then the 256 bytes, then the merges. */
export const PAD = 0;
export const BOS = 1;
export const EOS = 2;

/** Counts as part of the cache key: raise it when training or the file changes. */
const ALGORITHM = 2;

/** A vocabulary in use. Ids are positions in `pieces`. */
export interface Vocabulary {
  readonly size: number;
  /** The special symbols as they are, all others in GPT-2's byte alphabet. */
  readonly pieces: readonly string[];
  /** Languages with a tag, in the order of their ids. */
  readonly targets: readonly string[];
  /** The text of `tokenizer.json`. */
  readonly json: string;
  /** SHA-256 of `json`. */
  readonly hash: string;
  /** The ids of a text, without special symbols. A text that spells `</s>` gets the pieces of those four characters; a
   *  lone surrogate, which is no character, those of U+FFFD. */
  encode(text: string): number[];
  /** The text of ids; special symbols are skipped, bytes that are no UTF-8 become U+FFFD. */
  decode(ids: Iterable<number>): string;
  /** A piece in readable form: `·` for the space, bytes of a broken character as `<E2>`. */
  readable(id: number): string;
  /** The id of a target language's tag; a `UserError` for a language without one. */
  tag(language: string): number;
  /** Whether the piece is a lone byte of a character of several bytes. */
  isByte(id: number): boolean;
}

/** The kind of a vocabulary and its number of pieces, special symbols included. */
export interface VocabularyOptions {
  readonly kind: "bpe" | "unigram";
  readonly size: number;
}

/** How often each word occurs. */
export type WordCounts = ReadonlyMap<string, number>;

/** Different words that are counted at most, and the longest that is, in code units. */
const MOST_WORDS = 2_000_000;
const LONGEST_WORD = 1000;
/** Training looks at the commonest words, at most as many as have this many code units together. */
const TRAINING_LENGTH = 4_000_000;

/** Counts words as texts come. Words longer than a thousand code units are left out. Memory is bounded: when there are
 *  more than `most` different words, the less common half of them is forgotten (of equally common words those that came
 *  later; a word that comes again begins at 1). Up to that, counts do not depend on the order of the texts. */
export function wordCounter(most = MOST_WORDS): { add(text: string): void; readonly counts: WordCounts } {
  let counts = new Map<string, number>();
  return {
    add(text) {
      for (const word of wordsOf(text)) {
        if (word.length > LONGEST_WORD) continue;
        const before = counts.get(word);
        // A match is a view of its text, which a new word must not keep alive.
        counts.set(before === undefined ? copyOf(word) : word, (before ?? 0) + 1);
        if (counts.size > most) counts = new Map([...counts].sort(([, a], [, b]) => b - a).slice(0, most / 2));
      }
    },
    get counts() {
      return counts;
    },
  };
}

const wordsOf = (text: string): readonly string[] => text.match(new RegExp(PATTERN, "gu")) ?? [];
const copyOf = (text: string): string => Buffer.from(text, "utf16le").toString("utf16le");

/** The words that training looks at, the commonest first, of equally common ones the first in code-unit order. */
function trainingWords(words: WordCounts): [string, number][] {
  const sorted = [...words].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  let length = 0;
  const end = sorted.findIndex(([word]) => (length += word.length) > TRAINING_LENGTH);
  return end < 0 ? sorted : sorted.slice(0, end);
}

/** Trains a vocabulary of exactly `size` pieces on the words of a corpus, or takes it from the cache. It is a function
 *  of the counts, whatever the order of the words.
 *  @param targets languages that get a tag */
export async function loadVocabulary(
  words: WordCounts,
  { kind, size }: VocabularyOptions,
  targets: readonly string[],
): Promise<Vocabulary> {
  const counted = sha256(JSON.stringify(trainingWords(words)));
  const key = sha256(JSON.stringify([ALGORITHM, PATTERN, kind, size, targets, counted]));
  return readVocabulary(
    await cachedJson(`vocabularies/${key}.json`, () => trainTokenizer(words, { kind, size }, targets)),
    `the cached vocabulary ${key}`,
  );
}

/** The text of the `tokenizer.json` of a vocabulary of `size` pieces trained on words. */
export function trainTokenizer(
  words: WordCounts,
  { kind, size }: VocabularyOptions,
  targets: readonly string[],
): string {
  const special = [...SPECIAL, ...targets.map(languageTag)];
  const room = size - special.length;
  if (room < BYTE_CHARACTERS.length)
    throw new UserError(
      `data.vocabulary.size: expected at least ${special.length + BYTE_CHARACTERS.length} ` +
        `(${special.length} special symbols and 256 bytes), got ${size}; raise it`,
    );
  const train = { bpe: trainBytePairs, unigram: trainUnigram }[kind];
  const trained = train(new Map(trainingWords(words)), room);
  if (trained.pieces.length < room)
    throw new UserError(
      `data.vocabulary.size: expected at most ${special.length + trained.pieces.length}, which is all that the ` +
        `training text yields, got ${size}; lower it or add languages`,
    );
  return JSON.stringify(tokenizerFile(special, trained));
}

/** Different words whose pieces are remembered, and the longest that is: text has few, and a stream of others must not
 *  fill the memory. */
const MOST_KNOWN = 200_000;
const LONGEST_KNOWN = 100;

/** Of special symbols. */
const NO_BYTES = new Uint8Array();

/** The vocabulary in the text of a `tokenizer.json` that fathom wrote, of either kind. `file` names it in errors. */
export function readVocabulary(json: string, file: string): Vocabulary {
  const { pieces, special, model } = parseTokenizer(json, file);
  const encodeBytes =
    model.kind === "bpe" ? bytePairEncoder(pieces, model.merges) : unigramEncoder(pieces, model.scores, special);
  const bytes = pieces.map((piece, id) => (id < special ? NO_BYTES : bytesOfPiece(piece)));
  const targets = pieces.slice(SPECIAL.length, special).map((tag) => tag.slice(2, -1));
  const encoder = new TextEncoder();
  const known = new Map<string, readonly number[]>();

  const encodeWord = (word: string): readonly number[] => {
    const before = known.get(word);
    if (before) return before;
    const ids = encodeBytes(encoder.encode(word));
    if (word.length > LONGEST_KNOWN) return ids;
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(copyOf(word), ids);
    return ids;
  };
  const decodeBytes = (ofText: Uint8Array, fatal: boolean): string =>
    new TextDecoder("utf-8", { ignoreBOM: true, fatal }).decode(ofText);

  return {
    size: pieces.length,
    pieces,
    targets,
    json,
    hash: sha256(json),
    encode(text) {
      const found: number[] = [];
      for (const word of wordsOf(text)) for (const id of encodeWord(word)) found.push(id);
      return found;
    },
    decode: (found) => decodeBytes(Buffer.concat(Array.from(found, (id) => bytes[id] ?? NO_BYTES)), false),
    readable(id) {
      if (id < special) return pieces[id]!;
      try {
        return decodeBytes(bytes[id]!, true).replaceAll(" ", "·").replaceAll("\n", "↵");
      } catch {
        return Array.from(bytes[id]!, (byte) => `<${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("");
      }
    },
    tag(language) {
      const id = targets.indexOf(language);
      if (id < 0)
        throw new UserError(`unknown target language "${language}". Known to this vocabulary: ${targets.join(", ")}`);
      return SPECIAL.length + id;
    },
    isByte: (id) => bytes[id]!.length === 1 && bytes[id]![0]! >= 0x80,
  };
}
