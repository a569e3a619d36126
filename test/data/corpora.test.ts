// Reads the real packages. Lighthouse is fetched from the npm registry into the cache folder where it is not there yet.
import { createRequire } from "node:module";
import { beforeAll, describe, expect, test } from "vitest";
import * as corpora from "../../src/data/corpora/index.ts";
import { fromPseudoLocale } from "../../src/data/corpora/software-messages.ts";
import { clean, type Segment } from "../../src/data/corpus.ts";
import { loadCorpus } from "../../src/data/prepared.ts";
import { placeholders } from "../../src/data/text.ts";

describe("typescript-diagnostics", () => {
  let messages: Segment[];
  beforeAll(async () => {
    messages = await corpora.typescriptDiagnostics.load();
  });

  test("holds 2,121 messages, 2,118 of them in all 14 languages", () => {
    expect(messages).toHaveLength(2121);
    expect(messages.filter(({ text }) => Object.keys(text).length === 14)).toHaveLength(2118);
    expect(messages.filter(({ text }) => Object.keys(text).length === 1)).toHaveLength(3);
  });

  test("has the English that the compiler itself uses", () => {
    const compiler = createRequire(import.meta.url)("typescript-5") as {
      Diagnostics: Record<string, { key: string; message: string }>;
    };
    const expected = Object.values(compiler.Diagnostics).map(({ key, message }) => [`typescript/${key}`, message]);
    expect(messages.map(({ id, text }) => [id, text.en])).toEqual(expected);
  });

  test("aligns languages by key", () => {
    const { text } = messages.find(({ id }) => id === "typescript/Cannot_find_name_0_2304")!;
    expect(text).toMatchObject({
      en: "Cannot find name '{0}'.",
      de: 'Der Name "{0}" wurde nicht gefunden.',
      fr: "Le nom '{0}' est introuvable.",
      "zh-hans": "找不到名称“{0}”。",
    });
  });
});

describe("software-messages", () => {
  test("turns the pseudo-locale back into English", () => {
    expect(fromPseudoLocale("Mørë Æçtïøñs...")).toBe("More Actions...");
    expect(fromPseudoLocale("Øpëñ £æst ÜR£ £ïñk")).toBe("Open Last URL Link");
    expect(fromPseudoLocale("Ñø ßµg ïñ Ÿ {0} • §ÝÇ")).toBe("No Bug in Ÿ {0} • SYC");
  });

  test("joins three sources: 13 languages of 13,774 messages, and some 43 languages in all", async () => {
    const messages = await corpora.softwareMessages.load();
    const from = (source: string): Segment[] => messages.filter(({ id }) => id.startsWith(`${source}/`));
    expect(from("vscode")).toHaveLength(13_774);
    expect(from("vscode").every(({ text }) => Object.keys(text).length === 14)).toBe(true);
    expect(from("typescript")).toHaveLength(2121);
    expect(from("lighthouse").length).toBeGreaterThan(1200);
    const line = from("vscode").find(({ text }) => text.en?.startsWith('Only "normal" and "bold" keywords'))!;
    expect(line.text.fr!.replace(/\s/g, " ")).toBe(
      'Seuls les mots clés "normal" et "bold", ou les nombres compris entre 1 et 1 000 sont autorisés.',
    );
    const { segments } = clean(messages);
    expect(new Set(segments.flatMap(({ text }) => Object.keys(text))).size).toBe(44);
    const sentences = segments.filter(({ text }) => text.en!.split(/\s+/).length >= 4);
    expect(sentences.length).toBeGreaterThan(10_500);
    expect(segments.some(({ text }) => /&&\p{L}/u.test(text.en!))).toBe(false);
  });
});

describe("cleaning", () => {
  const message = (id: string, en: string, de?: string): Segment => ({
    id,
    text: de === undefined ? { en } : { en, de },
  });

  test("removes and counts by reason", () => {
    const { segments, filtered } = clean([
      message("kept", "Open the file {0}\r\n", "Datei {0} öffnen"),
      message("again", "Open the file {0}\n", "Öffne {0}"),
      message("empty", "Close", "  "),
      message("untranslated", "Save now", "Save now"),
      message("code", "tsconfig.json", "tsconfig.json"),
      message("lost", "Find {0}", "Suche"),
      message("plural", "{n, plural, one {a} other {b}}", "{n, plural, one {a} other {b}}"),
      message("nothing", "...", "..."),
    ]);
    expect(segments).toEqual([
      { id: "kept", text: { en: "Open the file {0}", de: "Datei {0} öffnen" } },
      { id: "code", text: { en: "tsconfig.json", de: "tsconfig.json" } },
    ]);
    expect(filtered).toEqual({
      duplicate: { en: 1 },
      empty: { de: 1, en: 1 },
      untranslated: { de: 1 },
      placeholders: { de: 1 },
      plural: { en: 1 },
      alone: { en: 3 },
    });
  });

  test("takes over from a duplicate the languages that the first one lacks", () => {
    const { segments } = clean([
      { id: "a", text: { en: "Open", de: "Öffnen" } },
      { id: "b", text: { en: "Open", de: "Auf", fr: "Ouvrir" } },
    ]);
    expect(segments).toEqual([{ id: "a", text: { en: "Open", de: "Öffnen", fr: "Ouvrir" } }]);
  });

  test("leaves every placeholder of the real corpus in every language", async () => {
    const { segments } = clean(await corpora.typescriptDiagnostics.load());
    const lost = segments.flatMap(({ id, text }) =>
      Object.entries(text)
        .filter(([, translated]) => placeholders(translated).join() !== placeholders(text.en!).join())
        .map(([language]) => `${id} ${language}`),
    );
    expect(lost).toEqual([]);
    expect(segments.filter(({ text }) => placeholders(text.en!).length > 0).length).toBeGreaterThan(850);
  });
});

test("an unknown corpus lists the known ones", async () => {
  await expect(loadCorpus("typescript-diagnostic")).rejects.toThrow(
    'unknown corpus "typescript-diagnostic"; did you mean "typescript-diagnostics"? Known: software-messages, typescript-diagnostics',
  );
});
