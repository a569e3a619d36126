import { existsSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { folderForWriting } from "../../src/data/cache.ts";
import { openFiles } from "../../src/data/files-corpus.ts";
import { useFolder, write } from "./readers/files.ts";

const folder = useFolder();

beforeEach(() => {
  // No folder can be made below a file, whoever asks.
  const file = write(folder, "a-file", "");
  vi.stubEnv("FATHOM_CACHE", undefined);
  for (const name of ["HOME", "LOCALAPPDATA", "XDG_CACHE_HOME"]) vi.stubEnv(name, file);
});
afterEach(() => vi.unstubAllEnvs());

test("where the default cache cannot be written runs of a process share a temporary folder, which goes with it", async () => {
  const word = (n: number): string => ((n * 7919) % 9973).toString(36).replace(/\d/g, (d) => "bcdfghjklm"[Number(d)]!);
  const corpus = (ending: string) => {
    const lines = Array.from({ length: 300 }, (_, i) => {
      const words = [3, 4, 5, 6].map((k) => word((i + 1) * k) + ending);
      return `${words.join(" ")}\t${words.reverse().join(" ")}`;
    });
    const files = [write(folder, `${ending}.tsv`, lines.join("\n"))];
    return { reader: "manythings", files, languages: ["en", "de"], dev: 20, test: 20, maxRatio: 4 };
  };
  const before = process.listeners("exit");
  const opened = [];
  for (const ending of ["one", "two", "one"]) opened.push(await openFiles(corpus(ending)));
  const added = process.listeners("exit").filter((listener) => !before.includes(listener));
  expect(added).toHaveLength(1);
  expect(opened[2]!.trainingSegments).toBe(opened[0]!.trainingSegments);
  for (const { segments } of opened) for await (const { text } of segments()) expect(Object.keys(text)).toHaveLength(2);

  const corpora = folderForWriting("corpora");
  expect(path.dirname(folderForWriting("ids"))).toBe(path.dirname(corpora));
  expect(existsSync(corpora)).toBe(true);
  added[0]!.call(process, 0);
  expect(existsSync(path.dirname(corpora))).toBe(false);
});
