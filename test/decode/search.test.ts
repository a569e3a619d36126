// Greedy and beam search: against full re-decoding, against a naive loop, against every translation there is, and at the edges.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BOS, EOS, PAD } from "../../src/data/vocabulary.ts";
import { type Hypothesis, lengthPenalty, translate, translateFully, type Translator } from "../../src/decode.ts";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { schemeNames } from "../helpers.ts";
import { pushEnd, randomSources, translatorOf } from "./subjects.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await engines.onnx.create({ threads: 1 });
});
afterAll(() => engine.dispose());

/** Log-probabilities are sums of some ten terms; each is exact to about 1e-6 in float32, whatever the batch around it. */
const DIGITS = 4;
const greedy = { beam: 1, maxLength: 12, lengthPenalty: 0, rows: 8 };

/** Log-probabilities of what follows `tokens`, from the whole network on this one sentence. */
async function next(
  { parameters, decoder, engine }: Translator,
  source: number[],
  tokens: number[],
): Promise<number[]> {
  const int32 = (ids: number[]) => ({ dtype: "int32" as const, shape: [1, ids.length], data: Int32Array.from(ids) });
  const tensors = {
    source: int32(source),
    sourceMask: { dtype: "float32" as const, shape: [1, source.length], data: new Float32Array(source.length).fill(1) },
    target: int32(tokens),
    position: { dtype: "int32" as const, shape: [1], data: Int32Array.of(tokens.length - 1) },
  };
  return Array.from(await engine.output(decoder.full, parameters, { tensors, tokens: 1 }));
}

/** All of what two searches found, log-probabilities within rounding. */
function expectSame(found: readonly Hypothesis[][], wanted: readonly Hypothesis[][]): void {
  const exact = (results: readonly Hypothesis[][]) =>
    results.map((best) => best.map(({ ids, isFinished }) => ({ ids, isFinished })));
  expect(exact(found)).toEqual(exact(wanted));
  for (const [i, best] of found.entries())
    for (const [j, { logProbability, score }] of best.entries()) {
      expect(logProbability).toBeCloseTo(wanted[i]![j]!.logProbability, DIGITS);
      expect(score).toBeCloseTo(wanted[i]![j]!.score, DIGITS);
    }
}

describe("against full re-decoding", () => {
  test.each(schemeNames)("%s: greedy and beam search find the same with kept keys and values", async (residual) => {
    const translator = translatorOf(engine, { residual });
    const sources = randomSources([7, 3, 5], 50);
    for (const beam of [1, 3]) {
      const options = { ...greedy, beam, nbest: beam, lengthPenalty: 0.6, rows: 6, maxLength: 8 };
      expectSame(await translate(translator, sources, options), await translateFully(translator, sources, options));
    }
  });

  test("beyond the first lengths that programs are made for, while hypotheses change places", async () => {
    const translator = translatorOf(engine, { vocabulary: 30 });
    pushEnd(translator, -4); // long translations
    const sources = randomSources([40, 21, 17, 3, 1], 30);
    const options = { beam: 4, maxLength: 40, lengthPenalty: 1, rows: 8, nbest: 4 };
    const found = await translate(translator, sources, options);
    expectSame(found, await translateFully(translator, sources, options));
    expect(Math.max(...found.flat().map(({ ids }) => ids.length))).toBeGreaterThan(32);
    // Hypotheses of a sentence part early and late, so that kept tensors have been moved.
    const [best, other] = found[0]!;
    expect(best!.ids).not.toEqual(other!.ids);
  });

  // Beyond 1 MiB of them, keys and values are handed over one by one, and none is joined with what is new.
  test.each(["pre-ln", "post-ln", "hybridnorm", "normformer", "ngpt", "sub-ln"])(
    "%s: 64 sentences at once find the same",
    async (residual) => {
      const translator = translatorOf(engine, { residual });
      const sources = randomSources([60, ...Array.from({ length: 63 }, (_, i) => 1 + (i % 7))], 50);
      const options = { ...greedy, beam: 1, rows: 64, maxLength: 8 };
      expectSame(await translate(translator, sources, options), await translateFully(translator, sources, options));
    },
  );

  test("on the cpu engine", async () => {
    const cpu = await engines.cpu.create({ threads: 1 });
    const sources = randomSources([4, 2], 50);
    const options = { ...greedy, beam: 2, nbest: 2, maxLength: 5, rows: 4 };
    const found = await translate(translatorOf(cpu), sources, options);
    expectSame(found, await translateFully(translatorOf(cpu), sources, options));
    expectSame(found, await translate(translatorOf(engine), sources, options));
  });
});

test.each([0, 5])("a beam of one takes the most probable token every time, alpha %s", async (alpha) => {
  const translator = translatorOf(engine);
  pushEnd(translator, 3); // some translations end, others are cut
  const sources = randomSources([5, 2, 7, 4, 6, 3], 50);
  const found = await translate(translator, sources, { ...greedy, lengthPenalty: alpha });
  for (const [i, source] of sources.entries()) {
    const tokens = [BOS];
    let sum = 0;
    while (tokens.length <= greedy.maxLength && tokens.at(-1) !== EOS) {
      const row = await next(translator, source, tokens);
      const best = row.reduce((best, p, id) => (id !== PAD && id !== BOS && p > row[best]! ? id : best), EOS);
      tokens.push(best);
      sum += row[best]!;
    }
    const isFinished = tokens.at(-1) === EOS;
    expect(found[i]![0]!.ids).toEqual(tokens.slice(1, isFinished ? -1 : undefined));
    expect(found[i]![0]!.isFinished).toBe(isFinished);
    expect(found[i]![0]!.logProbability).toBeCloseTo(sum, DIGITS);
  }
  expect(new Set(found.map(([best]) => best!.isFinished)).size).toBe(2);
});

describe("against every translation there is", () => {
  // Three words and the end: 1 + 3 + 9 + 27 translations of up to four tokens, and 81 that are cut.
  const vocabulary = 6;
  const maxLength = 4;

  /** Every translation of `source`, those that end and those that are cut, each best first. */
  async function enumerate(translator: Translator, source: number[], alpha: number): Promise<Hypothesis[]> {
    const all: Hypothesis[] = [];
    const extend = async (tokens: number[], before: number): Promise<void> => {
      const row = await next(translator, source, tokens);
      for (let id = EOS; id < vocabulary; id++) {
        const logProbability = before + row[id]!;
        const score = logProbability / ((5 + tokens.length) / 6) ** alpha;
        if (id === EOS) all.push({ ids: tokens.slice(1), logProbability, score, isFinished: true });
        else if (tokens.length === maxLength)
          all.push({ ids: [...tokens.slice(1), id], logProbability, score, isFinished: false });
        else await extend([...tokens, id], logProbability);
      }
    };
    await extend([BOS], 0);
    return all.sort((a, b) => Number(b.isFinished) - Number(a.isFinished) || b.score - a.score);
  }

  test.each([0, 0.6, 2, 10, -1])("a beam that holds all of them ranks them as they are, alpha %s", async (alpha) => {
    const [source] = randomSources([4], vocabulary) as [number[]];
    for (const push of [0, 1, 2, 2.5, 3, 3.5, 4]) {
      const translator = translatorOf(engine, { vocabulary });
      pushEnd(translator, push);
      const all = await enumerate(translator, source, alpha);
      expect(all).toHaveLength(40 + 81);
      // Nothing leaves a beam this wide, and with as many wanted none stops early.
      const options = { beam: 121, nbest: 121, maxLength, lengthPenalty: alpha, rows: 121 };
      const [found] = await translate(translator, [source], options);
      expectSame([found!], [all]);
      // Where one is wanted, the search may stop as soon as nothing better can come: with the same one.
      const [best] = await translate(translator, [source], { ...options, nbest: 1 });
      expectSame([best!], [all.slice(0, 1)]);
    }
  });

  test("alpha decides between short and long: the best of all is another", async () => {
    const translator = translatorOf(engine, { vocabulary });
    const [source] = randomSources([4], vocabulary) as [number[]];
    const best = async (lengthPenalty: number): Promise<Hypothesis> =>
      (await translate(translator, [source], { beam: 121, maxLength, lengthPenalty, rows: 121 }))[0]![0]!;
    expect((await best(3)).ids.length).toBeGreaterThan((await best(-3)).ids.length);
  });

  test("a wider beam finds what a narrow one misses, never the other way round over many sources", async () => {
    const translator = translatorOf(engine, { vocabulary });
    const sources = randomSources(new Array<number>(12).fill(4), vocabulary);
    const total = async (beam: number): Promise<number> => {
      const found = await translate(translator, sources, { beam, maxLength, lengthPenalty: 0, rows: 121 });
      return found.reduce((sum, [best]) => sum + best!.logProbability, 0);
    };
    expect(await total(121)).toBeGreaterThanOrEqual(await total(1));
  });
});

test("the length penalty is ((5 + |Y|) / 6)^alpha, and |Y| counts the end", async () => {
  expect(lengthPenalty(1, 0.6)).toBe(1);
  expect(lengthPenalty(7, 1)).toBe(2);
  expect(lengthPenalty(13, 2)).toBe(9);
  expect(lengthPenalty(19, 0.5)).toBe(2);
  expect(lengthPenalty(19, 0)).toBe(1);
  const translator = translatorOf(engine);
  pushEnd(translator, 3); // some translations end, others are cut
  const options = { beam: 3, nbest: 3, maxLength: 9, lengthPenalty: 0.7, rows: 12 };
  const found = (await translate(translator, randomSources([5, 2, 7, 4], 50), options)).flat();
  for (const { ids, isFinished, logProbability, score } of found)
    expect(score).toBeCloseTo(logProbability / ((5 + ids.length + Number(isFinished)) / 6) ** 0.7, 12);
  expect(new Set(found.map(({ isFinished }) => isFinished)).size).toBe(2);
});

describe("what stands beside a sentence changes nothing", () => {
  const lengths = [9, 1, 4, 9, 2, 6, 17, 5];
  const options = { beam: 2, nbest: 2, maxLength: 10, lengthPenalty: 0.6, rows: 6 };

  test("each alone gives what all together give, longer ones and empty rows beside it", async () => {
    const translator = translatorOf(engine);
    const sources = randomSources(lengths, 50);
    const together = await translate(translator, sources, options);
    for (const [i, source] of sources.entries())
      expectSame(await translate(translator, [source], options), [together[i]!]);
  });

  test("in another order, and with another number of rows", async () => {
    const translator = translatorOf(engine);
    const sources = randomSources(lengths, 50);
    const together = await translate(translator, sources, options);
    const turned = await translate(translator, sources.toReversed(), options);
    expectSame(turned.toReversed(), together);
    for (const rows of [1, 2, 5, 100]) expectSame(await translate(translator, sources, { ...options, rows }), together);
  });

  test("the same twice gives the same bits", async () => {
    const translator = translatorOf(engine);
    const sources = randomSources(lengths, 50);
    expect(await translate(translator, sources, options)).toEqual(await translate(translator, sources, options));
  });

  test("the same source twice in a batch gives the same translation twice", async () => {
    const translator = translatorOf(engine);
    const [source] = randomSources([6], 50) as [number[]];
    const [first, second] = await translate(translator, [source, source], options);
    expectSame([first!], [second!]);
  });
});

describe("at the edges", () => {
  test("a source of one token, no sources at all", async () => {
    const translator = translatorOf(engine);
    const found = await translate(translator, [[7]], greedy);
    expectSame(found, await translateFully(translator, [[7]], greedy));
    expect(found).toHaveLength(1);
    expect(await translate(translator, [], greedy)).toEqual([]);
  });

  test("a sure end gives an empty translation, whose log-probability is that of the end", async () => {
    const translator = translatorOf(engine);
    pushEnd(translator, 100);
    const [[best]] = (await translate(translator, [[5, 6]], { ...greedy, lengthPenalty: 1 })) as [[Hypothesis]];
    expect(best).toMatchObject({ ids: [], isFinished: true });
    expect(best.logProbability).toBeCloseTo(0, 6);
    // With a beam of three the others are there, behind it: one token and the end.
    const [three] = await translate(translator, [[5, 6]], { ...greedy, beam: 3, nbest: 3 });
    expect(three!.map(({ ids, isFinished }) => [ids.length, isFinished])).toEqual([
      [0, true],
      [1, true],
      [1, true],
    ]);
  });

  test("an end that never comes is cut at maxLength and says so", async () => {
    const translator = translatorOf(engine);
    pushEnd(translator, -100);
    for (const maxLength of [1, 2, 16, 17]) {
      const options = { ...greedy, beam: 2, nbest: 2, maxLength };
      const [found] = await translate(translator, [[5, 6, 7]], options);
      expect(found!.map(({ ids, isFinished }) => [ids.length, isFinished])).toEqual([
        [maxLength, false],
        [maxLength, false],
      ]);
      expect(found!.flatMap(({ ids }) => ids)).not.toContain(EOS);
    }
  });

  test("those that were cut come after those that ended, however probable they are", async () => {
    const translator = translatorOf(engine);
    pushEnd(translator, 2.5);
    const sources = randomSources([5, 2, 7, 4, 6, 3, 8, 5], 50);
    const found = await translate(translator, sources, { beam: 4, nbest: 4, maxLength: 3, lengthPenalty: 0, rows: 32 });
    const mixed = found.filter((best) => new Set(best.map(({ isFinished }) => isFinished)).size === 2);
    expect(mixed.length).toBeGreaterThan(0);
    for (const best of mixed) {
      const flags = best.map(({ isFinished }) => isFinished);
      expect(flags.indexOf(false)).toBe(flags.filter(Boolean).length);
    }
    const order = (best: Hypothesis[]): number[] => best.map(({ score }) => score);
    expect(
      mixed.some(
        (best) =>
          order(best).join() !==
          order(best)
            .sort((a, b) => b - a)
            .join(),
      ),
    ).toBe(true);
  });

  test("equal scores go by the lower id", async () => {
    const translator = translatorOf(engine);
    // All words alike: only the order of ids is left.
    for (const path of ["output/projection/weight", "output/projection/bias"])
      translator.parameters.get(path)!.data.fill(0);
    const [found] = await translate(translator, [[5, 6]], { ...greedy, beam: 3, nbest: 3, maxLength: 2 });
    // After the end and 3 and 4 and 5 come the continuations of 3, all before those of 4.
    expect(found!.map(({ ids }) => ids)).toEqual([[], [3], [3, 3]]);
    expect(found![0]!.logProbability).toBeCloseTo(-Math.log(50), 5);
  });

  test("forbidden ids are never chosen, and the others keep their probabilities", async () => {
    const translator = translatorOf(engine);
    const source = [5, 6, 7];
    const [[free]] = (await translate(translator, [source], greedy)) as [[Hypothesis]];
    const first = free.ids[0]!;
    const [[other]] = (await translate(translator, [source], { ...greedy, forbidden: [PAD, BOS, first] })) as [
      [Hypothesis],
    ];
    expect(other.ids).not.toContain(first);
    const row = await next(translator, source, [BOS]);
    const [[one]] = (await translate(translator, [source], {
      ...greedy,
      maxLength: 1,
      forbidden: [PAD, BOS, first],
    })) as [[Hypothesis]];
    expect(one.logProbability).toBeCloseTo(row[one.ids[0] ?? EOS]!, 5);
    // Padding and the begin are never chosen unless asked for.
    const tempted = translatorOf(engine);
    for (const id of [PAD, BOS]) tempted.parameters.get("output/projection/bias")!.data[id] = 50;
    const [[best]] = (await translate(tempted, [source], greedy)) as [[Hypothesis]];
    expect(best.ids.filter((id) => id === PAD || id === BOS)).toEqual([]);
    const [[padding]] = (await translate(tempted, [source], { ...greedy, forbidden: [BOS] })) as [[Hypothesis]];
    expect(padding.ids).toEqual(new Array(greedy.maxLength).fill(PAD));
  });

  test("what cannot be is refused by name", async () => {
    const translator = translatorOf(engine);
    const refused = (sources: number[][], options: Partial<Parameters<typeof translate>[2]>) =>
      expect(translate(translator, sources, { ...greedy, ...options })).rejects;
    await refused([[5], []], {}).toThrow("translate: expected source 1 to have a token, got none");
    await refused([[5, 50]], {}).toThrow("translate: expected source 0 to be of ids below 50, got 50");
    await refused([[5]], { beam: 0 }).toThrow("translate: expected beam to be a whole number from 1, got 0");
    await refused([[5]], { maxLength: 1.5 }).toThrow("expected maxLength to be a whole number from 1, got 1.5");
    await refused([[5]], { beam: 2, nbest: 3 }).toThrow("expected nbest to be at most the beam, 2, got 3");
    await refused([[5]], { lengthPenalty: NaN }).toThrow("expected lengthPenalty to be a number, got NaN");
    await refused([[5]], { forbidden: [EOS] }).toThrow("expected forbidden to leave the end, got id 2 in it");
  });

  test("parameters that have diverged are refused", async () => {
    const translator = translatorOf(engine);
    translator.parameters.get("output/projection/weight")!.data[0] = NaN;
    await expect(translate(translator, [[5]], greedy)).rejects.toThrow("gives no finite probabilities");
  });
});
