// Two runs' translations of the same texts, compared: by hand where a resample can be counted, as sacreBLEU does where Python has it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, expect, test } from "vitest";
import { compareTranslations, type TranslationComparison } from "../src/compare-translations.ts";
import { bootstrapDefaults, resampledSegments } from "../src/metrics/translation/bootstrap.ts";
import { SACREBLEU_VERSION } from "../src/metrics/translation/sacrebleu.ts";
import { evaluationFile, translationsFile } from "../src/runs/files.ts";
import { fathom } from "./cli/capture.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-compare-"));
afterAll(() => rmSync(folder, { recursive: true }));

type Pair = readonly [direction: string, reference: string, translation: string];

/** A run's folder with what `fathom evaluate` leaves in it. */
function evaluated(
  name: string,
  pairs: readonly Pair[],
  tokenizer: (direction: string) => string = () => "13a",
): string {
  const dir = join(folder, name);
  mkdirSync(join(dir, "samples"), { recursive: true });
  const lines = pairs.map(([direction, reference, translation], i) =>
    JSON.stringify({ direction, id: `m${i}`, source: `text ${i}`, reference, translation }),
  );
  writeFileSync(translationsFile(dir, "test"), `${lines.join("\n")}\n`);
  const scores = [...new Set(pairs.map(([direction]) => direction))].map(
    (direction) =>
      `7,test,5,0.6,${direction},BLEU,1,2,nrefs:1|case:mixed|eff:no|tok:${tokenizer(direction)}|smooth:exp`,
  );
  const head = "step,split,beam,lengthPenalty,direction,name,value,pairs,signature";
  writeFileSync(evaluationFile(dir, "test"), `${[head, ...scores, "7,test,5,0.6,all,BLEU,1,2,"].join("\n")}\n`);
  return dir;
}

const references = ["abcdef abcdef abcdef abcdef", "ghijkl mnopqr"];
const wrong = ["uuuuuu vvvvvv wwwwww xxxxxx", "uuuuuu vvvvvv"];
const pairsOf = (translations: readonly string[]): Pair[] =>
  references.map((text, i) => ["en-fr", text, translations[i]!]);
const none = evaluated("none", pairsOf(wrong));
const all = evaluated("all", pairsOf(references));
const short = evaluated("short", pairsOf([wrong[0]!, references[1]!]));

test("a run that has every text right beats one that has none in every resample; one that equals it does not", () => {
  const again = evaluated("again", pairsOf(wrong));
  const { runs, scores, resamples, seed } = compareTranslations([none, all, again], "test");
  expect({ runs, resamples, seed }).toEqual({ runs: ["none", "all", "again"], resamples: 1000, seed: 12345 });
  expect(scores.map(({ name, run }) => `${name} ${run}`)).toEqual(
    ["BLEU", "chrF2", "chrF2++"].flatMap((name) => [`${name} none`, `${name} all`, `${name} again`]),
  );
  const chrf = scores.filter(({ name }) => name === "chrF2");
  expect(chrf[0]).toMatchObject({
    score: 0,
    low: 0,
    high: 0,
    pairs: 2,
    signature: expect.stringContaining("nc:6|nw:0"),
  });
  expect(chrf[0]).not.toHaveProperty("difference");
  expect(chrf[1]!.score).toBeCloseTo(100, 9);
  expect(chrf[1]).toMatchObject({ pValue: 1 / 1001 });
  expect(chrf[2]).toMatchObject({ score: 0, difference: 0, pValue: 1 });
});

test("the p-value is the share of resamples that counting gives", () => {
  // Right in the shorter of two texts alone: a resample of that text twice scores 100, one of the other twice 0, one of both x < 50.
  // The mean difference is about 25 + x / 2, and only 100 exceeds it by more than x.
  const found = compareTranslations([none, short], "test").scores.find(
    ({ name, run }) => name === "chrF2" && run === "short",
  )!;
  expect(found.difference).toBeGreaterThan(0);
  expect(found.difference).toBeLessThan(45);
  const drawn = Array.from({ length: 1000 }, (_, i) => [...resampledSegments(2, i)].join());
  const twice = drawn.filter((segments) => segments === "1,1").length;
  expect(twice).toBeGreaterThan(150);
  expect(found.pValue).toBe((twice + 1) / 1001);
  expect([found.low, found.high]).toEqual([0, expect.closeTo(100, 9)]);
});

test("BLEU takes the tokens that evaluate has taken in each direction, of one that is not trained, too", () => {
  const pairs: Pair[] = [
    ["en-zh-hans", "无法找到名称和类型的声明", "无法找到名称和模块的声明"],
    ["fr-zh-hans", "无法找到名称和类型的声明", "无法找到名称和模块的声明"],
  ];
  const tokenizer = (direction: string): string => (direction.startsWith("en") ? "zh" : "13a");
  const [a, b] = [evaluated("zh-a", pairs, tokenizer), evaluated("zh-b", pairs, tokenizer)];
  const bleu = compareTranslations([a, b], "test").scores.filter(({ name, run }) => name === "BLEU" && run === "zh-a");
  expect(bleu.map(({ direction }) => direction)).toEqual(["en-zh-hans", "fr-zh-hans"]);
  expect(bleu[0]!.signature).toContain("tok:zh");
  // Ten of twelve characters are right; as one word none is.
  expect(bleu[0]!.score).toBeGreaterThan(50);
  expect(bleu[1]!.score).toBeLessThan(1);
});

test("the command prints a line a score with its interval, difference and p; an experiment stands for its runs", async () => {
  const { code, stdout } = await fathom("compare", none, all, "--translations", "test");
  expect(code).toBe(0);
  const text = stripVTControlCharacters(stdout);
  expect(text).toMatch(/^direction +pairs +metric +run +score +95 % interval +difference +p\n/);
  expect(text).toMatch(/\nen-fr +2 +chrF2 +none +0\.00 +0\.00 to 0\.00 +- +-\n/);
  expect(text).toMatch(/\nen-fr +2 +chrF2 +all +100\.00 +100\.00 to 100\.00 +\+100\.00 +0\.0010\n/);
  expect(text).toContain(
    "difference to none and its p-value by paired bootstrap resampling (Koehn 2004; 1000 resamples",
  );
  const experiment = join(folder, "experiment", "runs");
  for (const dir of [none, all]) cpSync(dir, join(experiment, dir === none ? "1" : "2"), { recursive: true });
  const json = await fathom("compare", join(folder, "experiment"), "--translations", "test", "--json");
  const ofRuns = JSON.parse(json.stdout) as TranslationComparison;
  expect(ofRuns.runs).toEqual(["1", "2"]);
  expect(ofRuns.scores.map(({ score }) => score)).toEqual(
    compareTranslations([none, all], "test").scores.map((s) => s.score),
  );
});

test("runs without translations, of other texts or with other references are refused", async () => {
  const refused = async (...runs: string[]): Promise<string> => {
    const { code, stderr } = await fathom("compare", ...runs, "--translations", "test");
    expect(code).toBe(2);
    return stripVTControlCharacters(stderr);
  };
  const bare = join(folder, "bare");
  mkdirSync(bare);
  expect(await refused(none)).toContain("--translations: expected two runs or more, got 1");
  expect(await refused(none, bare)).toContain(`run \`fathom evaluate ${bare}\` first`);
  expect(await refused(none, evaluated("fewer", pairsOf(wrong).slice(1)))).toMatch(
    /same texts, got 2 of \S+none and 1 of \S+fewer/,
  );
  const other = evaluated("other", [["en-fr", "another", "x"], pairsOf(wrong)[1]!]);
  expect(await refused(none, other)).toMatch(/got another reference on line 1 of \S+other \("another"\)/);
  const damaged = evaluated("damaged", pairsOf(wrong));
  writeFileSync(translationsFile(damaged, "test"), '{"direction":"en-fr"}\n');
  expect(await refused(none, damaged)).toMatch(/damaged\S+: expected a translation on line 1, got/);
  rmSync(evaluationFile(damaged, "test"));
  expect(await refused(damaged, damaged)).toContain("expected a translation on line 1");
  const unscored = evaluated("unscored", pairsOf(wrong));
  rmSync(evaluationFile(unscored, "test"));
  expect(await refused(unscored, none)).toContain("expected scores of the test split, got no such file");
});

const pinned = `import sacrebleu; assert sacrebleu.__version__ == "${SACREBLEU_VERSION}"`;
const hasSacrebleu = spawnSync("python3", ["-c", pinned]).status === 0;

test.skipIf(!hasSacrebleu)("given the same resamples, sacreBLEU's paired bootstrap says the same", () => {
  const words = "the module cannot be found because its type is not assignable to a parameter of this name".split(" ");
  const textOf = (i: number, shift: number): string =>
    Array.from(
      { length: 6 + (i % 5) },
      (_, at) => words[(3 * i + at * at + (at % 3 === 0 ? shift * i : 0)) % words.length],
    ).join(" ");
  const texts = Array.from({ length: 40 }, (_, i) => i);
  const reference = texts.map((i) => textOf(i, 0));
  const systems = [1, 2].map((shift) => texts.map((i) => (i % (4 + shift) ? textOf(i, shift) : reference[i]!)));
  const dirs = systems.map((translations, run) =>
    evaluated(
      `real-${run}`,
      texts.map((i) => ["en-fr", reference[i]!, translations[i]!] as const),
    ),
  );
  const ours = compareTranslations(dirs, "test").scores;
  const script = fileURLToPath(new URL("./metrics/translation/sacrebleu_check.py", import.meta.url));
  const settings = [
    { metric: "bleu", tokenize: "13a" },
    { metric: "chrf", wordOrder: 0 },
    { metric: "chrf", wordOrder: 2 },
  ];
  const resamples = Array.from({ length: bootstrapDefaults.resamples }, (_, i) => [
    ...resampledSegments(texts.length, i),
  ]);
  const paired = {
    baseline: systems[0],
    system: systems[1],
    references: reference.map((text) => [text]),
    resamples,
    settings,
  };
  const { status, stdout, stderr } = spawnSync("python3", ["-B", script], {
    input: JSON.stringify({ cases: [], settings: [], paired }),
    maxBuffer: 2 ** 28,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  const theirs = (JSON.parse(stdout) as { paired: { given: Record<"score" | "p_value" | "mean" | "ci", number>[] }[] })
    .paired;
  theirs
    .flatMap(({ given }) => given)
    .forEach((there, i) => {
      const here = ours[i]!;
      expect(here.score).toBeCloseTo(there.score, 9);
      // sacreBLEU resamples in float32, whose rounding is 6e-8 of a score of at most 100, a few times over.
      expect(Math.abs(here.mean - there.mean)).toBeLessThan(5e-5);
      expect(Math.abs(here.halfWidth - there.ci)).toBeLessThan(5e-5);
      if (i % 2 === 1) expect(here.pValue).toBeCloseTo(there.p_value, 12);
    });
  expect(ours.some(({ pValue }) => pValue !== undefined && pValue > 0.01 && pValue < 1)).toBe(true);
});
