// Whatever bytes a file has, a reader ends, with units or with a `UserError` that names the file. `FATHOM_FUZZ_RUNS`
// says how many inputs of each kind a reader gets (100,000 in all is a few minutes), `FATHOM_FUZZ_SEED` which ones.
import path from "node:path";
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import * as readers from "../../../src/data/readers/index.ts";
import { type Reader, type ReaderFiles, readUnits } from "../../../src/data/readers/reader.ts";
import { mutated as mutatedBy } from "../../fuzz/mutations.ts";
import { encodeMo, useFolder } from "./files.ts";

const runs = Number(process.env.FATHOM_FUZZ_RUNS ?? 300);
const seed = Number(process.env.FATHOM_FUZZ_SEED ?? 1);
const folder = useFolder();

/** Of each format a file that has most of what the format has. */
const valid: Readonly<Record<string, string | Buffer>> = {
  tatoeba: '1\tLet\'s go.\t2\tGehen wir.\r\n3\t"Ja" é漢🙂\t4\tx\n\n5\ta\t6\tb\n',
  manythings: "Go.\tGeh.\tCC-BY 2.0 (x)\nHi.\tHallo é漢🙂\n\n",
  moses: "one\ntwo\n\nvier é漢🙂\r\nfive\n",
  jsonl:
    '{"id": 1, "translation": {"en": "a \\u00e9 \\ud83d\\ude42", "de": "b", "fr": null}}\n\n{"translation": {"en-us": "c", "de": "é漢🙂"}}\n',
  tmx:
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4"><header/><!-- c --><body>\n' +
    '<tu tuid="1"><prop type="x">p</prop><tuv xml:lang="en"><seg>a &amp; &#xe9; <ph>x</ph></seg></tuv><tuv lang="de"><seg><![CDATA[é漢🙂]]></seg></tuv></tu>\n' +
    '<?pi x?><tu><tuv xml:lang="en-US"><seg><hi>c</hi></seg></tuv><tuv xml:lang="de"><seg>d</seg></tuv></tu></body></tmx>\n',
  po:
    'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\nLanguage: de\\n"\n\n#, fuzzy\nmsgctxt "c"\nmsgid "a"\nmsgstr "b"\n\n' +
    'msgid "x\\n\\t\\101\\x41"\n"y"\nmsgstr "é漢🙂"\n\nmsgid "f"\nmsgid_plural "fs"\nmsgstr[0] "g"\nmsgstr[1] "gs"\n\n#~ msgid "o"\n#~ msgstr "p"\n\nmsgid "q"\nmsgstr "r"\n',
  mo: encodeMo([
    ["", "Content-Type: text/plain; charset=UTF-8\nLanguage: de\n"],
    ["a", "é漢🙂"],
    ["c\u0004b", "c"],
    ["d\0ds", "e\0es"],
  ]),
};
/** Pieces that mean something in one of the formats or in its encoding. */
const pieces = [
  ...'\n|\r\n|\t|"|\\|{|}|[|]|,|:|null|1e999|<|>|</|&|&#0;|&#x110000;|&lol;|<!DOCTYPE tmx [<!ENTITY lol "lol">]>|<![CDATA[|]]>|<!--|-->|<?'.split(
    "|",
  ),
  ...'<tu>|</tu>|<tuv xml:lang="en">|<seg>|</seg>|<ph>|msgid "x"|msgstr "|msgstr[0] ""|msgctxt ""|msgid_plural ""|#~ |#, fuzzy|__proto__|"translation"'.split(
    "|",
  ),
  ..."\0|\uFEFF|\u2028|\u0004".split("|"),
];
const mutated = (bytes: Buffer): fc.Arbitrary<Buffer> => mutatedBy(bytes, pieces);

const ends = { units: 0, refused: 0 };

/** Reads the bytes with the reader; anything but units and a `UserError` that names a file fails. */
async function endsWell(reader: Reader, bytes: Uint8Array): Promise<void> {
  const file = path.join(folder, `${reader.name}.fuzz`);
  writeFileSync(file, bytes);
  let files: ReaderFiles = [file];
  if (reader.layout === "apart") {
    const other = path.join(folder, `${reader.name}.other`);
    writeFileSync(other, valid[reader.name]!);
    files = reader === readers.moses ? { en: file, de: other } : { de: file };
  }
  const started = performance.now();
  try {
    for await (const { text, where } of readUnits(reader, files, ["en", "de"]).units) {
      ends.units++;
      expect(Object.keys(text).sort()).toEqual(["de", "en"]);
      for (const one of Object.values(text)) expect(/\S/.test(one) && !/\p{Cs}/u.test(one)).toBe(true);
      expect(where).toContain(file.slice(0, -"fuzz".length));
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    ends.refused++;
    expect(error.message).toContain(folder);
    expect(error.message.length).toBeLessThan(2000);
  }
  // Milliseconds; this much is a machine that is busy otherwise.
  expect(performance.now() - started).toBeLessThan(20_000);
}

describe.each(Object.values(readers) as Reader[])("$name", (reader) => {
  const example = Buffer.from(valid[reader.name]!);

  test("the example is valid, or the mutations would be of nothing", async () => {
    ends.units = 0;
    ends.refused = 0;
    await endsWell(reader, example);
    expect(ends.refused).toBe(0);
    expect(ends.units).toBeGreaterThanOrEqual(2);
  });

  test(
    "ends with units or a UserError on mutated files, packed ones too, and on any bytes",
    async () => {
      ends.units = 0;
      ends.refused = 0;
      const before = process.memoryUsage().rss;
      const packed = mutated(example).map((bytes) => gzipSync(bytes));
      const damaged = mutated(gzipSync(example));
      const any = fc.uint8Array({ maxLength: 200 });
      for (const [inputs, share] of [
        [mutated(example), 1],
        [any, 0.3],
        [packed, 0.2],
        [damaged, 0.2],
      ] as const)
        await fc.assert(
          fc.asyncProperty(inputs as fc.Arbitrary<Uint8Array>, (bytes) => endsWell(reader, bytes)),
          { numRuns: Math.ceil(runs * share), seed },
        );
      // Both ends were seen, or the mutations are too weak or too strong to show anything.
      expect(ends.units).toBeGreaterThan(0);
      expect(ends.refused).toBeGreaterThan(0);
      // Inputs are under 10 kB. What grows is the heap of the test runner and its garbage.
      expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 29);
    },
    120_000 + 60 * runs,
  ); // milliseconds; an input takes 2
});
