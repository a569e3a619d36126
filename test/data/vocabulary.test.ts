import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { BYTE_CHARACTERS, trainBytePairs } from "../../src/data/bpe.ts";
import {
  BOS,
  EOS,
  loadVocabulary,
  PAD,
  readVocabulary,
  trainTokenizer,
  type Vocabulary,
  wordCounter,
} from "../../src/data/vocabulary.ts";
import { UserError } from "../../src/errors.ts";
import { useTemporaryCache } from "./temporary-cache.ts";
import { anyText, countWords, someTexts, spellsSpecial } from "./texts.ts";

const cache = useTemporaryCache();
const KINDS = ["bpe", "unigram"] as const;
let texts: string[];
beforeAll(async () => {
  texts = await someTexts("typescript-diagnostics", ["en", "fr", "ja", "tr"]);
});
const trained = (kind: (typeof KINDS)[number], size: number, of: Iterable<string>, ...targets: string[]): Vocabulary =>
  readVocabulary(trainTokenizer(countWords(of), { kind, size }, targets), "test");

describe.each(KINDS)("%s", (kind) => {
  let vocabulary: Vocabulary;
  beforeAll(() => {
    vocabulary = trained(kind, 1500, texts, "fr", "ja");
  });

  test("has exactly the size asked for, special symbols first, then the bytes", () => {
    expect(vocabulary.size).toBe(1500);
    expect(vocabulary.pieces).toHaveLength(1500);
    expect(new Set(vocabulary.pieces).size).toBe(1500);
    expect(vocabulary.pieces.slice(0, 5)).toEqual(["<pad>", "<s>", "</s>", "<2fr>", "<2ja>"]);
    expect([PAD, BOS, EOS, vocabulary.tag("fr"), vocabulary.tag("ja")]).toEqual([0, 1, 2, 3, 4]);
    expect(Array.from({ length: 256 }, (_, byte) => vocabulary.pieces[5 + byte])).toEqual(BYTE_CHARACTERS);
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
    for (const text of ["</s> <pad><2fr>", "\ufeffBOM", "\0\u0001\u007f", "😀👩‍👩‍👧 🇫🇷", "a".repeat(5000), ""])
      expect(vocabulary.decode(vocabulary.encode(text))).toBe(text);
  });

  test("every character up to U+2000, and of those above one in 97, comes back as it was", () => {
    let all = "";
    for (let code = 0; code <= 0x10ffff; code += code < 0x2000 ? 1 : 97)
      if (code < 0xd800 || code > 0xdfff) all += String.fromCodePoint(code);
    expect(vocabulary.decode(vocabulary.encode(all)) === all).toBe(true);
  });

  test("a lone surrogate, which is no character, becomes U+FFFD", () => {
    expect(vocabulary.decode(vocabulary.encode("a\ud83d b\ude00"))).toBe("a\ufffd b\ufffd");
  });

  // If the time of n bytes grew with n squared, this would take minutes, and the limit of tests is less.
  test("a word of 300 000 letters is encoded as any other", () => {
    const word = "Türschloßerei".repeat(25_000);
    const ids = vocabulary.encode(word);
    expect(vocabulary.decode(ids) === word).toBe(true);
    expect(ids.length).toBeLessThan(word.length);
    expect(vocabulary.decode(vocabulary.encode("a".repeat(300_000)))).toHaveLength(300_000);
  });

  test("decoding leaves special symbols out and survives broken characters", () => {
    const ids = vocabulary.encode("型");
    expect(vocabulary.decode([BOS, vocabulary.tag("fr"), ...vocabulary.encode("oui"), EOS, PAD])).toBe("oui");
    const bytes = trained(kind, 259, ["abc"]);
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
          anyText.filter((text) => !spellsSpecial(text)),
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

    test("is a function of the counts of words, whatever their order", () => {
      const words = countWords(texts.slice(0, 200));
      const backwards = new Map([...words].reverse());
      expect(trainTokenizer(backwards, { kind, size: 500 }, [])).toBe(trainTokenizer(words, { kind, size: 500 }, []));
    });
  });

  test("refuses sizes that cannot be", () => {
    expect(() => trained(kind, 200, ["ab ab"], "de")).toThrow(
      /data\.vocabulary\.size: expected at least 260 .* got 200; raise it/,
    );
    // Byte pairs make "ab" and " ab"; " ab" occurs once, which is no reason for a piece of a unigram model.
    expect(() => trained(kind, 300, ["ab ab"])).toThrow(
      `expected at most ${kind === "bpe" ? 261 : 260}, which is all that the training text yields, got 300`,
    );
  });
});

describe("a tokenizer.json of another maker, or broken, is refused by name", () => {
  interface File {
    added_tokens: { id: number; content: string; special: boolean }[];
    model: { type: string; vocab: Record<string, number>; merges: string[] };
    normalizer: unknown;
  }
  type UnigramFile = Omit<File, "model"> & { model: { type: string; vocab: unknown[] } };
  let whole: Record<(typeof KINDS)[number], string>;
  beforeAll(() => {
    const of = (kind: (typeof KINDS)[number]): string => trained(kind, 300, texts.slice(0, 50), "fr").json;
    whole = { bpe: of("bpe"), unigram: of("unigram") };
  });
  const refused = (json: string, message: RegExp): void => {
    const read = (): Vocabulary => readVocabulary(json, "some/tokenizer.json");
    expect(read).toThrow(UserError);
    expect(read).toThrow(
      /^some\/tokenizer\.json: expected a tokenizer\.json written by fathom, got .*; delete it and run again$/,
    );
    expect(read).toThrow(message);
  };
  const changed = <F>(kind: (typeof KINDS)[number], change: (file: F) => void): string => {
    const file = JSON.parse(whole[kind]) as F;
    change(file);
    return JSON.stringify(file);
  };

  test("no JSON, or JSON of something else", () => {
    for (const text of ["", "{", whole.unigram.slice(0, 5000)]) refused(text, /no JSON/);
    for (const text of ["{}", "null", "3", '{"model":{"type":"WordPiece","vocab":{},"merges":[]}}', '{"model":"BPE"}'])
      refused(text, /without a BPE or Unigram model/);
    refused(" ".repeat(2 ** 26 + 1), /more than any has/);
  });

  const bpe: [string, (file: File) => void, RegExp][] = [
    [
      "merges of unknown pieces",
      ({ model }) => void model.merges.push("nowhere found"),
      /merge "nowhere found" of unknown/,
    ],
    [
      "merges of what every object has",
      ({ model }) => void model.merges.push("constructor a"),
      /"constructor a" of unknown/,
    ],
    ["merges of three pieces", ({ model }) => void model.merges.push("a b c"), /merge "a b c"/],
    ["merges of special symbols", ({ model }) => void model.merges.push("<s> a"), /merge "<s> a"/],
    ["merges that are no text", ({ model }) => void model.merges.push(7 as never), /merge 7/],
    [
      "merges to an unknown piece",
      ({ model }) => void model.merges.push("ü ü".replaceAll("ü", "x")),
      /to an unknown piece/,
    ],
    ["no merges", ({ model }) => void delete (model as Partial<typeof model>).merges, /without vocab or merges/],
    ["an id twice", ({ model }) => void (model.vocab.a = model.vocab.b!), /ids that are not 0, 1, 2/],
    ["a huge id", ({ model }) => void (model.vocab.a = 4e9), /"a" has 4000000000/],
    ["a broken id", ({ model }) => void (model.vocab.a = 1.5), /"a" has 1.5/],
    ["no id", ({ model }) => void (model.vocab.a = null as never), /"a" has null/],
    ["special symbols elsewhere", ({ added_tokens: tokens }) => void tokens.reverse(), /other special symbols/],
    ["no special symbols", ({ added_tokens: tokens }) => void tokens.splice(0), /other special symbols/],
    ["a tag that is none", (file) => void (file.added_tokens[3]!.content = "<x>"), /other special symbols/],
    ["another normalizer", (file) => void (file.normalizer = { type: "NFC" }), /another normalizer/],
    [
      "too many pieces",
      ({ model }) =>
        void (model.vocab = Object.fromEntries(Array.from({ length: 100_001 }, (_, id) => [`p${id}`, id]))),
      /100001 pieces, more than 100000/,
    ],
  ];
  test.each(bpe)("BPE: %s", (_, change, message) => refused(changed("bpe", change), message));

  const unigram: [string, (file: UnigramFile) => void, RegExp][] = [
    ["a score that is no number", ({ model }) => void (model.vocab[300 - 1] = ["ab", null]), /\["ab",null\] instead/],
    ["a piece without a score", ({ model }) => void (model.vocab[300 - 1] = ["ab"]), /\["ab"\] instead/],
    ["a piece twice", ({ model }) => void model.vocab.push(["a", -1]), /the piece "a" twice/],
    ["a byte less", ({ model }) => void model.vocab.splice(4 + 97, 1), /no piece for byte 97/],
    ["an empty piece", ({ model }) => void model.vocab.push(["", -1]), /the piece "", which is not in the alphabet/],
    ["a piece of no bytes", ({ model }) => void model.vocab.push(["日", -1]), /"日", which is not in the alphabet/],
    ["an endless piece", ({ model }) => void model.vocab.push(["a".repeat(99), -1]), /of more than 64 bytes/],
    ["pieces in another order", ({ model }) => void model.vocab.reverse(), /other special symbols, or ids/],
    ["no pieces", ({ model }) => void delete (model as Partial<typeof model>).vocab, /without vocab/],
    ["too many pieces", ({ model }) => void (model.vocab = Array(100_001).fill(["a", 0])), /more than 100000/],
  ];
  test.each(unigram)("Unigram: %s", (_, change, message) => refused(changed("unigram", change), message));

  test("Unigram: a score that is not finite", () => {
    const json = whole.unigram.replace(/\["a",[^\]]*\]/, '["a",-1e999]');
    refused(json, /instead of a piece and its score, a finite number/);
  });
});

test("a unigram vocabulary needs fewer pieces for its text than one of byte pairs", () => {
  const [bpe, unigram] = KINDS.map((kind) => {
    const { encode } = trained(kind, 500, texts.slice(0, 400));
    return texts.slice(0, 400).reduce((sum, text) => sum + encode(text).length, 0);
  });
  expect(unigram!).toBeLessThan(bpe!);
});

describe("counting words", () => {
  test("keeps at most as many as asked for: the commonest, of equally common ones those that came first", () => {
    const words = wordCounter(4);
    for (const text of ["a", "b", "b", "c", "d"]) words.add(text);
    expect(Object.fromEntries(words.counts)).toEqual({ a: 1, b: 2, c: 1, d: 1 });
    words.add("e");
    expect(Object.fromEntries(words.counts)).toEqual({ b: 2, a: 1 });
    words.add("e");
    expect(Object.fromEntries(words.counts)).toEqual({ b: 2, a: 1, e: 1 });
  });

  test("leaves out what is too long for a word", () => {
    expect([...countWords(["x".repeat(1001), "y".repeat(1000)]).keys()]).toEqual(["y".repeat(1000)]);
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
  const load = (size = 400): Promise<Vocabulary> =>
    loadVocabulary(countWords(texts.slice(0, 50)), { kind: "bpe", size }, ["fr"]);

  test("gives the same vocabulary again, another one for other settings or text, not for another order", async () => {
    const first = await load();
    const files = await readdir(folder);
    expect((await load()).json).toBe(first.json);
    expect(await readdir(folder)).toEqual(files);
    expect((await load(410)).hash).not.toBe(first.hash);
    await loadVocabulary(countWords(texts.slice(0, 51)), { kind: "bpe", size: 400 }, ["fr"]);
    await loadVocabulary(countWords(texts.slice(0, 50)), { kind: "unigram", size: 400 }, ["fr"]);
    await loadVocabulary(countWords(texts.slice(0, 50).reverse()), { kind: "bpe", size: 400 }, ["fr"]);
    expect(await readdir(folder)).toHaveLength(files.length + 3);
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
