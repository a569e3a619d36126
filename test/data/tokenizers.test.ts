// The vocabulary's file in the real `tokenizers` of Hugging Face (Rust, by way of Python), where Python has it: the
// same pieces, whatever the text.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { loadCorpus } from "../../src/data/prepared.ts";
import { readVocabulary, trainTokenizer, type Vocabulary } from "../../src/data/vocabulary.ts";
import { useTemporaryCache } from "./temporary-cache.ts";
import { anyText, countWords, spellsSpecial } from "./texts.ts";

useTemporaryCache();
const VERSION = "0.23.3";
const script = fileURLToPath(new URL("./tokenizers_check.py", import.meta.url));
const pinned = `import tokenizers; assert tokenizers.__version__ == "${VERSION}"`;
const hasTokenizers = spawnSync("python3", ["-c", pinned]).status === 0;
if (!hasTokenizers)
  console.warn(
    `test/data/tokenizers.test.ts: skipped, since python3 does not import tokenizers ${VERSION} ` +
      `(pip install tokenizers==${VERSION})`,
  );

const KINDS = ["bpe", "unigram"] as const;
const LANGUAGES = ["en", "de", "ja", "ru"];

describe.skipIf(!hasTokenizers)("tokenizer.json, read by Hugging Face's tokenizers", () => {
  const texts: string[] = [];
  let vocabularies: Vocabulary[];
  let answers: { ids: number[][][]; texts: string[][] };

  beforeAll(async () => {
    const { segments } = await loadCorpus("typescript-diagnostics");
    const of = (train: boolean): string[] =>
      LANGUAGES.flatMap((language) =>
        segments.flatMap(({ split, text }) =>
          (split === "train") === train && text[language] ? [text[language]] : [],
        ),
      );
    const words = countWords(of(true));
    vocabularies = KINDS.map((kind) =>
      readVocabulary(trainTokenizer(words, { kind, size: 2000 }, ["de", "ja"]), "test"),
    );
    texts.push(
      ...of(false),
      "",
      "a".repeat(20_000),
      "Ünï".repeat(5000),
      ...fc.sample(anyText, { seed: 1, numRuns: 3000 }),
    );
    // Words that were never seen, of pieces that were: where segmentations compete.
    const pieces = fc.constantFrom(
      ...vocabularies.flatMap(({ pieces: all, readable }) => all.map((_, id) => readable(id))),
    );
    const mixed = fc.array(pieces, { minLength: 1, maxLength: 8 }).map((some) => some.join("").replaceAll("·", " "));
    texts.push(...fc.sample(mixed, { seed: 2, numRuns: 3000 }));
    const { status, stdout, stderr } = spawnSync("python3", ["-B", script], {
      input: JSON.stringify({
        files: vocabularies.map(({ json }) => json),
        texts: texts.filter((text) => !spellsSpecial(text)),
      }),
      maxBuffer: 2 ** 28,
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(stderr);
    answers = JSON.parse(stdout);
  }, 60_000);

  test.each(KINDS.map((kind, i) => [kind, i] as const))("%s: the same pieces and the same text", (_, i) => {
    const asked = texts.filter((text) => !spellsSpecial(text));
    expect(asked.length).toBeGreaterThan(6000);
    for (const [at, text] of asked.entries()) {
      const ids = vocabularies[i]!.encode(text);
      expect(answers.ids[i]![at], JSON.stringify(text)).toEqual(ids);
      expect(answers.texts[i]![at]).toBe(text);
    }
  });
});
