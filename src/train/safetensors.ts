// The safetensors format (https://github.com/huggingface/safetensors): a little-endian header length, a JSON header with
// dtype, shape and offsets of every tensor, and the bytes. No package writes it from Node.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { messageOf, UserError } from "../errors.ts";

/** A tensor as stored. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

// The format's own limit on headers.
const maxHeaderBytes = 100_000_000;
// Ours: 80,000 tensors have less. One of 99 MB can take minutes and 5 GB to be refused for what it says.
const maxOurHeaderBytes = 2 ** 23;

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
const entrySchema = z.object({ dtype: z.string(), shape: z.array(natural), data_offsets: z.tuple([natural, natural]) });
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

/** The tensors in the bytes of a safetensors file; `file` names them in the `UserError` of what is damaged. Held to the format as its
 *  reference implementation is: names once each, tensors one after the other without gaps, from the end of the header to that of the
 *  file. So what is allocated is at most as large as the file. */
export function decodeSafetensors(content: Uint8Array, file: string): StoredTensors {
  const bytes = new Uint8Array(content.buffer, content.byteOffset, content.byteLength); // slices of a Buffer would be views
  const damaged = (what: string): UserError =>
    new UserError(`${file}: expected a safetensors file, but ${what}; the file is damaged or of another kind`);
  if (bytes.length < 8) throw damaged("it is shorter than a header");
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (headerBytes > maxHeaderBytes)
    throw damaged(`its header would be ${headerBytes} bytes long, beyond the format's limit of ${maxHeaderBytes}`);
  if (8 + headerBytes > bytes.length) throw damaged("its header is cut off");
  if (headerBytes > maxOurHeaderBytes)
    throw damaged(`its header is ${headerBytes} bytes long, where at most ${maxOurHeaderBytes} are read`);
  let json: unknown;
  let problem: string | undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + headerBytes));
    json = JSON.parse(text);
    problem = keyProblem(text);
  } catch {
    throw damaged("its header is no JSON");
  }
  if (problem !== undefined) throw damaged(problem);
  const header = headerSchema.safeParse(json);
  if (!header.success) {
    const { path, message } = header.error.issues[0]!;
    throw damaged(`its header is wrong: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const { __metadata__: metadata, ...entries } = header.data;
  const tensors = new Map<string, StoredTensor>();
  const placed = Object.entries(entries).sort(([, a], [, b]) => compareSpans(a.data_offsets, b.data_offsets));
  let at = 8 + headerBytes;
  for (const [name, { dtype, shape, data_offsets: span }] of placed) {
    if (dtype !== "F32" && dtype !== "I32")
      throw damaged(`tensor ${name} has dtype ${dtype}, where F32 and I32 are read`);
    const [begin, end] = [8 + headerBytes + span[0], 8 + headerBytes + span[1]];
    if (begin !== at)
      throw damaged(`tensor ${name} ${begin < at ? "overlaps" : "leaves a gap behind"} the one before it`);
    if (end > bytes.length) throw damaged(`tensor ${name} is cut off`);
    if (end - begin !== 4 * exactSize(shape))
      throw damaged(`tensor ${name} of shape [${shape.join(", ")}] has ${end - begin} bytes`);
    const { buffer } = bytes.slice(begin, end);
    tensors.set(name, { shape, data: dtype === "F32" ? new Float32Array(buffer) : new Int32Array(buffer) });
    at = end;
  }
  if (at !== bytes.length) throw damaged(`${bytes.length - at} bytes follow its last tensor`);
  return { tensors, metadata };
}

const compareSpans = (a: readonly [number, number], b: readonly [number, number]): number => a[0] - b[0] || a[1] - b[1];

/** Number of elements of a shape; NaN where a product on the way is not exact in a double. */
const exactSize = (shape: readonly number[]): number =>
  shape.reduce((product, d) => (Number.isSafeInteger(product * d) ? product * d : NaN), 1);

/** What is wrong with the keys of a JSON text, of which `JSON.parse` says nothing: one that is there twice hides the first, and
 *  `__proto__` is none of data. */
function keyProblem(json: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, text, colon] of json.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(text!) as string;
      if (key === "__proto__") return "its header has the key __proto__";
      if (open.at(-1)!.has(key)) return `its header has the key ${key} twice`;
      open.at(-1)!.add(key);
    }
  }
  return undefined;
}
