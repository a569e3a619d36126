import { beforeAll, describe, expect, test } from "vitest";
import { sha256 } from "../../src/data/cache.ts";
import type { Segment } from "../../src/data/corpus.ts";
import { loadCorpus, type PreparedCorpus } from "../../src/data/prepared.ts";
import { divide, templateGroups } from "../../src/data/split.ts";
import { template, words } from "../../src/data/text.ts";
import { useTemporaryCache } from "./temporary-cache.ts";

const english = (...texts: string[]): Segment[] => texts.map((en, i) => ({ id: String(i), text: { en } }));

describe("template groups", () => {
  test("hold what differs in quoted text, placeholders, numbers or case", () => {
    expect(
      templateGroups(english("Cannot find '{0}'.", "Cannot open it", "cannot find '{name}'.", "Cannot find 12.")),
    ).toEqual([0, 1, 0, 0]);
  });
  test("hold near-copies: word sets with a Jaccard index of 0.8, and not those below", () => {
    // 8 words of 10 shared, and 7 of 9 (0.78).
    const base = "one two three four five six seven eight nine";
    expect(templateGroups(english(base, "one two three four five six seven eight ten"))).toEqual([0, 0]);
    expect(templateGroups(english("a b c d e f g h", "a b c d e f g i"))).toEqual([0, 1]);
  });
  test("hold what is alike in one language alone, and through a third", () => {
    expect(
      templateGroups([
        { id: "a", text: { en: "Quit", de: "Beenden" } },
        { id: "b", text: { en: "Exit", de: "Beenden" } },
        { id: "c", text: { en: "Exit", fr: "Quitter" } },
      ]),
    ).toEqual([0, 0, 0]);
  });
});

test("a split depends on the group alone: reordering and adding data moves nothing", () => {
  const texts = Array.from(
    { length: 400 },
    (_, i) =>
      `w${"abcdefghij"[i % 10]}${String.fromCodePoint(97 + (Math.floor(i / 10) % 26))}${"xyz"[Math.floor(i / 260)] ?? "q"}`,
  );
  const splits = (list: string[]): Map<string, string> =>
    new Map(divide(english(...list)).map(({ text, split }) => [text.en!, split]));
  const all = splits(texts);
  expect(splits([...texts].reverse())).toEqual(all);
  for (const [text, split] of splits(texts.slice(0, 200))) expect(all.get(text)).toBe(split);
  const train = [...all.values()].filter((split) => split === "train").length / all.size;
  expect(train).toBeGreaterThan(0.85);
  expect(train).toBeLessThan(0.95);
});

describe("on the real corpus", () => {
  let corpus: PreparedCorpus;
  useTemporaryCache();
  beforeAll(async () => {
    corpus = await loadCorpus("typescript-diagnostics");
  });

  test("the outcome is what it was (raise PREPARATION in prepared.ts when this changes)", () => {
    expect(sha256(JSON.stringify(corpus.segments.map(({ id, split, text }) => [id, split, text])))).toBe(
      "e599536f44078620df1640d35def1580fe0167a91e68ece4e6e522ecc8285141",
    );
  });

  test("all splits are there in about the shares asked for", () => {
    const share = (split: string): number =>
      corpus.segments.filter((segment) => segment.split === split).length / corpus.segments.length;
    expect(share("train")).toBeGreaterThan(0.85);
    expect(share("dev")).toBeGreaterThan(0.03);
    expect(share("test")).toBeGreaterThan(0.03);
  });

  test("no dev or test sentence, nor a near-copy of one, is trained on in any language", () => {
    let compared = 0;
    for (const language of corpus.languages) {
      const of = (held: boolean): string[] =>
        corpus.segments.flatMap(({ split, text }) =>
          (split !== "train") === held && text[language] !== undefined ? [text[language]] : [],
        );
      const [training, heldOut] = [of(false), of(true)];
      const templates = new Set(training.map(template));
      expect(heldOut.filter((text) => templates.has(template(text)))).toEqual([]);
      for (const form of [(text: string) => text, template]) {
        const nearest = nearestBy(training.map((text) => words(form(text))));
        for (const text of heldOut) {
          expect(nearest(words(form(text))), `${language}: ${text}`).toBeLessThan(0.8);
          compared += training.length;
        }
      }
    }
    expect(compared).toBeGreaterThan(5_000_000);
  });
});

/** The largest Jaccard index of a word list with any of `texts`, by counting shared words with all of them. */
function nearestBy(texts: readonly string[][]): (list: readonly string[]) => number {
  const sets = texts.map((list) => new Set(list));
  const holders = new Map<string, number[]>();
  for (const [i, set] of sets.entries())
    for (const word of set) {
      if (!holders.has(word)) holders.set(word, []);
      holders.get(word)!.push(i);
    }
  return (list) => {
    const own = new Set(list);
    const shared = new Float64Array(sets.length);
    for (const word of own) for (const i of holders.get(word) ?? []) shared[i]!++;
    return shared.reduce((best, n, i) => (n === 0 ? best : Math.max(best, n / (own.size + sets[i]!.size - n))), 0);
  };
}
