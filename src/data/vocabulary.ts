// The joint vocabulary of all languages: byte-level byte-pair encoding, so that nothing is unknown and every text comes
// back as it was. Its file is Hugging Face's tokenizer.json, and it is that file which is cached and hashed.

import { UserError } from "../errors.ts";
import { BYTE_CHARACTERS, CHARACTER_BYTES, pairKey, trainBytePairs } from "./bpe.ts";
import { cachedJson, sha256 } from "./cache.ts";

/** Ids of the special symbols; the tags of the target languages follow them, then the 256 bytes, then the merges. */
export const PAD = 0;
export const BOS = 1;
export const EOS = 2;
const SPECIAL = ["<pad>", "<s>", "</s>"] as const;

/** The symbol at the start of a source that says which language to translate into (Johnson et al. 2017). */
export const languageTag = (language: string): string => `<2${language}>`;

// Words keep the space before them; a placeholder such as {0} is one word, so that it can become one piece; digits stay
// single, so that numbers are spelled.
const PATTERN =
  " ?\\{[\\p{L}\\p{M}\\p{N}_]*\\}?| ?[\\p{L}\\p{M}]+| ?\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}{]+|\\s+(?!\\S)|\\s+";

/** Counts as part of the cache key: raise it when training or the file changes. */
const ALGORITHM = 1;

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
  /** The ids of a text, without special symbols. A text that spells `</s>` gets the pieces of those four characters. */
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

/** Trains a vocabulary of exactly `size` pieces on `texts`, or takes it from the cache.
 *  @param targets languages that get a tag */
export async function loadVocabulary(
  texts: readonly string[],
  size: number,
  targets: readonly string[],
): Promise<Vocabulary> {
  const key = sha256(JSON.stringify([ALGORITHM, PATTERN, size, targets, sha256(texts.join("\0"))]));
  return readVocabulary(
    await cachedJson(`vocabularies/${key}.json`, () => trainTokenizer(texts, size, targets)),
    `the cached vocabulary ${key}`,
  );
}

/** The text of the `tokenizer.json` of a vocabulary of `size` pieces trained on `texts`. */
export function trainTokenizer(texts: readonly string[], size: number, targets: readonly string[]): string {
  const special = [...SPECIAL, ...targets.map(languageTag)];
  const room = size - special.length;
  if (room < BYTE_CHARACTERS.length)
    throw new UserError(
      `data.vocabulary.size: expected at least ${special.length + BYTE_CHARACTERS.length} ` +
        `(${special.length} special symbols and 256 bytes), got ${size}; raise it`,
    );
  const { pieces, merges } = trainBytePairs(countWords(texts), room);
  if (pieces.length < room)
    throw new UserError(
      `data.vocabulary.size: expected at most ${special.length + pieces.length}, which is all that the training text ` +
        `yields, got ${size}; lower it or add languages`,
    );
  return JSON.stringify(tokenizerFile(special, pieces, merges));
}

const pattern = (): RegExp => new RegExp(PATTERN, "gu");

function countWords(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const word of text.match(pattern()) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** Hugging Face's format, as far as it is used here. */
interface TokenizerFile {
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly model: {
    readonly type: string;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly string[];
  };
}

function tokenizerFile(
  special: readonly string[],
  pieces: readonly string[],
  merges: readonly (readonly [number, number])[],
): object {
  const added = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({ id, content, ...added })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: PATTERN }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...special, ...pieces].map((piece, id) => [piece, id])),
      merges: merges.map(([left, right]) => `${pieces[left]} ${pieces[right]}`),
    },
  };
}

/** The vocabulary in the text of a `tokenizer.json` that fathom wrote. `file` names it in errors. */
export function readVocabulary(json: string, file: string): Vocabulary {
  const { pieces, special, merges } = parseTokenizer(json, file);
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const ranks = new Map(merges.map(([left, right], rank) => [pairKey(left, right), rank]));
  const products = merges.map(([left, right]) => ids.get(pieces[left]! + pieces[right]!)!);
  const ofByte = BYTE_CHARACTERS.map((character) => ids.get(character)!);
  const bytes = pieces.map((piece, id) =>
    id < special ? [] : Array.from(piece, (character) => CHARACTER_BYTES.get(character)!),
  );
  const targets = pieces.slice(SPECIAL.length, special).map((tag) => tag.slice(2, -1));
  const encoder = new TextEncoder();
  const known = new Map<string, readonly number[]>();

  /** Applies the earliest merge at its leftmost place until none applies. */
  const encodeWord = (word: string): readonly number[] => {
    const symbols = Array.from(encoder.encode(word), (byte) => ofByte[byte]!);
    const rankAt = (i: number): number => ranks.get(pairKey(symbols[i]!, symbols[i + 1] ?? -1)) ?? Infinity;
    const pairs = symbols.map((_, i) => rankAt(i));
    for (;;) {
      let best = Infinity;
      let at = -1;
      for (let i = 0; i < pairs.length; i++) if (pairs[i]! < best) [best, at] = [pairs[i]!, i];
      if (at < 0) return symbols;
      symbols.splice(at, 2, products[best]!);
      pairs.splice(at, 1);
      pairs[at] = rankAt(at);
      if (at > 0) pairs[at - 1] = rankAt(at - 1);
    }
  };
  const decodeBytes = (ofText: readonly number[], fatal: boolean): string =>
    new TextDecoder("utf-8", { ignoreBOM: true, fatal }).decode(Uint8Array.from(ofText));

  return {
    size: pieces.length,
    pieces,
    targets,
    json,
    hash: sha256(json),
    encode(text) {
      const found: number[] = [];
      for (const word of text.match(pattern()) ?? []) {
        let symbols = known.get(word);
        if (!symbols) {
          symbols = encodeWord(word);
          // Text has few different words; a stream of others must not fill the memory.
          if (known.size >= 200_000) known.clear();
          known.set(word, symbols);
        }
        for (const symbol of symbols) found.push(symbol);
      }
      return found;
    },
    decode: (found) => decodeBytes(Array.from(found, (id) => bytes[id] ?? []).flat(), false),
    readable(id) {
      if (id < special) return pieces[id]!;
      try {
        return decodeBytes(bytes[id]!, true).replaceAll(" ", "·").replaceAll("\n", "↵");
      } catch {
        return bytes[id]!.map((byte) => `<${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("");
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

function parseTokenizer(
  json: string,
  file: string,
): { pieces: string[]; special: number; merges: (readonly [number, number])[] } {
  const refuse = (what: string): UserError =>
    new UserError(`${file}: expected a tokenizer.json written by fathom, got ${what}; delete it and run again`);
  let parsed: TokenizerFile;
  try {
    parsed = JSON.parse(json) as TokenizerFile;
  } catch {
    throw refuse("text that is no JSON");
  }
  if (parsed?.model?.type !== "BPE" || !parsed.model.vocab || !Array.isArray(parsed.model.merges))
    throw refuse("JSON without a BPE model");
  const pieces: string[] = [];
  for (const [piece, id] of Object.entries(parsed.model.vocab)) pieces[id] = piece;
  const special = parsed.added_tokens?.length ?? 0;
  if (SPECIAL.some((symbol, id) => pieces[id] !== symbol) || pieces.includes(undefined as never))
    throw refuse("other special symbols, or ids that are not 0, 1, 2 ...");
  const { vocab } = parsed.model;
  const merges = parsed.model.merges.map((line) => {
    const [left, right] = line.split(" ");
    const pair = [vocab[left ?? ""], vocab[right ?? ""]] as const;
    if (pair[0] === undefined || pair[1] === undefined) throw refuse(`the merge "${line}" of unknown pieces`);
    return pair as readonly [number, number];
  });
  return { pieces, special, merges };
}
