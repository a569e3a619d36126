// The file of a vocabulary: Hugging Face's tokenizer.json, written so that their libraries read it to the same pieces,
// and read with suspicion: it may be damaged, or of another maker.

import { isDeepStrictEqual } from "node:util";
import { UserError } from "../errors.ts";
import { BYTE_CHARACTERS, CHARACTER_BYTES, type BytePairs } from "./bpe.ts";
import { LONGEST_PIECE_BYTES, type Unigram } from "./unigram.ts";

/** The special symbols, which have the first ids; the tags of the target languages follow them. */
export const SPECIAL = ["<pad>", "<s>", "</s>"] as const;

/** The symbol at the start of a source that says which language to translate into (Johnson et al. 2017). */
export const languageTag = (language: string): string => `<2${language}>`;

/** What a word is. Words keep the space before them; a placeholder such as {0} is one word, so that it can become one
 *  piece; digits stay single, so that numbers are spelled. */
export const PATTERN =
  " ?\\{[\\p{L}\\p{M}\\p{N}_]*\\}?| ?[\\p{L}\\p{M}]+| ?\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}{]+|\\s+(?!\\S)|\\s+";

/** No vocabulary is larger (`data.vocabulary.size`), and no file of one longer, in code units. */
const MOST_PIECES = 100_000;
const LONGEST_FILE = 2 ** 26;

/** What `parseTokenizer` finds. Ids are positions in `pieces`. */
export interface ParsedTokenizer {
  readonly pieces: readonly string[];
  /** How many of them are special symbols and tags: the first. */
  readonly special: number;
  readonly model:
    | { readonly kind: "bpe"; readonly merges: readonly (readonly [number, number])[] }
    | { readonly kind: "unigram"; readonly scores: readonly number[] };
}

const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
/** How a text becomes words of GPT-2's alphabet, and pieces a text again. */
const TEXT = {
  normalizer: null,
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [{ type: "Split", pattern: { Regex: PATTERN }, behavior: "Isolated", invert: false }, byteLevel],
  },
  post_processor: null,
  decoder: byteLevel,
};

/** The content of a tokenizer.json: `special` symbols, then the pieces that training found. */
export function tokenizerFile(special: readonly string[], trained: BytePairs | Unigram): object {
  const added = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({ id, content, ...added })),
    ...TEXT,
    model: "merges" in trained ? bytePairModel(special, trained) : unigramModel(special, trained),
  };
}

const bytePairModel = (special: readonly string[], { pieces, merges }: BytePairs): object => ({
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
});

// Nothing is unknown, since every byte is a piece. No word spells a special symbol ("<" and "s" are two), whose score
// is therefore never used.
const unigramModel = (special: readonly string[], { pieces, scores }: Unigram): object => ({
  type: "Unigram",
  unk_id: null,
  vocab: [...special.map((piece) => [piece, 0]), ...pieces.map((piece, id) => [piece, scores[id]])],
  byte_fallback: false,
});

/** Reads a tokenizer.json that fathom wrote. `file` names it in errors.
 *  @throws UserError for any other */
export function parseTokenizer(json: string, file: string): ParsedTokenizer {
  const refuse = (what: string): never => {
    throw new UserError(`${file}: expected a tokenizer.json written by fathom, got ${what}; delete it and run again`);
  };
  if (json.length > LONGEST_FILE) refuse(`${json.length} characters, more than any has`);
  let content: unknown;
  try {
    content = JSON.parse(json);
  } catch {
    refuse("text that is no JSON (truncated?)");
  }
  const parsed = record(content);
  const model = record(parsed.model);
  const { pieces, read } =
    model.type === "BPE"
      ? bytePairPieces(model, refuse)
      : model.type === "Unigram"
        ? unigramPieces(model, refuse)
        : refuse("JSON without a BPE or Unigram model");
  const special = checkSpecial(parsed.added_tokens, pieces, refuse);
  checkPieces(pieces, special, refuse);
  for (const [key, expected] of Object.entries(TEXT))
    if (!isDeepStrictEqual(parsed[key], expected)) refuse(`another ${key}`);
  return { pieces, special, model: read(special) };
}

type Refuse = (what: string) => never;
interface Found {
  readonly pieces: string[];
  /** Reads the rest, once the pieces are known to be good. */
  readonly read: (special: number) => ParsedTokenizer["model"];
}

/** An object's properties; none of what is no object. */
const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};

/** A piece or a merge for a message: the start of it. */
const shown = (value: unknown): string => {
  let text = "something nested";
  try {
    text = JSON.stringify(value) ?? "undefined";
  } catch {
    // In more levels than its calls of itself can go down.
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

function bytePairPieces({ vocab, merges }: Readonly<Record<string, unknown>>, refuse: Refuse): Found {
  if (typeof vocab !== "object" || vocab === null || !Array.isArray(merges))
    refuse("a BPE model without vocab or merges");
  const entries = Object.entries(vocab as object) as [string, unknown][];
  if (entries.length > MOST_PIECES) refuse(`${entries.length} pieces, more than ${MOST_PIECES}`);
  const pieces: string[] = Array<string>(entries.length);
  const ids = new Map<string, number>();
  for (const [piece, id] of entries) {
    if (
      !Number.isInteger(id) ||
      (id as number) < 0 ||
      (id as number) >= entries.length ||
      pieces[id as number] !== undefined
    )
      refuse(`ids that are not 0, 1, 2 ... (${shown(piece)} has ${shown(id)})`);
    pieces[id as number] = piece;
    ids.set(piece, id as number);
  }
  const read = (special: number): ParsedTokenizer["model"] => ({
    kind: "bpe",
    merges: (merges as unknown[]).map((merge) => {
      const [left = "", right = "", ...more] = typeof merge === "string" ? merge.split(" ", 3) : [];
      const [leftId, rightId] = [ids.get(left) ?? -1, ids.get(right) ?? -1];
      if (more.length > 0 || leftId < special || rightId < special)
        refuse(`the merge ${shown(merge)} of unknown pieces`);
      if (!ids.has(left + right)) refuse(`the merge ${shown(merge)} to an unknown piece`);
      return [leftId, rightId] as const;
    }),
  });
  return { pieces, read };
}

function unigramPieces({ vocab }: Readonly<Record<string, unknown>>, refuse: Refuse): Found {
  if (!Array.isArray(vocab)) return refuse("a Unigram model without vocab");
  if (vocab.length > MOST_PIECES) refuse(`${vocab.length} pieces, more than ${MOST_PIECES}`);
  const scores: number[] = [];
  const pieces = (vocab as unknown[]).map((entry) => {
    const [piece, score] = Array.isArray(entry) && entry.length === 2 ? (entry as unknown[]) : [];
    if (typeof piece !== "string" || typeof score !== "number" || !Number.isFinite(score))
      return refuse(`${shown(entry)} instead of a piece and its score, a finite number`);
    if (piece.length > LONGEST_PIECE_BYTES)
      refuse(`the piece ${shown(piece)} of more than ${LONGEST_PIECE_BYTES} bytes`);
    scores.push(score);
    return piece;
  });
  return { pieces, read: () => ({ kind: "unigram", scores }) };
}

/** How many special symbols there are. */
function checkSpecial(added: unknown, pieces: readonly string[], refuse: Refuse): number {
  const tokens = Array.isArray(added) ? (added as unknown[]).map(record) : [];
  const known =
    tokens.length >= SPECIAL.length &&
    tokens.every(
      ({ id, content, special }, i) =>
        id === i &&
        content === pieces[i] &&
        special === true &&
        (SPECIAL[i] ?? /^<2[^<>]+>$/.exec(pieces[i]!)?.[0]) === content,
    );
  return known ? tokens.length : refuse("other special symbols, or ids that are not 0, 1, 2 ...");
}

/** Checks that pieces are different ones, and in GPT-2's alphabet, of which none lacks. */
function checkPieces(pieces: readonly string[], special: number, refuse: Refuse): void {
  const found = new Set<string>();
  for (const [id, piece] of pieces.entries()) {
    if (found.has(piece)) refuse(`the piece ${shown(piece)} twice`);
    found.add(piece);
    if (id >= special && (piece === "" || Array.from(piece).some((character) => !CHARACTER_BYTES.has(character))))
      refuse(`the piece ${shown(piece)}, which is not in the alphabet of bytes`);
  }
  for (const [byte, character] of BYTE_CHARACTERS.entries())
    if (!found.has(character)) refuse(`no piece for byte ${byte}`);
}
