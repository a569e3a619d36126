// safetensors files: what we write we read, others can read, and damage is refused by name.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { encodeSafetensors, readSafetensors, type StoredTensor } from "../../src/train/safetensors.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-safetensors-"));
const file = join(folder, "t.safetensors");
const roundTrip = (tensors: Map<string, StoredTensor>, metadata?: Record<string, string>) => {
  writeFileSync(file, encodeSafetensors(tensors, metadata));
  return readSafetensors(file);
};
const example = new Map<string, StoredTensor>([
  ["z/weight", { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, NaN, -Infinity, 1e-45) }],
  ["a/ids", { shape: [3], data: Int32Array.of(-1, 0, 2147483647) }],
  ["scalar", { shape: [], data: Float32Array.of(7) }],
  ["empty", { shape: [0, 4], data: new Float32Array(0) }],
]);

test("what is written is read again, every bit of it, NaN, infinities and denormals included", () => {
  const { tensors, metadata } = roundTrip(example, { format: "fathom" });
  expect(metadata).toEqual({ format: "fathom" });
  expect(tensors.size).toBe(4);
  for (const [name, { shape, data }] of example) {
    const read = tensors.get(name)!;
    expect(read.shape).toEqual(shape);
    expect(read.data.constructor).toBe(data.constructor);
    expect(new Uint8Array(read.data.buffer)).toEqual(new Uint8Array(data.buffer));
  }
});

test("any names and any numbers survive", () => {
  const tensor = fc.float32Array().map((data): StoredTensor => ({ shape: [data.length], data }));
  const name = fc.string().filter((text) => text !== "__metadata__" && text !== "__proto__");
  fc.assert(
    fc.property(fc.dictionary(name, tensor), (record) => {
      const given = new Map(Object.entries(record));
      expect(roundTrip(given).tensors).toEqual(new Map([...given].sort(([a], [b]) => (a < b ? -1 : 1))));
    }),
    { numRuns: 50, seed: 1 },
  );
});

test("a view into a larger buffer is stored alone", () => {
  const memory = Float32Array.of(9, 1, 2, 9);
  const { tensors } = roundTrip(new Map([["v", { shape: [2], data: memory.subarray(1, 3) }]]));
  expect([...tensors.get("v")!.data]).toEqual([1, 2]);
});

test("the layout is the format's: header length, JSON of sorted names, tensors from a multiple of 8 bytes, no gaps", () => {
  roundTrip(example, { format: "fathom" });
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  expect(length % 8).toBe(0);
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const { __metadata__: metadata, ...entries } = header;
  expect(metadata).toEqual({ format: "fathom" });
  expect(Object.keys(entries)).toEqual(["a/ids", "empty", "scalar", "z/weight"]);
  expect(entries["a/ids"]).toEqual({ dtype: "I32", shape: [3], data_offsets: [0, 12] });
  let at = 0;
  for (const { data_offsets: span } of Object.values(entries)) {
    expect(span[0]).toBe(at);
    at = span[1];
  }
  expect(bytes.length).toBe(8 + length + at);
  expect(bytes.readInt32LE(8 + length)).toBe(-1);
});

test("equal tensors give equal bytes, whatever order they came in", () => {
  const reversed = new Map([...example].reverse());
  expect(encodeSafetensors(reversed)).toEqual(encodeSafetensors(example));
});

describe("a damaged file is the user's error and is named", () => {
  const whole = Buffer.from(encodeSafetensors(example));
  const header = (text: string): Buffer => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
    return Buffer.concat([length, Buffer.from(text), Buffer.alloc(16)]);
  };
  const entry = (changes: object): Buffer =>
    header(JSON.stringify({ w: { dtype: "F32", shape: [4], data_offsets: [0, 16], ...changes } }));
  const negative = Buffer.from(whole);
  negative.writeBigUInt64LE(2n ** 63n);

  test.each<[string, Buffer]>([
    ["empty", Buffer.alloc(0)],
    ["cut off in its length", whole.subarray(0, 5)],
    ["cut off in its header", whole.subarray(0, 40)],
    ["cut off in its tensors", whole.subarray(0, whole.length - 1)],
    ["an absurd header length", negative],
    ["no JSON", header("{ not json")],
    ["JSON, but no mapping", header("[1, 2]")],
    ["JSON null", header("null")],
    ["another element type", entry({ dtype: "F64" })],
    ["a shape that does not fit its bytes", entry({ shape: [5] })],
    ["offsets past the end", entry({ data_offsets: [8, 24] })],
    ["offsets before the beginning", entry({ data_offsets: [-8, 8] })],
    ["offsets the wrong way round", entry({ shape: [], data_offsets: [4, 0] })],
    ["a negative shape", entry({ shape: [-2, -2] })],
    ["an entry that is no tensor", header('{"w": 5}')],
    ["an entry without offsets", entry({ data_offsets: null })],
  ])("%s", (_, bytes) => {
    writeFileSync(file, bytes);
    expect(() => readSafetensors(file)).toThrow(UserError);
    expect(() => readSafetensors(file)).toThrow(file);
  });

  test("a file that is not there", () => {
    const missing = join(folder, "missing.safetensors");
    expect(() => readSafetensors(missing)).toThrow(UserError);
    expect(() => readSafetensors(missing)).toThrow(missing);
  });
});
