// `fathom translate` on a run that was trained here, for long enough to say something.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TranslationComparison } from "../../src/compare-translations.ts";
import type { TranslationEvaluation } from "../../src/evaluate-translation.ts";
import { corpusBleu } from "../../src/metrics/translation/bleu.ts";
import { corpusChrf } from "../../src/metrics/translation/chrf.ts";
import type { Translation } from "../../src/translate.ts";
import { fathom } from "./capture.ts";

const out = mkdtempSync(join(tmpdir(), "fathom-translate-"));
const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
let run = "";
beforeAll(async () => {
  const overrides = ["train.steps=200", "data.directions=[en-de, en-fr]", "train.optimizer.learningRate=0.005"];
  const { code } = await fathom("train", "configs/debug.yaml", ...overrides, "--out", out, "--quiet");
  expect(code).toBe(0);
  const runs = join(out, "debug", "runs");
  run = join(runs, readdirSync(runs)[0]!);
}, 120_000);
afterAll(() => rmSync(out, { recursive: true }));

const ofJson = (stdout: string): { source: string; to: string; translations: Translation[] }[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("a text becomes a line; the same again, and alone or among others", async () => {
  const text = "Type expected.";
  const { code, stdout } = await fathom("translate", run, text, "--to", "fr");
  expect(code).toBe(0);
  expect(stdout.trim()).not.toBe("");
  expect((await fathom("translate", run, text, "--to", "fr")).stdout).toBe(stdout);
  const several = await fathom("translate", run, "Cannot find name '{0}'.", text, "--to", "fr");
  expect(several.stdout.split("\n")[1]).toBe(stdout.trim());
}, 60_000);

test("the n best come with their scores, best first, and are different ones", async () => {
  const { stdout } = await fathom("translate", run, "Type expected.", "--to", "de", "--nbest", "3");
  const lines = stdout.trim().split("\n");
  expect(lines).toHaveLength(3);
  const scores = lines.map((line) => Number(line.split("\t")[0]));
  expect(scores).toEqual(scores.toSorted((a, b) => b - a));
  expect(new Set(lines.map((line) => line.split("\t")[1])).size).toBe(3);
}, 60_000);

test("the language asked for decides: its tag is another source", async () => {
  const translate = async (to: string) =>
    ofJson((await fathom("translate", run, "Type expected.", "--to", to, "--json")).stdout)[0]!;
  const [german, french] = [await translate("de"), await translate("fr")];
  expect(german).toMatchObject({ source: "Type expected.", to: "de" });
  expect(german.translations[0]!.logProbability).not.toBe(french.translations[0]!.logProbability);
}, 60_000);

test("every line of stdin gives one", () => {
  const input = "Type expected.\r\nCannot find name '{0}'.\nType expected.\n\nType expected.\n";
  const { status, stdout } = spawnSync(process.execPath, [program, "translate", run, "--to", "fr", "--beam", "1"], {
    input,
    encoding: "utf8",
  });
  expect(status).toBe(0);
  const lines = stdout.split("\n").slice(0, -1);
  expect(lines).toHaveLength(5);
  expect(lines[2]).toBe(lines[0]);
  expect(lines.slice(3)).toEqual(["", lines[0]]); // a blank line stays blank
}, 60_000);

test("compare says of two evaluated runs whether their translations differ by more than chance", async () => {
  const other = join(out, "other");
  cpSync(run, other, { recursive: true });
  await fathom("evaluate", run, "--pairs", "4", "--beam", "1", "--quiet");
  const scores = JSON.parse(
    (await fathom("evaluate", other, "--pairs", "4", "--beam", "3", "--json")).stdout,
  ) as TranslationEvaluation;
  const { code, stdout } = await fathom("compare", run, other, "--translations", "test", "--json");
  expect(code).toBe(0);
  const compared = (JSON.parse(stdout) as TranslationComparison).scores.filter((score) => score.run === "other");
  expect(compared).toHaveLength(6);
  for (const { direction, name, score, signature, low, high, pValue } of compared) {
    const evaluated = scores.scores.find((one) => one.direction === direction && one.name === name)!;
    expect([score, signature]).toEqual([evaluated.value, evaluated.signature]);
    expect(low).toBeLessThanOrEqual(high);
    expect(pValue).toBeGreaterThan(0);
    expect(pValue).toBeLessThanOrEqual(1);
  }
}, 120_000);

test("evaluate translates a split in every direction and scores it as its own translations say", async () => {
  const { code, stdout } = await fathom("evaluate", run, "--pairs", "5", "--beam", "2", "--json");
  expect(code).toBe(0);
  const result = JSON.parse(stdout) as TranslationEvaluation;
  expect(result).toMatchObject({ split: "test", beam: 2 });
  const lines = readFileSync(result.translations, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<"direction" | "source" | "reference" | "translation", string>);
  expect(lines).toHaveLength(10);
  for (const direction of ["en-de", "en-fr"]) {
    const of = lines.filter((line) => line.direction === direction);
    const [hypotheses, references, sources] = (["translation", "reference", "source"] as const).map((key) =>
      of.map((line) => line[key]),
    );
    const found = Object.fromEntries(
      result.scores.filter((score) => score.direction === direction).map(({ name, value }) => [name, value]),
    );
    expect(found).toEqual({
      BLEU: corpusBleu(hypotheses!, references!).score,
      chrF2: corpusChrf(hypotheses!, references!).score,
      "chrF2++": corpusChrf(hypotheses!, references!, { wordOrder: 2 }).score,
      "copy/chrF2": corpusChrf(sources!, references!).score,
    });
  }
  const mean = (name: string): number =>
    result.scores.find((score) => score.direction === "all" && score.name === name)!.value;
  const each = result.scores.filter(({ direction, name }) => direction !== "all" && name === "chrF2");
  expect(mean("chrF2")).toBeCloseTo((each[0]!.value + each[1]!.value) / 2, 9);
  expect(readFileSync(result.file, "utf8")).toMatch(
    /^step,split,beam,lengthPenalty,direction,name,value,pairs,signature\n\d+,test,2,0\.6,en-de,BLEU,[\d.e-]+,5,nrefs:1\|case:mixed\|eff:no\|tok:13a/,
  );
  const text = stripVTControlCharacters((await fathom("evaluate", run, "--pairs", "2", "--beam", "1")).stdout);
  expect(text).toMatch(/\ndirection +pairs +BLEU +chrF2 +chrF2\+\+ +copy\/chrF2\nen-de +2 /);
  expect((await fathom("evaluate", run, "parzen")).code).toBe(2);
  const none = await fathom("evaluate", run, "--pairs", "0");
  expect(none).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--pairs: expected a whole number from 1 to"),
  });
}, 120_000);

test("attention is drawn while a text is translated, and while a reference is written in its place", async () => {
  const maps = join(out, "maps");
  const text = "Type expected.";
  const kinds = ["cross-attention", "decoder-self-attention", "encoder-self-attention"];
  expect((await fathom("translate", run, text, "--to", "fr", "--attention", maps)).code).toBe(0);
  expect(readdirSync(maps).sort()).toEqual(
    kinds.flatMap((kind) => ["csv", "png", "svg", "vl.json"].map((ending) => `${kind}.${ending}`)),
  );
  const written = async (...more: string[]): Promise<string[]> => {
    await fathom("translate", run, text, "--to", "fr", "--quiet", "--attention", maps, ...more);
    const [head, ...lines] = readFileSync(join(maps, "cross-attention.csv"), "utf8").trim().split("\n");
    expect(head).toBe("attention,layer,head,query,queryPiece,key,keyPiece,weight");
    const first = lines.filter((line) => /^cross-attention,0,0,\d+,/.test(line) && /,0,<2fr>,[^,]+$/.test(line));
    return first.map((line) => line.split(",")[4]!);
  };
  const { translations } = ofJson((await fathom("translate", run, text, "--to", "fr", "--json")).stdout)[0]!;
  const { pieces, isFinished } = translations[0]!;
  expect((await written()).join("")).toBe([...pieces, ...(isFinished ? ["</s>"] : [])].join(""));
  expect((await written("--reference", "Type attendu.")).join("").replaceAll("·", " ")).toBe("Type attendu.</s>");
  await fathom("translate", run, text, text, "--to", "fr", "--quiet", "--attention", join(maps, "two"));
  expect(readdirSync(join(maps, "two")).filter((name) => name.endsWith(".png"))).toEqual(
    ["text-1", "text-2"].flatMap((text) => kinds.map((kind) => `${text}-${kind}.png`)),
  );
}, 120_000);

test.each([
  [["  ", "--to", "fr"], /text 1: expected a text to translate, got an empty one/],
  [["a ".repeat(99), "--to", "fr"], /text 1: expected at most \d+ tokens, as in training \(data\.maxLength\), got \d+/],
  [["hello", "--to", "tlh"], /--to: expected a language .* \(de, fr\), got tlh/],
  [["hello"], /--to: expected a language .* \(de, fr\), got none/],
  [["hello", "--to", "fr", "--beam", "0"], /--beam: expected a whole number, at least 1, got 0/],
  [["hello", "--to", "fr", "--reference", "bonjour"], /--reference: expected --attention and one text/],
  [
    ["hello", "--to", "fr", "--attention", "maps", "--reference", " "],
    /--reference: expected 1 to \d+ tokens, as in training, got 0/,
  ],
  [["hello", "--to", "fr", "--step", "7"], /--step: expected a step of which .* has a checkpoint .*, got 7/],
])("%j is refused", async (args, message) => {
  const { code, stderr } = await fathom("translate", run, ...args);
  expect(code).toBe(2);
  expect(stripVTControlCharacters(stderr)).toMatch(message);
});
