// Readers hold some lines, never a file: what is alive stays small however many pairs have gone by.
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import path from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import * as readers from "../../../src/data/readers/index.ts";
import { type Reader, type ReaderFiles, readUnits } from "../../../src/data/readers/reader.ts";
import { useFolder } from "./files.ts";

const folder = useFolder();
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const PAIRS = 300_000;
const long = (word: string): string => `${word} `.repeat(20);
const [english, german] = [long("a sentence é"), long("ein Satz ü")];

/** A file of many units, written in blocks. */
function generate(name: string, unit: (i: number) => string, count: number, before = "", after = ""): string {
  const file = path.join(folder, name);
  const to = openSync(file, "w");
  writeSync(to, before);
  for (let i = 0; i < count; i += 1000)
    writeSync(to, Array.from({ length: Math.min(1000, count - i) }, (_, k) => unit(i + k)).join(""));
  writeSync(to, after);
  closeSync(to);
  return file;
}

/** Reads everything; gives the count and the most bytes alive at ten places on the way, beyond those before. */
async function mostAlive(reader: Reader, files: ReaderFiles, every: number): Promise<{ units: number; alive: number }> {
  const now = (): number => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = now();
  let [units, alive] = [0, 0];
  for await (const unit of readUnits(reader, files, ["en", "de"]).units) {
    if (unit.text.en === undefined) throw new Error("a unit without English");
    if (++units % every === 0) alive = Math.max(alive, now() - before);
  }
  return { units, alive };
}

// A block is 256 KiB: its lines, columns and units take about ten times that, and a piece of XML somewhat more. All of
// the units would take 300 MB and more.
const BOUND = 16 * 2 ** 20;

describe("memory", () => {
  test("of 300,000 pairs of a TSV file only a block is held", async () => {
    const file = generate("big.tsv", (i) => `${english}${i}\t${german}\tx\n`, PAIRS);
    expect(statSync(file).size).toBeGreaterThan(8 * BOUND);
    const { units, alive } = await mostAlive(readers.manythings, [file], PAIRS / 10);
    expect(units).toBe(PAIRS);
    expect(alive).toBeLessThan(BOUND);
  });

  test.each([
    [
      readers.moses,
      () => ({
        en: generate("m.en", (i) => `${english}${i}\n`, PAIRS),
        de: generate("m.de", () => `${german}\n`, PAIRS),
      }),
      PAIRS,
    ],
    [
      readers.jsonl,
      () => [
        generate(
          "m.jsonl",
          (i) => `${JSON.stringify({ translation: { en: `${english}${i}`, de: german } })}\n`,
          100_000,
        ),
      ],
      100_000,
    ],
    [
      readers.tmx,
      () => [
        generate(
          "m.tmx",
          (i) =>
            `<tu><tuv xml:lang="en"><seg>${english}${i}</seg></tuv><tuv xml:lang="de"><seg>${german}</seg></tuv></tu>`,
          60_000,
          "<tmx><body>",
          "</body></tmx>",
        ),
      ],
      60_000,
    ],
    [
      readers.po,
      () => ({
        // One in ten is fuzzy in this file: its entry is done with all the same.
        de: generate(
          "m-de.po",
          (i) => `${i % 10 ? "" : "#, fuzzy\n"}msgid "${english}${i}"\nmsgstr "${german}"\n\n`,
          100_000,
        ),
        en: generate("m-en.po", (i) => `msgid "${english}${i}"\nmsgstr "${english}"\n\n`, 100_000),
      }),
      90_000,
    ],
  ] as [Reader, () => ReaderFiles, number][])("of a large $name file little is held", async (reader, make, count) => {
    const { units, alive } = await mostAlive(reader, make(), 20_000);
    expect(units).toBe(count);
    expect(alive).toBeLessThan(BOUND);
  });

  test("a few texts that are kept do not keep the blocks that they came in", async () => {
    const file = generate("kept.tsv", (i) => `${i} a short one\tnoch ein kurzer\tx${german}\n`, PAIRS);
    collect();
    const before = process.memoryUsage().heapUsed;
    const kept: string[] = [];
    let units = 0;
    for await (const { text } of readUnits(readers.manythings, [file], ["en", "de"]).units)
      if (units++ % 1000 === 0) kept.push(text.en!);
    collect();
    // 300 lines of 300 bytes; their blocks would be 75 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4 * 2 ** 20);
    expect(kept).toHaveLength(300);
  });
});
