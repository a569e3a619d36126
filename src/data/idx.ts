// IDX, the format of MNIST's files (LeCun, Cortes & Burges): two zero bytes, a byte for the element type, one for the
// number of dimensions, each dimension as a big-endian 32-bit integer, then the elements, the last dimension fastest.

import { readFile, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { messageOf, UserError } from "../errors.ts";

/** An array of unsigned bytes, row-major. */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** The element type of unsigned bytes, the only one that image sets use. */
const UNSIGNED_BYTE = 0x08;

/** Bytes that a file may have once unpacked: 20 times MNIST. A small file of zeros could unpack to a full memory. */
const LARGEST = 2 ** 30;

/** Reads an IDX file of unsigned bytes with `rank` dimensions, unpacked first where its name ends in `.gz`. What cannot
 *  be read, or is something else, is a `UserError`. */
export async function readIdx(file: string, rank: number): Promise<IdxArray> {
  return parseIdx(await readBytes(file), rank, file);
}

async function readBytes(file: string): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    const { size } = await stat(file);
    if (size > LARGEST)
      throw new UserError(`${file}: expected an IDX file of at most ${LARGEST} bytes, got ${size}; use another set`);
    bytes = await readFile(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file}: expected an IDX file that can be read, got ${messageOf(error)}`);
  }
  if (!file.endsWith(".gz")) return bytes;
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: LARGEST });
  } catch (error) {
    throw new UserError(
      `${file}: expected gzip data of at most ${LARGEST} bytes unpacked, got ${messageOf(error)}; fetch the file again`,
    );
  }
}

/** The array in the bytes of an IDX file, without a copy. `file` names it in errors. */
export function parseIdx(bytes: Uint8Array, rank: number, file: string): IdxArray {
  const refuse = (expected: string, got: string): never => {
    throw new UserError(`${file}: expected an IDX file ${expected}, got ${got}; fetch the file again`);
  };
  const header = 4 + 4 * rank;
  if (bytes.length < header) refuse(`with a header of ${header} bytes`, `${bytes.length} bytes in all`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = magicOf(rank);
  if (view.getUint32(0) !== magic)
    refuse(
      `of unsigned bytes in ${rank} dimension${rank === 1 ? "" : "s"} (magic number ${hex(magic)})`,
      `magic number ${hex(view.getUint32(0))}`,
    );
  const shape = Array.from({ length: rank }, (_, d) => view.getUint32(4 + 4 * d));
  // A product too large to be exact is larger than any file, so the comparison holds all the same.
  const size = shape.reduce((product, d) => product * d, 1);
  if (size !== bytes.length - header)
    refuse(`of ${shape.join(" x ")} = ${size} bytes, as its header says`, `${bytes.length - header} bytes`);
  return { shape, data: bytes.subarray(header) };
}

/** The bytes of an IDX file that holds `array`. */
export function formatIdx({ shape, data }: IdxArray): Uint8Array {
  const header = 4 + 4 * shape.length;
  const bytes = new Uint8Array(header + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magicOf(shape.length));
  for (const [d, size] of shape.entries()) view.setUint32(4 + 4 * d, size);
  bytes.set(data, header);
  return bytes;
}

const magicOf = (rank: number): number => (UNSIGNED_BYTE << 8) | rank;
const hex = (word: number): string => `0x${word.toString(16).padStart(8, "0")}`;
