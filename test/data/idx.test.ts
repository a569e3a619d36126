// IDX files: what is written is read, and what is malformed is refused with the reason.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { formatIdx, parseIdx, readIdx } from "../../src/data/idx.ts";
import { UserError } from "../../src/errors.ts";

const folder = mkdtempSync(path.join(tmpdir(), "fathom-idx-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
const write = (name: string, bytes: Uint8Array): string => {
  const file = path.join(folder, name);
  writeFileSync(file, bytes);
  return file;
};

test("the bytes are those of the format", () => {
  const bytes = formatIdx({ shape: [2, 300], data: new Uint8Array(600).fill(7) });
  expect([...bytes.subarray(0, 14)]).toEqual([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 1, 44, 7, 7]);
  expect(bytes).toHaveLength(12 + 600);
});

test("what is written is read, packed or not, also from the middle of a buffer", async () => {
  const array = { shape: [2, 1, 3], data: Uint8Array.of(0, 1, 2, 253, 254, 255) };
  const bytes = formatIdx(array);
  const plain = await readIdx(write("a", bytes), 3);
  expect([...plain.shape, ...plain.data]).toEqual([2, 1, 3, 0, 1, 2, 253, 254, 255]);
  const packed = await readIdx(write("a.gz", gzipSync(bytes)), 3);
  expect([...packed.shape, ...packed.data]).toEqual([2, 1, 3, 0, 1, 2, 253, 254, 255]);
  const padded = new Uint8Array(bytes.length + 5);
  padded.set(bytes, 5);
  expect([...parseIdx(padded.subarray(5), 3, "a").data]).toEqual([...array.data]);
});

describe("refused is", () => {
  const good = formatIdx({ shape: [2, 2, 2], data: new Uint8Array(8) });
  const changed = (at: number, value: number): Uint8Array => good.map((byte, i) => (i === at ? value : byte));
  test.each([
    ["an empty file", new Uint8Array(), /f: expected an IDX file with a header of 16 bytes, got 0 bytes in all/],
    ["half a header", good.subarray(0, 10), /header of 16 bytes, got 10 bytes/],
    ["another format", changed(0, 0x89), /magic number 0x00000803\), got magic number 0x89000803/],
    ["another element type", changed(2, 0x0d), /unsigned bytes in 3 dimensions .* got magic number 0x00000d03/],
    ["another number of dimensions", changed(3, 1), /got magic number 0x00000801/],
    ["a file cut short", good.subarray(0, 23), /of 2 x 2 x 2 = 8 bytes, as its header says, got 7 bytes/],
    ["a file with something behind", Uint8Array.of(...good, 0), /= 8 bytes, as its header says, got 9 bytes/],
    ["a header of more than there is", changed(4, 0xff), /4278190082 x 2 x 2 = 17112760328 bytes/],
  ])("%s", (_, bytes, message) => {
    expect(() => parseIdx(bytes, 3, "f")).toThrow(UserError);
    expect(() => parseIdx(bytes, 3, "f")).toThrow(message);
  });

  test("a header whose product is no exact number", () => {
    const bytes = good.map((byte, i) => (i >= 4 && i < 16 ? 0xff : byte));
    expect(() => parseIdx(bytes, 3, "f")).toThrow(/expected an IDX file of 4294967295 x 4294967295 x 4294967295/);
  });

  test("a file that is too large, before it is read", async () => {
    const file = write("large", new Uint8Array());
    truncateSync(file, 2 ** 30 + 1); // a hole
    await expect(readIdx(file, 3)).rejects.toThrow(/expected an IDX file of at most 1073741824 bytes, got 1073741825/);
  });

  test("what is no gzip data, or no file", async () => {
    const file = write("b.gz", good);
    await expect(readIdx(file, 3)).rejects.toThrow(UserError);
    await expect(readIdx(file, 3)).rejects.toThrow(
      /b\.gz: expected gzip data of at most .* got incorrect header check/,
    );
    await expect(readIdx(path.join(folder, "none"), 3)).rejects.toThrow(/none: expected an IDX file that can be read/);
  });
});
