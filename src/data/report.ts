// What `fathom corpus` tells about the data of a configuration: as data, and as text for a terminal.

import Table from "cli-table3";
import type { EncodedCorpus } from "./batches.ts";
import { FILTERS } from "./corpus.ts";
import type { TextStatistics } from "./encoded.ts";
import { FILE_FILTERS, WHOLE } from "./files-corpus.ts";
import { SPLITS, type Split } from "./split.ts";

const EXAMPLES = 5;

/** Why something was left out, in words. */
const REASONS: Readonly<Record<string, string>> = { ...FILE_FILTERS, ...FILTERS };

/** Statistics of a corpus with its vocabulary. Token counts are of pieces, without special symbols, on the training split. */
export interface CorpusReport {
  readonly corpus: string;
  /** Segments by split, over all languages of the corpus; template groups where it is divided by them. */
  readonly segments: Readonly<Record<Split, number>>;
  readonly groups: Readonly<Record<Split, number>> | undefined;
  /** What cleaning removed, in the languages used; whole segments are counted under `en` or `units`. */
  readonly filtered: readonly { readonly reason: string; readonly language: string; readonly count: number }[];
  readonly directions: readonly ({
    readonly direction: string;
    /** Evaluated, and never trained. */
    readonly isZeroShot?: true;
    /** Pairs longer than `data.maxLength`, left out. */
    readonly tooLong: number;
  } & Readonly<Record<Split, number>>)[];
  readonly languages: readonly LanguageStatistics[];
  readonly vocabulary: {
    readonly kind: string;
    readonly size: number;
    /** Share of the pieces that occur in the training split. */
    readonly used: number;
    /** Share of the tokens that are lone bytes of characters of several bytes. */
    readonly byteShare: number;
    readonly hash: string;
  };
  /** Shapes of the training batches, and how many an epoch has. */
  readonly buckets: readonly { readonly length: number; readonly rows: number; readonly examples: number }[];
  readonly stepsPerEpoch: number;
  /** Nats a target token. */
  readonly unigramEntropy: number;
  readonly dataHash: string;
  readonly examples: readonly {
    readonly split: Split;
    readonly direction: string;
    readonly id: string;
    readonly source: string;
    readonly target: string;
    readonly sourcePieces: readonly string[];
    readonly targetPieces: readonly string[];
  }[];
}

/** Of one language on the training split; lengths in tokens. */
export interface LanguageStatistics {
  readonly language: string;
  readonly segments: number;
  readonly words: number;
  readonly tokens: number;
  readonly mean: number;
  readonly median: number;
  readonly p95: number;
  readonly longest: number;
  /** Words are what stands between spaces: large for scripts without spaces. */
  readonly tokensPerWord: number;
  readonly byteShare: number;
}

/** The statistics of a loaded corpus. */
export function corpusReport(encoded: EncodedCorpus): CorpusReport {
  const { corpus, vocabulary, directions, languages, pairs, buckets, dataset, segments } = encoded;
  const byLanguage = languages.map((language) => segments.statistics[language]!);
  const used = vocabulary.pieces.filter((_, id) => byLanguage.some((one) => one.used[id] === 1)).length;
  const statistics = languages.map((language, l) => languageStatistics(language, byLanguage[l]!));
  const tokens = statistics.reduce((sum, { tokens }) => sum + tokens, 0);
  return {
    corpus: corpus.name,
    segments: segments.segments,
    groups: segments.groups,
    filtered: Object.keys(REASONS).flatMap((reason) =>
      Object.entries(corpus.filtered[reason] ?? {})
        .filter(([language]) => ["en", WHOLE, ...languages].includes(language))
        .map(([language, count]) => ({ reason, language, count })),
    ),
    directions: directions.map(({ name, isZeroShot }, d) => ({
      direction: name,
      ...(isZeroShot && { isZeroShot }),
      ...bySplit((split) => pairs[split][d]!.length),
      tooLong: encoded.tooLong[d]!,
    })),
    languages: statistics,
    vocabulary: {
      kind: encoded.options.vocabulary.kind,
      size: vocabulary.size,
      used: used / vocabulary.size,
      byteShare: statistics.reduce((sum, { byteShare, tokens }) => sum + byteShare * tokens, 0) / tokens,
      hash: vocabulary.hash,
    },
    buckets: buckets.map(({ length, rows, groups }) => ({
      length,
      rows,
      examples: groups.reduce((sum, { quota }) => sum + quota, 0),
    })),
    stepsPerEpoch: dataset.stepsPerEpoch,
    unigramEntropy: dataset.unigramEntropy,
    dataHash: dataset.hashes.data!,
    examples: examplePairs(encoded),
  };
}

const bySplit = (count: (split: Split) => number): Record<Split, number> => ({
  train: count("train"),
  dev: count("dev"),
  test: count("test"),
});

function languageStatistics(
  language: string,
  { segments, words, lengths, loneBytes }: TextStatistics,
): LanguageStatistics {
  const ascending = [...lengths].sort(([a], [b]) => a - b);
  const tokens = ascending.reduce((sum, [length, count]) => sum + length * count, 0);
  return {
    language,
    segments,
    words,
    tokens,
    mean: tokens / segments,
    median: percentile(ascending, segments, 50),
    p95: percentile(ascending, segments, 95),
    longest: ascending.at(-1)![0],
    tokensPerWord: tokens / words,
    byteShare: loneBytes / tokens,
  };
}

/** Nearest rank among `count` values, given as ascending values with how often each is there. */
function percentile(values: readonly (readonly [number, number])[], count: number, percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * count));
  let before = 0;
  return values.find(([, times]) => (before += times) >= rank)![0];
}

function examplePairs(encoded: EncodedCorpus): CorpusReport["examples"] {
  const { directions, pairs, segments, vocabulary, exampleOf } = encoded;
  return SPLITS.flatMap((split) =>
    directions.flatMap((direction, d) => {
      const own = pairs[split][d]!;
      const count = Math.min(EXAMPLES, own.length);
      // Spread over the split: neighbours in the source are alike.
      return Array.from({ length: count }, (_, i) => own[Math.floor((i * own.length) / count)]!).map((segment) => {
        const readable = (language: string): string[] =>
          Array.from(segments.idsOf(language, segment), (id) => vocabulary.readable(id));
        return {
          split,
          direction: direction.name,
          ...exampleOf(segment, direction),
          sourcePieces: readable(direction.source),
          targetPieces: readable(direction.target),
        };
      });
    }),
  );
}

const integer = (value: number): string => value.toLocaleString("en-US");
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** The report as tables for a terminal, of about 100 columns. */
export function renderReport(report: CorpusReport): string {
  const total = (counts: Readonly<Record<Split, number>>): number => counts.train + counts.dev + counts.test;
  const filtered = new Map<string, { count: number; languages: string[] }>();
  for (const { reason, language, count } of report.filtered) {
    const entry = filtered.get(reason) ?? { count: 0, languages: [] };
    filtered.set(reason, entry);
    entry.count += count;
    entry.languages.push(`${language} ${integer(count)}`);
  }
  return [
    `Corpus ${report.corpus} (data ${report.dataHash.slice(0, 12)})`,
    table(
      ["", "train", "dev", "test", "all"],
      [
        ["segments", ...splitCells(report.segments), integer(total(report.segments))],
        ...(report.groups ? [["template groups", ...splitCells(report.groups), integer(total(report.groups))]] : []),
      ],
    ),
    "Left out when the corpus was cleaned, in the languages used",
    table(
      ["reason", "texts", "by language"],
      [...filtered].map(([reason, { count, languages }]) => [
        `${reason}: ${REASONS[reason]}`,
        integer(count),
        languages.join(", "),
      ]),
      [48, 9, 40],
    ),
    "Pairs by direction; `too long` are left out for data.maxLength",
    table(
      ["direction", "train", "dev", "test", "too long"],
      report.directions.map((row) => [
        `${row.direction}${row.isZeroShot ? " (zero-shot)" : ""}`,
        ...splitCells(row),
        integer(row.tooLong),
      ]),
    ),
    `Tokens of the training split; ${report.vocabulary.kind} vocabulary of ${integer(report.vocabulary.size)} pieces ` +
      `(${report.vocabulary.hash.slice(0, 12)}), ${percent(report.vocabulary.used)} of them used, ` +
      `${percent(report.vocabulary.byteShare)} of the tokens are lone bytes`,
    table(
      ["language", "segments", "words", "tokens", "mean", "median", "p95", "longest", "per word", "lone bytes"],
      report.languages.map((l) => [
        l.language,
        ...[l.segments, l.words, l.tokens].map(integer),
        l.mean.toFixed(1),
        ...[l.median, l.p95, l.longest].map(integer),
        l.tokensPerWord.toFixed(2),
        percent(l.byteShare),
      ]),
    ),
    `Batches: ${integer(report.stepsPerEpoch)} steps an epoch`,
    table(
      ["tokens a row", "rows a batch", "examples an epoch"],
      report.buckets.map((b) => [b.length, b.rows, b.examples].map(integer)),
    ),
    `Unigram entropy of the training targets: ${report.unigramEntropy.toFixed(4)} nats a token`,
    ...report.examples.map(
      (e) => `${e.split} ${e.direction} ${e.id}\n  ${e.sourcePieces.join("|")}\n  ${e.targetPieces.join("|")}`,
    ),
  ].join("\n");
}

const splitCells = (counts: Readonly<Record<Split, number>>): string[] => SPLITS.map((split) => integer(counts[split]));

function table(head: string[], rows: readonly string[][], colWidths?: number[]): string {
  const made = new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i === 0 || colWidths ? "left" : "right")),
    ...(colWidths ? { colWidths, wordWrap: true } : {}),
  });
  made.push(...rows);
  return made.toString();
}
