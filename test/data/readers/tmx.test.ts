// TMX: units and languages, markup left out, positions, and the ways in which XML attacks its readers.
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { tmx } from "../../../src/data/readers/index.ts";
import { LONGEST } from "../../../src/data/readers/lines.ts";
import { readAll, refusal, useFolder, write } from "./files.ts";

const folder = useFolder();

const head = '<?xml version="1.0" encoding="UTF-8"?>\n';
const memory = (body: string, before = head): string =>
  `${before}<tmx version="1.4">\n<header srclang="en" datatype="plaintext"/>\n<body>\n${body}\n</body>\n</tmx>\n`;
const tuv = (language: string, segment: string): string => `<tuv xml:lang="${language}"><seg>${segment}</seg></tuv>`;
const unit = (en: string, de: string): string => `<tu>${tuv("en", en)}${tuv("de", de)}</tu>`;
const file = (text: string): string => write(folder, "m.tmx", text);
const read = (text: string, languages = ["en", "de"]) => readAll(tmx, [file(text)], languages);
const refused = (text: string): Promise<string> => refusal(tmx, [file(text)], ["en", "de"]);

test("units come with their texts, entities resolved, and the line of their <tu>", async () => {
  const { units } = await read(
    memory(`${unit("a &amp; b &#x1F642; &lt;c&gt;", "<![CDATA[<x> & ]]>y")}\n<tu tuid="2"\n><note>nein</note>
<prop type="x">p</prop>${tuv("EN-us", "two\n lines")}<!-- c --><tuv lang="DE"><prop>p</prop><seg>zwei</seg></tuv></tu>`),
  );
  expect(units).toEqual([
    { text: { en: "a & b 🙂 <c>", de: "<x> & y" }, where: expect.stringMatching(/m\.tmx:5$/) as string },
    { text: { en: "two\n lines", de: "zwei" }, where: expect.stringMatching(/m\.tmx:6$/) as string },
  ]);
});

test("markup is left out of texts, but not what it highlights", async () => {
  const { units } = await read(
    memory(
      unit(
        'The <bpt i="1">&lt;b><sub>hidden</sub>too</bpt>big<ept i="1">&lt;/b></ept> <hi type="x">black <ph/>cat</hi><it pos="begin">x</it><ut>y</ut>.',
        "Die <hi>große <hi>Katze</hi></hi>.",
      ),
    ),
  );
  expect(units[0]!.text).toEqual({ en: "The big black cat.", de: "Die große Katze." });
});

test("a language's very code counts before its varieties, the first before later ones, and others are named", async () => {
  const many = `<tu>${tuv("en-GB", "colour")}${tuv("en", "color")}${tuv("en", "again")}${tuv("fr", "couleur")}${tuv("de-AT", "Farbe")}${tuv("de-CH", "Farb")}</tu>`;
  const { units, skipped } = await read(memory(`${many}<tu>${tuv("en", "alone")}${tuv("de", " ")}</tu>`));
  expect(units.map(({ text }) => text)).toEqual([{ en: "color", de: "Farbe" }]);
  expect(skipped).toEqual({ incomplete: 1 });
  expect(await refusal(tmx, [file(memory(many))], ["en", "ja"])).toMatch(
    /two or more of en, ja, got none .*: fr, de-at, de-ch/,
  );
});

test("a file of one line, of several chunks and packed gives the same as one of many lines", async () => {
  const texts = Array.from({ length: 20_000 }, (_, i) => [`sentence ${i} é漢🙂`, `Satz &quot;${i}&quot;`] as const);
  const body = texts.map(([en, de]) => unit(en, de));
  const expected = texts.map(([en], i) => ({ en, de: `Satz "${i}"` }));
  for (const separator of ["", "\r\n"]) {
    const text = memory(body.join(separator));
    expect(text.length).toBeGreaterThan(2 ** 20); // longer than a line may be
    for (const bytes of [Buffer.from(text), gzipSync(text), Buffer.from(`\uFEFF${text}`)]) {
      const { units } = await readAll(tmx, [write(folder, "big.tmx", bytes)], ["en", "de"]);
      expect(units.map(({ text }) => text)).toEqual(expected);
      expect(units.at(-1)!.where).toMatch(separator ? /:20004$/ : /:5$/);
    }
  }
});

test("declarations of entities are refused, billions of laughs among them, before anything is expanded", async () => {
  const laughs = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join("\n");
  const bomb = memory(unit("&l9;", "x"), `${head}<!DOCTYPE tmx [<!ENTITY l0 "lol">\n${laughs}]>`);
  const started = performance.now();
  expect(await refused(bomb)).toMatch(
    /m\.tmx:\d+: expected no declarations of entities or elements, got a document type with its own; delete/,
  );
  expect(performance.now() - started).toBeLessThan(5000); // it takes milliseconds
  for (const doctype of [
    '<!DOCTYPE tmx SYSTEM "tmx14.dtd" [<!ENTITY x SYSTEM "file:///etc/hostname">]>',
    "<!DOCTYPE tmx [<!ENTITY % x SYSTEM 'http://localhost/x'> %x;]>",
    "<!DOCTYPE tmx [<!ELEMENT tmx ANY>]>",
    "<!DOCTYPE html>",
  ])
    expect(await refused(memory(unit("a", "b"), head + doctype))).toContain("expected no declarations");
  expect(await refused(memory(unit("&x;", "b")))).toMatch(/m\.tmx:5: expected well-formed XML, got undefined entity/);
});

test("the standard's own document type is passed over and never opened", async () => {
  for (const doctype of [
    '<!DOCTYPE tmx SYSTEM "file:///nowhere/tmx14.dtd">',
    "<!DOCTYPE tmx PUBLIC '-//LISA//TMX' \"tmx14.dtd\" >",
  ])
    expect((await read(memory(unit("a", "b"), head + doctype))).units).toHaveLength(1);
});

test("elements too deep, texts, tags, comments and document types too long are refused, not collected", async () => {
  const deep = 100_000;
  expect(await refused(memory("<x>".repeat(deep) + "</x>".repeat(deep)))).toMatch(
    /elements at most 64 deep, got a deeper one, <x>/,
  );
  expect(await refused(memory(unit("<hi>".repeat(deep), "b")))).toMatch(/at most 64 deep/);
  const long = "y".repeat(2 * LONGEST);
  const pieces = "<ph/>yyyyyyyy".repeat(LONGEST / 4);
  for (const text of [
    memory(unit(long, "b")),
    memory(unit(pieces, "b")),
    memory(unit("&amp;".repeat(2 * LONGEST), "b")),
    memory(`<!--${long}-->`),
    memory(`<?x ${long}?>`),
    memory(`<![CDATA[${long}]]>`),
    memory(`<tu a="${long}"/>`),
    memory(`<${long}/>`),
    memory(`<tu ${Array.from({ length: LONGEST / 4 }, (_, i) => `a${i}=""`).join(" ")}/>`),
    memory(unit("a", "b"), `${head}<!DOCTYPE tmx [${long}]>`),
    memory(unit(`&${long};`, "b")),
  ])
    expect(await refused(text)).toMatch(/expected texts (and tags )?of at most 1048576 characters, got a longer/);
});

test("what is not well-formed, not TMX, not UTF-8 or cut short is refused with file and line", async () => {
  expect(await refused(memory(unit("a", "b")).slice(0, -20))).toMatch(
    /m\.tmx:\d: expected well-formed XML, got unclosed tag/,
  );
  expect(await refused(memory("<tu></tuv>"))).toMatch(/:5: expected well-formed XML, got unexpected close/);
  expect(await refused("not XML")).toMatch(/:1: expected well-formed XML/);
  expect(await refused(`${head}<xliff/>`)).toMatch(
    /:2: expected TMX, whose root is <tmx>, got <xliff>; is it another format\?/,
  );
  expect(await refused(memory("<tu><tu></tu></tu>"))).toMatch(/:5: expected units side by side/);
  expect(await refused(memory("<tu><tuv><seg>a</seg></tuv></tu>"))).toMatch(/:5: expected xml:lang on each <tuv>/);
  expect(await refused(memory(unit("a", "b"), '<?xml version="1.0" encoding="ISO-8859-1"?>'))).toMatch(
    /:1: expected UTF-8, got encoding="ISO-8859-1"/,
  );
  expect(
    await refusal(tmx, [write(folder, "w.tmx", Buffer.from(`\uFEFF${memory("")}`, "utf16le"))], ["en", "de"]),
  ).toMatch(/w\.tmx:1: expected UTF-8, got byte 0xff at byte 1 of the line; it looks like UTF-16/);
});
