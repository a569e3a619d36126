// What all readers have in common: which files they take, UTF-8, lines, gzip, and errors that say where.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, CHUNK } from "../../../src/data/readers/bytes.ts";
import * as readers from "../../../src/data/readers/index.ts";
import { firstInvalid, lineBlocks, LONGEST, textPieces } from "../../../src/data/readers/lines.ts";
import { type Reader, type ReaderFiles, readUnits } from "../../../src/data/readers/reader.ts";
import { readAll, refusal, useFolder, write } from "./files.ts";

const folder = useFolder();
const { manythings, moses, po, jsonl } = readers;

async function linesIn(file: string): Promise<string[]> {
  const all: string[] = [];
  for await (const { first, lines } of lineBlocks(file)) {
    expect(first).toBe(all.length + 1);
    all.push(...lines);
  }
  return all;
}

async function textIn(file: string): Promise<string> {
  let all = "";
  for await (const piece of textPieces(file)) all += piece;
  return all;
}

const thrownBy = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "nothing was thrown",
    (error: Error) => `${error.name}: ${error.message}`,
  );

describe("files", () => {
  const readError = (file: string): Promise<string> => refusal(manythings, [file], ["en", "fr"]);

  test("that are missing, folders, pipes, devices or empty are refused by name", async () => {
    mkdirSync(path.join(folder, "sub"));
    execFileSync("mkfifo", [path.join(folder, "pipe")]);
    const cases = [
      ["missing.tsv", "expected a file, got nothing of that name"],
      ["sub", "expected a regular file, got a folder"],
      ["pipe", "expected a regular file, got a pipe, a socket or a device"],
      ["\0", "expected a file that can be read"],
    ] as const;
    for (const [name, message] of cases) {
      const file = `${folder}${path.sep}${name}`;
      expect(await readError(file)).toContain(`${file}: ${message}`);
    }
    expect(await readError("/dev/zero")).toContain("/dev/zero: expected a regular file, got a pipe");
    const empty = write(folder, "empty.tsv", "");
    expect(await readError(empty)).toContain(`${empty}: expected text, got an empty file`);
    expect(await readError(write(folder, "blank.tsv", "\n\n"))).toContain("got none (left out: 2 empty)");
    expect(await readError(write(folder, "empty.gz", gzipSync("")))).toContain("got none");
  });

  test("may be links to regular files", async () => {
    symlinkSync(write(folder, "real.tsv", "a\tb"), path.join(folder, "link.tsv"));
    expect((await readAll(manythings, [path.join(folder, "link.tsv")], ["en", "fr"])).units).toHaveLength(1);
  });

  test("are closed when the consumer stops early, packed or not", async () => {
    const text = "a sentence\tune phrase\n".repeat(100_000);
    for (const file of [write(folder, "long.tsv", text), write(folder, "long.tsv.gz", gzipSync(text))]) {
      const open = (): number =>
        readdirSync("/proc/self/fd").filter((fd) => {
          try {
            return readlinkSync(`/proc/self/fd/${fd}`) === file;
          } catch {
            return false;
          }
        }).length;
      const { units } = readUnits(manythings, [file], ["en", "fr"]);
      await units.next();
      expect(open()).toBe(1);
      await units.return();
      expect(open()).toBe(0);
    }
  });

  test("are listed as their reader wants them, with languages that make sense", async () => {
    const wrong = (reader: Reader, files: ReaderFiles, codes: string[]) => () => readUnits(reader, files, codes);
    expect(wrong(moses, ["a", "b"], ["en", "de"])).toThrow(
      /one file a language, got a list.*files: \{en: FILE, de: FILE\}/,
    );
    expect(wrong(jsonl, { en: "a" }, ["en", "de"])).toThrow(/expected a list of files.*write files: \[a\]/);
    expect(wrong(moses, { en: "a", de: "b" }, ["en", "fr"])).toThrow(/got none for fr; files has: en, de/);
    expect(wrong(jsonl, [], ["en", "fr"])).toThrow(/names of one or more files/);
    expect(wrong(jsonl, ["a"], ["en"])).toThrow(/two or more languages, each once, got en/);
    expect(wrong(jsonl, ["a"], ["en", "en"])).toThrow(/each once, got en, en/);
    expect(wrong(jsonl, ["a"], ["en", "pt_BR"])).toThrow(/write pt-br/);
    expect(wrong(jsonl, ["a"], ["en", "__proto__"])).toThrow(/expected a language code/);
    expect(() => readUnits(po, { de: "x" }, ["en", "de"])).not.toThrow(); // English is in every .po file
  });
});

describe("lines", () => {
  test("end in LF or CRLF and nowhere else, and a byte order mark is not text", async () => {
    const file = write(folder, "ends", "\uFEFFa\r\nb\u2028c\fd\re\u0085\n\n\r\n\uFEFFlast");
    expect(await linesIn(file)).toEqual(["a", "b\u2028c\fd\re\u0085", "", "", "\uFEFFlast"]);
    expect(await linesIn(write(folder, "mark", "\uFEFF"))).toEqual([]);
  });

  test("are the same however chunks cut them, packed or not", async () => {
    // Characters of 1 to 4 bytes and line breaks of both kinds fall on the borders of chunks at every offset.
    for (let shift = 0; shift < 12; shift++) {
      const lines = Array.from({ length: 12 }, (_, i) => `${"x".repeat(i)}é漢🙂`.repeat(4000 + i * 500));
      const text = `${"s".repeat(shift)}${lines.join(shift % 2 ? "\r\n" : "\n")}`;
      const expected = text.split(/\r?\n/);
      expect(Buffer.byteLength(text)).toBeGreaterThan(2 * CHUNK);
      const plain = write(folder, "cut", text);
      expect(await linesIn(plain)).toEqual(expected);
      expect(await linesIn(write(folder, "cut.bin", gzipSync(text, { level: 1 })))).toEqual(expected);
      expect(await textIn(plain)).toBe(text);
    }
  });

  test("of 1 MiB are read and longer ones refused with file and line, at once", async () => {
    const longest = "x".repeat(LONGEST);
    expect((await linesIn(write(folder, "longest", `a\n${longest}\r\nb`))).map((line) => line.length)).toEqual([
      1,
      LONGEST,
      1,
    ]);
    const file = write(folder, "too-long", `a\n${longest}xx`);
    expect(await thrownBy(linesIn(file))).toContain(`UserError: ${file}:2: expected lines of at most ${LONGEST} bytes`);
    const bomb = write(folder, "zeros", gzipSync(Buffer.alloc(2 ** 25), { level: 1 }));
    expect(await thrownBy(linesIn(bomb))).toContain(`${bomb}:1: expected lines of at most`);
  });

  test("that are not UTF-8 are named with the line, the byte and its place", async () => {
    const cases: [bytes: number[], at: string][] = [
      [[0x61, 0xe9, 0x62], "byte 0xe9 at byte 2"], // Latin-1
      [[0xff], "byte 0xff at byte 1"],
      [[0x61, 0xc0, 0xaf], "byte 0xc0 at byte 2"], // overlong
      [[0x61, 0xe0, 0x9f, 0xbf], "byte 0xe0 at byte 2"], // overlong
      [[0xc3, 0xa9, 0xed, 0xa0, 0x80], "byte 0xed at byte 3"], // a surrogate
      [[0xf4, 0x90, 0x80, 0x80], "byte 0xf4 at byte 1"], // beyond U+10FFFF
      [[0xf0, 0x9f, 0x99], "byte 0xf0 at byte 1"],
      [[0x80], "byte 0x80 at byte 1"],
    ];
    for (const [bytes, at] of cases)
      for (const before of [2, 60_000]) {
        const start = Buffer.from("é漢🙂\n".repeat(before));
        const file = write(folder, "invalid", Buffer.concat([start, Buffer.from(bytes), Buffer.from("\nlast\n")]));
        const expected = `UserError: ${file}:${before + 1}: expected UTF-8, got ${at} of the line`;
        expect(await thrownBy(linesIn(file))).toContain(expected);
        expect(await thrownBy(textIn(file))).toContain(expected);
      }
    // A line of several chunks.
    const far = write(
      folder,
      "far",
      Buffer.concat([Buffer.from("a\n"), Buffer.alloc(3 * CHUNK, "x"), Buffer.of(0xff)]),
    );
    for (const thrown of [thrownBy(linesIn(far)), thrownBy(textIn(far))])
      expect(await thrown).toContain(`${far}:2: expected UTF-8, got byte 0xff at byte ${3 * CHUNK + 1} of the line`);
    const utf16 = write(folder, "utf16", Buffer.from("\uFEFFa\tb\n", "utf16le"));
    expect(await thrownBy(linesIn(utf16))).toContain("iconv -f UTF-16 -t UTF-8");
    const half = write(folder, "half", Buffer.from([0x61, 0x0a, 0x62, 0xf0, 0x9f]));
    for (const thrown of [thrownBy(linesIn(half)), thrownBy(textIn(half))])
      expect(await thrown).toContain(`${half}:2: expected UTF-8, got byte 0xf0 at byte 2`);
  });

  test("are valid exactly where a fatal TextDecoder says so", () => {
    // Bytes near the bounds of the encoding, so that a good share of the sequences is valid.
    const byte = fc.constantFrom(
      0x41,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc1,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
    );
    let valid = 0;
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 5 }), (list) => {
        const bytes = Uint8Array.from(list);
        const decodes = (part: Uint8Array): boolean => {
          try {
            new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(part);
            return true;
          } catch {
            return false;
          }
        };
        const at = firstInvalid(bytes);
        if (decodes(bytes)) valid++;
        // What comes before the place is valid, and no character begins there.
        expect(decodes(bytes.subarray(0, at))).toBe(true);
        for (let end = at + 1; end <= bytes.length; end++) expect(decodes(bytes.subarray(at, end))).toBe(false);
      }),
      { numRuns: 5000, seed: 1 },
    );
    expect(valid).toBeGreaterThan(500);
  });
});

describe("gzip data", () => {
  test("is told by its first bytes, not by the name, and may be of several members", async () => {
    const packed = write(folder, "packed.tsv", Buffer.concat([gzipSync("a\tb\n"), gzipSync("c\td\n")]));
    expect(await linesIn(packed)).toEqual(["a\tb", "c\td"]);
    expect(await linesIn(write(folder, "plain.gz", "a\tb\n"))).toEqual(["a\tb"]);
  });

  test("that is cut short or damaged is refused by name, with how far it went", async () => {
    const packed = gzipSync("one\ttwo\n".repeat(10_000));
    for (const bytes of [
      packed.subarray(0, 30),
      packed.subarray(0, packed.length - 3),
      Buffer.from(packed).fill(7, 20, 40),
    ]) {
      const file = write(folder, "damaged.gz", bytes);
      expect(await thrownBy(linesIn(file))).toMatch(
        /UserError: .*damaged\.gz: expected gzip data, .* unpacked bytes; fetch/,
      );
    }
  });

  test("that unpacks to hundreds of times its size is refused early, though each line is short", async () => {
    const bomb = write(folder, "lines.gz", gzipSync(Buffer.alloc(2 ** 28, "\n"), { level: 1 }));
    const started = performance.now();
    let size = 0;
    const thrown = await thrownBy(
      (async () => {
        for await (const chunk of bytesOf(bomb)) size += chunk.length;
      })(),
    );
    expect(thrown).toMatch(/UserError: .*expected gzip data of text, which unpacks to at most 200 times its size/);
    expect(size).toBeLessThan(2 ** 26 + CHUNK);
    expect(performance.now() - started).toBeLessThan(5000); // it takes 0.1 s
  });
});
