// safetensors files: what we write we read, others can read, and damage is refused by name.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  readSafetensors,
  type StoredTensor,
} from "../../src/train/safetensors.ts";

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
  /** Two tensors in 16 bytes. */
  const pair = (a: [number, number], b: [number, number]): Buffer =>
    header(
      JSON.stringify(
        Object.fromEntries(
          Object.entries({ a, b }).map(([name, span]) => [
            name,
            { dtype: "F32", shape: [(span[1] - span[0]) / 4], data_offsets: span },
          ]),
        ),
      ),
    );
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

  const w = '"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}';
  const invalidUtf8 = header('{"__metadata__": {"a": "b"}}');
  invalidUtf8[invalidUtf8.indexOf('"b"') + 1] = 0xff;
  test.each<[string, Buffer, string]>([
    ["a header longer than the format allows", negative, "beyond the format's limit of 100000000"],
    ["tensors that overlap", pair([0, 8], [4, 16]), "tensor b overlaps the one before it"],
    ["a gap between tensors", pair([0, 4], [8, 16]), "tensor b leaves a gap behind the one before it"],
    ["a gap before the first", entry({ shape: [2], data_offsets: [8, 16] }), "tensor w leaves a gap behind"],
    ["bytes behind the last tensor", entry({ shape: [3], data_offsets: [0, 12] }), "4 bytes follow its last tensor"],
    ["another element type", entry({ dtype: "BF16" }), "tensor w has dtype BF16, where F32 and I32 are read"],
    [
      "a shape whose size overflows",
      entry({ shape: [2 ** 33, 2 ** 33] }),
      "tensor w of shape [8589934592, 8589934592]",
    ],
    ["a shape whose size overflows, and then is 0", entry({ shape: [2 ** 52, 2 ** 52, 0] }), "has 16 bytes"],
    ["a tensor twice", header(`{${w}, ${w}}`), "its header has the key w twice"],
    ["a tensor twice, once written otherwise", header(`{${w}, ${w.replace('"w"', '"\\u0077"')}}`), "the key w twice"],
    ["a shape twice", header(`{${w.replace("{", '{"shape": [2], ')}}`), "its header has the key shape twice"],
    ["a tensor named __proto__", header(`{${w.replace('"w"', '"__proto__"')}}`), "its header has the key __proto__"],
    ["text that is no UTF-8", invalidUtf8, "its header is no JSON"],
    ["metadata that are no texts", header('{"__metadata__": {"a": 1}}'), "its header is wrong: __metadata__.a: "],
  ])("%s, with what is wrong", (_, bytes, message) => {
    writeFileSync(file, bytes);
    const read = (): unknown => readSafetensors(file);
    expect(read).toThrow(UserError);
    expect(read).toThrow(`${file}: expected a safetensors file, but `);
    expect(read).toThrow(message);
  });

  test("any one flipped bit of its header is refused, or leaves a file that is one", () => {
    const headerBytes = 8 + Number(whole.readBigUInt64LE());
    let refused = 0;
    for (let bit = 0; bit < 8 * headerBytes; bit++) {
      const flipped = Buffer.from(whole);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      try {
        decodeSafetensors(flipped, file); // a letter of a name may change, and nothing here knows the names
      } catch (error) {
        refused++;
        expect(error).toBeInstanceOf(UserError);
      }
    }
    expect(refused).toBeGreaterThan(4 * headerBytes);
  });

  test("a file that is not there", () => {
    const missing = join(folder, "missing.safetensors");
    expect(() => readSafetensors(missing)).toThrow(UserError);
    expect(() => readSafetensors(missing)).toThrow(missing);
  });
});
