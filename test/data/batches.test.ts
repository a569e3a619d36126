import { beforeAll, describe, expect, test } from "vitest";
import { loadTranslationData, type DataOptions, type TranslationData } from "../../src/data/batches.ts";
import { directionShares, resolveDirections } from "../../src/data/directions.ts";
import { renderReport } from "../../src/data/report.ts";
import { bucketLengths, makeSchedule } from "../../src/data/schedule.ts";
import { BOS, EOS, PAD } from "../../src/data/vocabulary.ts";
import type { Batch } from "../../src/types.ts";
import { useTemporaryCache } from "./temporary-cache.ts";

useTemporaryCache();
const OPTIONS: DataOptions = {
  corpus: "typescript-diagnostics",
  directions: ["en-de", "en-fr"],
  vocabulary: { kind: "bpe", size: 2000 },
  maxLength: 32,
  temperature: 1,
  batch: { sentences: 32 },
  seed: 1,
};
let data: TranslationData;
beforeAll(async () => {
  data = await loadTranslationData(OPTIONS);
});

const rowsOf = (batch: Batch, name: string): number[][] => {
  const { data, shape } = batch.tensors[name]!;
  return Array.from({ length: shape[0]! }, (_, row) => [...data.slice(row * shape[1]!, (row + 1) * shape[1]!)]);
};
const epoch = ({ dataset }: TranslationData, number = 0): Batch[] =>
  Array.from({ length: dataset.stepsPerEpoch }, (_, i) => dataset.batchAt(number * dataset.stepsPerEpoch + i));

/** Source and target text of each row that holds an example. */
function pairsOf(batch: Batch, { vocabulary }: TranslationData): string[] {
  const weights = rowsOf(batch, "labelWeights");
  const labels = rowsOf(batch, "labels");
  return rowsOf(batch, "source").flatMap((source, row) =>
    weights[row]!.some((weight) => weight > 0)
      ? [`${vocabulary.pieces[source[0]!]} ${vocabulary.decode(source)} => ${vocabulary.decode(labels[row]!)}`]
      : [],
  );
}

describe("a batch", () => {
  test("has five tensors of one of four shapes, and counts its labels", () => {
    const shapes = new Set<string>();
    for (const batch of [...epoch(data), ...data.dataset.evaluation.dev, ...data.dataset.evaluation.test]) {
      const { source } = batch.tensors;
      expect(Object.keys(batch.tensors)).toEqual(["source", "target", "labels", "sourceMask", "labelWeights"]);
      for (const [name, tensor] of Object.entries(batch.tensors)) {
        expect(tensor.shape).toEqual(source!.shape);
        expect(tensor.dtype).toBe(name === "sourceMask" || name === "labelWeights" ? "float32" : "int32");
        expect(tensor.data).toHaveLength(tensor.shape[0]! * tensor.shape[1]!);
      }
      expect(batch.tokens).toBe([...batch.tensors.labelWeights!.data].reduce((sum, weight) => sum + weight, 0));
      expect(batch.tokens).toBeGreaterThan(0);
      shapes.add(source!.shape.join("x"));
    }
    expect([...shapes].sort()).toEqual(["32x16", "32x24", "32x32", "32x8"]);
  });

  test("lays out rows as tag, pieces, end; begin, pieces; pieces, end; and masks what is padding", () => {
    const tags = [data.vocabulary.tag("de"), data.vocabulary.tag("fr")];
    let empty = 0;
    for (const batch of epoch(data)) {
      const [source, target, labels] = ["source", "target", "labels"].map((name) => rowsOf(batch, name));
      const [mask, weights] = ["sourceMask", "labelWeights"].map((name) => rowsOf(batch, name));
      for (const [row, sourceRow] of source!.entries()) {
        const used = weights![row]!.filter((weight) => weight === 1).length;
        expect(weights![row]).toEqual(weights![row]!.map((_, i) => (i < used ? 1 : 0)));
        if (used === 0) {
          empty++;
          expect(mask![row]).toEqual(mask![row]!.map((_, i) => (i === 0 ? 1 : 0)));
          continue;
        }
        const end = sourceRow.indexOf(EOS);
        expect(tags).toContain(sourceRow[0]);
        expect(sourceRow.slice(1, end).every((id) => id > tags[1]!)).toBe(true);
        expect(sourceRow.slice(end + 1).every((id) => id === PAD)).toBe(true);
        expect(mask![row]).toEqual(mask![row]!.map((_, i) => (i <= end ? 1 : 0)));
        expect(target![row]![0]).toBe(BOS);
        expect(target![row]!.slice(1, used)).toEqual(labels![row]!.slice(0, used - 1));
        expect(labels![row]![used - 1]).toBe(EOS);
        expect([...target![row]!.slice(used), ...labels![row]!.slice(used)].every((id) => id === PAD)).toBe(true);
      }
    }
    // The last batch of a bucket is filled up; that is all.
    expect(empty).toBeGreaterThan(0);
    expect(empty).toBeLessThan(4 * 32);
  });

  test("sized in tokens has as many rows as fit, at least one", async () => {
    const sized = await loadTranslationData({ ...OPTIONS, batch: { tokens: 400 } });
    const shapes = new Set(epoch(sized).map((batch) => batch.tensors.source!.shape.join("x")));
    expect([...shapes].sort()).toEqual(["12x32", "16x24", "25x16", "50x8"]);
    const tiny = await loadTranslationData({ ...OPTIONS, batch: { tokens: 20 } });
    expect(new Set(epoch(tiny).map((batch) => batch.tensors.source!.shape.join("x")))).toContain("1x32");
  });
});

describe("an epoch", () => {
  test("holds every training pair once, and no other", () => {
    const expected = data.directions.flatMap(({ name, target }) =>
      data.examples("train", name).map((example) => `<2${target}> ${example.source} => ${example.target}`),
    );
    expect(expected.length).toBeGreaterThan(2500);
    const seen = epoch(data).flatMap((batch) => pairsOf(batch, data));
    expect(seen.sort()).toEqual(expected.sort());
  });

  test("differs from the next in the order of batches and in what shares a batch", () => {
    const [first, second] = [0, 1].map((number) =>
      epoch(data, number).map((batch) => pairsOf(batch, data).sort().join("\n")),
    );
    expect(first).not.toEqual(second);
    expect(first!.filter((batch) => second!.includes(batch)).length).toBeLessThan(4);
  });
});

test("a batch is a pure function of seed and step, in whatever order steps are asked for", async () => {
  const steps = [0, 3, 500, 7, data.dataset.stepsPerEpoch, 3, 0];
  const again = await loadTranslationData(OPTIONS);
  const straight = [...new Set(steps)]
    .sort((a, b) => a - b)
    .map((step) => [step, again.dataset.batchAt(step)] as const);
  for (const step of steps) expect(data.dataset.batchAt(step)).toEqual(new Map(straight).get(step));
  expect(data.dataset.batchAt(0)).not.toEqual(data.dataset.batchAt(1));
  const other = await loadTranslationData({ ...OPTIONS, seed: 2 });
  expect(other.dataset.batchAt(0)).not.toEqual(data.dataset.batchAt(0));
  expect(other.dataset.hashes).toEqual(data.dataset.hashes);
});

test("evaluation holds every pair of a split once, labelled by direction, whatever the seed", async () => {
  const other = await loadTranslationData({ ...OPTIONS, seed: 2 });
  for (const split of ["dev", "test"] as const) {
    for (const { name, target } of data.directions) {
      const batches = data.dataset.evaluation[split].filter(({ label }) => label === name);
      const expected = data.examples(split, name).map((e) => `<2${target}> ${e.source} => ${e.target}`);
      expect(expected.length).toBeGreaterThan(30);
      expect(batches.flatMap((batch) => pairsOf(batch, data)).sort()).toEqual(expected.sort());
    }
    expect(other.dataset.evaluation[split].map((batch) => ({ ...batch }))).toEqual(
      data.dataset.evaluation[split].map((batch) => ({ ...batch })),
    );
  }
});

test("the unigram entropy is the cross-entropy of the training labels under their own frequencies", () => {
  const counts = new Map<number, number>();
  let total = 0;
  for (const batch of epoch(data)) {
    const { labels, labelWeights } = batch.tensors;
    labels!.data.forEach((id, i) => {
      if (labelWeights!.data[i] === 0) return;
      counts.set(id, (counts.get(id) ?? 0) + 1);
      total++;
    });
  }
  let nats = 0;
  for (const n of counts.values()) nats -= n * Math.log(n / total);
  expect(data.dataset.unigramEntropy).toBeCloseTo(nats / total, 10);
  expect(data.dataset.dimensions).toEqual({ vocabulary: 2000, maxLength: 32 });
});

describe("directions", () => {
  const known = ["de", "en", "pt", "pt-br", "zh-hans"];
  test("may have hyphens within their languages", () => {
    expect(resolveDirections(["pt-br-zh-hans", "en-pt-br"], known)).toEqual([
      { name: "pt-br-zh-hans", source: "pt-br", target: "zh-hans" },
      { name: "en-pt-br", source: "en", target: "pt-br" },
    ]);
  });
  test("many-to-many are all ordered pairs, of the languages chosen", () => {
    expect(resolveDirections("many-to-many", known)).toHaveLength(20);
    expect(resolveDirections("many-to-many", known, ["en", "de"]).map(({ name }) => name)).toEqual(["de-en", "en-de"]);
  });
  test("of an unknown language are refused with the known ones", async () => {
    await expect(loadTranslationData({ ...OPTIONS, directions: ["en-dee"] })).rejects.toThrow(
      /data\.directions: unknown language "dee"; did you mean "de"\? Known: cs, de, en, .*zh-hant \(in "en-dee"\)/,
    );
    expect(() => resolveDirections(["xx-yy"], known)).toThrow(/got "xx-yy". Known: de, en/);
    expect(() => resolveDirections(["en-en"], known)).toThrow(/two different languages/);
    expect(() => resolveDirections(["en-de", "en-de"], known)).toThrow(/got en-de twice/);
    expect(() => resolveDirections("many-to-many", known, ["en", "xx"])).toThrow(
      /data\.languages: unknown language "xx"/,
    );
  });
  test("without a pair that is short enough are refused", async () => {
    await expect(loadTranslationData({ ...OPTIONS, maxLength: 2 })).rejects.toThrow(/raise data\.maxLength/);
  });
});

describe("temperature", () => {
  test("gives shares in proportion to n^(1/T)", () => {
    expect(directionShares([900, 100], 1)[0]).toBeCloseTo(0.9, 12);
    expect(directionShares([900, 100], 1)[1]).toBeCloseTo(0.1, 12);
    const [large, small] = directionShares([900, 100], 2);
    expect(large! / small!).toBeCloseTo(3, 12);
    expect(directionShares([900, 100, 0], 1e9)[1]).toBeCloseTo(0.5, 6);
    expect(directionShares([5, 5], 0.001)).toEqual([0.5, 0.5]);
  });

  test("decides how often directions are drawn, and every pair of one is drawn equally often", () => {
    const group = (direction: number, count: number, quota: number) => ({
      direction,
      segments: Uint32Array.from({ length: count }, (_, i) => i),
      quota,
    });
    const schedule = makeSchedule([{ length: 8, rows: 7, groups: [group(0, 90, 75), group(1, 10, 25)] }], 3);
    const drawn = [new Map<number, number>(), new Map<number, number>()];
    for (let step = 0; step < 6 * schedule.stepsPerEpoch; step++)
      for (const { direction, segment } of schedule.planAt(step).examples)
        drawn[direction]!.set(segment, (drawn[direction]!.get(segment) ?? 0) + 1);
    expect([...drawn[0]!.values()].sort()).toEqual(Array<number>(90).fill(5));
    expect([...drawn[1]!.values()].sort()).toEqual(Array<number>(10).fill(15));
  });

  test("reaches the batches: the larger direction is drawn less than its share", async () => {
    const count = (loaded: TranslationData): number[] => {
      const labels = epoch(loaded).flatMap((batch) => pairsOf(batch, loaded));
      return ["<2de>", "<2fr>"].map((tag) => labels.filter((label) => label.startsWith(tag)).length);
    };
    const sizes = data.directions.map(({ name }) => data.examples("train", name).length);
    expect(count(data)).toEqual(sizes);
    const flat = await loadTranslationData({ ...OPTIONS, temperature: 100 });
    const [de, fr] = count(flat);
    expect(Math.abs(de! - fr!)).toBeLessThan(8);
    expect(sizes[0]! - sizes[1]!).toBeGreaterThan(20);
  });
});

test("buckets are at most four, of multiples of 8, and never longer than the longest row", () => {
  expect(bucketLengths(32)).toEqual([8, 16, 24, 32]);
  expect(bucketLengths(30)).toEqual([8, 16, 24, 30]);
  expect(bucketLengths(100)).toEqual([32, 64, 96, 100]);
  expect(bucketLengths(8)).toEqual([8]);
  for (let maxLength = 1; maxLength < 300; maxLength++) expect(bucketLengths(maxLength).length).toBeLessThanOrEqual(4);
});

describe("the report", () => {
  test("adds up to the data", () => {
    const { report } = data;
    expect(report.segments.train + report.segments.dev + report.segments.test).toBe(2118);
    expect(report.filtered).toContainEqual({ reason: "alone", language: "en", count: 3 });
    for (const row of report.directions) {
      expect(row.train).toBe(data.examples("train", row.direction).length);
      expect(row.tooLong).toBeGreaterThan(0);
    }
    expect(report.buckets.reduce((sum, { examples }) => sum + examples, 0)).toBe(
      report.directions.reduce((sum, { train }) => sum + train, 0),
    );
    expect(report.languages.map(({ language }) => language)).toEqual(["de", "en", "fr"]);
    for (const language of report.languages) {
      expect(language.mean).toBeCloseTo(language.tokens / language.segments, 10);
      expect(language.median).toBeLessThanOrEqual(language.p95);
    }
    expect(report.vocabulary.used).toBeGreaterThan(0.8);
    expect(report.vocabulary.byteShare).toBeLessThan(0.02);
    expect(report.examples).toHaveLength(5 * 3 * 2);
    for (const { source, sourcePieces } of report.examples)
      expect(sourcePieces.join("").replaceAll("·", " ")).toBe(source);
  });

  test("is rendered with its figures", () => {
    const text = renderReport(data.report);
    for (const part of [
      "typescript-diagnostics",
      "en-de",
      "2,118",
      "nats a token",
      "untranslated",
      data.report.dataHash.slice(0, 12),
    ])
      expect(text).toContain(part);
  });
});
