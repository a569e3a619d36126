// What `fathom corpus` says at its end, beside its tables.
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { corpusNotes } from "../../src/cli/corpus.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { fathom } from "./capture.ts";

useTemporaryCache();

const direction = (tooLong: number) => ({ direction: "en-de", train: 700, dev: 40, test: 39, tooLong });

test("that more than a quarter of the pairs is too long is told with the key to raise; fewer are not worth a line", () => {
  expect(corpusNotes({ filtered: [], directions: [direction(635)] })).toEqual([
    expect.stringMatching(/^635 of 1,414 pairs \(45 %\) are left out .* data\.maxLength: raise it to keep them/),
  ]);
  expect(corpusNotes({ filtered: [], directions: [direction(250)] })).toEqual([]);
});

test("what a unit is stands below a table that counts units", () => {
  const filtered = [{ reason: "repeated", language: "units", count: 3 }];
  expect(corpusNotes({ filtered, directions: [direction(0)] })).toEqual([
    expect.stringMatching(/^units are entries of the files as a whole/),
  ]);
});

test("it is the last line of the command", async () => {
  const lines = async (maxLength: number): Promise<string[]> => {
    const { stdout } = await fathom("corpus", "configs/debug.yaml", `data.maxLength=${maxLength}`);
    return stripVTControlCharacters(stdout).trimEnd().split("\n");
  };
  expect((await lines(8)).at(-1)).toMatch(/pairs \(\d+ %\) are left out .* data\.maxLength/);
  expect((await lines(200)).join("\n")).not.toContain("raise it");
});
