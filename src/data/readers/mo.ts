// gettext's .mo files: a magic number, revision, count, the offsets of two tables, in each of them length and offset of
// a string per message; the strings end in NUL. The numbers are not believed: each is checked against the file's size.

import { isUtf8 } from "node:buffer";
import { UserError } from "../../errors.ts";
import { bytesOf } from "./bytes.ts";
import { checkHeader, CONTEXT_END, type GettextEntry, joinEntries, SOURCE, usable } from "./gettext.ts";
import { invalidByte, LONGEST } from "./lines.ts";
import type { ApartReader, Tally } from "./reader.ts";

/** Bytes of a file at most, which is held in memory; a large program's are 10 MB. */
const LARGEST = 2 ** 28;
const HEADER = 28;
const MAGIC = 0x950412de;

/** Compiled translations of programs, one file a language; the message ids are the English texts. */
export const mo: ApartReader = {
  name: "mo",
  summary: "gettext's compiled .mo files, one a language, message ids being the English texts; plurals left out",
  layout: "apart",
  shared: SOURCE,
  read: (files, languages, tally) => joinEntries(files, languages, tally, moEntries),
};

async function* moEntries(file: string, language: string, tally: Tally): AsyncGenerator<readonly GettextEntry[]> {
  const bytes = await wholeFile(file);
  const refuse = (expected: string, got: string): never => {
    throw new UserError(`${file}: expected a .mo file ${expected}, got ${got}; make it again with msgfmt`);
  };
  if (bytes.length < HEADER) refuse(`with a header of ${HEADER} bytes`, `${bytes.length} bytes in all`);
  const little = bytes.readUInt32LE(0) === MAGIC;
  if (!little && bytes.readUInt32BE(0) !== MAGIC)
    refuse("that starts with de 12 04 95 or 95 04 12 de", bytes.toString("hex", 0, 4).replace(/..(?=.)/g, "$& "));
  const word = (at: number): number => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  if (word(4) >>> 16 > 1) refuse("of revision 0 or 1", `revision ${word(4) >>> 16}`);
  const count = word(8);
  const tables = [word(12), word(16)] as const;
  for (const table of tables)
    if (table < HEADER - 8 || table + 8 * count > bytes.length)
      refuse(`whose tables lie within its ${bytes.length} bytes`, `a table of ${count} entries at byte ${table}`);
  let read = 0;
  const string = (table: number, entry: number): string => {
    const length = word(table + 8 * entry);
    const offset = word(table + 8 * entry + 4);
    const what = `entry ${entry + 1} of ${length} bytes at byte ${offset}`;
    if (offset + length >= bytes.length) refuse(`whose strings lie within its ${bytes.length} bytes`, what);
    if (length > LONGEST) refuse(`with strings of at most ${LONGEST} bytes`, what);
    if (bytes[offset + length] !== 0) refuse("whose strings end in NUL", `none after ${what}`);
    // Strings do not overlap in any file that msgfmt makes; where they do, a small file can stand for a huge one.
    read += length + 1;
    if (read > bytes.length) refuse("whose strings lie side by side", `more than ${bytes.length} bytes of them`);
    const found = bytes.subarray(offset, offset + length);
    if (!isUtf8(found))
      throw new UserError(
        `${file} entry ${entry + 1}: expected UTF-8, got ${invalidByte(found, offset)} of the file; ` +
          `convert its source (msgconv -t UTF-8) and make it again`,
      );
    return found.toString("utf8");
  };
  let entries: GettextEntry[] = [];
  for (let entry = 0; entry < count; entry++) {
    const key = string(tables[0], entry);
    const text = string(tables[1], entry);
    const where = `${file} entry ${entry + 1}`;
    const id = key.slice(key.indexOf(CONTEXT_END) + 1);
    if (key === "") checkHeader(text, where, language);
    // An id with a plural has NUL before it; the translation then has its forms.
    else if (id.includes("\0") || text.includes("\0")) tally.skipped.plural++;
    else entries.push({ key, id, text: usable(id, text, false, tally), where });
    if (entries.length >= 1000) {
      yield entries;
      entries = [];
    }
  }
  yield entries;
}

async function wholeFile(file: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytesOf(file)) {
    size += chunk.length;
    if (size > LARGEST)
      throw new UserError(`${file}: expected a .mo file of at most ${LARGEST} bytes, got more; use the .po file`);
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks, size);
}
