// Folders that must be writable and files that must be whole: what the other files of this folder write with.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { messageOf, UserError } from "../errors.ts";
import { makeFolders, withRoom } from "../folders.ts";

/** The crash-safe source of a run's tables. */
export const eventsFile = (runDir: string): string => join(runDir, "events.jsonl");
export const metricsFile = (runDir: string): string => join(runDir, "metrics.csv");
export const layersFile = (runDir: string): string => join(runDir, "layers.csv");
export const readingsFile = (runDir: string): string => join(runDir, "readings.csv");
/** What `fathom evaluate` leaves of a transformer: the scores of a split. */
export const evaluationFile = (runDir: string, split: "dev" | "test"): string =>
  join(runDir, `evaluation-${split}.csv`);
/** And: sources, references and translations of a split, a line each. */
export const translationsFile = (runDir: string, split: "dev" | "test"): string =>
  join(runDir, "samples", `translations-${split}.jsonl`);

/** Makes a folder (and its parents) and checks that it can be written to; otherwise a `UserError` that names it and says what
 *  to do. */
export function ensureFolder(folder: string, advice = "choose another with --out"): void {
  try {
    makeFolders(folder);
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new UserError(`${folder}: expected a folder that can be written to, got ${messageOf(error)}; ${advice}`);
  }
}

/** Removes folders in their order, each within the next or beside it, up to the first that holds something. */
export function discardEmpty(...folders: readonly string[]): void {
  try {
    for (const folder of folders) rmdirSync(folder);
  } catch {
    // It holds something.
  }
}

/** Writes a text, or bytes, whole or not at all: aside, synced, renamed. */
export const writeWhole = (file: string, contents: string | Uint8Array): void =>
  withRoom(file, () => writeFileAtomic.sync(file, typeof contents === "string" ? contents : Buffer.from(contents)));

/** Like `writeWhole` for what is too large for one string. */
export function writeChunksWhole(file: string, chunks: Iterable<string>): void {
  const aside = `${file}.${process.pid}.tmp`;
  withRoom(file, () => {
    const fd = openSync(aside, "w");
    try {
      for (const chunk of chunks) writeFileSync(fd, chunk);
      fsyncSync(fd);
    } catch (error) {
      rmSync(aside, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
    renameSync(aside, file);
  });
}

/** Removes what killed processes have left in a folder, if there is one, while they wrote files whole. Whoever calls it is the
 *  folder's only writer. */
export function removeUnfinished(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder))
    if (/\.(csv|json|jsonl|onnx|png|yaml)\.\d+(\.tmp)?$/.test(name)) rmSync(join(folder, name), { force: true });
}

/** Bytes of a line at most: a step's values of a million tensors are a tenth of it. */
const longestLine = 2 ** 28;

/** The lines of a UTF-8 file that end in a newline: what follows the last one is torn and left out. Reads in pieces,
 *  since a run's events may be larger than the longest string. Nothing for a file that is not there. */
export function* wholeLines(file: string): Generator<string> {
  if (!isFile(file)) return;
  const fd = openSync(file, "r");
  try {
    const buffer = Buffer.alloc(1 << 20);
    let pending: Buffer[] = [];
    for (let size = readSync(fd, buffer); size > 0; size = readSync(fd, buffer)) {
      let start = 0;
      for (let end = buffer.indexOf(10); end >= 0 && end < size; end = buffer.indexOf(10, start)) {
        yield Buffer.concat([...pending, buffer.subarray(start, end)]).toString("utf8");
        pending = [];
        start = end + 1;
      }
      if (start < size) pending.push(Buffer.from(buffer.subarray(start, size)));
      if (pending.length * buffer.length > longestLine)
        throw new UserError(
          `${file}: expected lines of at most ${longestLine} bytes, got a longer one; the file is damaged: remove it`,
        );
    }
  } finally {
    closeSync(fd);
  }
}

/** Bytes of the end of a file that are read at first, and at most: a step of a very deep model leaves megabytes of layer values. */
const firstBytes = 2 ** 16;
const mostBytes = 2 ** 24;

/** Ever more of the end of an open file, sixteen times as much each time: for whoever looks for the last of something in it. */
export function* endsOf(fd: number): Generator<{ readonly bytes: Buffer; readonly isWhole: boolean }> {
  const { size } = fstatSync(fd);
  for (let wanted = firstBytes; ; wanted *= 16) {
    const start = Math.max(0, size - wanted);
    const buffer = Buffer.alloc(size - start);
    yield { bytes: buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, start)), isWhole: start === 0 };
    if (start === 0 || wanted >= mostBytes) return;
  }
}

/** Whether there is a file (not a folder) of this name; false as well below something that is no folder. */
export function isFile(file: string): boolean {
  try {
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
