import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect } from "vitest";
import { UserError } from "../../../src/errors.ts";
import { type Reader, type ReaderFiles, readUnits, type ReadUnit } from "../../../src/data/readers/reader.ts";

/** A folder for the files of a test file. */
export function useFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "fathom-readers-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a file and gives its path. */
export function write(folder: string, name: string, content: string | Uint8Array): string {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}

/** All units, and what was left out for a reason. */
export async function readAll(reader: Reader, files: ReaderFiles, languages: readonly string[]) {
  const { units, skipped } = readUnits(reader, files, languages);
  const all: ReadUnit[] = [];
  for await (const unit of units) all.push(unit);
  return { units: all, skipped: Object.fromEntries(Object.entries(skipped).filter(([, count]) => count > 0)) };
}

/** The message of the `UserError` that reading ends with; any other end fails the test. */
export async function refusal(reader: Reader, files: ReaderFiles, languages: readonly string[]): Promise<string> {
  try {
    await readAll(reader, files, languages);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  }
  throw new Error("nothing was refused");
}

/** A .mo file by the format's description: header, table of ids, table of translations, strings with NUL after each. */
export function encodeMo(entries: readonly (readonly [id: string, text: string])[], big = false): Buffer {
  const strings = [...entries.map(([id]) => id), ...entries.map(([, text]) => text)].map((text) => Buffer.from(text));
  const tables = 28;
  let offset = tables + 8 * strings.length;
  const words = [0x950412de, 0, entries.length, tables, tables + 8 * entries.length, 0, offset];
  for (const { length } of strings) {
    words.push(length, offset);
    offset += length + 1;
  }
  const head = Buffer.alloc(4 * words.length);
  words.forEach((word, i) => (big ? head.writeUInt32BE(word, 4 * i) : head.writeUInt32LE(word, 4 * i)));
  return Buffer.concat([head, ...strings.flatMap((bytes) => [bytes, Buffer.of(0)])]);
}
