// Lines and text out of bytes: UTF-8 checked, a byte order mark dropped, `\n` and `\r\n` alike, and no line longer than a
// bound. Only `\n` ends a line: files of sentences hold U+2028, form feeds and lone `\r`, and one of them taken for a
// line break would shift an alignment by one.

import type { ReadUnit, SkipReason, Tally } from "./reader.ts";
import { isUtf8 } from "node:buffer";
import { UserError } from "../../errors.ts";
import { bytesOf } from "./bytes.ts";

/** Bytes of a line, or characters of a text, at most. */
export const LONGEST = 2 ** 20;

/** Some lines of a file in a row, the first of them number `first` (from 1), without their line breaks. */
export interface LineBlock {
  readonly first: number;
  readonly lines: readonly string[];
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** The lines of `file` in blocks of about a chunk. A last line need not end in a line break. A `UserError` with file and
 *  line for bytes that are not UTF-8 and for a line of more than `LONGEST` bytes, beside those of `bytesOf`. */
export async function* lineBlocks(file: string): AsyncGenerator<LineBlock> {
  let first = 1;
  // The start of a line whose end has not been read yet.
  let carry: Buffer[] = [];
  let carried = 0;
  for await (const chunk of bytesOf(file)) {
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    const length = carried + (end === 0 ? chunk.length : chunk.indexOf(NEWLINE));
    // A line that was not begun before is shorter than a chunk. One byte more for a `\r`.
    if (length > LONGEST + 1) throw tooLong(file, first);
    if (end > 0) {
      const block = linesOf(Buffer.concat([...carry, chunk.subarray(0, end)]), file, first);
      yield block;
      first += block.lines.length;
      carry = [];
      carried = 0;
    }
    if (end < chunk.length) {
      // A copy: the chunk's bytes change with the next one.
      carry.push(Buffer.from(chunk.subarray(end)));
      carried += chunk.length - end;
    }
  }
  if (carried > 0) yield linesOf(Buffer.concat(carry), file, first);
}

const tooLong = (file: string, line: number): UserError =>
  new UserError(
    `${file}:${line}: expected lines of at most ${LONGEST} bytes, got a longer one; ` +
      `is it a text file with one unit a line?`,
  );

/** Each line is decoded alone, so that a text kept by the consumer does not keep its whole block. */
function linesOf(bytes: Buffer, file: string, first: number): LineBlock {
  const lines: string[] = [];
  const valid = isUtf8(bytes);
  for (let from = first === 1 ? markLength(bytes) : 0; from < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, from);
    const next = newline < 0 ? bytes.length : newline;
    const end = next > from && bytes[next - 1] === RETURN ? next - 1 : next;
    if (!valid) refuseInvalid(bytes.subarray(from, end), file, first + lines.length);
    lines.push(bytes.toString("utf8", from, end));
    from = next + 1;
  }
  return { first, lines };
}

/** Bytes of the UTF-8 byte order mark that `bytes` start with. */
const markLength = (bytes: Buffer): number => (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0);

/** The text of `file` in pieces, each of whole characters, for formats that lines mean nothing to. Errors as those of
 *  `lineBlocks`, the length of lines aside. */
export async function* textPieces(file: string): AsyncGenerator<string> {
  let line = 1;
  // Bytes of the line before the piece at hand.
  let column = 0;
  let tail: Buffer = Buffer.alloc(0);
  let atStart = true;
  const text = (bytes: Buffer): string => {
    const valid = isUtf8(bytes);
    for (let from = 0; ;) {
      const newline = bytes.indexOf(NEWLINE, from);
      if (!valid) refuseInvalid(bytes.subarray(from, newline < 0 ? bytes.length : newline), file, line, column);
      if (newline < 0) {
        column += bytes.length - from;
        break;
      }
      line++;
      column = 0;
      from = newline + 1;
    }
    const start = atStart ? markLength(bytes) : 0;
    atStart = false;
    return bytes.toString("utf8", start);
  };
  for await (const chunk of bytesOf(file)) {
    const bytes = Buffer.concat([tail, chunk]);
    const end = wholeCharacters(bytes);
    tail = bytes.subarray(end);
    // The first three bytes are wanted together, for the byte order mark.
    if (end > 0) yield text(bytes.subarray(0, end));
  }
  if (tail.length > 0) yield text(tail);
}

/** Whether nothing is in a text but white space. */
export const isBlank = (text: string): boolean => !/\S/.test(text);

/** The units of files that have at most one a line, a batch for each block of lines. `unitOf` gives that of a line that is not
 *  blank, or why it has none. */
export async function* unitsOfLines(
  files: readonly string[],
  { skipped }: Tally,
  unitOf: (line: string, where: string) => ReadUnit | SkipReason,
): AsyncGenerator<readonly ReadUnit[]> {
  for (const file of files)
    for await (const { first, lines } of lineBlocks(file))
      yield lines.flatMap((line, i) => {
        const unit = isBlank(line) ? "empty" : unitOf(line, `${file}:${first + i}`);
        if (typeof unit !== "string") return [unit];
        skipped[unit]++;
        return [];
      });
}

/** How many of the bytes come before a character whose last bytes are not there yet. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return bytes.length;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 0;
    if (needs > 0) return needs > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Throws where `bytes`, `column` bytes into a line, are not UTF-8. */
function refuseInvalid(bytes: Buffer, file: string, line: number, column = 0): void {
  if (isUtf8(bytes)) return;
  const wide = line === 1 && column === 0 && (bytes[0] === 0xff || bytes[0] === 0xfe);
  throw new UserError(
    `${file}:${line}: expected UTF-8, got ${invalidByte(bytes, column)} of the line; ` +
      (wide
        ? "it looks like UTF-16, so convert it: iconv -f UTF-16 -t UTF-8"
        : "repair the line, or convert the file: iconv -f ENCODING -t UTF-8"),
  );
}

/** `byte 0xe9 at byte 12`: what is wrong with `bytes` that are not UTF-8 and have `before` bytes before them. */
export function invalidByte(bytes: Uint8Array, before: number): string {
  const at = firstInvalid(bytes);
  return `byte 0x${bytes[at]!.toString(16).padStart(2, "0")} at byte ${before + at + 1}`;
}

/** Where the first byte stands that begins no whole character of UTF-8, by the Encoding Standard's decoder; the number of
 *  bytes where all do. */
export function firstInvalid(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length;) {
    const lead = bytes[i]!;
    const more = lead < 0x80 ? 0 : lead < 0xc2 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : -1;
    if (more < 0) return i;
    // The second byte is bounded further: no overlong forms, no surrogates, nothing beyond U+10FFFF.
    let low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    let high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    for (let k = 1; k <= more; k++, low = 0x80, high = 0xbf) {
      const byte = bytes[i + k];
      if (byte === undefined || byte < low || byte > high) return i;
    }
    i += more + 1;
  }
  return bytes.length;
}
