// The safetensors format (https://github.com/huggingface/safetensors): a little-endian header length, a JSON header with
// dtype, shape and offsets of every tensor, and the bytes. No package writes it from Node.
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
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

/** Reads a safetensors file of float32 and int32 tensors. Throws a `UserError` that names the file if it is damaged. */
export function readSafetensors(file: string): {
  tensors: Map<string, StoredTensor>;
  metadata: Record<string, string>;
} {
  const bytes = readFileSync(file);
  const damaged = (what: string): UserError =>
    new UserError(`${file}: expected a safetensors file, but ${what}; the file is damaged or of another kind`);
  if (bytes.length < 8) throw damaged("it is shorter than a header");
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  if (headerBytes > maxHeaderBytes || 8 + headerBytes > bytes.length) throw damaged("its header is cut off");
  let header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  try {
    header = JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes)) as typeof header;
  } catch {
    throw damaged("its header is no JSON");
  }
  const { __metadata__: metadata, ...entries } = header as typeof header & { __metadata__?: unknown };
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, data_offsets: span }] of Object.entries(entries)) {
    if (dtype !== "F32" && dtype !== "I32") throw damaged(`tensor ${name} is ${dtype}, not F32 or I32`);
    const [begin, end] = [8 + headerBytes + span[0], 8 + headerBytes + span[1]];
    if (end > bytes.length || end - begin !== 4 * sizeOf(shape)) throw damaged(`tensor ${name} is cut off`);
    const buffer = Uint8Array.from(bytes.subarray(begin, end)).buffer;
    tensors.set(name, { shape, data: dtype === "F32" ? new Float32Array(buffer) : new Int32Array(buffer) });
  }
  return { tensors, metadata: (metadata ?? {}) as Record<string, string> };
}
