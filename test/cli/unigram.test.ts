// A transformer whose vocabulary is a unigram model, from the configuration to a translation.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fathom } from "./capture.ts";

test("a run with a unigram vocabulary trains, saves it and translates with it", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-unigram-"));
  try {
    const overrides = ["train.steps=2", "data.vocabulary={kind: unigram, size: 400}"];
    const { code } = await fathom("train", "configs/debug.yaml", ...overrides, "--out", out, "--quiet");
    expect(code).toBe(0);
    const runs = join(out, "debug", "runs");
    const run = join(runs, readdirSync(runs)[0]!);
    const { model } = JSON.parse(readFileSync(join(run, "tokenizer.json"), "utf8"));
    expect(model).toMatchObject({ type: "Unigram", unk_id: null });
    expect(model.vocab).toHaveLength(400);
    const translated = await fathom("translate", run, "Type expected.", "--json");
    expect(translated.code).toBe(0);
    const { translations } = JSON.parse(translated.stdout);
    const pieces = new Set(model.vocab.map(([piece]: [string]) => piece));
    expect(translations).toHaveLength(1);
    for (const piece of translations[0].pieces as string[])
      expect(pieces.has(piece.replaceAll("·", "Ġ")) || piece.startsWith("<")).toBe(true);
  } finally {
    rmSync(out, { recursive: true });
  }
}, 60_000);

test("a kind of vocabulary that does not exist lists those that do", async () => {
  const { code, stderr } = await fathom("train", "configs/debug.yaml", "data.vocabulary.kind=wordpiece");
  expect(code).toBe(2);
  expect(stderr).toMatch(/data\.vocabulary\.kind.*bpe.*unigram.*wordpiece/s);
});
