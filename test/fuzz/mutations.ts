// What becomes of a valid file in the hands of chance: changed bytes, pieces that mean something put in, parts repeated or
// left out, cut off. Shared by all tests that feed readers with damaged files.

import fc from "fast-check";

/** Numbers at the ends of 32 bits, little-endian. */
const words = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff].map((word) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(word);
  return bytes;
});
/** Bytes that are no UTF-8, or begin something else. */
const broken = [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x9f], [0xff, 0xfe], [0x1f, 0x8b]].map((b) =>
  Buffer.from(b),
);

/** JSON of an example with one value in it replaced: still JSON, and so read further than a file with changed bytes. With `lines`
 *  the example is a file of JSON lines, and it is in one of these. */
export function altered(example: Buffer, lines = false): fc.Arbitrary<Buffer> {
  const whole = example.toString().trimEnd();
  const texts = lines ? whole.split("\n") : [whole];
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>(
      -1,
      0.5,
      2 ** 31,
      2 ** 32 - 2,
      2 ** 53,
      1e300,
      "",
      "NaN",
      "../../x",
      "a\0b",
      "\ud800",
      null,
    ),
    fc.constantFrom<unknown>({ toString: 1, valueOf: 1 }, JSON.parse('{"__proto__":{"polluted":1}}'), [null], [[]]),
    fc.constantFrom(50, 20_000).map((depth) => JSON.parse("[".repeat(depth) + "]".repeat(depth)) as unknown),
  );
  return fc.tuple(fc.nat(), fc.array(fc.nat(), { maxLength: 5 }), value).map(([pick, path, value]) => {
    const line = pick % texts.length;
    const mark = "a value that is replaced as text, since JSON.stringify calls itself level by level";
    const root = { of: JSON.parse(texts[line]!) as unknown };
    let [parent, key]: [Record<string, unknown>, string] = [root, "of"];
    for (const step of path) {
      const inner = parent[key];
      if (typeof inner !== "object" || inner === null || Object.keys(inner).length === 0) break;
      [parent, key] = [inner as Record<string, unknown>, Object.keys(inner)[step % Object.keys(inner).length]!];
    }
    parent[key] = mark;
    const text = JSON.stringify(root.of).replace(JSON.stringify(mark), () => jsonOf(value));
    return Buffer.from([...texts.slice(0, line), text, ...texts.slice(line + 1), ""].join("\n"));
  });
}

/** JSON of any depth. */
function jsonOf(value: unknown): string {
  let depth = 0;
  for (let inner = value; Array.isArray(inner) && inner.length === 1; inner = inner[0] as unknown) depth++;
  return depth > 100 ? "[".repeat(depth) + "]".repeat(depth) : JSON.stringify(value);
}

type Change = (bytes: Buffer) => Buffer;
const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const cut = (bytes: Buffer, at: number): number => Math.floor(at * (bytes.length + 1));

/** A file with one to six changes. `pieces`: what means something in its format. */
export function mutated(bytes: Buffer, pieces: readonly string[]): fc.Arbitrary<Buffer> {
  const put = [...pieces.map((text) => Buffer.from(text)), ...words, ...broken];
  const change: fc.Arbitrary<Change> = fc.oneof(
    fc.tuple(place, fc.nat(255)).map(([at, byte]): Change => (bytes) => {
      const changed = Buffer.from(bytes);
      if (bytes.length > 0) changed[Math.min(cut(bytes, at), bytes.length - 1)] = byte;
      return changed;
    }),
    fc.tuple(place, fc.constantFrom(...put), fc.boolean()).map(([at, piece, over]): Change => (bytes) => {
      const from = cut(bytes, at);
      return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(from + (over ? piece.length : 0))]);
    }),
    fc.tuple(place, place, fc.integer({ min: 0, max: 3 })).map(([a, b, times]): Change => (bytes) => {
      const [from, to] = [cut(bytes, a), cut(bytes, b)].sort((x, y) => x - y) as [number, number];
      const part = bytes.subarray(from, to);
      return Buffer.concat([bytes.subarray(0, from), ...Array<Buffer>(times).fill(part), bytes.subarray(to)]);
    }),
    place.map(
      (at): Change =>
        (bytes) =>
          bytes.subarray(0, cut(bytes, at)),
    ),
  );
  return fc
    .array(change, { minLength: 1, maxLength: 6 })
    .map((changes) => changes.reduce((all, one) => one(all), bytes));
}
