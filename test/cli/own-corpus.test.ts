// A corpus of one's own, from a TSV file to translations.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { parse } from "csv-parse/sync";
import { afterAll, expect, test } from "vitest";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { fathom } from "./capture.ts";

useTemporaryCache();
const folder = mkdtempSync(join(tmpdir(), "fathom-own-"));
afterAll(() => rmSync(folder, { recursive: true }));

const word = (n: number): string => ((n * 7919) % 9973).toString(36).replace(/\d/g, (d) => "bcdfghjklm"[Number(d)]!);
const texts = Array.from({ length: 600 }, (_, i) => {
  const words = Array.from({ length: 4 }, (_, k) => word(((i + 1) * (k + 3)) % 499));
  return ["", "en", "ou"].map((ending) => words.map((one) => one + ending).join(" "));
});
const file = join(folder, "corpus.jsonl");
const write = (all: typeof texts): void =>
  writeFileSync(file, all.map(([en, de, fr]) => JSON.stringify({ translation: { en, de, fr } })).join("\n"));
write(texts);
const yaml = join(folder, "own.yaml");
writeFileSync(
  yaml,
  `
name: own
data:
  corpus: { reader: jsonl, files: [${JSON.stringify(file)}], languages: [en, de, fr], dev: 20, test: 20 }
  directions: [en-de, de-en, en-fr, fr-en]
  zeroShot: [de-fr]
  languageTag: target
  vocabulary: { kind: bpe, size: 320 }
  maxLength: 48
model: { depth: 1, width: 16, heads: 2, residual: pre-ln }
train: { steps: 8, batch: { tokens: 200 }, checkpointEverySteps: 4, evaluateEverySteps: 4 }
`,
);

test("trains, evaluates zero-shot directions apart and translates; with other files a begun run is refused", async () => {
  const trained = await fathom("train", yaml, "--out", folder, "--quiet");
  expect(trained).toMatchObject({ code: 0 });
  const run = join(folder, "own", "runs", readdirSync(join(folder, "own", "runs"))[0]!);
  const rows: { split: string; name: string; value: string }[] = parse(readFileSync(join(run, "metrics.csv"), "utf8"), {
    columns: true,
  });
  const dev = new Map(rows.filter(({ split }) => split === "dev").map(({ name, value }) => [name, Number(value)]));
  expect([...dev.keys()].sort()).toEqual(
    ["loss", "loss/de-en", "loss/en-de", "loss/en-fr", "loss/fr-en", "zero-shot/loss", "zero-shot/loss/de-fr"].sort(),
  );
  expect(dev.get("zero-shot/loss")).toBe(dev.get("zero-shot/loss/de-fr"));
  const trainedLosses = ["de-en", "en-de", "en-fr", "fr-en"].map((name) => dev.get(`loss/${name}`)!);
  expect(dev.get("loss")).toBeGreaterThan(Math.min(...trainedLosses));
  expect(dev.get("loss")).toBeLessThan(Math.max(...trainedLosses));

  const evaluated = await fathom("evaluate", run, "--pairs", "2", "--beam", "1");
  expect(evaluated.code).toBe(0);
  const lines = stripVTControlCharacters(evaluated.stdout).split("\n");
  const order = ["en-de", "fr-en", "all", "de-fr", "zero-shot"].map((name) =>
    lines.findIndex((line) => line.trim().split(/\s+/)[0] === name),
  );
  expect(order[0]).toBeGreaterThan(0);
  expect(order).toEqual(order.toSorted((a, b) => a - b));

  // The tag begins the target: another language is another translation of the same source.
  const scoreIn = async (to: string): Promise<number> => {
    const { stdout } = await fathom("translate", run, texts[0]![0]!, "--to", to, "--json");
    return (JSON.parse(stdout) as { translations: { logProbability: number }[] }).translations[0]!.logProbability;
  };
  const [de, fr] = [await scoreIn("de"), await scoreIn("fr")];
  expect(de).not.toBe(fr);

  write(texts.toReversed());
  const other = /expected the data that the run was begun with \(SHA-256 \w{12}\), got another/;
  const again = await fathom("evaluate", run, "--pairs", "2", "--beam", "1");
  expect(again.code).toBe(2);
  expect(again.stderr).toMatch(other);
  const record = join(run, "run.json");
  writeFileSync(record, readFileSync(record, "utf8").replace('"status": "done"', '"status": "running"'));
  const resumed = await fathom("train", yaml, "--out", folder, "--quiet");
  expect(resumed.code).toBe(2);
  expect(resumed.stderr).toMatch(other);
  // Nor does another run begin beside it: one table would compare models of different sentences.
  const beside = await fathom("train", yaml, "seed=2", "--out", folder, "--quiet");
  expect(beside.code).toBe(2);
  expect(beside.stderr).toMatch(/expected the data that seed=1_\w+ of this experiment was trained on .* got another/);
  expect((await fathom("train", yaml, "seed=2", "name=other", "--out", folder, "--quiet")).code).toBe(0);
  expect((await fathom("train", yaml, "--out", folder, "--quiet", "--afresh")).code).toBe(0);
}, 120_000);
