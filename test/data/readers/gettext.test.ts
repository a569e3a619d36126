// gettext's .po and .mo files: entries, what is left out, joining across languages, and damage.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { mo, po } from "../../../src/data/readers/index.ts";
import { LONGEST } from "../../../src/data/readers/lines.ts";
import { encodeMo, readAll, refusal, useFolder, write } from "./files.ts";

const folder = useFolder();
const header = (language: string, charset = "UTF-8"): string =>
  `msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=${charset}\\n"\n"Language: ${language}\\n"\n\n`;
const entry = (id: string, text: string): string => `msgid ${JSON.stringify(id)}\nmsgstr ${JSON.stringify(text)}\n\n`;

const german = `# Translators
${header("de_DE")}#: file.c:1
#, c-format
msgid "Open %s"
msgstr "%s öffnen"

msgctxt "verb"
msgid "Open"
msgstr "Öffnen"
msgctxt "adjective"
msgid "Open"
msgstr ""
"Offen\\t"
"\\"x\\"\\\\ \\101\\x42"

#, c-format, fuzzy
#| msgid "Clos"
msgid "Close"
msgstr "Zu"

msgid "None"
msgstr ""

msgid "a file"
msgid_plural "%d files"
msgstr[0] "eine Datei"
msgstr[1] "%d Dateien"

#, fuzzy
#~ msgid "Gone"
#~ msgstr "Weg"

msgid ""
"Two\\n"
"lines"
msgstr "Zwei\\nZeilen"`;

describe(".po", () => {
  test("entries come with contexts apart, escapes resolved and lines joined; the rest is left out and counted", async () => {
    const file = write(folder, "de.po", german.replaceAll("\n", "\r\n"));
    const { units, skipped } = await readAll(po, { de: file }, ["en", "de"]);
    expect(units).toEqual([
      { text: { en: "Open %s", de: "%s öffnen" }, where: `${file}:9` },
      { text: { en: "Open", de: "Öffnen" }, where: `${file}:13` },
      { text: { en: "Open", de: 'Offen\t"x"\\ AB' }, where: `${file}:16` },
      { text: { en: "Two\nlines", de: "Zwei\nZeilen" }, where: `${file}:38` },
    ]);
    expect(skipped).toEqual({ fuzzy: 1, untranslated: 1, plural: 1, obsolete: 1 });
  });

  test("files of several languages are joined by id, whatever their order, with English from the ids or its own file", async () => {
    const ids = Array.from({ length: 5000 }, (_, i) => `message ${i}`);
    const text = (language: string, order: readonly string[]): string =>
      header(language) + order.map((id) => entry(id, `${language} ${id}`)).join("");
    const files = {
      de: write(folder, "j-de.po", text("de", ids)),
      fr: write(folder, "j-fr.po.gz", gzipSync(text("fr", [...ids].reverse()))),
      ja: write(folder, "j-ja.po", text("ja", ids.slice(0, 4999))),
    };
    const { units, skipped } = await readAll(po, files, ["en", "fr", "ja", "de"]);
    expect(skipped).toEqual({});
    expect(units).toHaveLength(ids.length);
    const byEnglish = new Map(units.map(({ text }) => [text.en, text]));
    for (const id of ids)
      expect(byEnglish.get(id)).toEqual({
        en: id,
        de: `de ${id}`,
        fr: `fr ${id}`,
        ...(id === "message 4999" ? {} : { ja: `ja ${id}` }),
      });
    expect((await readAll(po, files, ["de", "ja"])).skipped).toEqual({ incomplete: 1 });
    const english = write(folder, "j-en.po", text("en", ids));
    const own = await readAll(po, { ...files, en: english }, ["en", "de"]);
    expect(own.units[0]!.text).toEqual({ en: "en message 0", de: "de message 0" });
  });

  test("entries that wait for another order are bounded: the oldest go out alone, and no text is lost or made up", async () => {
    // 3 x 2^23 characters of entries that the other file has only at its end.
    const long = Array.from({ length: 48 }, (_, i) => `${i} ${"x".repeat(2 ** 19)}`);
    const a = write(folder, "w-a.po", header("de") + long.map((id) => entry(id, `de ${id.slice(0, 9)}`)).join(""));
    const b = write(
      folder,
      "w-b.po",
      header("fr") +
        [...long]
          .reverse()
          .map((id) => entry(id, `fr ${id.slice(0, 9)}`))
          .join(""),
    );
    const { units } = await readAll(po, { de: a, fr: b }, ["en", "de", "fr"]);
    const texts = (language: string): string[] => units.flatMap(({ text }) => text[language] ?? []).sort();
    expect(texts("de")).toEqual(long.map((id) => `de ${id.slice(0, 9)}`).sort());
    expect(texts("fr")).toEqual(long.map((id) => `fr ${id.slice(0, 9)}`).sort());
    for (const { text } of units)
      for (const language of ["de", "fr"])
        if (text[language]) expect(text[language]).toBe(`${language} ${text.en!.slice(0, 9)}`);
    expect(units.length).toBeGreaterThan(long.length); // some went out alone
  });

  test("an entry that a file has twice counts once", async () => {
    const file = write(folder, "twice.po", header("de") + ["a", "b", "c"].map((id) => entry(id, `de ${id}`)).join(""));
    const texts = [entry("c", "first"), entry("c", "second"), entry("a", "un")];
    const other = write(folder, "twice-fr.po", header("fr") + texts.join(""));
    const { units, skipped } = await readAll(po, { de: file, fr: other }, ["en", "de", "fr"]);
    expect(units.map(({ text }) => text)).toEqual([
      { en: "c", de: "de c", fr: "first" },
      { en: "a", de: "de a", fr: "un" },
      { en: "b", de: "de b" },
    ]);
    expect(skipped).toEqual({ duplicate: 1 });
  });

  test("damage is refused with file and line", async () => {
    const cases: [text: string, message: RegExp][] = [
      ['msgid "a"\nmsgstr "b', /:2: expected a text that ends in a quote/],
      ['msgid "a" x\nmsgstr "b"', /:1: expected a text that ends in a quote|:1: expected nothing after the text/],
      ['msgid "a"\nmsgstr "b" "c"', /:2: expected nothing after the text/],
      ['msgid "a"\nmsgstr "\\q"', /:2: expected an escape that gettext has, got "\\\\q"/],
      ['msgid "a"\nmsgstr "\\351"', /:2: expected characters beyond ASCII written as such, got the escaped byte 351/],
      ['msgid "a"\nmessage "b"', /:2: expected msgctxt, msgid, msgid_plural or msgstr, got "message"/],
      ["msgid a", /:1: expected a keyword and a text in quotes, got "msgid a"/],
      ['"a"', /:1: expected msgctxt, .* got a text that follows none of them/],
      ['msgstr "a"', /:1: expected msgid first, got msgstr/],
      ['msgid "a"\nmsgid "b"', /:2: expected an entry with each keyword once, got a second msgid/],
      ['msgid "a"\nmsgctxt "b"', /:2: expected msgstr after msgid, got msgctxt/],
      [
        'msgid "x"\nmsgstr "y"\n\nmsgid "a"\n',
        /:4: expected msgstr after msgid, got the end of the file; it is cut short/,
      ],
      [header("de", "ISO-8859-1"), /:1: expected UTF-8, got charset=ISO-8859-1; convert the file: msgconv -t UTF-8/],
      [header("fr_FR"), /:1: expected a file in de, got one whose header says Language: fr-fr; name it under fr/],
      [
        `msgid "a"\nmsgstr ""\n${`"${"x".repeat(2 ** 16)}"\n`.repeat(17)}`,
        /:18: expected entries of at most 1048576 characters/,
      ],
    ];
    for (const [text, message] of cases)
      expect(await refusal(po, { de: write(folder, "bad.po", text) }, ["en", "de"])).toMatch(message);
  });

  test("a line full of escapes takes no longer than its length", async () => {
    const file = write(folder, "escapes.po", `msgid "a"\nmsgstr "${"\\n".repeat(LONGEST / 2 - 10)}b"`);
    const started = performance.now();
    const { units } = await readAll(po, { de: file }, ["en", "de"]);
    expect(units[0]!.text.de).toHaveLength(LONGEST / 2 - 9);
    expect(performance.now() - started).toBeLessThan(3000); // 0.2 s; a search to the end of the line for each takes minutes
  });
});

describe(".mo", () => {
  const entries: [id: string, text: string][] = [
    ["", "Content-Type: text/plain; charset=UTF-8\nLanguage: de\n"],
    ["Open", "Öffnen"],
    ["a file\0%d files", "eine Datei\0%d Dateien"],
    ["adjective\u0004Open", "Offen"],
    ["none", ""],
  ];

  test("entries come in either byte order, packed too; contexts apart, plurals left out", async () => {
    for (const bytes of [encodeMo(entries), encodeMo(entries, true), gzipSync(encodeMo(entries))]) {
      const file = write(folder, "de.mo", bytes);
      const { units, skipped } = await readAll(mo, { de: file }, ["en", "de"]);
      expect(units).toEqual([
        { text: { en: "Open", de: "Öffnen" }, where: `${file} entry 2` },
        { text: { en: "Open", de: "Offen" }, where: `${file} entry 4` },
      ]);
      expect(skipped).toEqual({ plural: 1, untranslated: 1 });
    }
  });

  const msgfmt = spawnSync("msgfmt", ["--version"]).status === 0;
  test.runIf(msgfmt)("files of msgfmt give what their .po files give", async () => {
    const source = write(folder, "real.po", german);
    const expected = (await readAll(po, { de: source }, ["en", "de"])).units.map(({ text }) => text);
    for (const order of ["little", "big"]) {
      const made = path.join(folder, `${order}.mo`);
      expect(spawnSync("msgfmt", [`--endianness=${order}`, "-o", made, source]).status).toBe(0);
      const { units, skipped } = await readAll(mo, { de: made }, ["en", "de"]);
      const sorted = (texts: unknown[]): string[] => texts.map((text) => JSON.stringify(text)).sort();
      expect(sorted(units.map(({ text }) => text))).toEqual(sorted(expected));
      expect(skipped).toEqual({ plural: 1 }); // msgfmt leaves fuzzy and untranslated ones out itself
    }
    expect(readFileSync(path.join(folder, "big.mo")).readUInt32BE(0)).toBe(0x950412de);
  });

  test("header numbers that the file cannot hold are refused before anything is made of them", async () => {
    const good = encodeMo(entries);
    const changed = (at: number, value: number): Buffer => {
      const bytes = Buffer.from(good);
      bytes.writeUInt32LE(value, at);
      return bytes;
    };
    const cases: [bytes: Buffer, message: RegExp][] = [
      [Buffer.from("hello"), /expected a \.mo file with a header of 28 bytes, got 5 bytes in all/],
      [changed(0, 0x12345678), /that starts with de 12 04 95 or 95 04 12 de, got 78 56 34 12/],
      [changed(4, 0x20000), /of revision 0 or 1, got revision 2/],
      [changed(8, 0xffffffff), /whose tables lie within its \d+ bytes, got a table of 4294967295 entries at byte 28/],
      [changed(12, 0xfffffff0), /whose tables lie within/],
      [changed(16, good.length - 4), /whose tables lie within/],
      [changed(16, 0), /whose tables lie within/],
      [changed(28 + 8, 0x7fffffff), /whose strings lie within its \d+ bytes, got entry 2 of 2147483647 bytes/],
      [changed(28 + 12, 0xffffffff), /whose strings lie within/],
      [changed(28 + 8, 3), /whose strings end in NUL, got none after entry 2/],
      [good.subarray(0, good.length - 1), /whose strings lie within/],
    ];
    for (const [bytes, message] of cases) {
      const file = write(folder, "bad.mo", bytes);
      const refused = await refusal(mo, { de: file }, ["en", "de"]);
      expect(refused).toMatch(message);
      expect(refused).toContain(file);
    }
    const latin = Buffer.from(good);
    latin[latin.indexOf("ffnen") - 1] = 0xe9;
    expect(await refusal(mo, { de: write(folder, "bad.mo", latin) }, ["en", "de"])).toMatch(
      /bad\.mo entry 2: expected UTF-8, got byte 0xc3 at byte/,
    );
  });

  test("a million entries that all stand for one long string are refused soon", async () => {
    const count = 1_000_000;
    const bytes = Buffer.alloc(28 + 8 * count + LONGEST + 1, "x");
    [0x950412de, 0, count, 28, 28, 0, 0].forEach((word, i) => bytes.writeUInt32LE(word, 4 * i));
    for (let i = 0; i < count; i++) {
      bytes.writeUInt32LE(LONGEST, 28 + 8 * i);
      bytes.writeUInt32LE(28 + 8 * count, 28 + 8 * i + 4);
    }
    bytes[bytes.length - 1] = 0;
    expect(await refusal(mo, { de: write(folder, "shared.mo", bytes) }, ["en", "de"])).toMatch(
      /whose strings lie side by side/,
    );
  });
});
