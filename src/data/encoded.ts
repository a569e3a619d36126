// A corpus as ids, in one pass over it: what training reads. Ids lie in memory up to a bound and in a temporary file
// beyond it; what stays in memory of every segment is its split, where its ids begin, and their number by language.

import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { withRoom } from "../folders.ts";
import { folderForWriting } from "./cache.ts";
import { nowAndThen, type Say } from "./say.ts";
import { growing } from "./growing.ts";
import { SPLITS, type Split, type SplitSegment } from "./split.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Ids of a text, without special symbols. */
export type Ids = Int32Array | Uint16Array;

/** The segments of a corpus by number, in the order of the corpus. */
export interface EncodedSegments {
  readonly count: number;
  splitOf(segment: number): Split;
  /** The segment's name in the corpus; those of large corpora are known for dev and test alone. */
  nameOf(segment: number): string;
  /** Ids of the text; undefined where the language lacks the segment, Infinity where there are more than `longest`. */
  lengthOf(language: string, segment: number): number | undefined;
  /** The text as ids: of one that is there and not too long. */
  idsOf(language: string, segment: number): Ids;
  /** Figures of the training split by language. */
  readonly statistics: Readonly<Record<string, TextStatistics>>;
  /** Segments by split, those in none of the languages included; and template groups where the corpus has such. */
  readonly segments: Readonly<Record<Split, number>>;
  readonly groups: Readonly<Record<Split, number>> | undefined;
  /** SHA-256 of the segments as split, in the languages used. */
  readonly hash: string;
}

/** What the texts of a language come to. Words are what stands between spaces. */
export interface TextStatistics {
  segments: number;
  words: number;
  /** Texts by their number of ids. */
  readonly lengths: Map<number, number>;
  /** Ids that are lone bytes of characters of several. */
  loneBytes: number;
  /** 1 at every id that occurs. */
  readonly used: Uint8Array;
}

/** Bytes of ids that are kept in memory. */
const IN_MEMORY = 2 ** 28;
/** Names of segments that are kept, those of dev and test aside. */
const MOST_NAMES = 1_000_000;

/** Encodes the texts of `languages`; those of more than `longest` ids, which no batch takes, are counted and dropped. `hasNames`: whether
 *  names of segments are part of what the corpus is. */
export async function encodeSegments(
  segments: AsyncIterable<SplitSegment>,
  vocabulary: Vocabulary,
  options: {
    readonly languages: readonly string[];
    readonly longest: number;
    readonly hasNames: boolean;
    readonly inMemory?: number;
    readonly say?: Say;
  },
): Promise<EncodedSegments> {
  const { languages, longest, hasNames, inMemory = IN_MEMORY, say = () => {} } = options;
  const tell = nowAndThen(say);
  const store = idStore(vocabulary.size <= 2 ** 16 ? Uint16Array : Int32Array, inMemory);
  const lengths = languages.map(() => growing(Uint16Array));
  const places = growing(Float64Array);
  const splits = growing(Uint8Array);
  const names = new Map<number, string>();
  const statistics = Object.fromEntries(languages.map((language) => [language, emptyStatistics(vocabulary.size)]));
  const counts = { train: 0, dev: 0, test: 0 };
  const groups = { train: new Set<number>(), dev: new Set<number>(), test: new Set<number>() };
  const hash = createHash("sha256");
  let count = 0;
  for await (const { id, split, group, text } of segments) {
    tell(() => `encoding, ${count.toLocaleString("en-US")} segments`);
    if (split !== "train" || count < MOST_NAMES) names.set(count, id);
    splits.push(SPLITS.indexOf(split));
    places.push(store.length);
    counts[split]++;
    if (group !== undefined) groups[split].add(group);
    hash.update(
      `${count === 0 ? "" : "\n"}${JSON.stringify([split, ...(hasNames ? [id] : []), ...languages.map((language) => text[language] ?? null)])}`,
    );
    for (const [l, language] of languages.entries()) {
      const own = text[language];
      if (own === undefined) {
        lengths[l]!.push(MISSING);
        continue;
      }
      const ids = vocabulary.encode(own);
      if (split === "train") countText(statistics[language]!, own, ids, vocabulary);
      lengths[l]!.push(ids.length <= longest ? ids.length : TOO_LONG);
      if (ids.length <= longest) store.append(ids);
    }
    count++;
  }
  store.finish();
  const [place, split, length] = [places.array(), splits.array(), lengths.map((one) => one.array())];
  const bySplit = ({ train, dev, test }: typeof groups) => ({ train: train.size, dev: dev.size, test: test.size });
  return {
    count,
    splitOf: (segment) => SPLITS[split[segment]!]!,
    nameOf: (segment) => names.get(segment) ?? `segment ${segment}`,
    lengthOf(language, segment) {
      const found = length[languages.indexOf(language)]![segment]!;
      return found === MISSING ? undefined : found === TOO_LONG ? Infinity : found;
    },
    idsOf(language, segment) {
      let at = place[segment]!;
      for (const [l, other] of languages.entries()) {
        const own = length[l]![segment]!;
        const stored = own === MISSING || own === TOO_LONG ? 0 : own;
        if (other === language) return store.read(at, stored);
        at += stored;
      }
      throw new Error(`language ${language} was not encoded`);
    },
    statistics,
    segments: counts,
    groups: Object.values(groups).some(({ size }) => size > 0) ? bySplit(groups) : undefined,
    hash: hash.digest("hex"),
  };
}

// No text of such lengths is stored: data.maxLength is far below.
const MISSING = 0xffff;
const TOO_LONG = 0xfffe;

const emptyStatistics = (vocabulary: number): TextStatistics => ({
  segments: 0,
  words: 0,
  lengths: new Map(),
  loneBytes: 0,
  used: new Uint8Array(vocabulary),
});

function countText(statistics: TextStatistics, text: string, ids: readonly number[], vocabulary: Vocabulary): void {
  statistics.segments++;
  statistics.words += text.split(/\s+/).length;
  statistics.lengths.set(ids.length, (statistics.lengths.get(ids.length) ?? 0) + 1);
  for (const id of ids) {
    statistics.used[id] = 1;
    if (vocabulary.isByte(id)) statistics.loneBytes++;
  }
}

/** Ids a chunk. */
const CHUNK = 2 ** 20;

/** Ids one after the other: in memory up to `inMemory` bytes, all in a temporary file beyond. */
function idStore(
  Kind: typeof Uint16Array | typeof Int32Array,
  inMemory: number,
): {
  readonly length: number;
  append(ids: readonly number[]): void;
  finish(): void;
  read(at: number, count: number): Ids;
} {
  let chunks: Ids[] = [];
  let chunk = new Kind(CHUNK);
  let filled = 0;
  let length = 0;
  let file: number | undefined;
  const bytesOf = (ids: Ids): Uint8Array => new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
  const write = (ids: Ids): void => withRoom(FILE_OF_IDS, () => writeFileSync(file!, bytesOf(ids)));
  const close = (): void => {
    const full = chunk.subarray(0, filled);
    if (file !== undefined) write(full);
    else {
      chunks.push(full);
      if (chunks.length * CHUNK * Kind.BYTES_PER_ELEMENT >= inMemory) {
        file = openTemporary();
        for (const one of chunks) write(one);
        chunks = [];
      }
    }
    if (file === undefined) chunk = new Kind(CHUNK);
    filled = 0;
  };
  return {
    get length() {
      return length;
    },
    append(ids) {
      for (const id of ids) {
        if (filled === CHUNK) close();
        chunk[filled++] = id;
      }
      length += ids.length;
    },
    finish: close,
    read(at, count) {
      const ids = new Kind(count);
      if (file === undefined) {
        for (let done = 0; done < count;) {
          const [number, offset] = [Math.floor((at + done) / CHUNK), (at + done) % CHUNK];
          const part = chunks[number]!.subarray(offset, offset + count - done);
          ids.set(part, done);
          done += part.length;
        }
        return ids;
      }
      const bytes = bytesOf(ids);
      const position = at * Kind.BYTES_PER_ELEMENT;
      for (let done = 0; done < bytes.length;) {
        const size = readSync(file, bytes, done, bytes.length - done, position + done);
        if (size === 0) throw new Error("the temporary file of ids has become shorter");
        done += size;
      }
      return ids;
    },
  };
}

/** What errors call the file of ids, which has no name any more. */
const FILE_OF_IDS = "the cache's file of ids";

/** A file without a name, which goes with the process. In the cache: the system's temporary folder may be memory. */
function openTemporary(): number {
  const folder = mkdtempSync(join(folderForWriting("ids"), "ids-"));
  const file = openSync(join(folder, "ids"), "w+");
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    remove();
  } catch {
    // Windows keeps what is open.
    process.once("exit", () => {
      closeSync(file);
      remove();
    });
  }
  return file;
}
