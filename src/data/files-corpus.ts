// A corpus out of the user's own files: read, cleaned, divided and cached as one file of lines, in memory that does not
// grow with the files but for a fingerprint of every unit. A training segment that is nearly one of dev or test is left
// out, so that what is evaluated has not been trained on.
//
// The cached file has a line a segment, `[split, name, text or null by language ...]`, and a last one that tells of all:
// languages, what was left out, and the SHA-256 of the lines before.

import { createHash, hash as hashOf } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { withRoom } from "../folders.ts";
import { lookup } from "../registry.ts";
import { folderForWriting, refuseCached, sha256 } from "./cache.ts";
import type { OpenCorpus } from "./prepared.ts";
import { bytesOf } from "./readers/bytes.ts";
import * as readers from "./readers/index.ts";
import { lineBlocks, LONGEST } from "./readers/lines.ts";
import { type Reader, type ReaderFiles, readUnits, type ReadUnit, SKIPPED } from "./readers/reader.ts";
import { nearCopiesOf, SPLITS, type Split, type SplitSegment } from "./split.ts";
import { nowAndThen, type Say } from "./say.ts";
import { isCode, normalise, template } from "./text.ts";

/** Files of parallel text, as a configuration names them. */
export interface FilesCorpus {
  /** A name from the registry of readers. */
  readonly reader: string;
  /** Paths, from where fathom runs. */
  readonly files: ReaderFiles;
  /** In the order of the columns where those have no names. */
  readonly languages: readonly string[];
  /** Files of the same format, used as they are; or about how many segments are set aside, a tenth of all at most. */
  readonly dev: ReaderFiles | number;
  readonly test: ReaderFiles | number;
  /** Of two texts of a unit the longer has at most this many times the characters of the shorter, 10 added to both. */
  readonly maxRatio: number;
}

/** Why a unit, or a text of it, is not in the corpus, beside what readers skip. */
export const FILE_FILTERS = {
  ...SKIPPED,
  wordless: "texts without any letter or digit",
  long: "texts of more than 8192 characters",
  ratio: "texts much longer or shorter than that of the first language (data.corpus.maxRatio)",
  copied: "texts identical to that of the first language, which is not only placeholders and code names",
  repeated: "units identical to an earlier one",
  "near-copy": "training segments that are nearly one of dev or test",
} as const;
type FileFilter = keyof typeof FILE_FILTERS;

/** What whole units are counted under, instead of a language. */
export const WHOLE = "units";

/** Characters of a text at most: no `data.maxLength` reaches further. */
const LONGEST_TEXT = 8192;
/** Added to both lengths before they are compared: three letters may well be thirteen in another language. */
const RATIO_SLACK = 10;
/** Units of a split that is given at most: evaluated segments are kept in memory. */
const MOST_GIVEN = 50_000;
/** Segments that are set aside for dev or test at most, as a share of all. */
const LARGEST_SHARE = 0.1;

/** Counts as part of the cache key: raise it when cleaning or dividing changes. */
const PREPARATION = 1;

/** Opens the corpus of some files, prepared or taken from the cache. `UserError`s: those of `readUnits`; nothing left of a split. */
export async function openFiles(corpus: FilesCorpus, say: Say = () => {}): Promise<OpenCorpus> {
  // Errors in what was asked for come before the files are hashed.
  const reader = checkFiles(corpus);
  const key = await keyOf(corpus);
  const file = path.join(folderForWriting("corpora"), `${reader.name}-${key.slice(0, 16)}.jsonl`);
  if (!statSync(file, { throwIfNoEntry: false })) await prepareInto(file, reader, corpus, say);
  const { filtered, trainingSegments } = readTrailer(file);
  return {
    name: Object.values(corpus.files).join(", "),
    languages: [...corpus.languages].sort(),
    filtered,
    trainingSegments,
    segments: () => readPrepared(file, corpus.languages),
    hasNames: false,
  };
}

/** Refuses a corpus whose files are not there or cannot be read, by their first bytes. `UserError`s: those of `readUnits` and `bytesOf`. */
export async function checkReadable(corpus: FilesCorpus): Promise<void> {
  checkFiles(corpus);
  for (const files of rolesOf(corpus).values())
    for (const file of Object.values(files)) {
      const bytes = bytesOf(file);
      await bytes.next();
      await bytes.return(undefined);
    }
}

/** The reader of a corpus whose files fit it by their names; else a `UserError`, those of `readUnits`. */
function checkFiles(corpus: FilesCorpus): Reader {
  const reader = lookup<Reader>("reader", readers, corpus.reader);
  for (const files of rolesOf(corpus).values()) readUnits(reader, files, corpus.languages);
  return reader;
}

/** Files by the split they are for; `train` may be divided. */
function rolesOf({ files, dev, test }: FilesCorpus): Map<Split, ReaderFiles> {
  const roles = new Map<Split, ReaderFiles>([["train", files]]);
  if (typeof dev !== "number") roles.set("dev", dev);
  if (typeof test !== "number") roles.set("test", test);
  return roles;
}

/** What the prepared corpus is a function of: contents, not names. */
async function keyOf(corpus: FilesCorpus): Promise<string> {
  const contents: unknown[] = [];
  for (const [split, files] of rolesOf(corpus))
    for (const [language, file] of Object.entries(files)) {
      const hash = createHash("sha256");
      for await (const chunk of bytesOf(file)) hash.update(chunk);
      contents.push([split, language, hash.digest("hex")]);
    }
  const sizes = [corpus.dev, corpus.test].map((asked) => (typeof asked === "number" ? asked : null));
  return sha256(JSON.stringify([PREPARATION, corpus.reader, corpus.languages, sizes, corpus.maxRatio, contents]));
}

/** A unit after cleaning. */
interface CleanUnit {
  /** `2:17`, line 17 of the second file: what files are called is no part of a corpus. */
  readonly where: string;
  /** By language, in their order; undefined for one that is not there. */
  readonly texts: readonly (string | undefined)[];
}

type Counts = Record<string, Record<string, number>>;

async function prepareInto(file: string, reader: Reader, corpus: FilesCorpus, say: Say): Promise<void> {
  const counts: Counts = {};
  const count = (reason: FileFilter, language: string, n = 1): void => {
    if (n > 0) (counts[reason] ??= {})[language] = (counts[reason][language] ?? 0) + n;
  };
  const given = new Map<Split, CleanUnit[]>();
  for (const [split, files] of rolesOf(corpus))
    if (split !== "train") given.set(split, await readGiven(reader, files, corpus.languages));
  removeUnfinished(path.dirname(file));
  const own = `${file}.${hostname()}.${process.pid}`;
  const pool = lineWriter(`${own}.pool`);
  const out = lineWriter(`${own}.tmp`);
  try {
    const units = await cleanInto(pool, reader, corpus, count, say);
    pool.close();
    const shares = sharesOf(corpus, units);
    const splitOf = (place: number): Split =>
      place < shares.test ? "test" : place < shares.test + shares.dev ? "dev" : "train";
    const write = (split: Split, { where, texts }: CleanUnit): void =>
      out.line(JSON.stringify([split, where, ...texts.map((text) => text ?? null)]));
    const evaluated: (string | undefined)[][] = corpus.languages.map(() => []);
    const sizes = { train: 0, dev: 0, test: 0 };
    const keep = (split: Split, unit: CleanUnit): void => {
      sizes[split]++;
      write(split, unit);
      for (const [l, text] of unit.texts.entries()) evaluated[l]!.push(text);
    };
    for (const [split, own] of given) for (const unit of own) keep(split, unit);
    for await (const [place, unit] of readPool(pool.file)) {
      const split = splitOf(place);
      if (split !== "train") keep(split, unit);
    }
    const isNear = evaluated.map((texts) => nearCopiesOf(texts.filter((text) => text !== undefined)));
    const tell = nowAndThen(say);
    let seen = 0;
    for await (const [place, unit] of readPool(pool.file)) {
      if (splitOf(place) !== "train") continue;
      seen++;
      tell(() => `comparing with dev and test, ${percent(seen, units)}`);
      if (unit.texts.some((text, l) => text !== undefined && isNear[l]!(text))) count("near-copy", WHOLE);
      else {
        sizes.train++;
        write("train", unit);
      }
    }
    checkSizes(corpus, sizes, units);
    out.line(
      JSON.stringify({
        languages: corpus.languages,
        filtered: counts,
        trainingSegments: sizes.train,
        sha256: out.hash(),
      }),
    );
    out.close();
    renameSync(out.file, file);
  } finally {
    pool.discard();
    out.discard();
  }
}

/** Removes what killed processes of this machine have left: gigabytes, where the corpus is large. */
function removeUnfinished(folder: string): void {
  for (const name of readdirSync(folder)) {
    const [, host, pid] = /\.jsonl\.(.+)\.(\d+)\.(?:pool|tmp)$/.exec(name) ?? [];
    if (host === hostname() && !isAlive(Number(pid))) rmSync(path.join(folder, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // another user's
  }
}

/** A split that is given stays as it is, NFC and white space around aside. */
async function readGiven(reader: Reader, files: ReaderFiles, languages: readonly string[]): Promise<CleanUnit[]> {
  const units: CleanUnit[] = [];
  for await (const { text, where } of readUnits(reader, files, languages).units) {
    const texts = languages.map((language) => text[language] && normalise(text[language]));
    const longest = Math.max(...texts.map((own) => own?.length ?? 0));
    if (longest > LONGEST_TEXT)
      throw new UserError(`${where}: expected texts of at most ${LONGEST_TEXT} characters, got ${longest}; split it`);
    if (units.length === MOST_GIVEN)
      throw new UserError(`${where}: expected at most ${MOST_GIVEN} units of dev or test, got more; take fewer`);
    units.push({ where: placeIn(files, where), texts });
  }
  return units;
}

/** Cleans the units of the files into lines `[place, where, texts]`; place, in [0, 1), follows from the template of the first
 *  text, so that copies stay together and added data moves nothing. Gives the number of units. */
async function cleanInto(
  pool: LineWriter,
  reader: Reader,
  corpus: FilesCorpus,
  count: (reason: FileFilter, language: string, n?: number) => void,
  say: Say,
): Promise<number> {
  const { languages, files } = corpus;
  const { units, skipped } = readUnits(reader, files, languages);
  const isNew = fingerprints();
  const tell = nowAndThen(say);
  let [read, kept] = [0, 0];
  for await (const unit of units) {
    tell(() => `reading ${unit.where.replace(/:\d+$/, "")}, ${read.toLocaleString("en-US")} units`);
    read++;
    const texts = cleanTexts(unit, corpus, count);
    if (texts.filter((text) => text !== undefined).length < 2) continue;
    if (!isNew(JSON.stringify(texts))) {
      count("repeated", WHOLE);
      continue;
    }
    const first = texts.find((text) => text !== undefined)!;
    const line = JSON.stringify([shareOf(first), placeIn(files, unit.where), ...texts.map((text) => text ?? null)]);
    if (line.length > LONGEST / 3) {
      count("long", WHOLE); // in so many languages that the line could not be read again
      continue;
    }
    kept++;
    pool.line(line);
  }
  for (const [reason, n] of Object.entries(skipped)) count(reason as FileFilter, WHOLE, n);
  return kept;
}

/** Where a unit stands, with the number of its file instead of the name. */
function placeIn(files: ReaderFiles, where: string): string {
  const names: readonly string[] = Object.values(files);
  const i = names.findIndex((name) => where.startsWith(name) && /^[: ]/.test(where.slice(name.length)));
  return i < 0 ? where : `${i + 1}${where.slice(names[i]!.length)}`;
}

/** A number in [0, 1). */
const shareOf = (text: string): number => parseInt(sha256(template(text)).slice(0, 12), 16) / 2 ** 48;

function cleanTexts(
  { text }: ReadUnit,
  { languages, maxRatio }: FilesCorpus,
  count: (reason: FileFilter, language: string) => void,
): (string | undefined)[] {
  let first: string | undefined;
  return languages.map((language) => {
    if (text[language] === undefined) return undefined;
    const own = normalise(text[language]);
    const reason = reasonAgainst(own, first, maxRatio);
    if (reason) {
      count(reason, language);
      return undefined;
    }
    first ??= own;
    return own;
  });
}

function reasonAgainst(text: string, first: string | undefined, maxRatio: number): FileFilter | undefined {
  if (text.length > LONGEST_TEXT) return "long";
  if (!/[\p{L}\p{N}]/u.test(text)) return "wordless";
  if (first === undefined) return undefined;
  if (text === first) return isCode(text) ? undefined : "copied";
  const [a, b] = [text.length + RATIO_SLACK, first.length + RATIO_SLACK];
  return Math.max(a, b) > maxRatio * Math.min(a, b) ? "ratio" : undefined;
}

/** The shares of the places that are dev and test. */
function sharesOf({ dev, test }: FilesCorpus, units: number): { dev: number; test: number } {
  const share = (asked: ReaderFiles | number): number =>
    typeof asked === "number" ? Math.min(LARGEST_SHARE, asked / Math.max(1, units)) : 0;
  return { dev: share(dev), test: share(test) };
}

function checkSizes(corpus: FilesCorpus, sizes: Readonly<Record<Split, number>>, units: number): void {
  const empty = SPLITS.find((split) => sizes[split] === 0);
  if (empty === undefined) return;
  const files = Object.values(corpus.files).join(", ");
  throw new UserError(
    empty === "train"
      ? `${files}: expected segments to train on, got none of ${units} units once dev, test and what is like them are set aside; add data`
      : `data.corpus.${empty}: expected segments to evaluate, got none of ${units} units of ${files}; ` +
          `name files of its own (data.corpus.${empty}: ${JSON.stringify(corpus.files)}) or add data`,
  );
}

/** Whether a text is seen for the first time, by the first 53 bits of its SHA-256: among ten million texts the chance that any is
 *  taken for another is 0.6 %. 11 to 22 bytes a text. */
function fingerprints(): (text: string) => boolean {
  let slots = new Float64Array(2 ** 16); // 0: free
  let used = 0;
  const insert = (into: Float64Array, value: number): boolean => {
    for (let i = value % into.length; ; i = (i + 1) % into.length) {
      if (into[i] === value) return false;
      if (into[i] === 0) {
        into[i] = value;
        return true;
      }
    }
  };
  return (text) => {
    const bytes = hashOf("sha256", text, "buffer");
    const value = bytes.readUIntBE(0, 6) * 32 + (bytes[6]! >> 3) + 1;
    if (!insert(slots, value)) return false;
    if (++used > 0.75 * slots.length) {
      const larger = new Float64Array(2 * slots.length);
      for (const one of slots) if (one !== 0) insert(larger, one);
      slots = larger;
    }
    return true;
  };
}

interface LineWriter {
  readonly file: string;
  line(text: string): void;
  /** SHA-256 of the lines so far. */
  hash(): string;
  /** Writes what is left, syncs and closes. */
  close(): void;
  /** Closes, and removes the file if it still has its name. */
  discard(): void;
}

/** Bytes that are gathered before they are written. */
const GATHERED = 2 ** 20;

function lineWriter(file: string): LineWriter {
  const fd = openSync(file, "w");
  const hash = createHash("sha256");
  let [lines, length, isOpen] = ["", 0, true];
  const flush = (): void => {
    const bytes = Buffer.from(lines);
    hash.update(bytes);
    withRoom(file, () => writeFileSync(fd, bytes));
    [lines, length] = ["", 0];
  };
  return {
    file,
    line(text) {
      lines += `${text}\n`;
      length += text.length;
      if (length > GATHERED) flush();
    },
    hash() {
      flush();
      return hash.copy().digest("hex");
    },
    close() {
      flush();
      fsyncSync(fd);
      closeSync(fd);
      isOpen = false;
    },
    discard() {
      if (isOpen) closeSync(fd);
      rmSync(file, { force: true });
    },
  };
}

const percent = (done: number, all: number): string => `${Math.floor((100 * done) / Math.max(1, all))} %`;

async function* readPool(file: string): AsyncGenerator<[number, CleanUnit]> {
  if (statSync(file).size === 0) return;
  for await (const { lines } of lineBlocks(file))
    for (const line of lines) {
      const [place, where, ...texts] = JSON.parse(line) as [number, string, ...(string | null)[]];
      yield [place, { where, texts: texts.map((text) => text ?? undefined) }];
    }
}

const trailerSchema = z.object({
  languages: z.array(z.string()),
  filtered: z.record(z.string(), z.record(z.string(), z.number())),
  trainingSegments: z.int().min(1),
  sha256: z.string(),
});

const refuse = (file: string): never => refuseCached(file, "a prepared corpus");

/** The last line of a prepared corpus. */
function readTrailer(file: string): z.output<typeof trailerSchema> {
  const size = statSync(file).size;
  const tail = Buffer.alloc(Math.min(size, LONGEST));
  const fd = openSync(file, "r");
  try {
    for (let done = 0; done < tail.length;) {
      const got = readSync(fd, tail, done, tail.length - done, size - tail.length + done);
      if (got === 0) break;
      done += got;
    }
  } finally {
    closeSync(fd);
  }
  const start = tail.lastIndexOf(10, tail.length - 2) + 1;
  try {
    return trailerSchema.parse(JSON.parse(tail.toString("utf8", start)));
  } catch {
    return refuse(file);
  }
}

/** The segments of a prepared corpus; a `UserError` at the end where they are not what was written. */
async function* readPrepared(file: string, languages: readonly string[]): AsyncGenerator<SplitSegment> {
  const { sha256: expected } = readTrailer(file);
  const hash = createHash("sha256");
  // The last line so far: a segment, unless none follows.
  let last: string | undefined;
  const segmentOf = (line: string): SplitSegment => {
    hash.update(`${line}\n`);
    const [split, id, ...texts] = parsed(line, file, languages.length);
    const text = languages.flatMap((language, l) => (texts[l] === null ? [] : [[language, texts[l]!] as const]));
    return { split, id, text: Object.fromEntries(text) };
  };
  for await (const { lines } of lineBlocks(file))
    for (const line of lines) {
      if (last !== undefined) yield segmentOf(last);
      last = line;
    }
  if (hash.digest("hex") !== expected) refuse(file);
}

/** A line of segments. Its hash is compared at the end; until then whoever reads it relies on its shape. */
function parsed(line: string, file: string, languages: number): [Split, string, ...(string | null)[]] {
  let parts: unknown;
  try {
    parts = JSON.parse(line);
  } catch {
    return refuse(file);
  }
  const isSegment =
    Array.isArray(parts) &&
    parts.length === 2 + languages &&
    SPLITS.includes(parts[0] as Split) &&
    parts.every((part, i) => typeof part === "string" || (i > 1 && part === null));
  return isSegment ? (parts as [Split, string, ...(string | null)[]]) : refuse(file);
}
