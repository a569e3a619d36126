// What must hold of translation scores for any texts, and what they refuse.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { bleuStatistics, corpusBleu } from "../../../src/metrics/translation/bleu.ts";
import { corpusChrf } from "../../../src/metrics/translation/chrf.ts";
import { fixed, sumOf, wordsOf } from "../../../src/metrics/translation/sacrebleu.ts";
import {
  availableTokenizer,
  bleuTokenizer,
  bleuTokenizers,
  recommendedTokenizer,
} from "../../../src/metrics/translation/tokenize.ts";
import { answer, settings } from "./settings.ts";

const anyText = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 30 }),
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.array(fc.constantFrom(..."a the cat . , 1,5 (x) 漢字 😀 É".split(" ")), { maxLength: 20 }).map((w) => w.join(" ")),
);
const anyCorpus = fc.array(fc.tuple(anyText, anyText), { minLength: 1, maxLength: 8 });
// exp(log 100) is 100.00000000000004, in sacreBLEU as well.
const ROUNDING = 1e-12;

describe.each(settings.map((setting) => [JSON.stringify(setting), setting] as const))("%s", (_, setting) => {
  const scoreOf = (pairs: readonly (readonly [string, string])[]): number =>
    answer({ hypotheses: pairs.map(([first]) => first), references: pairs.map(([, second]) => second) }, setting).score;

  test("a score is between 0 and 100", () => {
    fc.assert(
      fc.property(anyCorpus, (pairs) => {
        const score = scoreOf(pairs);
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(100 + ROUNDING);
      }),
    );
  });

  test("a corpus is its own perfect translation, if it is long enough to have n-grams of every order that counts", () => {
    fc.assert(
      fc.property(fc.array(anyText, { minLength: 1, maxLength: 8 }), (texts) => {
        const { score, statistics } = answer({ hypotheses: texts, references: texts }, setting);
        const sum = sumOf(statistics);
        const counts =
          setting.metric === "chrf" || setting.effectiveOrder
            ? texts.some((text) => wordsOf(text).length > 0)
            : sum.at(-1)! > 0;
        expect(Math.abs(score - (counts ? 100 : 0))).toBeLessThanOrEqual(ROUNDING);
      }),
    );
  });

  test("the order of segments does not matter", () => {
    const shuffled = anyCorpus.chain((pairs) =>
      fc.tuple(fc.constant(pairs), fc.shuffledSubarray(pairs, { minLength: pairs.length })),
    );
    fc.assert(
      fc.property(shuffled, ([pairs, others]) => {
        expect(scoreOf(others)).toBe(scoreOf(pairs));
      }),
    );
  });

  test("a second reference equal to the first changes nothing, and no reference more makes BLEU's matches fewer", () => {
    fc.assert(
      fc.property(anyCorpus, anyText, (pairs, other) => {
        const hypotheses = pairs.map(([first]) => first);
        const of = (...more: string[]) =>
          answer({ hypotheses, references: pairs.map(([, second]) => [second, ...more]) }, setting);
        const twice = answer({ hypotheses, references: pairs.map(([, second]) => [second, second]) }, setting);
        expect(twice.statistics).toEqual(of().statistics);
        if (setting.metric === "chrf") return;
        const matches = (sum: readonly number[]) => sum.slice(2, 6);
        const [one, two] = [matches(sumOf(of().statistics)), matches(sumOf(of(other).statistics))];
        one.forEach((count, i) => expect(two[i]!).toBeGreaterThanOrEqual(count));
      }),
    );
  });
});

test("BLEU worked by hand: two of seven words clipped, no pair, brevity", () => {
  // Papineni's example: "the" is in the reference twice.
  const score = corpusBleu(["the the the the the the the"], ["the cat is on the mat"]);
  expect(score.counts).toEqual([2, 0, 0, 0]);
  expect(score.totals).toEqual([7, 6, 5, 4]);
  const precisions = [200 / 7, 100 / (2 * 6), 100 / (4 * 5), 100 / (8 * 4)];
  precisions.forEach((precision, i) => expect(score.precisions[i]).toBeCloseTo(precision, 12));
  expect(score.score).toBeCloseTo(precisions.reduce((product, precision) => product * precision, 1) ** 0.25, 12);
  expect(corpusBleu(["a b c d"], ["a b c d e f"]).score).toBeCloseTo(100 * Math.exp(1 - 6 / 4), 12);
});

test("chrF worked by hand: averages of precision and recall over the orders that both sides have", () => {
  // "abc" and "abd e" ("abde"): 2 of 3 and of 4 characters, 1 of 2 and of 3 pairs, 0 of 1 and of 2 triples.
  const precision = (2 / 3 + 1 / 2 + 0) / 3;
  const recall = (2 / 4 + 1 / 3 + 0) / 3;
  expect(corpusChrf(["abc"], ["abd e"]).score).toBeCloseTo(
    (100 * 5 * precision * recall) / (4 * precision + recall),
    12,
  );
});

test("statistics of segments are plain integers whose sum is the corpus's", () => {
  const statistics = bleuStatistics(["a b c", "d"], ["a b x", "d e"]);
  expect(statistics).toEqual([
    [3, 3, 2, 1, 0, 0, 3, 2, 1, 0],
    [1, 2, 1, 0, 0, 0, 1, 0, 0, 0],
  ]);
  expect(sumOf(statistics)).toEqual([4, 5, 3, 1, 0, 0, 4, 2, 1, 0]);
});

test("numbers are rounded as Python rounds them, ties to the even digit", () => {
  expect(fixed(6.25, 1)).toBe("6.2");
  expect(fixed(6.75, 1)).toBe("6.8");
  expect(fixed(0.0625, 3)).toBe("0.062");
  expect(fixed(2.5, 0)).toBe("2");
  expect(fixed(3.5, 0)).toBe("4");
  expect(fixed(0.15, 1)).toBe("0.1"); // not a tie: the nearest float is below
  expect(fixed(99.996, 2)).toBe("100.00");
});

test("other numbers of references than hypotheses, no segments and segments without a reference are refused", () => {
  for (const score of [corpusBleu, corpusChrf]) {
    expect(() => score(["a"], ["a", "b"])).toThrow(UserError);
    expect(() => score(["a"], ["a", "b"])).toThrow("got 1 hypotheses and 2 references");
    expect(() => score([], [])).toThrow("expected at least one segment, got none");
    expect(() => score(["a", "b"], [["a"], []])).toThrow("expected at least one reference for segment 1");
  }
  expect(() => sumOf([])).toThrow("expected at least one segment, got none");
});

describe("tokenizers", () => {
  test("are sacreBLEU's by target language, and where that needs MeCab, characters", () => {
    const languages = ["de", "pt-br", "zh", "zh-hans", "zh_TW", "ja", "ko"];
    expect(languages.map(recommendedTokenizer)).toEqual(["13a", "13a", "zh", "zh", "zh", "ja-mecab", "ko-mecab"]);
    expect(languages.map(availableTokenizer)).toEqual(["13a", "13a", "zh", "zh", "zh", "char", "char"]);
  });

  test("that need MeCab are refused with a way out, unknown ones with the known", () => {
    expect(() => bleuTokenizer("ja-mecab")).toThrow(
      'needs MeCab and its dictionary, which are not part of this program; use "char"',
    );
    expect(() => bleuTokenizer("ko-mecab")).toThrow(UserError);
    expect(() => bleuTokenizer("toString")).toThrow('unknown tokenizer "toString"; known: 13a, zh, intl, char, none');
    expect(bleuTokenizers).toHaveLength(5);
  });

  test("differ where they should", () => {
    const line = "Es kostet 1,000.5 €, „ja“: &amp; 漢字";
    expect(bleuTokenizer("13a")(line).join(" ")).toBe("Es kostet 1,000.5 € , „ja“ : & 漢字");
    expect(bleuTokenizer("intl")(line).join(" ")).toBe("Es kostet 1,000.5 € , „ ja “ : & amp ; 漢字");
    expect(bleuTokenizer("zh")(line).join(" ")).toBe("Es kostet 1,000.5 € , „ ja “ : & amp ; 漢 字");
    expect(bleuTokenizer("none")(line).join(" ")).toBe(line);
    expect(bleuTokenizer("char")("a 漢😀")).toEqual(["a", "漢", "😀"]);
  });
});
