// Translation data as the trainer sees it: a `Dataset` of batches in few shapes, and beside it the vocabulary, the texts
// and the report. See `loadTranslationData`.

import { UserError } from "../errors.ts";
import type { Batch, Dataset, HostTensor } from "../types.ts";
import { sha256 } from "./cache.ts";
import { directionShares, resolveDirections, type Direction } from "./directions.ts";
import { loadCorpus, type PreparedCorpus } from "./prepared.ts";
import { corpusReport, type CorpusReport } from "./report.ts";
import { bucketLengths, makeSchedule, type BatchPlan, type Bucket } from "./schedule.ts";
import { SPLITS, type Split, type SplitSegment } from "./split.ts";
import { BOS, EOS, loadVocabulary, type Vocabulary } from "./vocabulary.ts";

/** The `data` section of a configuration, with the batch size and the seed. */
export interface DataOptions {
  /** A name from the registry of corpora. */
  readonly corpus: string;
  readonly directions: readonly string[] | "many-to-many";
  /** Restricts `many-to-many` to these languages. */
  readonly languages?: readonly string[] | undefined;
  readonly vocabulary: { readonly kind: "bpe"; readonly size: number };
  /** Tokens of the longest source (tag and end included) or target (begin or end included) that is used. */
  readonly maxLength: number;
  /** Of the sampling of directions; see `directionShares`. */
  readonly temperature: number;
  readonly batch: { readonly sentences: number } | { readonly tokens: number };
  readonly seed: number;
}

/** A pair of aligned texts. */
export interface Example {
  readonly id: string;
  readonly source: string;
  readonly target: string;
}

/** What `loadTranslationData` gives. */
export interface TranslationData {
  readonly dataset: Dataset;
  readonly vocabulary: Vocabulary;
  readonly directions: readonly Direction[];
  /** Statistics for people; made when asked for. */
  readonly report: CorpusReport;
  /** The pairs of a split and direction that are short enough, in the order of the corpus. */
  examples(split: Split, direction: string): Example[];
}

/** What the statistics are made of. */
export interface EncodedCorpus {
  readonly options: DataOptions;
  readonly corpus: PreparedCorpus;
  readonly vocabulary: Vocabulary;
  readonly directions: readonly Direction[];
  /** Languages of the directions, sorted. */
  readonly languages: readonly string[];
  /** `pieces[language][segment]`: ids without special symbols; undefined where the language lacks the segment. */
  readonly pieces: Readonly<Record<string, readonly (readonly number[] | undefined)[]>>;
  /** `pairs[split][direction]`: segments that are short enough, by index. */
  readonly pairs: Readonly<Record<Split, readonly (readonly number[])[]>>;
  /** Pairs left out for their length, by direction. */
  readonly tooLong: readonly number[];
  readonly buckets: readonly Bucket[];
  readonly dataset: Dataset;
}

/** Loads a corpus, trains or reads its vocabulary, and lays out its batches.
 *
 *  The tensors of a batch of B rows of L tokens: `source` (tag, pieces, end, padding), `target` (begin, pieces, padding),
 *  `labels` (pieces, end, padding), all int32 [B, L]; `sourceMask` (1 at a token, 0 at padding) and `labelWeights`
 *  (1 at a label, 0 at padding), float32 [B, L]. Rows without an example have weight 0 and one token of source, so that
 *  attention over them stays defined. Unknown names and impossible sizes are `UserError`s. */
export async function loadTranslationData(options: DataOptions): Promise<TranslationData> {
  const corpus = await loadCorpus(options.corpus);
  const directions = resolveDirections(options.directions, corpus.languages, options.languages);
  const languages = [...new Set(directions.flatMap(({ source, target }) => [source, target]))].sort();
  const targets = [...new Set(directions.map(({ target }) => target))].sort();
  const trainingTexts = languages.flatMap((language) =>
    corpus.segments.flatMap(({ split, text }) =>
      split === "train" && text[language] !== undefined ? [text[language]] : [],
    ),
  );
  const vocabulary = await loadVocabulary(trainingTexts, options.vocabulary.size, targets);
  const pieces = Object.fromEntries(
    languages.map((language) => [
      language,
      corpus.segments.map(({ text }) => (text[language] === undefined ? undefined : vocabulary.encode(text[language]))),
    ]),
  );
  const { pairs, tooLong } = pairUp(corpus.segments, directions, pieces, options.maxLength);
  const layout = { directions, pieces, vocabulary, options };
  const buckets = trainingBuckets(pairs.train, layout);
  const dataset = makeDataset(buckets, pairs, layout, dataHash(corpus.segments, languages));
  const encoded = { options, corpus, vocabulary, directions, languages, pieces, pairs, tooLong, buckets, dataset };
  let report: CorpusReport | undefined;
  return {
    dataset,
    vocabulary,
    directions,
    get report() {
      return (report ??= corpusReport(encoded));
    },
    examples(split, name) {
      const index = directions.findIndex((direction) => direction.name === name);
      if (index < 0)
        throw new UserError(`unknown direction "${name}". Known: ${directions.map((d) => d.name).join(", ")}`);
      const { source, target } = directions[index]!;
      return pairs[split][index]!.map((i) => {
        const { id, text } = corpus.segments[i]!;
        return { id, source: text[source]!, target: text[target]! };
      });
    },
  };
}

type Pieces = EncodedCorpus["pieces"];
type Layout = Pick<EncodedCorpus, "directions" | "pieces" | "vocabulary" | "options">;

/** Tokens that a pair needs in a row: the source has a tag and an end beside its pieces, the target a begin or an end. */
const pairLength = (pieces: Pieces, { source, target }: Direction, segment: number): number =>
  Math.max(pieces[source]![segment]!.length + 2, pieces[target]![segment]!.length + 1);

function pairUp(
  segments: readonly SplitSegment[],
  directions: readonly Direction[],
  pieces: Pieces,
  maxLength: number,
): { pairs: Record<Split, number[][]>; tooLong: number[] } {
  const pairs = Object.fromEntries(SPLITS.map((split) => [split, directions.map((): number[] => [])])) as Record<
    Split,
    number[][]
  >;
  const tooLong = directions.map(() => 0);
  for (const [d, direction] of directions.entries()) {
    for (const [i, { split, text }] of segments.entries()) {
      if (text[direction.source] === undefined || text[direction.target] === undefined) continue;
      if (pairLength(pieces, direction, i) <= maxLength) pairs[split][d]!.push(i);
      else tooLong[d]!++;
    }
    if (pairs.train[d]!.length === 0)
      throw new UserError(
        `data.directions: expected training pairs for ${direction.name}, got none of at most ${maxLength} tokens ` +
          `(${tooLong[d]} are longer); raise data.maxLength or choose another direction`,
      );
  }
  return { pairs, tooLong };
}

/** Segments by the index of the shortest bucket length they fit. */
function byLength(segments: readonly number[], direction: Direction, pieces: Pieces, maxLength: number): number[][] {
  const lengths = bucketLengths(maxLength);
  const found = lengths.map((): number[] => []);
  for (const segment of segments) {
    const length = pairLength(pieces, direction, segment);
    found[lengths.findIndex((limit) => length <= limit)]!.push(segment);
  }
  return found;
}

const rowsOf = (batch: DataOptions["batch"], length: number): number =>
  "sentences" in batch ? batch.sentences : Math.max(1, Math.floor(batch.tokens / length));

function trainingBuckets(train: readonly (readonly number[])[], layout: Layout): Bucket[] {
  const { directions, pieces, options } = layout;
  const sizes = train.map((segments) => segments.length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const shares = directionShares(sizes, options.temperature);
  const split = train.map((segments, d) => byLength(segments, directions[d]!, pieces, options.maxLength));
  return bucketLengths(options.maxLength)
    .map((length, b) => ({
      length,
      rows: rowsOf(options.batch, length),
      groups: split
        .map((buckets, direction) => ({
          direction,
          segments: buckets[b]!,
          // An epoch is as many examples as there are, whatever the shares; every bucket keeps its part of a direction.
          quota: Math.round((total * shares[direction]! * buckets[b]!.length) / sizes[direction]!),
        }))
        .filter((group) => group.quota > 0),
    }))
    .filter((bucket) => bucket.groups.length > 0);
}

function makeDataset(buckets: readonly Bucket[], pairs: EncodedCorpus["pairs"], layout: Layout, data: string): Dataset {
  const { vocabulary, options } = layout;
  const schedule = makeSchedule(buckets, options.seed);
  const evaluation: Partial<Record<Split, Batch[]>> = {};
  const evaluate = (split: "dev" | "test"): Batch[] => (evaluation[split] ??= evaluationBatches(pairs[split], layout));
  return {
    batchAt: (step) => makeBatch(schedule.planAt(step), layout),
    stepsPerEpoch: schedule.stepsPerEpoch,
    evaluation: {
      get dev() {
        return evaluate("dev");
      },
      get test() {
        return evaluate("test");
      },
    },
    unigramEntropy: unigramEntropy(buckets, layout),
    dimensions: { vocabulary: vocabulary.size, maxLength: options.maxLength },
    hashes: { data, vocabulary: vocabulary.hash },
  };
}

function evaluationBatches(pairs: readonly (readonly number[])[], layout: Layout): Batch[] {
  const { directions, pieces, options } = layout;
  const lengths = bucketLengths(options.maxLength);
  return pairs.flatMap((segments, d) =>
    byLength(segments, directions[d]!, pieces, options.maxLength).flatMap((bucket, b) => {
      const rows = rowsOf(options.batch, lengths[b]!);
      return Array.from({ length: Math.ceil(bucket.length / rows) }, (_, i) => {
        const examples = bucket.slice(i * rows, (i + 1) * rows).map((segment) => ({ direction: d, segment }));
        return lazyBatch({ length: lengths[b]!, rows, examples }, layout, directions[d]!.name);
      });
    }),
  );
}

/** A batch whose tensors are made when they are read: all directions of a large corpus would not fit into memory. */
function lazyBatch(plan: BatchPlan, layout: Layout, label: string): Batch {
  return {
    get tensors() {
      return makeBatch(plan, layout).tensors;
    },
    tokens: plan.examples.reduce((sum, { direction, segment }) => {
      return sum + layout.pieces[layout.directions[direction]!.target]![segment]!.length + 1;
    }, 0),
    label,
  };
}

function makeBatch(plan: BatchPlan, layout: Layout): Batch {
  const { directions, pieces, vocabulary } = layout;
  const { length, rows, examples } = plan;
  const size = rows * length;
  // Padding is id 0, so fresh arrays are padding already.
  const [source, target, labels] = [new Int32Array(size), new Int32Array(size), new Int32Array(size)];
  const [sourceMask, labelWeights] = [new Float32Array(size), new Float32Array(size)];
  let tokens = 0;
  for (let row = 0; row < rows; row++) {
    const start = row * length;
    const example = examples[row];
    if (!example) {
      sourceMask[start] = 1;
      continue;
    }
    const direction = directions[example.direction]!;
    const from = pieces[direction.source]![example.segment]!;
    const to = pieces[direction.target]![example.segment]!;
    source[start] = vocabulary.tag(direction.target);
    source.set(from, start + 1);
    source[start + 1 + from.length] = EOS;
    sourceMask.fill(1, start, start + from.length + 2);
    target[start] = BOS;
    target.set(to, start + 1);
    labels.set(to, start);
    labels[start + to.length] = EOS;
    labelWeights.fill(1, start, start + to.length + 1);
    tokens += to.length + 1;
  }
  const int32 = (data: Int32Array): HostTensor => ({ dtype: "int32", shape: [rows, length], data });
  const float32 = (data: Float32Array): HostTensor => ({ dtype: "float32", shape: [rows, length], data });
  return {
    tensors: {
      source: int32(source),
      target: int32(target),
      labels: int32(labels),
      sourceMask: float32(sourceMask),
      labelWeights: float32(labelWeights),
    },
    tokens,
  };
}

/** Entropy in nats of the distribution of training labels (ends included), each direction with its share: the loss of
 *  the best model that ignores both its inputs. */
function unigramEntropy(buckets: readonly Bucket[], { directions, pieces, vocabulary }: Layout): number {
  const counts = new Float64Array(vocabulary.size);
  for (const bucket of buckets)
    for (const { direction, segments, quota } of bucket.groups) {
      const weight = quota / segments.length;
      for (const segment of segments) {
        for (const id of pieces[directions[direction]!.target]![segment]!) counts[id]! += weight;
        counts[EOS]! += weight;
      }
    }
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count) => (count > 0 ? sum - (count / total) * Math.log(count / total) : sum), 0);
}

/** SHA-256 of the segments as split, in the languages used. */
const dataHash = (segments: readonly SplitSegment[], languages: readonly string[]): string =>
  sha256(
    segments
      .map(({ id, split, text }) => JSON.stringify([split, id, ...languages.map((l) => text[l] ?? null)]))
      .join("\n"),
  );
