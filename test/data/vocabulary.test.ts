import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { trainBytePairs } from "../../src/data/bpe.ts";
import { loadCorpus } from "../../src/data/prepared.ts";
import {
  BOS,
  EOS,
  loadVocabulary,
  PAD,
  readVocabulary,
  trainTokenizer,
  type Vocabulary,
} from "../../src/data/vocabulary.ts";
import { UserError } from "../../src/errors.ts";
import { useTemporaryCache } from "./temporary-cache.ts";

const cache = useTemporaryCache();
const LANGUAGES = ["en", "fr", "ja", "tr"];
const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom(..."{}0 \n'aeé型を"),
    fc
      .constantFrom("grapheme", "binary")
      .chain((unit) => fc.string({ unit: unit as "binary", minLength: 1, maxLength: 1 })),
  ),
  maxLength: 60,
});
let texts: string[];
let vocabulary: Vocabulary;

beforeAll(async () => {
  const corpus = await loadCorpus("typescript-diagnostics");
  texts = LANGUAGES.flatMap((language) => corpus.segments.slice(0, 400).map(({ text }) => text[language] ?? ""));
  vocabulary = readVocabulary(trainTokenizer(texts, 1500, ["fr", "ja"]), "test");
});

test("has exactly the size asked for, special symbols first", () => {
  expect(vocabulary.size).toBe(1500);
  expect(vocabulary.pieces).toHaveLength(1500);
  expect(new Set(vocabulary.pieces).size).toBe(1500);
  expect(vocabulary.pieces.slice(0, 5)).toEqual(["<pad>", "<s>", "</s>", "<2fr>", "<2ja>"]);
  expect([PAD, BOS, EOS, vocabulary.tag("fr"), vocabulary.tag("ja")]).toEqual([0, 1, 2, 3, 4]);
});

test("a language without a tag lists those with one", () => {
  expect(() => vocabulary.tag("de")).toThrow('unknown target language "de". Known to this vocabulary: fr, ja');
});

test("every Unicode text comes back as it was, and nothing in it is a special symbol", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const ids = vocabulary.encode(text);
      expect(vocabulary.decode(ids)).toBe(text);
      expect(ids.every((id) => id > vocabulary.tag("ja") && id < vocabulary.size)).toBe(true);
    }),
    { seed: 1, numRuns: 500 },
  );
  for (const text of ["</s> <pad><2fr>", "\ufeffBOM", "😀👩‍👩‍👧 🇫🇷", "a".repeat(5000), ""])
    expect(vocabulary.decode(vocabulary.encode(text))).toBe(text);
});

test("decoding leaves special symbols out and survives broken characters", () => {
  const ids = vocabulary.encode("型");
  expect(vocabulary.decode([BOS, vocabulary.tag("fr"), ...vocabulary.encode("oui"), EOS, PAD])).toBe("oui");
  const bytes = readVocabulary(trainTokenizer(["abc"], 259, []), "test");
  expect(bytes.decode(bytes.encode("型").slice(0, 2))).toBe("\ufffd");
  expect(bytes.readable(bytes.encode("型")[0]!)).toBe("<E5>");
  expect(vocabulary.decode(ids)).toBe("型");
});

describe("tokenizer.json", () => {
  const pieces = (tokenizer: Tokenizer, text: string): number[] =>
    tokenizer.encode(text, { add_special_tokens: false }).ids;

  test("is read by @huggingface/tokenizers to the same pieces and the same text, on real text", () => {
    const tokenizer = new Tokenizer(JSON.parse(vocabulary.json), {});
    for (const text of texts) {
      const ids = vocabulary.encode(text);
      expect(pieces(tokenizer, text)).toEqual(ids);
      if (text) expect(tokenizer.decode(ids, { clean_up_tokenization_spaces: false })).toBe(text);
    }
  });

  test("and on generated text", () => {
    const tokenizer = new Tokenizer(JSON.parse(vocabulary.json), {});
    fc.assert(
      fc.property(
        anyText.filter((text) => !/<pad>|<\/?s>|<2/.test(text)),
        (text) => {
          expect(pieces(tokenizer, text)).toEqual(vocabulary.encode(text));
        },
      ),
      { seed: 2, numRuns: 500 },
    );
  });

  test("comes back as the same vocabulary", () => {
    const again = readVocabulary(vocabulary.json, "test");
    expect(again.hash).toBe(vocabulary.hash);
    expect(again.targets).toEqual(["fr", "ja"]);
    expect(again.encode(texts[7]!)).toEqual(vocabulary.encode(texts[7]!));
  });

  test("of another maker, or broken, is refused by name", () => {
    for (const text of ["", "{", "{}", "null", '{"model":{"type":"WordPiece","vocab":{},"merges":[]}}'])
      expect(() => readVocabulary(text, "some/tokenizer.json")).toThrow(/^some\/tokenizer\.json: expected/);
    const file = JSON.parse(vocabulary.json) as { model: { merges: string[] } };
    file.model.merges.push("nowhere found");
    expect(() => readVocabulary(JSON.stringify(file), "some/tokenizer.json")).toThrow(/the merge "nowhere found"/);
  });
});

describe("training", () => {
  const merged = (words: Record<string, number>, count: number): string[] =>
    trainBytePairs(new Map(Object.entries(words)), 256 + count).pieces.slice(256);

  test("merges the commonest pair first; of equally common ones the smaller left id, then the smaller right id", () => {
    expect(merged({ hug: 10, pug: 5, pun: 12, bun: 4, hugs: 5 }, 3)).toEqual(["ug", "un", "hug"]);
    expect(merged({ cd: 2, ab: 2, ac: 2 }, 3)).toEqual(["ab", "ac", "cd"]);
  });

  test("does not depend on the order of the words", () => {
    const words = Object.fromEntries(texts.slice(0, 200).map((text, i) => [text, 1 + (i % 3)]));
    const backwards = Object.fromEntries(Object.entries(words).reverse());
    expect(merged(words, 300)).toEqual(merged(backwards, 300));
  });

  test("agrees with a trainer that counts anew at every merge", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ unit: fc.constantFrom(..."aabc"), minLength: 1, maxLength: 12 }),
          fc.integer({ min: 1, max: 4 }),
          { minKeys: 1, maxKeys: 8 },
        ),
        (words) => {
          expect(merged(words, 12)).toEqual(slowlyMerged(words, 12));
        },
      ),
      { seed: 3, numRuns: 300 },
    );
  });

  test("refuses sizes that cannot be", () => {
    expect(() => trainTokenizer(["ab ab"], 200, ["de"])).toThrow(
      /data\.vocabulary\.size: expected at least 260 .* got 200; raise it/,
    );
    expect(() => trainTokenizer(["ab ab"], 300, [])).toThrow(
      /data\.vocabulary\.size: expected at most 261, .* got 300; lower it/,
    );
  });
});

/** The same rule, written without any bookkeeping. */
function slowlyMerged(words: Record<string, number>, count: number): string[] {
  const order = [..."abc"];
  const list = Object.entries(words).map(([word, n]) => ({ symbols: [...word], n }));
  const made: string[] = [];
  while (made.length < count) {
    const counts = new Map<string, number>();
    for (const { symbols, n } of list)
      for (let i = 1; i < symbols.length; i++) {
        const pair = `${symbols[i - 1]} ${symbols[i]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + n);
      }
    const rank = (pair: string): number[] => pair.split(" ").map((symbol) => order.indexOf(symbol));
    const [best] = [...counts].sort(
      ([a, m], [b, n]) => n - m || rank(a)[0]! - rank(b)[0]! || rank(a)[1]! - rank(b)[1]!,
    );
    if (!best) break;
    const [left, right] = best[0].split(" ");
    if (!order.includes(left! + right!)) {
      order.push(left! + right!);
      made.push(left! + right!);
    }
    for (const entry of list)
      for (let i = 0; i + 1 < entry.symbols.length; i++)
        if (entry.symbols[i] === left && entry.symbols[i + 1] === right) entry.symbols.splice(i, 2, left! + right!);
  }
  return made;
}

describe("the cache", () => {
  const folder = path.join(cache, "vocabularies");
  const load = (size = 400): Promise<Vocabulary> => loadVocabulary(texts.slice(0, 50), size, ["fr"]);

  test("gives the same vocabulary again, and another one for other settings or text", async () => {
    const first = await load();
    const files = await readdir(folder);
    expect((await load()).json).toBe(first.json);
    expect(await readdir(folder)).toEqual(files);
    expect((await load(410)).hash).not.toBe(first.hash);
    await loadVocabulary(texts.slice(0, 51), 400, ["fr"]);
    expect(await readdir(folder)).toHaveLength(files.length + 2);
  });

  test("refuses a damaged file, names it, and says how to repair", async () => {
    const before = new Set(await readdir(folder).catch(() => []));
    await load(420);
    const file = path.join(
      folder,
      (await readdir(folder)).find((name) => !before.has(name))!,
    );
    const whole = await readFile(file, "utf8");
    const refused = async (): Promise<void> => {
      const error = await load(420).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toContain(`${file}: expected the cached file as it was written`);
      expect((error as Error).message).toContain("delete the file and run again");
    };
    await truncate(file, 1000);
    await refused();
    await writeFile(file, "");
    await refused();
    await writeFile(file, "{not json");
    await refused();
    await writeFile(file, whole.replace("Ġ", "Ģ"));
    await refused();
    await writeFile(file, whole);
    expect((await load(420)).size).toBe(420);
  });

  test("in a folder that cannot be made is an error that names the variable", async () => {
    const before = process.env.FATHOM_CACHE;
    await writeFile(path.join(cache, "a-file"), "");
    process.env.FATHOM_CACHE = path.join(cache, "a-file", "below");
    try {
      await expect(load()).rejects.toThrow(/FATHOM_CACHE|a-file/);
    } finally {
      process.env.FATHOM_CACHE = before;
    }
  });
});
