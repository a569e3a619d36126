// Tab-separated pairs, line-aligned files and JSON lines: what they give, what they leave out, what they refuse.
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { jsonl, manythings, moses, tatoeba } from "../../../src/data/readers/index.ts";
import { LONGEST } from "../../../src/data/readers/lines.ts";
import { readAll, refusal, useFolder, write } from "./files.ts";

const folder = useFolder();

describe("tatoeba", () => {
  test("gives the texts of id, text, id, text, quotation marks and all, in the order of the languages", async () => {
    const file = write(
      folder,
      "pairs.tsv",
      '\uFEFF1276\tLet\'s "try"!\t373351\tEssayons !\r\n1277\t"\t12\tune\u00a0seule\r\n',
    );
    const { units, skipped } = await readAll(tatoeba, [file], ["en", "fr"]);
    expect(units).toEqual([
      { text: { en: 'Let\'s "try"!', fr: "Essayons !" }, where: `${file}:1` },
      { text: { en: '"', fr: "une\u00a0seule" }, where: `${file}:2` },
    ]);
    expect(skipped).toEqual({});
    expect((await readAll(tatoeba, [file, file], ["fr", "en"])).units.map(({ text }) => text.fr)).toHaveLength(4);
  });

  test("leaves out blank lines and blank texts and counts them", async () => {
    const file = write(folder, "blanks.tsv", "1\ta\t2\tb\n\n1\t \t2\tb\n1\ta\t2\t\n\n");
    const { units, skipped } = await readAll(tatoeba, [file], ["en", "fr"]);
    expect(units).toHaveLength(1);
    expect(skipped).toEqual({ empty: 4 });
  });

  test("names the line of a wrong number of columns or a wrong id, and what to do", async () => {
    const refused = (line: string): Promise<string> =>
      refusal(tatoeba, [write(folder, "wrong.tsv", `1\ta\t2\tb\n${line}\n`)], ["en", "fr"]);
    expect(await refused("a\tb\tCC-BY")).toMatch(
      /wrong\.tsv:2: expected 4 columns .*, got 3 columns; .*the reader is manythings/,
    );
    expect(await refused("a")).toMatch(/:2: expected 4 columns .*, got 1 column; export the pairs again/);
    expect(await refused("1\ta\t2\tb\t")).toMatch(/got 5 columns/);
    expect(await refused("a\tb\tc\td")).toMatch(/:2: expected .*, got "a" and "c" for ids/);
    expect(await refusal(tatoeba, ["x"], ["en", "fr", "de"])).toMatch(
      /expected two languages, in the order of the columns/,
    );
  });
});

describe("manythings", () => {
  test("gives the first two of two or three columns", async () => {
    const file = write(folder, "fra.txt", "Go.\tVa !\tCC-BY 2.0 (France)\nRun!\tCours !\n");
    const { units } = await readAll(manythings, [file], ["en", "fr"]);
    expect(units.map(({ text }) => text)).toEqual([
      { en: "Go.", fr: "Va !" },
      { en: "Run!", fr: "Cours !" },
    ]);
  });

  test("refuses other numbers of columns, and says which reader Tatoeba's own export needs", async () => {
    const four = write(folder, "four.txt", "1\tGo.\t2\tVa !\n");
    expect(await refusal(manythings, [four], ["en", "fr"])).toMatch(
      /four\.txt:1: expected 2 or 3 columns .*, got 4 columns; .*the reader is tatoeba/,
    );
    expect(await refusal(manythings, [write(folder, "one.txt", "Go.\n")], ["en", "fr"])).toMatch(
      /one\.txt:1: .* got 1 column;/,
    );
  });
});

describe("moses", () => {
  test("pairs line n with line n of each file, plain or packed, whatever their block sizes", async () => {
    const count = 30_000;
    const lines = (word: string): string[] =>
      Array.from({ length: count }, (_, i) => `${word} ${i}\u2028 ${word.repeat(i % 7)}`);
    const [short, long, other] = [lines("a"), lines("a much longer text"), lines("β")];
    const files = {
      en: write(folder, "c.en", short.join("\n")),
      de: write(folder, "c.de", `${long.join("\r\n")}\r\n`),
      el: write(folder, "c.el.gz", gzipSync(other.join("\n"))),
    };
    const { units } = await readAll(moses, files, ["de", "en", "el"]);
    expect(units).toEqual(
      short.map((en, i) => ({ text: { de: long[i], en, el: other[i] }, where: `${files.de}:${i + 1}` })),
    );
    // A file that no language asks for is not opened.
    expect((await readAll(moses, { ...files, xx: "missing" }, ["en", "el"])).units).toHaveLength(count);
  });

  test("leaves a blank line's language out, and the unit with it where fewer than two remain", async () => {
    const files = {
      en: write(folder, "b.en", "1\n\n3\n\n"),
      de: write(folder, "b.de", "eins\nzwei\n \n\n"),
      fr: write(folder, "b.fr", "un\ndeux\ntrois\n\n"),
    };
    const { units, skipped } = await readAll(moses, files, ["en", "de", "fr"]);
    expect(units.map(({ text }) => text)).toEqual([
      { en: "1", de: "eins", fr: "un" },
      { de: "zwei", fr: "deux" },
      { en: "3", fr: "trois" },
    ]);
    expect(skipped).toEqual({ empty: 1 });
  });

  test("refuses files of differing line counts and names all counts, by a line or by many blocks", async () => {
    for (const [a, b] of [
      [3, 2],
      [1, 200_000],
      [200_000, 199_999],
      [65_536, 1],
    ] as const) {
      const en = write(folder, "d.en", "one line\n".repeat(a));
      const de = write(folder, "d.de", "eine Zeile".concat("\neine Zeile".repeat(b - 1)));
      const message = await refusal(moses, { en, de }, ["en", "de"]);
      expect(message).toContain(
        `expected files with as many lines as each other, got ${a} lines in ${en} and ${b} lines in ${de}`,
      );
    }
  });
});

describe("jsonl", () => {
  test("gives the texts of the languages asked for, by their very code before a variety, null being absent", async () => {
    const rows = [
      { id: 1, translation: { en: "a", de: "b", fr: null } },
      { translation: { "en-US": "color", en_GB: "colour", de: "Farbe", ja: "色" } },
      { translation: { "de-AT": "Jänner", de: "Januar", en: "January" } },
      { translation: { en: "alone", ja: "一人" } },
      { translation: { en: " ", de: "leer" } },
      { translation: { en: "x\u2028y", de: JSON.parse('"\\ud83d\\ude42"') as string } },
    ];
    const file = write(folder, "t.jsonl", `\uFEFF${rows.map((row) => JSON.stringify(row)).join("\r\n")}\n\n`);
    const { units, skipped } = await readAll(jsonl, [file], ["de", "en"]);
    expect(units.map(({ text }) => text)).toEqual([
      { en: "a", de: "b" },
      { en: "color", de: "Farbe" },
      { en: "January", de: "Januar" },
      { en: "x\u2028y", de: "🙂" },
    ]);
    expect(units.at(-1)!.where).toBe(`${file}:6`);
    expect(skipped).toEqual({ incomplete: 2, empty: 1 });
  });

  test("takes a variety for the nearest language asked for, whatever the order", async () => {
    const file = write(folder, "v.jsonl", '{"translation": {"zh-Hant-TW": "繁", "zh-CN": "简", "zho": "x"}}\n');
    for (const languages of [
      ["zh", "zh-hant"],
      ["zh-hant", "zh"],
    ])
      expect((await readAll(jsonl, [file], languages)).units[0]!.text).toEqual({ "zh-hant": "繁", zh: "简" });
  });

  test("says which language the files do not have, and which they have", async () => {
    const file = write(folder, "l.jsonl", '{"translation": {"en": "a", "de": "b", "pt-BR": "c"}}\n');
    expect(await refusal(jsonl, [file], ["en", "fr"])).toMatch(
      /l\.jsonl: expected units with texts in two or more of en, fr, got none \(left out: 1 incomplete\); languages there .*: de, pt-br/,
    );
    expect(await refusal(jsonl, [file], ["en", "de", "fr"])).toMatch(
      /expected texts in fr, got none in 1 units; .*: pt-br; leave/,
    );
    const other = write(folder, "m.jsonl", '{"translation": {"en": "a", "fr": "b"}}\n');
    expect((await readAll(jsonl, [file, other], ["en", "de", "fr"])).units).toHaveLength(2);
  });

  test("refuses what is not such an object, with file and line", async () => {
    const cases = [
      ["{", "what is no JSON"],
      ["[1]", "a list"],
      ["null", "null"],
      ["{}", 'no "translation"'],
      ['{"__proto__": {"translation": {"en": "a", "de": "b"}}}', 'no "translation"'],
      ['{"translation": ["a", "b"]}', 'a list under "translation"'],
      ['{"translation": {"en": 1, "de": "b"}}', "a number for the text in en"],
      ['{"translation": {"en": "a", "de": {"x": 1}}}', "an object for the text in de"],
      ['{"translation": {"en": "a", "de": "\\ud83d"}}', "half a surrogate pair in the text in de"],
      ["[".repeat(LONGEST), "what is no JSON"],
    ] as const;
    for (const [line, got] of cases) {
      const file = write(folder, "w.jsonl", `{"translation": {"en": "a", "de": "b"}}\n${line}\n`);
      expect(await refusal(jsonl, [file], ["en", "de"])).toContain(
        `${file}:2: expected {"translation": {"en": "...", "de": "..."}}, got ${got}`,
      );
    }
  });
});
