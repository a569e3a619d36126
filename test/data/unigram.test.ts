// The unigram model: its segmentations against all there are, and its training.
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { trainUnigram, type Unigram, unigramEncoder, type UnigramStep } from "../../src/data/unigram.ts";
import { useTemporaryCache } from "./temporary-cache.ts";
import { countWords, someTexts } from "./texts.ts";

useTemporaryCache();
const bytes = (word: string): Uint8Array => new TextEncoder().encode(word);

/** All segmentations of a word into pieces. */
function segmentations(word: string, pieces: readonly string[]): number[][] {
  if (word === "") return [[]];
  return pieces.flatMap((piece, id) =>
    word.startsWith(piece) ? segmentations(word.slice(piece.length), pieces).map((rest) => [id, ...rest]) : [],
  );
}

describe("encoding", () => {
  const vocabularies = fc
    .uniqueArray(fc.string({ unit: fc.constantFrom(..."ab"), minLength: 2, maxLength: 4 }), { maxLength: 8 })
    .map((pieces) => ["a", "b", ...pieces]);
  const words = fc.string({ unit: fc.constantFrom(..."ab"), minLength: 1, maxLength: 9 });

  test("finds the most probable of all segmentations", () => {
    fc.assert(
      fc.property(
        vocabularies.chain((pieces) =>
          fc.tuple(
            fc.constant(pieces),
            fc.array(fc.double({ min: -9, max: 0, noNaN: true }), {
              minLength: pieces.length,
              maxLength: pieces.length,
            }),
          ),
        ),
        words,
        ([pieces, scores], word) => {
          const scoreOf = (ids: readonly number[]): number => ids.reduce((sum, id) => sum + scores[id]!, 0);
          const ids = unigramEncoder(pieces, scores, 0)(bytes(word));
          expect(ids.map((id) => pieces[id]).join("")).toBe(word);
          // Sums of the same numbers from the left: equal, not only near.
          expect(scoreOf(ids)).toBe(Math.max(...segmentations(word, pieces).map(scoreOf)));
        },
      ),
      { seed: 1, numRuns: 500 },
    );
  });

  test("of equally probable ones the one with the longest last piece, then the longest before it ...", () => {
    fc.assert(
      fc.property(vocabularies, words, (pieces, word) => {
        // Each letter costs 1: all segmentations are equal.
        const scores = pieces.map((piece) => -piece.length);
        const lengths = (ids: readonly number[]): string =>
          ids
            .map((id) => pieces[id]!.length)
            .reverse()
            .join("");
        const expected = segmentations(word, pieces)
          .sort((a, b) => (lengths(a) < lengths(b) ? 1 : -1))
          .at(0);
        expect(unigramEncoder(pieces, scores, 0)(bytes(word))).toEqual(expected);
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  test("never gives a special symbol", () => {
    expect(unigramEncoder(["ab", "a", "b"], [0, -5, -5], 1)(bytes("ab"))).toEqual([1, 2]);
  });
});

describe("training", () => {
  const steps: UnigramStep[] = [];
  let model: Unigram;
  beforeAll(async () => {
    const words = countWords(await someTexts("typescript-diagnostics", ["en", "ja"]));
    model = trainUnigram(words, 700, (step) => steps.push(step));
  });

  test("the log-posterior does not fall between prunings, and gains", () => {
    const sizes = [...new Set(steps.map(({ pieces }) => pieces))];
    expect(sizes.length).toBeGreaterThan(4);
    expect(sizes.at(-1)).toBe(700);
    for (const [i, step] of steps.entries()) {
      const next = steps[i + 1];
      if (next?.pieces !== step.pieces) continue;
      // Sums of thousands of logarithms are rounded: 1e-9 of them is far above that, far below what a step gains at
      // first.
      expect(next.logPosterior).toBeGreaterThanOrEqual(step.logPosterior - 1e-9 * Math.abs(step.logPosterior));
    }
    const [first, second] = steps;
    expect(second!.logPosterior - first!.logPosterior).toBeGreaterThan(1e-3 * Math.abs(first!.logPosterior));
  });

  test("starts from pieces in proportion to the bytes they cover, and sums over all segmentations", () => {
    const told: UnigramStep[] = [];
    trainUnigram(new Map(Object.entries({ ab: 30, ba: 10 })), 258, (step) => told.push(step));
    // The bytes of 40 words and 256 times the prior; "ab" and "ba", each two bytes long.
    const total = 80 + 256 * 0.01 + 60 + 20;
    const ofBytes = (40.01 / total) ** 2;
    const expected = 30 * Math.log(60 / total + ofBytes) + 10 * Math.log(20 / total + ofBytes);
    // Rounding alone: a few operations on numbers near 60.
    expect(Math.abs(told[0]!.logLikelihood - expected)).toBeLessThan(1e-12 * Math.abs(expected) * 10);
  });

  test("gives probabilities that sum to one, the most probable pieces first after the bytes", () => {
    const { pieces, scores } = model;
    expect(pieces).toHaveLength(700);
    // Each of 700 is rounded to six decimals of its logarithm.
    expect(Math.abs(scores.reduce((sum, score) => sum + Math.exp(score), 0) - 1)).toBeLessThan(1e-6);
    const rest = scores.slice(256);
    expect(rest).toEqual(rest.toSorted((a, b) => b - a));
  });

  test("pieces are of whole characters, but for the bytes", () => {
    const { pieces } = model;
    const utf8 = new TextDecoder("utf-8", { fatal: true });
    const alphabet = new Map(pieces.slice(0, 256).map((character, byte) => [character, byte]));
    const decoded = pieces.slice(256).map((piece) => utf8.decode(Uint8Array.from(piece, (c) => alphabet.get(c)!)));
    expect(decoded.some((text) => /\p{Script=Han}/u.test(text))).toBe(true);
    expect(Math.max(...decoded.map((text) => [...text].length))).toBeLessThanOrEqual(16);
  });

  test("keeps the pieces whose loss costs most, of equal ones the first in code-unit order", () => {
    const kept = (words: Record<string, number>, count: number): string[] =>
      trainUnigram(new Map(Object.entries(words)), 256 + count).pieces.slice(256);
    expect(kept({ ab: 10, cd: 40, ef: 20 }, 1)).toEqual(["cd"]);
    expect(kept({ ab: 10, cd: 40, ef: 20 }, 2)).toEqual(["cd", "ef"]);
    expect(kept({ cd: 10, ab: 10 }, 1)).toEqual(["ab"]);
  });

  test("gives all that the words yield where more is asked for", () => {
    expect(trainUnigram(new Map([["ab", 1]]), 300).pieces).toHaveLength(256);
    expect(trainUnigram(new Map(), 256).pieces).toHaveLength(256);
  });
});
