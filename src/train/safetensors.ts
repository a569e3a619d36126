// The safetensors format (https://github.com/huggingface/safetensors): a little-endian header length, a JSON header with
// dtype, shape and offsets of every tensor, and the bytes. No package writes it from Node.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { messageOf, UserError } from "../errors.ts";
import { sizeOf } from "../stage.ts";

/** A tensor as stored. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

// The format's own limit on headers.
const maxHeaderBytes = 100_000_000;

/** The bytes of a file that holds `tensors`, in the order of their names, and string metadata. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  let offset = 0;
  for (const [name, { shape, data }] of sorted) {
    const dtype = data instanceof Float32Array ? "F32" : "I32";
    header[name] = { dtype, shape, data_offsets: [offset, (offset += data.byteLength)] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8; // tensors start at a multiple of 8 bytes
  const bytes = new Uint8Array(8 + padded + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.fill(0x20, 8, 8 + padded).set(json, 8);
  let at = 8 + padded;
  for (const [, { data }] of sorted) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

const natural = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.enum(["F32", "I32"]),
  shape: z.array(natural),
  data_offsets: z.tuple([natural, natural]),
});
const headerSchema = z.object({ __metadata__: z.record(z.string(), z.string()).default({}) }).catchall(entrySchema);

/** What a safetensors file holds. */
export interface StoredTensors {
  readonly tensors: Map<string, StoredTensor>;
  readonly metadata: Record<string, string>;
}

/** Reads a safetensors file of float32 and int32 tensors. Throws a `UserError` that names the file if it is missing or
 *  damaged. */
export function readSafetensors(file: string): StoredTensors {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new UserError(`${file}: expected a safetensors file that can be read, got ${messageOf(error)}`);
  }
  return decodeSafetensors(bytes, file);
}

/** The tensors in the bytes of a safetensors file; `file` names them in the `UserError` of what is damaged. */
export function decodeSafetensors(content: Uint8Array, file: string): StoredTensors {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const damaged = (what: string): UserError =>
    new UserError(`${file}: expected a safetensors file, but ${what}; the file is damaged or of another kind`);
  if (bytes.length < 8) throw damaged("it is shorter than a header");
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  if (headerBytes > maxHeaderBytes || 8 + headerBytes > bytes.length) throw damaged("its header is cut off");
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes));
  } catch {
    throw damaged("its header is no JSON");
  }
  const header = headerSchema.safeParse(json);
  if (!header.success) throw damaged(`its header is wrong: ${z.prettifyError(header.error)}`);
  const { __metadata__: metadata, ...entries } = header.data;
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, data_offsets: span }] of Object.entries(entries)) {
    const [begin, end] = [8 + headerBytes + span[0], 8 + headerBytes + span[1]];
    if (end > bytes.length || end - begin !== 4 * sizeOf(shape)) throw damaged(`tensor ${name} is cut off`);
    const buffer = Uint8Array.from(bytes.subarray(begin, end)).buffer;
    tensors.set(name, { shape, data: dtype === "F32" ? new Float32Array(buffer) : new Int32Array(buffer) });
  }
  return { tensors, metadata };
}
