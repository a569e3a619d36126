// Translation data as the trainer sees it: a `Dataset` of batches in few shapes, and beside it the vocabulary, the texts
// and the report. See `loadTranslationData`.

import { UserError } from "../errors.ts";
import type { Batch, Dataset, HostTensor } from "../types.ts";
import { checkZeroShot, directionShares, resolveDirections, type Direction } from "./directions.ts";
import { growing } from "./growing.ts";
import { encodeSegments, type EncodedSegments } from "./encoded.ts";
import { checkReadable, type FilesCorpus } from "./files-corpus.ts";
import { type OpenCorpus, openCorpus } from "./prepared.ts";
import { corpusReport, type CorpusReport } from "./report.ts";
import { bucketLengths, makeSchedule, type BatchPlan, type Bucket } from "./schedule.ts";
import { nowAndThen, type Say } from "./say.ts";
import { SPLITS, type Split } from "./split.ts";
import { BOS, EOS, loadVocabulary, type Vocabulary, type VocabularyOptions, wordCounter } from "./vocabulary.ts";

/** The `data` section of a configuration, with the batch size and the seed. */
export interface DataOptions {
  /** A name from the registry of corpora, or files. */
  readonly corpus: string | FilesCorpus;
  readonly directions: readonly string[] | "many-to-many";
  /** Restricts `many-to-many` to these languages. */
  readonly languages?: readonly string[] | undefined;
  /** Directions that are evaluated and never trained. */
  readonly zeroShot?: readonly string[] | undefined;
  /** Where a model is told the language to translate into; `source` if not given. See {@link LanguageTag}. */
  readonly languageTag?: LanguageTag | undefined;
  readonly vocabulary: VocabularyOptions;
  /** Tokens of the longest source (tag and end included) or target (begin or end included) that is used. */
  readonly maxLength: number;
  /** Of the sampling of directions; see `directionShares`. */
  readonly temperature: number;
  readonly batch: { readonly sentences: number } | { readonly tokens: number };
  readonly seed: number;
}

/** `source`: the tag begins the source (Johnson et al. 2017); `target`: it begins the target, in place of `<s>`; `none`: nowhere,
 *  which a model into one language needs. */
export type LanguageTag = "source" | "target" | "none";

/** A source as ids: the tag where it belongs there, the pieces, the end. */
export const sourceOf = (
  pieces: ArrayLike<number>,
  target: string,
  { vocabulary, tag }: { readonly vocabulary: Vocabulary; readonly tag: LanguageTag },
): number[] => [...(tag === "source" ? [vocabulary.tag(target)] : []), ...Array.from(pieces), EOS];

/** The id a target begins with. */
export const beginOf = (
  target: string,
  { vocabulary, tag }: { readonly vocabulary: Vocabulary; readonly tag: LanguageTag },
): number => (tag === "target" ? vocabulary.tag(target) : BOS);

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
  /** Those of `zeroShot` last. */
  readonly directions: readonly Direction[];
  /** Statistics for people; made when asked for. */
  readonly report: CorpusReport;
  /** The pairs of a split and direction that are short enough, in the order of the corpus. */
  examples(split: Split, direction: string): Example[];
}

/** What the statistics are made of. */
export interface EncodedCorpus {
  readonly options: DataOptions;
  readonly corpus: Pick<OpenCorpus, "name" | "filtered">;
  readonly vocabulary: Vocabulary;
  readonly directions: readonly Direction[];
  /** Languages of the directions, sorted. */
  readonly languages: readonly string[];
  readonly segments: EncodedSegments;
  /** `pairs[split][direction]`: segments that are short enough, by number. */
  readonly pairs: Readonly<Record<Split, readonly Uint32Array[]>>;
  /** Pairs left out for their length, by direction. */
  readonly tooLong: readonly number[];
  readonly buckets: readonly Bucket[];
  readonly dataset: Dataset;
  exampleOf(segment: number, direction: Direction): Example;
}

/** Loads a corpus, trains or reads its vocabulary, and lays out its batches.
 *
 *  The tensors of a batch of B rows of L tokens: `source` (tag, pieces, end, padding), `target` (begin, pieces, padding),
 *  `labels` (pieces, end, padding), all int32 [B, L]; `sourceMask` (1 at a token, 0 at padding) and `labelWeights`
 *  (1 at a label, 0 at padding), float32 [B, L]. Rows without an example have weight 0 and one token of source, so that
 *  attention over them stays defined. Unknown names and impossible sizes are `UserError`s. `say` is told what takes long. */
export async function loadTranslationData(options: DataOptions, say: Say = () => {}): Promise<TranslationData> {
  const corpus = await openCorpus(options.corpus, say);
  const directions = directionsOf(options, corpus.languages);
  const languages = [...new Set(directions.flatMap(({ source, target }) => [source, target]))].sort();
  const { vocabulary, segments } = await encoded(corpus, languages, directions, { ...options, say });
  const layout: Layout = { directions, segments, vocabulary, options, tag: options.languageTag ?? "source" };
  const { pairs, tooLong } = pairUp(layout);
  const buckets = trainingBuckets(pairs.train, layout);
  const dataset = makeDataset(buckets, pairs, layout);
  const exampleOf = (segment: number, { source, target }: Direction): Example => {
    // Encoding loses nothing, so the texts need not be kept.
    const textOf = (language: string): string => vocabulary.decode(segments.idsOf(language, segment));
    return { id: segments.nameOf(segment), source: textOf(source), target: textOf(target) };
  };
  const whole = { ...layout, corpus, languages, pairs, tooLong, buckets, dataset, exampleOf };
  let report: CorpusReport | undefined;
  return {
    dataset,
    vocabulary,
    directions,
    get report() {
      return (report ??= corpusReport(whole));
    },
    examples(split, name) {
      const index = directions.findIndex((direction) => direction.name === name);
      if (index < 0)
        throw new UserError(`unknown direction "${name}". Known: ${directions.map((d) => d.name).join(", ")}`);
      return Array.from(pairs[split][index]!, (segment) => exampleOf(segment, directions[index]!));
    },
  };
}

/** Refuses what `loadTranslationData` would refuse of names alone, before anything is prepared: files that are not there, and directions that
 *  the corpus does not have. `UserError`s. */
export async function checkTranslationData(
  options: Pick<DataOptions, "corpus" | "directions" | "languages" | "zeroShot" | "languageTag">,
): Promise<void> {
  const { corpus } = options;
  if (typeof corpus !== "string") await checkReadable(corpus);
  directionsOf(
    options,
    typeof corpus === "string" ? (await openCorpus(corpus)).languages : [...corpus.languages].sort(),
  );
}

function directionsOf(
  {
    directions,
    languages,
    zeroShot,
    languageTag,
  }: Pick<DataOptions, "directions" | "languages" | "zeroShot" | "languageTag">,
  known: readonly string[],
): Direction[] {
  const apart = zeroShot ? resolveDirections(zeroShot, known, undefined, "data.zeroShot") : [];
  const trained = resolveDirections(directions, known, languages).filter(
    // Many-to-many means all but those.
    ({ name }) => directions !== "many-to-many" || !apart.some((other) => other.name === name),
  );
  checkZeroShot(apart, trained);
  const all = [...trained, ...apart.map((direction) => ({ ...direction, isZeroShot: true as const }))];
  const targets = [...new Set(all.map(({ target }) => target))];
  if (languageTag === "none" && targets.length > 1)
    throw new UserError(
      `data.languageTag: expected source or target where there are several languages to translate into ` +
        `(${targets.join(", ")}), got none; a model could not know which is wanted`,
    );
  return all;
}

/** A corpus in pieces. */
interface Encoded {
  readonly vocabulary: Vocabulary;
  readonly segments: EncodedSegments;
}

/** The named corpus that was encoded last: runs that follow each other in one process mostly read the same. */
let latest: ({ readonly key: string } & Encoded) | undefined;

async function encoded(
  corpus: OpenCorpus,
  languages: readonly string[],
  directions: readonly Direction[],
  options: DataOptions & { readonly say: Say },
): Promise<Encoded> {
  const { maxLength: longest, say } = options;
  const targets = [...new Set(directions.map(({ target }) => target))].sort();
  const key = JSON.stringify([options.corpus, languages, targets, longest, options.vocabulary]);
  if (latest?.key === key) return latest;
  latest = undefined; // both would be in memory at once
  const { hasNames } = corpus;
  const vocabulary = await vocabularyOf(corpus, languages, targets, options);
  const segments = await encodeSegments(corpus.segments(), vocabulary, { languages, longest, hasNames, say });
  // Files may be others by the next time.
  if (typeof options.corpus === "string") latest = { key, vocabulary, segments };
  return { vocabulary, segments };
}

/** Training segments that a vocabulary is trained on at most. */
const VOCABULARY_SEGMENTS = 1_000_000;

/** The vocabulary of the training texts: where there are very many, of every second, third ... segment. */
async function vocabularyOf(
  corpus: OpenCorpus,
  languages: readonly string[],
  targets: readonly string[],
  { vocabulary, say }: Pick<DataOptions, "vocabulary"> & { readonly say: Say },
): Promise<Vocabulary> {
  const tell = nowAndThen(say);
  const stride = Math.ceil(corpus.trainingSegments / VOCABULARY_SEGMENTS);
  const words = wordCounter();
  let seen = 0;
  for await (const { split, text } of corpus.segments()) {
    tell(() => `counting words, ${seen.toLocaleString("en-US")} segments`);
    if (split === "train" && seen++ % stride === 0)
      for (const language of languages) if (text[language] !== undefined) words.add(text[language]);
  }
  return loadVocabulary(words.counts, vocabulary, targets);
}

interface Layout extends Pick<EncodedCorpus, "directions" | "segments" | "vocabulary" | "options"> {
  readonly tag: LanguageTag;
}

/** Tokens that a pair needs in a row: a source has an end beside its pieces and perhaps a tag, a target a begin or an end. Undefined
 *  where one of the languages lacks the segment. */
function pairLength({ segments, tag }: Layout, { source, target }: Direction, segment: number): number | undefined {
  const [from, to] = [segments.lengthOf(source, segment), segments.lengthOf(target, segment)];
  return from === undefined || to === undefined ? undefined : Math.max(from + (tag === "source" ? 2 : 1), to + 1);
}

function pairUp(layout: Layout): { pairs: Record<Split, Uint32Array[]>; tooLong: number[] } {
  const { directions, segments, options } = layout;
  const pairs: Record<Split, Uint32Array[]> = { train: [], dev: [], test: [] };
  const tooLong = directions.map(() => 0);
  for (const [d, direction] of directions.entries()) {
    const found = { train: growing(Uint32Array), dev: growing(Uint32Array), test: growing(Uint32Array) };
    for (let segment = 0; segment < segments.count; segment++) {
      const length = pairLength(layout, direction, segment);
      const split = segments.splitOf(segment);
      if (length === undefined || (direction.isZeroShot && split === "train")) continue;
      if (length <= options.maxLength) found[split].push(segment);
      else tooLong[d]!++;
    }
    for (const split of SPLITS) pairs[split].push(found[split].array());
    const [needed, key] = direction.isZeroShot ? (["dev", "zeroShot"] as const) : (["train", "directions"] as const);
    if (pairs[needed][d]!.length === 0)
      throw new UserError(
        `data.${key}: expected ${needed === "train" ? "training" : needed} pairs for ${direction.name}, got none of at most ` +
          `${options.maxLength} tokens (${tooLong[d]} are longer); raise data.maxLength or choose another direction`,
      );
  }
  return { pairs, tooLong };
}

/** Segments by the index of the shortest bucket length they fit. */
function byLength(pairs: Uint32Array, direction: Direction, layout: Layout): Uint32Array[] {
  const lengths = bucketLengths(layout.options.maxLength);
  const found = lengths.map(() => growing(Uint32Array));
  for (const segment of pairs) {
    const length = pairLength(layout, direction, segment)!;
    found[lengths.findIndex((limit) => length <= limit)]!.push(segment);
  }
  return found.map((segments) => segments.array());
}

const rowsOf = (batch: DataOptions["batch"], length: number): number =>
  "sentences" in batch ? batch.sentences : Math.max(1, Math.floor(batch.tokens / length));

function trainingBuckets(train: readonly Uint32Array[], layout: Layout): Bucket[] {
  const { directions, options } = layout;
  const sizes = train.map((segments) => segments.length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const shares = directionShares(sizes, options.temperature);
  const split = train.map((segments, d) => byLength(segments, directions[d]!, layout));
  return bucketLengths(options.maxLength)
    .map((length, b) => ({
      length,
      rows: rowsOf(options.batch, length),
      groups: split
        .map((buckets, direction) => ({
          direction,
          segments: buckets[b]!,
          // An epoch is as many examples as there are, whatever the shares; every bucket keeps its part of a direction.
          quota: Math.round((total * shares[direction]! * buckets[b]!.length) / Math.max(1, sizes[direction]!)),
        }))
        .filter((group) => group.quota > 0),
    }))
    .filter((bucket) => bucket.groups.length > 0);
}

function makeDataset(buckets: readonly Bucket[], pairs: EncodedCorpus["pairs"], layout: Layout): Dataset {
  const { vocabulary, options, segments } = layout;
  const schedule = makeSchedule(buckets, options.seed);
  const evaluation: Partial<Record<Split, Batch[]>> = {};
  const evaluate = (split: "dev" | "test"): Batch[] => (evaluation[split] ??= evaluationBatches(pairs[split], layout));
  return {
    batchAt: (step) => makeBatch(schedule.planAt(step), layout),
    stepsPerEpoch: schedule.stepsPerEpoch,
    evaluation: {
      get dev() {
        refuseEmpty(pairs.dev, layout); // a mean over nothing would look like a run that diverged
        return evaluate("dev");
      },
      get test() {
        return evaluate("test");
      },
    },
    unigramEntropy: unigramEntropy(buckets, layout),
    dimensions: { vocabulary: vocabulary.size, maxLength: options.maxLength },
    hashes: { data: segments.hash, vocabulary: vocabulary.hash },
  };
}

/** Without a pair of a direction that is trained there is no dev loss. */
function refuseEmpty(dev: readonly Uint32Array[], { directions, options }: Layout): void {
  if (directions.some(({ isZeroShot }, d) => !isZeroShot && dev[d]!.length > 0)) return;
  throw new UserError(
    `data.maxLength: expected dev pairs of at most ${options.maxLength} tokens in a direction that is trained, got none; ` +
      `raise data.maxLength, or take other dev data`,
  );
}

function evaluationBatches(pairs: readonly Uint32Array[], layout: Layout): Batch[] {
  const { directions, options } = layout;
  const lengths = bucketLengths(options.maxLength);
  return pairs.flatMap((segments, d) =>
    byLength(segments, directions[d]!, layout).flatMap((bucket, b) => {
      const rows = rowsOf(options.batch, lengths[b]!);
      return Array.from({ length: Math.ceil(bucket.length / rows) }, (_, i) => {
        const examples = Array.from(bucket.subarray(i * rows, (i + 1) * rows), (segment) => ({
          direction: d,
          segment,
        }));
        return lazyBatch({ length: lengths[b]!, rows, examples }, layout, directions[d]!);
      });
    }),
  );
}

/** A batch whose tensors are made when they are read: all directions of a large corpus would not fit into memory. */
function lazyBatch(plan: BatchPlan, layout: Layout, direction: Direction): Batch {
  return {
    get tensors() {
      return makeBatch(plan, layout).tensors;
    },
    tokens: plan.examples.reduce(
      (sum, { segment }) => sum + layout.segments.lengthOf(direction.target, segment)! + 1,
      0,
    ),
    label: direction.name,
    ...(direction.isZeroShot && { apart: "zero-shot" }),
  };
}

function makeBatch(plan: BatchPlan, layout: Layout): Batch {
  const { directions, segments } = layout;
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
    const from = sourceOf(segments.idsOf(direction.source, example.segment), direction.target, layout);
    const to = segments.idsOf(direction.target, example.segment);
    source.set(from, start);
    sourceMask.fill(1, start, start + from.length);
    target[start] = beginOf(direction.target, layout);
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

/** Segments of a group whose labels are counted at most. */
const COUNTED = 1_000_000;

/** Entropy in nats of the distribution of training labels (ends included), each direction with its share: the loss of
 *  the best model that ignores both its inputs. Of very large groups every second, third ... segment is counted. */
function unigramEntropy(buckets: readonly Bucket[], { directions, segments, vocabulary }: Layout): number {
  const counts = new Float64Array(vocabulary.size);
  for (const bucket of buckets)
    for (const { direction, segments: own, quota } of bucket.groups) {
      const stride = Math.ceil(own.length / COUNTED);
      const weight = quota / Math.ceil(own.length / stride);
      for (let i = 0; i < own.length; i += stride) {
        for (const id of segments.idsOf(directions[direction]!.target, own[i]!)) counts[id]! += weight;
        counts[EOS]! += weight;
      }
    }
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count) => (count > 0 ? sum - (count / total) * Math.log(count / total) : sum), 0);
}
