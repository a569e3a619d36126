import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { type DataOptions, loadTranslationData, type TranslationData } from "../../src/data/batches.ts";
import { encodeSegments } from "../../src/data/encoded.ts";
import { type FilesCorpus, openFiles } from "../../src/data/files-corpus.ts";
import { renderReport } from "../../src/data/report.ts";
import { NEAR_COPY, nearCopiesOf, type SplitSegment, templateGroups } from "../../src/data/split.ts";
import { words } from "../../src/data/text.ts";
import { BOS, EOS } from "../../src/data/vocabulary.ts";
import { stream } from "../../src/random.ts";
import { useFolder, write } from "./readers/files.ts";
import { useTemporaryCache } from "./temporary-cache.ts";

const cache = useTemporaryCache();
const folder = useFolder();

/** Sentences of a made-up language and their word-by-word translations into others. */
function sentences(count: number, seed: number, languages: readonly string[]): string[][] {
  const draws = stream(seed, "sentences").uniform(new Float64Array(count * 12));
  return Array.from({ length: count }, (_, i) => {
    const length = 3 + Math.floor(draws[12 * i]! * 8);
    const ids = Array.from({ length }, (_, k) => Math.floor(draws[12 * i + 1 + k]! ** 2 * 900));
    return languages.map((language) => `${ids.map((id) => `${language}${syllables(id)}`).join(" ")}.`);
  });
}
const syllables = (id: number): string =>
  Array.from(String(id), (digit) => "bakedilomunaposeritu".slice(2 * Number(digit), 2 * Number(digit) + 2)).join("");

const rows = sentences(1500, 1, ["x", "y", "z"]);
const tsv = write(folder, "pairs.tsv", rows.map(([a, b]) => `${a}\t${b}`).join("\n"));
const corpus = (more: Partial<FilesCorpus> = {}): FilesCorpus => ({
  reader: "manythings",
  files: [tsv],
  languages: ["en", "de"],
  dev: 60,
  test: 60,
  maxRatio: 4,
  ...more,
});
const options = (more: Partial<DataOptions> = {}): DataOptions => ({
  corpus: corpus(),
  directions: ["en-de"],
  vocabulary: { kind: "bpe", size: 500 },
  maxLength: 64,
  temperature: 1,
  batch: { sentences: 16 },
  seed: 1,
  ...more,
});
async function segmentsOf(asked: FilesCorpus): Promise<SplitSegment[]> {
  const { segments } = await openFiles(asked);
  const all: SplitSegment[] = [];
  for await (const segment of segments()) all.push(segment);
  return all;
}
const splitCounts = (segments: readonly SplitSegment[]): number[] =>
  (["train", "dev", "test"] as const).map((split) => segments.filter((one) => one.split === split).length);

describe("a corpus of files", () => {
  test("is divided: about as many segments as asked for are set aside, and every unit is accounted for", async () => {
    const segments = await segmentsOf(corpus());
    const [train, dev, held] = splitCounts(segments);
    // 60 expected of 1500 drawn with p = 0.04: a deviation of 8 is one sigma.
    for (const count of [dev!, held!]) expect(Math.abs(count - 60)).toBeLessThan(32);
    const { filtered } = await openFiles(corpus());
    const left = Object.values(filtered).flatMap((counts) => Object.values(counts));
    expect(train! + dev! + held! + left.reduce((sum, count) => sum + count, 0)).toBe(rows.length);
    for (const { text } of segments) expect(rows).toContainEqual([text["en"], text["de"], expect.anything()]);
  });

  test("has no training segment that is nearly one of dev or test, in any language", async () => {
    const near = rows.map(([a, b], i) => [a!, `${b!} ${syllables(i)}`]); // the same source once more
    const file = write(folder, "near.tsv", [...rows, ...near].map(([a, b]) => `${a}\t${b}`).join("\n"));
    const segments = await segmentsOf(corpus({ files: [file] }));
    const groups = templateGroups(segments);
    const splits = new Map<number, Set<string>>();
    for (const [i, group] of groups.entries()) {
      const kinds = splits.get(group) ?? new Set();
      splits.set(group, kinds.add(segments[i]!.split === "train" ? "train" : "evaluated"));
    }
    // Groups are chains of near-copies: a chain may reach from train to dev by links of 0.8 each, a pair may not.
    const evaluated = segments.filter(({ split }) => split !== "train");
    for (const { split, text } of segments)
      if (split === "train")
        for (const language of ["en", "de"])
          for (const other of evaluated)
            expect(jaccard(text[language]!, other.text[language]!)).toBeLessThan(NEAR_COPY);
    expect(splitCounts(segments)[0]).toBeGreaterThan(2000);
  });

  test("keeps splits that are given as they are, and trains on nothing like them", async () => {
    const dev = write(folder, "dev.tsv", "xba xke.\tyba yke yke yke yke yke yke yke yke yke.\nOK\tOK\n");
    const held = write(
      folder,
      "test.tsv",
      rows
        .slice(0, 20)
        .map(([a, b]) => `${a}\t${b}`)
        .join("\n"),
    ); // leaked
    const segments = await segmentsOf(corpus({ dev: [dev], test: [held] }));
    const of = (split: string): unknown[] => segments.filter((one) => one.split === split).map(({ text }) => text);
    expect(of("dev")).toEqual([
      { en: "xba xke.", de: "yba yke yke yke yke yke yke yke yke yke." },
      { en: "OK", de: "OK" },
    ]);
    expect(of("test")).toEqual(rows.slice(0, 20).map(([en, de]) => ({ en, de })));
    for (const [en, de] of rows.slice(0, 20)) expect(of("train")).not.toContainEqual({ en, de });
  });

  test("counts what it leaves out by reason and language", async () => {
    const odd = [
      ["xba xke xdi.", "yba yke ydi."],
      ["xba xke xdi.", "yba yke ydi."], // repeated
      ["xlo.", `${"ylo ".repeat(30)}.`], // ratio
      ["xmu xmu", "xmu xmu"], // copied
      ["tsconfig.json", "tsconfig.json"], // code may be
      ["...", "yba"], // wordless
      ["x".repeat(9000), "yba"], // long
      ["cafe\u0301", "yba yba"], // NFC
    ];
    const file = write(folder, "odd.tsv", [...rows, ...odd].map(([a, b]) => `${a}\t${b}`).join("\n"));
    const asked = corpus({ files: [file] });
    const { filtered } = await openFiles(asked);
    const plain = (await openFiles(corpus())).filtered;
    expect(filtered).toMatchObject({
      repeated: { units: 1 + (plain["repeated"]?.["units"] ?? 0) },
      ratio: { de: 1 },
      copied: { de: 1 },
      wordless: { en: 1 },
      long: { en: 1 },
    });
    expect(renderReport((await loadTranslationData(options({ corpus: asked }))).report)).toMatch(
      /ratio: texts.* 1 .*de 1/,
    );
    const english = (await segmentsOf(asked)).map(({ text }) => text["en"]);
    expect(english).toContain("caf\u00e9");
    expect(english).toContain("tsconfig.json");
  });

  test("is read from the cache the second time, and a cached file that was changed or cut is refused by name", async () => {
    const file = write(
      folder,
      "cached.tsv",
      sentences(400, 5, ["x", "y"])
        .map((row) => row.join("\t"))
        .join("\n"),
    );
    const asked = corpus({ files: [file], dev: 20, test: 20 });
    const before = readdirSync(join(cache, "corpora"));
    const first = await segmentsOf(asked);
    const [name] = readdirSync(join(cache, "corpora")).filter((entry) => !before.includes(entry));
    const cached = join(cache, "corpora", name!);
    const text = readFileSync(cached, "utf8");
    expect(await segmentsOf(asked)).toEqual(first);
    for (const damaged of [text.replace("xba", "xbe"), text.slice(0, -20), text.slice(text.length >> 1), "", "{}\n"]) {
      writeFileSync(cached, damaged);
      await expect(loadTranslationData(options({ corpus: asked }))).rejects.toThrow(
        `${cached}: expected a prepared corpus as it was written`,
      );
    }
    writeFileSync(cached, text);
    // The key is made of contents: what is renamed is the same corpus, what is changed another.
    const { dataset } = await loadTranslationData(options({ corpus: asked }));
    const renamed = write(folder, "renamed.tsv", readFileSync(file));
    const entries = readdirSync(join(cache, "corpora"));
    const again = await loadTranslationData(options({ corpus: { ...asked, files: [renamed] } }));
    expect(again.dataset.hashes).toEqual(dataset.hashes);
    expect(readdirSync(join(cache, "corpora"))).toEqual(entries);
    rmSync(cached);
    expect((await loadTranslationData(options({ corpus: asked }))).dataset.hashes).toEqual(dataset.hashes);
    writeFileSync(file, readFileSync(file, "utf8").replace("xba", "xbe"));
    expect((await segmentsOf(asked)).map(({ text }) => text)).not.toEqual(first.map(({ text }) => text));
  });

  test("removes what a killed process has left of preparing it, and nothing of a living one", async () => {
    const left = (pid: number): string =>
      join(cache, "corpora", `moses-0123456789abcdef.jsonl.${hostname()}.${pid}.pool`);
    const [dead, living] = [left(2 ** 22 + 1), left(process.pid)]; // beyond the largest process id there is
    for (const one of [dead, living]) writeFileSync(one, "half");
    const file = write(
      folder,
      "killed.tsv",
      sentences(400, 6, ["x", "y"])
        .map((row) => row.join("\t"))
        .join("\n"),
    );
    await openFiles(corpus({ files: [file], dev: 20, test: 20 }));
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(living)).toBe(true);
  });

  test("stops where its progress is told to", async () => {
    const file = write(
      folder,
      "stopped.tsv",
      sentences(400, 7, ["x", "y"])
        .map((row) => row.join("\t"))
        .join("\n"),
    );
    const asked = corpus({ files: [file], dev: 20, test: 20 });
    const clock = vi.spyOn(performance, "now").mockImplementation(() => (time += 3000));
    let time = 0;
    try {
      const stop = (): void => {
        throw new Error("stopped");
      };
      await expect(openFiles(asked, stop)).rejects.toThrow("stopped");
    } finally {
      clock.mockRestore();
    }
    expect(readdirSync(join(cache, "corpora")).filter((name) => name.includes(`.${process.pid}.`))).toHaveLength(1); // above
  });

  test("without a dev pair that is short enough has no dev split to evaluate, and says so", async () => {
    const dev = write(folder, "long.tsv", `${"xba ".repeat(80)}.\t${"yba ".repeat(80)}.\n`);
    const { dataset } = await loadTranslationData(options({ corpus: corpus({ dev: [dev] }), maxLength: 24 }));
    expect(() => dataset.evaluation.dev).toThrow(
      "data.maxLength: expected dev pairs of at most 24 tokens in a direction that is trained, got none",
    );
  });

  test("tells what it left out whatever languages are used", async () => {
    const jsonl = write(
      folder,
      "twice.jsonl",
      [...rows, ...rows].map(([de, en, fr]) => JSON.stringify({ translation: { de, en, fr } })).join("\n"),
    );
    const three = corpus({ reader: "jsonl", files: [jsonl], languages: ["de", "en", "fr"] });
    const { report } = await loadTranslationData(options({ corpus: three, directions: ["en-fr"] }));
    const repeated = report.filtered.find(({ reason }) => reason === "repeated");
    expect(repeated).toMatchObject({ language: "units" });
    expect(repeated!.count).toBeGreaterThanOrEqual(rows.length);
  });

  test("is divided alike when data is added", async () => {
    const more = [...rows, ...sentences(1500, 2, ["x", "y"])].map(([a, b]) => `${a}\t${b}`);
    const file = write(folder, "more.tsv", more.join("\n"));
    const before = (await segmentsOf(corpus())).filter(({ split }) => split === "test").map(({ text }) => text["en"]);
    const after = await segmentsOf(corpus({ files: [file], dev: 120, test: 120 }));
    const bySource = new Map(after.map(({ split, text }) => [text["en"], split]));
    const stayed = before.filter((source) => bySource.get(source) === "test").length;
    // The same share of twice as many; only the rounding of the share can move one.
    expect(stayed).toBeGreaterThan(0.9 * before.length);
  });

  test("that is too small to set anything aside, or leaves nothing to train on, says what to do", async () => {
    const tiny = write(folder, "tiny.tsv", "xba xke.\tyba yke.\n");
    await expect(openFiles(corpus({ files: [tiny] }))).rejects.toThrow(
      /data\.corpus\.(dev|test): expected segments to evaluate, got none of 1 units of .*tiny\.tsv; name files of its own/,
    );
    await expect(openFiles(corpus({ files: [tiny], dev: [tiny], test: [tiny] }))).rejects.toThrow(
      /expected segments to train on, got none of 1 units once dev, test and what is like them are set aside/,
    );
  });

  test("names its reader, files and languages in errors as the readers do", async () => {
    await expect(openFiles(corpus({ reader: "tsv" }))).rejects.toThrow(/unknown reader "tsv".*Known: .*tatoeba/s);
    await expect(openFiles(corpus({ reader: "moses" }))).rejects.toThrow(/reader moses: expected one file a language/);
    await expect(openFiles(corpus({ files: [join(folder, "none.tsv")] }))).rejects.toThrow(
      /none\.tsv: expected a file/,
    );
    await expect(openFiles(corpus({ dev: [join(folder, "none.tsv")] }))).rejects.toThrow(/none\.tsv: expected a file/);
  });

  test("is trained on like any other: batches, report and examples", async () => {
    const data = await loadTranslationData(options());
    const segments = await segmentsOf(corpus());
    const train = segments.filter(({ split }) => split === "train");
    expect(data.examples("train", "en-de").map(({ source, target }) => [source, target])).toEqual(
      train.map(({ text }) => [text["en"], text["de"]]),
    );
    expect(data.report.directions).toMatchObject([{ direction: "en-de", train: train.length, tooLong: 0 }]);
    expect(data.report.groups).toBeUndefined();
    const labels = Array.from({ length: data.dataset.stepsPerEpoch }, (_, step) => data.dataset.batchAt(step).tokens);
    const expected = train.reduce((sum, { text }) => sum + data.vocabulary.encode(text["de"]!).length + 1, 0);
    expect(labels.reduce((sum, count) => sum + count, 0)).toBe(expected);
  });
});

const jaccard = (a: string, b: string): number => {
  const [left, right] = [new Set(words(a)), new Set(words(b))];
  const shared = [...left].filter((word) => right.has(word)).length;
  return shared / (left.size + right.size - shared);
};

test("near-copies are found exactly as by comparing every pair", () => {
  const texts = sentences(120, 8, ["x"]).map(([text]) => text!);
  const isNear = nearCopiesOf(texts.slice(0, 60));
  const changed = texts
    .slice(0, 60)
    .flatMap((text) => [
      text.split(" ").slice(1).join(" "),
      `${text} new`,
      text.replace(/x\w+/, "xnew"),
      text.toUpperCase(),
    ]);
  let near = 0;
  for (const text of [...texts, ...changed]) {
    const expected = texts.slice(0, 60).some((other) => jaccard(text, other) >= NEAR_COPY);
    expect(isNear(text)).toBe(expected);
    if (expected) near++;
  }
  expect(near).toBeGreaterThan(120);
  expect(nearCopiesOf([])("anything")).toBe(false);
  expect(nearCopiesOf(["Delete '{0}'?"])('Delete "x"?')).toBe(true); // one template
});

test("ids beyond the memory bound come back from a file as they do from memory", async () => {
  const data = await loadTranslationData(options());
  const { segments } = await openFiles(corpus());
  const settings = { languages: ["de", "en"], longest: 15, hasNames: false };
  const inMemory = await encodeSegments(segments(), data.vocabulary, settings);
  // Enough for a chunk to be full: the same corpus many times over.
  async function* many(): AsyncGenerator<SplitSegment> {
    for (let i = 0; i < 60; i++) yield* segments();
  }
  const inFile = await encodeSegments(many(), data.vocabulary, { ...settings, inMemory: 1 });
  const ofMany = await encodeSegments(many(), data.vocabulary, settings);
  expect(inFile.count).toBe(60 * inMemory.count);
  let missing = 0;
  for (let segment = 0; segment < inFile.count; segment += 7)
    for (const language of ["en", "de"]) {
      const length = inFile.lengthOf(language, segment);
      expect(length).toBe(inMemory.lengthOf(language, segment % inMemory.count));
      if (length === Infinity) missing++;
      else {
        const ids = [...inFile.idsOf(language, segment)];
        expect(ids).toEqual([...inMemory.idsOf(language, segment % inMemory.count)]);
        expect(ids).toEqual([...ofMany.idsOf(language, segment)]);
      }
    }
  expect(missing).toBeGreaterThan(10);
});

describe("zero-shot directions", () => {
  const jsonl = write(
    folder,
    "three.jsonl",
    rows.map(([en, de, fr]) => JSON.stringify({ translation: { en, de, fr } })).join("\n"),
  );
  const three = corpus({ reader: "jsonl", files: [jsonl], languages: ["en", "de", "fr"] });
  const load = (more: Partial<DataOptions>): Promise<TranslationData> =>
    loadTranslationData(options({ corpus: three, ...more }));

  test("are evaluated apart and never trained", async () => {
    const data = await load({ directions: ["en-de", "de-en", "en-fr", "fr-en"], zeroShot: ["de-fr", "fr-de"] });
    expect(data.directions.map(({ name, isZeroShot }) => [name, isZeroShot ?? false])).toEqual([
      ["en-de", false],
      ["de-en", false],
      ["en-fr", false],
      ["fr-en", false],
      ["de-fr", true],
      ["fr-de", true],
    ]);
    expect(data.examples("train", "de-fr")).toEqual([]);
    expect(data.examples("test", "de-fr").length).toBe(data.examples("test", "en-fr").length);
    for (const { label, apart } of data.dataset.evaluation.dev)
      expect(apart).toBe(["de-fr", "fr-de"].includes(label!) ? "zero-shot" : undefined);
    expect(renderReport(data.report)).toContain("de-fr (zero-shot)");
    const without = await load({ directions: ["en-de", "de-en", "en-fr", "fr-en"] });
    expect(without.dataset.batchAt(3)).toEqual(data.dataset.batchAt(3));
  });

  test("are taken out of many-to-many", async () => {
    const data = await load({ directions: "many-to-many", zeroShot: ["de-fr"] });
    const trained = data.directions.filter(({ isZeroShot }) => !isZeroShot).map(({ name }) => name);
    expect(trained).toEqual(["de-en", "en-de", "en-fr", "fr-de", "fr-en"]);
  });

  test("that are trained, or into a language that nothing is trained into, are refused", async () => {
    await expect(load({ directions: ["en-de"], zeroShot: ["en-de"] })).rejects.toThrow(
      "data.zeroShot: expected directions that are not in data.directions, got en-de; remove one",
    );
    await expect(load({ directions: ["en-de"], zeroShot: ["en-fr"] })).rejects.toThrow(
      "data.zeroShot: expected a target language of data.directions, got en-fr: nothing is trained into fr",
    );
    await expect(load({ directions: ["en-de"], zeroShot: ["en-xx"] })).rejects.toThrow(
      /data\.zeroShot: unknown language "xx"/,
    );
  });
});

test("the language tag begins the source, or the target in place of <s>, or stands nowhere", async () => {
  const first = async (languageTag: DataOptions["languageTag"]): Promise<readonly (number | undefined)[]> => {
    const { dataset, vocabulary } = await loadTranslationData(options({ languageTag }));
    const { source, target, labels } = dataset.batchAt(0).tensors;
    const tag = vocabulary.tag("de");
    const length = source!.shape[1]!;
    const pieces = [...source!.data.subarray(0, length)].filter((id) => id !== tag);
    expect(pieces.indexOf(EOS)).toBeGreaterThan(0);
    expect([...target!.data.subarray(1, length)].some((id, i) => id !== labels!.data[i] && id !== 0)).toBe(false);
    return [source!.data[0] === tag ? tag : undefined, target!.data[0] === tag ? tag : target!.data[0]];
  };
  const { vocabulary } = await loadTranslationData(options());
  expect(await first(undefined)).toEqual([vocabulary.tag("de"), BOS]);
  expect(await first("source")).toEqual([vocabulary.tag("de"), BOS]);
  expect(await first("target")).toEqual([undefined, vocabulary.tag("de")]);
  expect(await first("none")).toEqual([undefined, BOS]);
  await expect(loadTranslationData(options({ directions: "many-to-many", languageTag: "none" }))).rejects.toThrow(
    "data.languageTag: expected source or target where there are several languages to translate into",
  );
});
