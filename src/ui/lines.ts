// Lines of files that may be large and may grow: read in pieces, and where a file was read before from there on.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { UserError } from "../errors.ts";

/** Bytes of a piece, and of a line at most (as in src/runs/files.ts). */
const pieceBytes = 2 ** 18;
const longestLine = 2 ** 28;
/** Bytes before the place reached that are compared before a file is read on from there: it may be another one by now. */
const tailBytes = 64;

/** How far a file was read, and what was made of its lines. */
export interface Followed<T> {
  readonly value: T;
  /** Bytes up to the end of the last whole line. */
  readonly offset: number;
  readonly lines: number;
  readonly inode: number;
  readonly tail: Buffer;
}

/** A line without its end, as the bytes from `start` to `end` of a buffer: a table has hundreds of thousands, and a buffer of its own for each
 *  takes longer than reading it. Valid until the next line alone. */
export type OnLine<R = void> = (bytes: Buffer, start: number, end: number) => R;

/** Reads the lines that were added to a file since `known`, each without its end, into what was made of those before. Where the file is
 *  another by now (it was written anew, or is shorter) it is read from its beginning into what `begin` gives. A last line without an end is
 *  left for the next time. Throws what opening the file and `onLine` throw. */
export function follow<T>(
  file: string,
  known: Followed<T> | undefined,
  begin: () => T,
  onLine: (value: T, line: Buffer, number: number) => void,
): Followed<T> {
  const fd = openSync(file, "r");
  try {
    const { size, ino } = fstatSync(fd);
    const isSame = known !== undefined && known.inode === ino && known.offset <= size && endsWith(fd, known);
    const value = isSame ? known.value : begin();
    let lines = isSame ? known.lines : 0;
    const start = isSame ? known.offset : 0;
    const offset = readLines(fd, start, file, (bytes, from, to) => onLine(value, bytes.subarray(from, to), ++lines));
    const tail = Buffer.alloc(Math.min(tailBytes, offset));
    readSync(fd, tail, 0, tail.length, offset - tail.length);
    return { value, offset, lines, inode: ino, tail };
  } finally {
    closeSync(fd);
  }
}

function endsWith(fd: number, { offset, tail }: Followed<unknown>): boolean {
  const now = Buffer.alloc(tail.length);
  return readSync(fd, now, 0, now.length, offset - tail.length) === tail.length && now.equals(tail);
}

/** Gives the whole lines of an open file from `start` on, up to where `onLine` returns false; the place behind the last one. */
export function readLines(fd: number, start: number, file: string, onLine: OnLine<boolean | void>): number {
  let buffer = Buffer.allocUnsafe(pieceBytes);
  let filled = 0;
  let offset = start;
  for (;;) {
    const size = readSync(fd, buffer, filled, buffer.length - filled, offset + filled);
    if (size === 0) return offset;
    let begin = 0;
    const searched = filled;
    filled += size;
    for (let end = newlineFrom(buffer, searched, filled); end >= 0; end = newlineFrom(buffer, begin, filled)) {
      const goesOn = onLine(buffer, begin, end);
      begin = end + 1;
      if (goesOn === false) return offset + begin;
    }
    offset += begin;
    buffer.copyWithin(0, begin, filled);
    filled -= begin;
    if (filled < buffer.length) continue;
    if (buffer.length >= longestLine)
      throw new UserError(
        `${file}: expected lines of at most ${longestLine} bytes, got a longer one; the file is damaged: remove it`,
      );
    buffer = Buffer.concat([buffer, Buffer.allocUnsafe(3 * buffer.length)]);
  }
}

/** The beginning of a file as a text, of at most so many bytes. */
export function headOf(file: string, bytes: number): string {
  const fd = openSync(file, "r");
  try {
    const buffer = Buffer.alloc(Math.min(bytes, fstatSync(fd).size));
    return buffer.toString("utf8", 0, readSync(fd, buffer));
  } finally {
    closeSync(fd);
  }
}

/** The place of the next newline of a buffer before `end`; -1 where there is none. Lines of tables are short: looking at a few bytes here is
 *  quicker than the call that is quicker for many. */
function newlineFrom(bytes: Buffer, start: number, end: number): number {
  const near = Math.min(end, start + 128);
  for (let at = start; at < near; at++) if (bytes[at] === 10) return at;
  if (near === end) return -1;
  const found = bytes.indexOf(10, near);
  return found < end ? found : -1;
}
