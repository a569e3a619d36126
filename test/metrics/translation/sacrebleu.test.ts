// Translation scores against the real sacreBLEU (Python): what golden.json keeps of it, and where Python has it, whatever
// random and real texts it is asked.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { loadCorpus } from "../../../src/data/prepared.ts";
import {
  confidenceInterval,
  pairedBootstrap,
  type PairedComparison,
  resampledSegments,
} from "../../../src/metrics/translation/bootstrap.ts";
import { SACREBLEU_VERSION, type Statistics, wordsOf } from "../../../src/metrics/translation/sacrebleu.ts";
import { stream } from "../../../src/random.ts";
import { useTemporaryCache } from "../../data/temporary-cache.ts";
import { answer, type Answer, type Case, scoreOf, type Setting, settings } from "./settings.ts";

useTemporaryCache();
const script = fileURLToPath(new URL("./sacrebleu_check.py", import.meta.url));
const pinned = `import sacrebleu; assert sacrebleu.__version__ == "${SACREBLEU_VERSION}"`;
const hasSacrebleu = spawnSync("python3", ["-c", pinned]).status === 0;
if (!hasSacrebleu)
  console.warn(
    "test/metrics/translation/sacrebleu.test.ts: skipped but for golden values, since python3 does not import sacrebleu " +
      `${SACREBLEU_VERSION} (pip install sacrebleu==${SACREBLEU_VERSION})`,
  );

// Both compute in float64 from equal integers; only the last digits of exp and log may differ (by 1.4e-13 where this was written).
const TOLERANCE = 1e-9;

interface Golden {
  readonly version: string;
  readonly settings: readonly Setting[];
  /** With scores in every setting, and lines in every or the first. */
  readonly cases: readonly (Case & { readonly scores: readonly number[]; readonly lines: readonly string[] })[];
}

describe("golden values of sacreBLEU", () => {
  const golden = JSON.parse(readFileSync(new URL("./golden.json", import.meta.url), "utf8")) as Golden;

  test("are of the version that signatures name", () => {
    expect(golden.version).toBe(SACREBLEU_VERSION);
    expect(golden.cases.length).toBeGreaterThan(100);
  });

  test.each(golden.settings.map((setting, i) => [JSON.stringify(setting), setting, i] as const))(
    "%s gives the same scores",
    (_, setting, i) => {
      for (const { scores, lines, ...corpus } of golden.cases) {
        const { score, line } = answer(corpus, setting);
        expect(Math.abs(score - scores[i]!), JSON.stringify(corpus)).toBeLessThan(TOLERANCE);
        if (lines[i]) expect(line).toBe(lines[i]);
      }
    },
  );
});

// Unassigned characters are left out: what class they will be given depends on the version of Unicode.
const character = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(...Array.from(" ..,,--123'\"&;\n\t\u00a0\u0085\u001c\ufeff", (c) => c.codePointAt(0)!)),
  },
  ...[
    [0x00, 0x24f],
    [0x391, 0x3a1],
    [0x3a3, 0x3ff],
    [0x400, 0x52f],
    [0x5d0, 0x5ea],
    [0x600, 0x6ff],
    [0x900, 0x97f],
    [0x1e00, 0x1eff],
    [0x2000, 0x2064],
    [0x2070, 0x2071],
    [0x20a0, 0x20bf],
    [0x2100, 0x2426],
    [0x2460, 0x2a70],
    [0x2e80, 0x2e99],
    [0x2f7f, 0x2fa3],
    [0x3000, 0x303f],
    [0x3041, 0x3096],
    [0x30a0, 0x30ff],
    [0x31a0, 0x31bf],
    [0x3200, 0x321e],
    [0x33f0, 0x3402],
    [0x4db0, 0x4e02],
    [0x9fa0, 0x9fbf],
    [0xac00, 0xac40],
    [0xf900, 0xfa70],
    [0xfe10, 0xfe19],
    [0xfe30, 0xfe52],
    [0xff01, 0xffbe],
    [0x1d400, 0x1d454],
    [0x1f300, 0x1f64f],
    [0x20000, 0x20010],
    [0x2f800, 0x2f810],
  ].map(([min, max]) => ({ weight: 1, arbitrary: fc.integer({ min: min!, max: max! }) })),
);
const anyText = fc
  .array(character, { maxLength: 40 })
  .map((codes) => codes.map((code) => String.fromCodePoint(code)).join(""));
const anyWords = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ..."the a of it , . ! ? (x) «y» 'z' 1,000.5 2. ,5 a-b 7-8 3-D &amp; &quot;, <skipped> 漢字 汉 ー 😀 é É ß".split(
          " ",
        ),
      ),
      anyText,
    ),
    { maxLength: 25 },
  )
  .map((words) => words.join(" "));
/** A text and others that share parts of it. */
const anySegment = fc
  .tuple(fc.oneof(anyWords, anyText), fc.array(fc.tuple(fc.nat(), fc.nat(), anyText), { minLength: 1, maxLength: 3 }))
  .map(([text, edits]) => {
    const characters = [...text];
    const versions = edits.map(([from, length, insert]) =>
      characters
        .toSpliced(from % (characters.length + 1), length % 9, ...(from % 3 ? insert.slice(0, 5) : []))
        .join(""),
    );
    return { hypothesis: text, references: versions };
  });
const anyCase: fc.Arbitrary<Case> = fc
  .tuple(fc.boolean(), fc.array(anySegment, { minLength: 1, maxLength: 6 }))
  .map(([several, segments]) => ({
    hypotheses: segments.map(({ hypothesis }) => hypothesis),
    references: segments.map(({ references }) => (several ? references : [references[0]!])),
  }));

/** Translations as a weak system would give them: words left out, doubled, moved by one, or of another segment. */
function weakened(references: readonly string[], purpose: string): string[] {
  const all = references.flatMap(wordsOf);
  return references.map((reference, i) => {
    const words = wordsOf(reference);
    const draws = stream(1, purpose).uniform(new Float64Array(2 * words.length), i);
    return words
      .flatMap((word, at) => {
        const draw = draws[2 * at]!;
        if (draw < 0.1) return [];
        if (draw < 0.15) return [word, word];
        if (draw < 0.3) return [all[Math.floor(draws[2 * at + 1]! * all.length)]!];
        return draw < 0.4 ? [words[at + 1] ?? word, word] : [word];
      })
      .join(" ");
  });
}

interface Paired {
  readonly score: number;
  readonly p_value: number | null;
  readonly mean: number;
  readonly ci: number;
}

describe.skipIf(!hasSacrebleu)("sacreBLEU says the same", () => {
  let cases: readonly Case[];
  let answers: { cases: Answer[][]; paired: Record<"given" | "own", [Paired, Paired]>[]; spaces: number[] };
  const resamples = 300;
  const pairedSettings: readonly Setting[] = [
    { metric: "bleu", tokenize: "13a" },
    { metric: "chrf", wordOrder: 0 },
    { metric: "chrf", wordOrder: 2 },
  ];
  let paired: { baseline: string[]; system: string[]; references: string[][] };

  beforeAll(async () => {
    const { segments, languages } = await loadCorpus("typescript-diagnostics");
    // Real texts: of every language 40 segments weakened, and 20 in another language.
    const real = languages.flatMap((language, i): Case[] => {
      const other = languages[(i + 1) % languages.length]!;
      const texts = segments.filter(({ text }) => text[language] && text[other]).slice(i * 60, i * 60 + 60);
      const references = texts.map(({ text }) => text[language]!);
      return [
        {
          hypotheses: weakened(references.slice(0, 40), language),
          references: references.slice(0, 40).map((r) => [r]),
        },
        {
          hypotheses: texts.slice(40).map(({ text }) => text[other]!),
          references: references.slice(40).map((r) => [r]),
        },
      ];
    });
    // The seed is fixed, so that a failure is one of the code, and not of the day.
    cases = [...real, ...fc.sample(anyCase, { numRuns: 400, seed: 20260 })];
    const german = segments.flatMap(({ text }) => text["de"] ?? []).slice(0, 120);
    paired = {
      baseline: weakened(german, "baseline"),
      // A little better, so that p-values are neither the smallest nor 1.
      system: weakened(german, "system").map((text, i) => (i % 12 ? text : german[i]!)),
      references: german.map((text) => [text]),
    };
    const draws = Array.from({ length: resamples }, (_, i) => [...resampledSegments(german.length, i)]);
    const input = JSON.stringify({
      cases,
      settings,
      paired: { ...paired, resamples: draws, settings: pairedSettings },
    });
    const { status, stdout, stderr } = spawnSync("python3", ["-B", script], {
      input,
      maxBuffer: 2 ** 28,
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(stderr);
    answers = JSON.parse(stdout);
  });

  test.each(settings.map((setting, i) => [JSON.stringify(setting), setting, i] as const))(
    "%s: tokens, statistics, scores, signatures and lines of hundreds of corpora",
    (_, setting, i) => {
      expect(cases.length).toBeGreaterThan(400);
      let scored = 0;
      cases.forEach((corpus, at) => {
        const { score, ...theirs } = answers.cases[at]![i]!;
        const { score: ours, ...rest } = answer(corpus, setting);
        expect(rest, JSON.stringify(corpus)).toEqual(theirs);
        expect(Math.abs(ours - score), JSON.stringify(corpus)).toBeLessThan(TOLERANCE);
        if (score > 0 && score < 99) scored++;
      });
      expect(scored).toBeGreaterThan(100); // the cases are not all trivial
    },
  );

  test("white space is Python's", () => {
    const spaces = Array.from({ length: 0x110000 }, (_, code) => code).filter(
      (code) => wordsOf(`a${String.fromCodePoint(code)}b`).length === 2,
    );
    expect(spaces).toEqual(answers.spaces);
  });

  const compare = (setting: Setting, options: { resamples: number }): PairedComparison => {
    const of = (hypotheses: readonly string[]): readonly Statistics[] =>
      answer({ hypotheses, references: paired.references }, setting).statistics;
    return pairedBootstrap(of(paired.baseline), of(paired.system), scoreOf(setting), options);
  };

  test("given the same resamples, intervals and p-values are the same", () => {
    // sacreBLEU resamples in float32, whose rounding is 6e-8 of a score of at most 100, a few times over.
    const tolerance = 5e-5;
    pairedSettings.forEach((setting, i) => {
      const ours = compare(setting, { resamples });
      const [baseline, system] = answers.paired[i]!.given;
      for (const [here, there] of [
        [ours.baseline, baseline],
        [ours.system, system],
      ] as const) {
        expect(Math.abs(here.score - there.score)).toBeLessThan(TOLERANCE);
        expect(Math.abs(here.mean - there.mean)).toBeLessThan(tolerance);
        expect(Math.abs(here.halfWidth - there.ci)).toBeLessThan(tolerance);
      }
      expect(ours.pValue).toBeCloseTo(system.p_value!, 12);
      expect(ours.pValue).toBeGreaterThan(0.01);
      expect(ours.pValue).toBeLessThan(0.6);
    });
  });

  test("with resamples of our own, they are the same but for the chance of 1,000 draws", () => {
    pairedSettings.forEach((setting, i) => {
      const ours = compare(setting, { resamples: 1000 });
      const [, system] = answers.paired[i]!.own;
      const sd = system.ci / 1.96;
      // Five standard errors of the difference of two estimates: of a mean sd / sqrt(1000); of half the distance of two
      // quantiles at 2.5 %, sqrt(0.025 * 0.975 / 1000) / 0.0584 / sqrt(2) = 0.06 sd; of a share, sqrt(p (1 - p) / 1000).
      const bound = 5 * Math.SQRT2;
      expect(Math.abs(ours.system.mean - system.mean)).toBeLessThan((bound * sd) / Math.sqrt(1000));
      expect(Math.abs(ours.system.halfWidth - system.ci)).toBeLessThan(bound * 0.06 * sd);
      const p = system.p_value!;
      expect(Math.abs(ours.pValue - p)).toBeLessThan(bound * Math.sqrt((p * (1 - p)) / 1000) + 1e-12);
      expect(
        confidenceInterval(
          answer({ hypotheses: paired.system, references: paired.references }, setting).statistics,
          scoreOf(setting),
        ),
      ).toEqual(ours.system);
    });
  });
});
