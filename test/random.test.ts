// Random streams: the generator against its published answers, and what the rest of fathom relies on. The statistical
// bounds are five standard errors of the estimate; since streams are pure functions, a test that passes once always does.
import { expect, test } from "vitest";
import { stream, threefry2x32 } from "../src/random.ts";

// Random123's known-answer file kat_vectors, lines "threefry2x32 20": counter, key, result.
test.each([
  { counter: [0, 0], key: [0, 0], words: [0x6b200159, 0x99ba4efe] },
  { counter: [0xffffffff, 0xffffffff], key: [0xffffffff, 0xffffffff], words: [0x1cb996fc, 0xbb002be7] },
  { counter: [0x243f6a88, 0x85a308d3], key: [0x13198a2e, 0x03707344], words: [0xc4923a9c, 0x483df7a0] },
])("Threefry-2x32-20 gives the published answer for counter $counter", ({ counter, key, words }) => {
  const out = new Uint32Array(2);
  threefry2x32(key[0]!, key[1]!, counter[0]!, counter[1]!, out);
  expect([...out]).toEqual(words);
});

const draw = (seed: number, purpose: string, counter?: number, n = 64): number[] => [
  ...stream(seed, purpose).uniform(new Float64Array(n), counter),
];

test("a value depends on seed, purpose and counter alone, not on what was drawn before", () => {
  const used = stream(7, "data");
  used.uniform(new Float64Array(1000));
  used.normal(new Float32Array(9), 4);
  expect([...used.uniform(new Float64Array(64), 3)]).toEqual(draw(7, "data", 3));
  expect(draw(7, "data")).toEqual(draw(7, "data", 0));
  // A longer request begins with the shorter one, so a growing tensor keeps its first values.
  expect(draw(7, "data", 3, 65).slice(0, 64)).toEqual(draw(7, "data", 3));
});

test("seed, purpose and counter each give another sequence, large seeds and near names included", () => {
  const sequences = [
    draw(1, "data"),
    draw(2, "data"),
    draw(1 + 2 ** 32, "data"),
    draw(1, "data", 1),
    draw(1, "date"),
    draw(1, "dropout/encoder/00/self-attention"),
    draw(1, "dropout/encoder/01/self-attention"),
    draw(1, ""),
  ];
  expect(new Set(sequences.map((s) => s.join())).size).toBe(sequences.length);
});

test("streams of neighbouring names, seeds and counters are uncorrelated", () => {
  const n = 20_000;
  const base = draw(1, "init/encoder/00", 0, n);
  for (const other of [
    draw(1, "init/encoder/01", 0, n),
    draw(2, "init/encoder/00", 0, n),
    draw(1, "init/encoder/00", 1, n),
  ]) {
    const covariance = base.reduce((sum, x, i) => sum + (x - 0.5) * (other[i]! - 0.5), 0) / n;
    expect(Math.abs(covariance * 12)).toBeLessThan(5 / Math.sqrt(n)); // a correlation: the variance of a uniform is 1/12
  }
});

test("uniforms lie in [0, 1) and fill it evenly", () => {
  const n = 40_000;
  const values = draw(3, "uniform", 0, n);
  expect(Math.min(...values.slice(0, 1000))).toBeGreaterThanOrEqual(0);
  expect(values.every((x) => x >= 0 && x < 1)).toBe(true);
  const bins = new Array<number>(10).fill(0);
  for (const x of values) bins[Math.floor(x * 10)]!++;
  for (const count of bins) expect(Math.abs(count - n / 10)).toBeLessThan(5 * Math.sqrt((n / 10) * 0.9));
});

test("normals have the moments of a standard normal, without correlation within a Box-Muller pair", () => {
  const n = 100_000;
  const z = stream(5, "normal").normal(new Float64Array(n));
  const mean = (f: (x: number, i: number) => number): number => z.reduce((sum, x, i) => sum + f(x, i), 0) / n;
  const error = (variance: number): number => 5 * Math.sqrt(variance / n);
  expect(Math.abs(mean((x) => x))).toBeLessThan(error(1));
  expect(Math.abs(mean((x) => x ** 2) - 1)).toBeLessThan(error(2));
  expect(Math.abs(mean((x) => x ** 3))).toBeLessThan(error(15));
  expect(Math.abs(mean((x) => x ** 4) - 3)).toBeLessThan(error(96));
  expect(Math.abs(mean((x, i) => (i % 2 ? x * z[i - 1]! : 0)))).toBeLessThan(error(0.5));
  expect(z.every(Number.isFinite)).toBe(true);
});

test.each([0.1, 0.5, 0.9])(
  "dropout at rate %d drops that share and scales the rest so that the mean stays 1",
  (rate) => {
    const n = 100_001; // not a multiple of the four values of a block
    const factors = stream(9, "dropout").dropout(new Float32Array(n), rate, 2);
    const keep = Math.fround(1 / (1 - rate));
    expect(new Set(factors)).toEqual(new Set([0, keep]));
    const kept = factors.reduce((sum, x) => sum + (x > 0 ? 1 : 0), 0) / n;
    expect(Math.abs(kept - (1 - rate))).toBeLessThan(5 * Math.sqrt((rate * (1 - rate)) / n));
    expect(factors[n - 1] === 0 || factors[n - 1] === keep).toBe(true);
  },
);

test("dropout at rate 0 keeps everything", () => {
  expect([...stream(1, "dropout").dropout(new Float32Array(9), 0)]).toEqual(new Array(9).fill(1));
});

test("bernoulli draws 1 with the chance of each place, 0 and 255 of 255 being certain", () => {
  const n = 200_003; // not a multiple of the four values of a block
  const chances = Uint8Array.from({ length: n }, (_, i) => [0, 255, 1, 128, 200, 254, 0][i % 7]!);
  const drawn = stream(6, "bernoulli").bernoulli(new Float32Array(n), chances, 3);
  expect(new Set(drawn)).toEqual(new Set([0, 1]));
  for (const chance of new Set(chances)) {
    const values = [...drawn].filter((_, i) => chances[i] === chance);
    const p = chance / 255;
    const share = values.reduce((sum, x) => sum + x, 0) / values.length;
    if (chance === 0 || chance === 255) expect(share).toBe(p);
    else expect(Math.abs(share - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / values.length));
  }
});

test("what bernoulli draws in a place depends on no other chance, nor on the length", () => {
  const source = stream(6, "bernoulli");
  const draw = (chances: readonly number[]): number[] => [
    ...source.bernoulli(new Float32Array(chances.length), Uint8Array.from(chances), 1),
  ];
  const all = draw(new Array<number>(61).fill(128));
  for (let place = 0; place < 61; place++)
    for (const other of [0, 255]) {
      const alone = all.map((_, i) => (i === place ? 128 : other));
      expect(draw(alone)[place]).toBe(all[place]);
      expect(draw(alone.slice(0, place + 1))[place]).toBe(all[place]);
    }
  expect(source.bernoulli(new Float32Array(61), new Uint8Array(61).fill(128), 2)).not.toEqual(Float32Array.from(all));
});

test("a permutation holds every number once, differs between counters, and puts every number anywhere", () => {
  const source = stream(4, "order");
  const order = source.permutation(1000, 1);
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  expect([...source.permutation(1000, 2)]).not.toEqual([...order]);
  expect([...source.permutation(0)]).toEqual([]);
  expect([...source.permutation(1)]).toEqual([0]);
  // Where 0 lands in 3000 permutations of 3: each place a third of the time.
  const places = [0, 0, 0];
  for (let i = 0; i < 3000; i++) places[source.permutation(3, i).indexOf(0)]!++;
  for (const count of places) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(3000 * (2 / 9)));
});
