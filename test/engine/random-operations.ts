// Draws programs: how each operation of the op set is called on values there are, and what shape and size of numbers comes out. Numbers
// are kept tame, so that engines that differ are wrong and not merely unlucky: every value carries bounds, and an operation is only
// called where it is smooth and nothing grows beyond `largest`.
//
// What TensorFlow.js (4.22) has no gradient of, or what its own JavaScript kernels do not compute, is left out: maximum, minimum and
// where under broadcasting, matMul whose batch broadcasts, sums over an axis of size 0 back to one of size 1, unstack to one, gather
// from an axis of size 0, what is cut from an empty concat or stack, and the gradient of prod, which is called behind stopGradient.
import { Arbitrary, type Random, Stream, toStringMethod, Value as Generated } from "fast-check";
import { sizeOf } from "../../src/stage.ts";
import {
  codeOf,
  complete,
  type Data,
  type Leaf,
  type Program,
  type Shape,
  smaller,
  type Term,
  type Value,
} from "./random-programs.ts";

/** Bound of all numbers of a program. */
const largest = 300;
/** Elements of a value at most. */
const most = 160;

/** An integer within [from, to]. */
type Draw = (from: number, to: number) => number;

/** A program in the making. */
function sketch(draw: Draw) {
  const values: Value[] = [];
  let stage = 0;
  const chance = (percent: number): boolean => draw(1, 100) <= percent;
  const pick = <T>(list: readonly T[]): T => list[draw(0, list.length - 1)]!;
  const number = (low: number, high: number): number => draw(Math.ceil(low * 1e3), Math.floor(high * 1e3)) / 1e3;
  const numbers = (size: number, low: number, high: number): number[] =>
    Array.from({ length: size }, () => number(low, high));
  const integers = (size: number, below: number): number[] => Array.from({ length: size }, () => draw(0, below - 1));
  const leaf = (shape: Shape, low = -2, high = 2): number => {
    const kinds: Leaf["leaf"][] = ["parameter", "parameter", "parameter", "parameter", "batch"];
    if (!shape.length) kinds.push("constant", "constant");
    if (low === -2 && high === 2 && chance(10)) kinds.push("noise");
    const kind = pick(kinds);
    // Normals beyond 5 are not drawn in a lifetime.
    const bounds = kind === "noise" ? { low: -5, high: 5 } : { low, high };
    const drawn = kind === "noise" ? [] : numbers(sizeOf(shape), low, high);
    return values.push({ shape, ...bounds, from: { leaf: kind, numbers: drawn } }) - 1;
  };
  const bound = (i: number): number => Math.max(Math.abs(values[i]!.low), Math.abs(values[i]!.high));
  const shapeOf = (i: number): Shape => values[i]!.shape;
  /** A value there is that `fits`, late ones rather than early ones. */
  const find = (fits: (i: number) => boolean): number | undefined => {
    const found = [...values.keys()].filter((i) => sizeOf(values[i]!.shape) <= most && fits(i));
    if (!found.length) return undefined;
    return chance(60) ? found.at(-1 - draw(0, Math.min(1, found.length - 1)))! : pick(found);
  };
  const emit = (
    call: string,
    of: readonly Term[],
    shape: Shape,
    [low, high]: readonly [number, number],
    at?: number,
  ) => {
    if (Math.max(-low, high) > largest || sizeOf(shape) > most || shape.length > 4) return undefined;
    return values.push({ shape, low, high, from: { call, of, stage, ...(at !== undefined && { at }) } }) - 1;
  };
  return {
    values,
    draw,
    chance,
    pick,
    number,
    numbers,
    integers,
    leaf,
    bound,
    shapeOf,
    find,
    emit,
    stage: () => stage,
    nextStage: () => void stage++,
    /** A value of this shape within the bounds. */
    shaped(shape: Shape, limit = largest): number {
      const fits = (i: number): boolean => shapeOf(i).join() === shape.join() && bound(i) <= limit;
      return (chance(60) ? find(fits) : undefined) ?? leaf(shape, -Math.min(2, limit), Math.min(2, limit));
    },
    /** A value whose shape `fits` with numbers of at most `limit`; a new leaf of `shape` where there is none, and now and then. */
    some(limit = largest, fits: (shape: Shape) => boolean = () => true, shape?: () => Shape): number {
      const found = find((i) => bound(i) <= limit && fits(shapeOf(i)));
      if (found !== undefined && (chance(85) || !shape)) return found;
      return leaf(shape ? shape() : randomShape(draw, 0, 4), -Math.min(2, limit), Math.min(2, limit));
    },
  };
}
type Sketch = ReturnType<typeof sketch>;

/** A shape of small dimensions, 1 often, 0 rarely. */
function randomShape(draw: Draw, leastRank: number, mostRank: number, least = 0): number[] {
  const rank = draw(leastRank, mostRank);
  return Array.from({ length: rank }, () => {
    const d = draw(-1, 22);
    if (d < 0) return Math.max(0, least);
    return d < 5 ? 1 : rank > 3 ? 2 + (d % 2) : 2 + (d % 4);
  });
}

const v = (value: number): Term => ({ value });
const data = (dtype: Data["dtype"], shape: Shape, numbers: readonly number[]): Term => ({
  data: { dtype, shape, numbers },
});
const stopped = (term: Term): Term => ({ call: "stopGradient", of: [term] });
const isFull = (shape: Shape): boolean => sizeOf(shape) > 0;

/** Appends a call of the operation, and what it needs; appends nothing, or a part of it, where numbers would grow too large. */
type Maker = (s: Sketch) => unknown;
type Bounds = readonly [number, number];

/** A function of single numbers of at most `limit`; `bounds` are those of what comes out, given those of what goes in. */
const unary =
  (call: string, bounds: (low: number, high: number) => Bounds, limit = largest, more: readonly Term[] = []): Maker =>
  (s) => {
    const x = s.some(limit);
    s.emit(call, [v(x), ...more], s.shapeOf(x), bounds(s.values[x]!.low, s.values[x]!.high));
  };

/** A value of numbers of at least 0.1: one there is, or a square and a half. */
function positive(s: Sketch, limit: number): number {
  const known = s.chance(50) ? s.find((i) => s.values[i]!.low >= 0.1 && s.bound(i) <= limit) : undefined;
  if (known !== undefined) return known;
  const x = s.some(Math.min(8, Math.sqrt(limit - 0.5)));
  const square = s.emit("tf.square", [v(x)], s.shapeOf(x), [0, s.bound(x) ** 2])!;
  return s.emit("tf.add", [v(square), 0.5], s.shapeOf(x), [0.5, s.bound(x) ** 2 + 0.5])!;
}
const unaryOfPositive =
  (call: string, bounds: (low: number, high: number) => Bounds): Maker =>
  (s) => {
    const x = positive(s, 100);
    s.emit(call, [v(x)], s.shapeOf(x), bounds(s.values[x]!.low, s.values[x]!.high));
  };

/** Whether shapes broadcast, to what, and none of their axes of size 0 to one of size 1. */
function broadcast(a: Shape, b: Shape): Shape | undefined {
  if (!a.length || !b.length) return a.length ? a : b;
  const rank = Math.max(a.length, b.length);
  const [x, y] = [a, b].map((shape) => [...new Array<number>(rank - shape.length).fill(1), ...shape]) as unknown as [
    Shape,
    Shape,
  ];
  if (x.some((d, i) => d !== y[i] && (d === 0 || y[i] === 0 || (d !== 1 && y[i] !== 1)))) return undefined;
  return x.map((d, i) => Math.max(d === 1 ? y[i]! : d, 0));
}

/** Another operand for `a` under broadcasting: a literal, a value there is, one row, one column, or one of the same shape. */
function partner(
  s: Sketch,
  a: number,
  limit: number,
  literals: boolean,
): { term: Term; shape: Shape; low: number; high: number } {
  const shape = s.shapeOf(a);
  if (literals && s.chance(20)) {
    const x = s.pick([0.5, 2, -1, 1, 0, 1.5, -0.25]);
    return { term: x, shape: [], low: x, high: x };
  }
  const known = s.find((i) => i !== a && s.bound(i) <= limit && broadcast(shape, s.shapeOf(i)) !== undefined);
  let i = s.chance(60) ? known : undefined;
  if (i === undefined) {
    const shrunk = s.pick([
      shape,
      [],
      shape.slice(-1),
      shape.slice(1),
      shape.map((d, axis) => (axis === shape.length - 1 ? 1 : d)),
      shape.map((d) => (s.chance(50) ? 1 : d)),
    ]);
    i = s.leaf(broadcast(shape, shrunk) ? shrunk : shape, -Math.min(2, limit), Math.min(2, limit));
  }
  return { term: v(i), shape: s.shapeOf(i), low: s.values[i]!.low, high: s.values[i]!.high };
}

const products = (a: Bounds, b: Bounds): Bounds => {
  const all = a.flatMap((x) => b.map((y) => x * y));
  return [Math.min(...all), Math.max(...all)];
};
const boundsOf = (s: Sketch, i: number): Bounds => [s.values[i]!.low, s.values[i]!.high];
const around = (m: number): Bounds => [-m, m];

const binary =
  (call: string, bounds: (a: Bounds, b: Bounds) => Bounds): Maker =>
  (s) => {
    const a = s.some();
    const b = partner(s, a, largest, true);
    const shape = broadcast(s.shapeOf(a), b.shape)!;
    const [x, y]: [Bounds, Bounds] = [boundsOf(s, a), [b.low, b.high]];
    if (s.chance(50)) s.emit(call, [v(a), b.term], shape, bounds(x, y));
    else s.emit(call, [b.term, v(a)], shape, bounds(y, x));
  };

const sameShapes =
  (call: string, bounds: (a: Bounds, b: Bounds) => Bounds): Maker =>
  (s) => {
    const a = s.some();
    const b = s.shaped(s.shapeOf(a));
    s.emit(call, [v(a), v(b)], s.shapeOf(a), bounds(boundsOf(s, a), boundsOf(s, b)));
  };

/** `where` of a comparison: of values, or of one with a number. */
const choosing =
  (compare: (a: Term, b: Term) => Term): Maker =>
  (s) => {
    const a = s.some();
    const shape = s.shapeOf(a);
    const [b, c, d] = [s.shaped(shape), s.shaped(shape), s.shaped(shape)];
    const condition = compare(stopped(v(a)), s.chance(30) ? s.number(-1, 1) : stopped(v(b)));
    s.emit("tf.where", [condition, v(c), v(d)], shape, [
      Math.min(s.values[c]!.low, s.values[d]!.low),
      Math.max(s.values[c]!.high, s.values[d]!.high),
    ]);
  };
const comparing = (call: string): Maker => choosing((a, b) => ({ call, of: [a, b] }));

/** A reduction over some axes, all, or the last, counted from either end. */
const reducing =
  (call: string, bounds: (count: number, x: Bounds) => Bounds, needsSome: boolean, isStopped = false): Maker =>
  (s) => {
    const x = s.some();
    const shape = s.shapeOf(x);
    const over = s.chance(25) ? undefined : [...shape.keys()].filter(() => s.chance(50));
    const axes = over ?? [...shape.keys()];
    const count = axes.reduce((n, axis) => n * shape[axis]!, 1);
    if (needsSome && count === 0) return;
    const keep = s.chance(40);
    const given = over && (s.chance(30) && !isStopped ? over.map((axis) => axis - shape.length) : over);
    const left = shape.flatMap((d, i) => (axes.includes(i) ? (keep ? [1] : []) : [d]));
    s.emit(call, [isStopped ? stopped(v(x)) : v(x), given, keep], left, bounds(count, boundsOf(s, x)));
  };

const rows =
  (call: string, bounds: (width: number, m: number) => Bounds): Maker =>
  (s) => {
    const isRow = (shape: Shape): boolean => shape.length > 0 && shape.at(-1)! > 0;
    const x = s.some(100, isRow, () => [...randomShape(s.draw, 0, 2), s.draw(1, 5)]);
    s.emit(call, [v(x)], s.shapeOf(x), bounds(s.shapeOf(x).at(-1)!, s.bound(x)));
  };

function matMul(s: Sketch): void {
  const a = s.some(
    largest,
    (shape) => shape.length >= 2,
    () => randomShape(s.draw, 2, 4),
  );
  const [transposeA, transposeB] = [s.chance(30), s.chance(30)];
  const shape = s.shapeOf(a);
  const batch = shape.slice(0, -2);
  const [n, k] = transposeA ? [shape.at(-1)!, shape.at(-2)!] : [shape.at(-2)!, shape.at(-1)!];
  const fits = (i: number): boolean =>
    s.shapeOf(i).length === shape.length &&
    batch.every((d, axis) => d === s.shapeOf(i)[axis]) &&
    s.shapeOf(i).at(transposeB ? -1 : -2) === k;
  const m = s.draw(1, 5);
  const b = (s.chance(60) ? s.find(fits) : undefined) ?? s.leaf([...batch, ...(transposeB ? [m, k] : [k, m])]);
  const columns = s.shapeOf(b).at(transposeB ? -2 : -1)!;
  s.emit(
    "tf.matMul",
    [v(a), v(b), transposeA, transposeB],
    [...batch, n, columns],
    around(k * s.bound(a) * s.bound(b)),
  );
}

/** A function that moves numbers about. */
const moving =
  (
    call: string,
    how: (s: Sketch, shape: Shape) => { more: readonly Term[]; shape: Shape } | undefined,
    fits: (shape: Shape) => boolean = (shape) => shape.length > 0,
    withZero = false,
  ): Maker =>
  (s) => {
    const x = s.some(largest, fits, () => [...randomShape(s.draw, 0, 2), s.draw(1, 4)]);
    const moved = how(s, s.shapeOf(x));
    const [low, high] = boundsOf(s, x);
    if (moved)
      s.emit(call, [v(x), ...moved.more], moved.shape, withZero ? [Math.min(0, low), Math.max(0, high)] : [low, high]);
  };

function reshaped(s: Sketch, shape: Shape): { more: readonly Term[]; shape: Shape } {
  const n = sizeOf(shape);
  if (n === 0) {
    const reversed = shape.toReversed();
    return { more: [reversed], shape: reversed };
  }
  const divisors = [1, 2, 3, 4, 5, 6].filter((d) => n % d === 0);
  const [a, b] = [s.pick(divisors), s.pick(divisors)];
  const to = s.pick([
    [n],
    [a, n / a],
    [1, n],
    [n, 1],
    [a, 1, n / a],
    ...((n / a) % b ? [] : [[a, b, n / a / b]]),
    ...(n === 1 ? [[]] : []),
  ]);
  const open = s.chance(30) && to.length ? to.with(-1, -1) : to;
  return { more: [open], shape: to };
}

function joined(s: Sketch): void {
  const a = s.some(
    largest,
    (shape) => shape.length > 0,
    () => randomShape(s.draw, 1, 3),
  );
  const shape = s.shapeOf(a);
  const axis = s.draw(0, shape.length - 1);
  const fits = (i: number): boolean =>
    s.shapeOf(i).length === shape.length && s.shapeOf(i).every((d, j) => j === axis || d === shape[j]);
  const others = Array.from(
    { length: s.draw(1, 2) },
    () => (s.chance(60) ? s.find(fits) : undefined) ?? s.leaf(shape.with(axis, s.draw(1, 3))),
  );
  const all = s.chance(50) ? [a, ...others] : [...others, a];
  if (!all.some((i) => isFull(s.shapeOf(i)))) return;
  const length = all.reduce((sum, i) => sum + s.shapeOf(i)[axis]!, 0);
  const given = s.chance(30) ? axis - shape.length : axis;
  s.emit("tf.concat", [all.map(v), given], shape.with(axis, length), hull(s, all));
}
const hull = (s: Sketch, all: readonly number[]): Bounds => [
  Math.min(...all.map((i) => s.values[i]!.low)),
  Math.max(...all.map((i) => s.values[i]!.high)),
];

function stacked(s: Sketch): void {
  const a = s.some(
    largest,
    (shape) => shape.length < 4,
    () => randomShape(s.draw, 0, 2),
  );
  const shape = s.shapeOf(a);
  if (!isFull(shape)) return;
  const all = [a, ...Array.from({ length: s.draw(0, 2) }, () => s.shaped(shape))];
  const axis = s.draw(0, shape.length);
  s.emit("tf.stack", [all.map(v), axis], shape.toSpliced(axis, 0, all.length), hull(s, all));
}

function unstacked(s: Sketch): void {
  const x = s.some(
    largest,
    (shape) => shape.some((d) => d > 1),
    () => [3, ...randomShape(s.draw, 0, 2)],
  );
  const shape = s.shapeOf(x);
  const axes = [...shape.keys()].filter((axis) => shape[axis]! > 1);
  if (!axes.length) return;
  const axis = s.pick(axes);
  for (let k = s.draw(1, 2); k > 0; k--)
    s.emit("tf.unstack", [v(x), axis], shape.toSpliced(axis, 1), boundsOf(s, x), s.draw(0, shape[axis]! - 1));
}

function splitUp(s: Sketch): void {
  const x = s.some(
    largest,
    (shape) => shape.length > 0 && isFull(shape),
    () => [4, ...randomShape(s.draw, 0, 2, 1)],
  );
  const shape = s.shapeOf(x);
  if (!shape.length || !isFull(shape)) return;
  const axis = s.draw(0, shape.length - 1);
  const d = shape[axis]!;
  const first = s.draw(0, d);
  const halves = d % 2 === 0 && s.chance(50);
  const sizes = halves ? [d / 2, d / 2] : [first, d - first];
  const ends = s.pick([[0], [1], [0, 1], [1, 0]]);
  for (const at of ends)
    s.emit("tf.split", [v(x), halves ? 2 : sizes, axis], shape.with(axis, sizes[at]!), boundsOf(s, x), at);
}

function gathered(s: Sketch): void {
  const x = s.some(
    largest,
    (shape) => shape.length > 0,
    () => randomShape(s.draw, 1, 3, 1),
  );
  const shape = s.shapeOf(x);
  if (!shape.length) return;
  const axis = s.chance(70) ? 0 : s.draw(0, shape.length - 1);
  if (!shape[axis]) return;
  const count = s.draw(0, 4);
  const at = data("int32", [count], s.integers(count, shape[axis]!));
  s.emit("tf.gather", [v(x), at, axis], shape.with(axis, count), boundsOf(s, x));
}

function looked(s: Sketch): void {
  const x = s.some(
    largest,
    (shape) => shape.length === 2 && isFull(shape),
    () => [s.draw(1, 5), s.draw(1, 4)],
  );
  const shape = s.shapeOf(x);
  if (shape.length !== 2 || !isFull(shape)) return;
  const at = randomShape(s.draw, 1, 2);
  const ids = data("int32", at, s.integers(sizeOf(at), shape[0]!));
  s.emit("embeddingLookup", [v(x), ids], [...at, shape[1]!], boundsOf(s, x));
}

/** Queries, keys, and what is added to their scores. Width 0 has no scores. */
function heads(s: Sketch) {
  const fits = (shape: Shape): boolean => shape.length === 4 && shape[3]! > 0;
  const q = s.some(6, fits, () => [s.draw(0, 2), s.draw(1, 2), s.draw(1, 4), s.draw(1, 4)]);
  if (!fits(s.shapeOf(q))) return undefined;
  const [batch, count, queries, width] = s.shapeOf(q) as [number, number, number, number];
  const keys = s.draw(1, 4);
  const k = s.shaped([batch, count, keys, width], 6);
  const masked = Array.from({ length: batch * keys }, (_, i) => (i % keys > 0 && s.chance(25) ? -1e9 : 0));
  const mask = data("float32", [batch, 1, 1, keys], masked);
  return { q, k, mask, batch, count, queries, keys, width, scores: [batch, count, queries, keys] };
}

function attended(s: Sketch): void {
  const h = heads(s);
  if (!h) return;
  const { q, k, mask, batch, count, queries, keys, width, scores } = h;
  const values = s.chance(30) ? k : s.shaped([batch, count, keys, width]);
  const dropout = s.chance(30)
    ? [
        data(
          "float32",
          scores,
          s.integers(sizeOf(scores), 3).map((i) => (i ? 1.5 : 0)),
        ),
      ]
    : [];
  const bounds = around(1.5 * s.bound(values));
  s.emit(
    "scaledDotProductAttention",
    [v(q), v(k), v(values), mask, ...dropout],
    [batch, count, queries, width],
    bounds,
  );
}

function scored(s: Sketch): void {
  const h = heads(s);
  if (h)
    s.emit(
      "attentionScores",
      [v(h.q), v(h.k), s.number(-1, 1)],
      h.scores,
      around(1 + 2 * s.bound(h.q) * s.bound(h.k) * h.width),
    );
}
function weighed(s: Sketch): void {
  const h = heads(s);
  if (h) s.emit("attentionProbabilities", [v(h.q), v(h.k), h.mask], h.scores, [0, 1]);
}

function crossEntropy(s: Sketch): void {
  const x = s.some(
    20,
    (shape) => shape.length === 2 && shape[1]! > 0,
    () => [s.draw(0, 4), s.draw(1, 4)],
  );
  const shape = s.shapeOf(x);
  if (shape.length !== 2 || !shape[1]) return;
  const vocabulary = s.draw(1, 5);
  const [weight, bias] = [s.shaped([shape[1], vocabulary], 4), s.shaped([vocabulary], 20)];
  const labels = data("int32", [shape[0]!], s.integers(shape[0]!, vocabulary));
  const most = 2 * (shape[1] * s.bound(x) * s.bound(weight) + s.bound(bias)) + 2;
  s.emit("linearCrossEntropy", [v(x), v(weight), v(bias), labels, s.pick([0, 0.1])], [shape[0]!], [0, most]);
}

function bernoulli(s: Sketch): void {
  const fits = (shape: Shape): boolean => shape.length === 2 && isFull(shape);
  const x = s.some(20, fits, () => [s.draw(1, 4), s.draw(1, 6)]);
  if (!fits(s.shapeOf(x))) return;
  const [n, pixels] = s.shapeOf(x) as [number, number];
  const images = n % 2 === 0 && s.chance(50) ? n / 2 : n;
  const given = data(
    "float32",
    [images, pixels],
    s.integers(images * pixels, 4).map((i) => [0, 1, 0.3, 0.9][i]!),
  );
  s.emit("bernoulliLogLikelihood", [v(x), given], [n], around(pixels * (2 * s.bound(x) + 1)));
}

const normalizing =
  (kind: "layerNormalization" | "rmsNormalization"): Maker =>
  (s) => {
    const fits = (shape: Shape): boolean => shape.length > 0 && shape.at(-1)! > 0;
    const x = s.some(100, fits, () => [...randomShape(s.draw, 0, 2), s.draw(1, 6)]);
    const width = s.shapeOf(x).at(-1)!;
    const [gain, bias] = [s.shaped([width], 20), s.chance(70) ? s.shaped([width], 100) : undefined];
    const most = Math.sqrt(width) * s.bound(gain);
    if (kind === "rmsNormalization") s.emit(kind, [v(x), v(gain), s.pick([1e-5, 1e-2])], s.shapeOf(x), around(most));
    else
      s.emit(
        kind,
        [v(x), v(gain), bias === undefined ? undefined : v(bias), s.pick([1e-5, 1e-2])],
        s.shapeOf(x),
        around(most + (bias === undefined ? 0 : s.bound(bias))),
      );
  };

function inverseRms(s: Sketch): void {
  const fits = (shape: Shape): boolean => shape.length > 0 && shape.at(-1)! > 0;
  const x = s.some(100, fits, () => [...randomShape(s.draw, 0, 2), s.draw(1, 6)]);
  s.emit("inverseRms", [v(x), 1e-2], s.shapeOf(x).with(-1, 1), [1 / Math.sqrt(s.bound(x) ** 2 + 1e-2), 10]);
}

function sinkhorn(s: Sketch): void {
  const fits = (shape: Shape): boolean => shape.length === 3 && shape[0] === shape[1] && shape[0]! > 0;
  const n = s.draw(1, 3);
  const x = s.some(10, fits, () => [n, n, s.draw(0, 3)]);
  if (fits(s.shapeOf(x))) s.emit("sinkhorn", [v(x), s.draw(1, 3)], s.shapeOf(x), [0, 1]);
}

/** Of a matrix as it was drawn: one that is computed may be zero, which has no norm to divide by. */
function spectralNorm(s: Sketch): void {
  const w = s.leaf(s.pick([randomShape(s.draw, 2, 2, 1), randomShape(s.draw, 4, 4, 1)]), 0.1, 2);
  // |w| <= 2, and sigma of positive numbers is at least the least of them.
  if (isFull(s.shapeOf(w))) s.emit("spectralNorm", [v(w), s.draw(1, 5)], s.shapeOf(w), [0, 20]);
}

function windows(s: Sketch) {
  const fits = (shape: Shape): boolean => shape.length === 4 && isFull(shape.slice(1));
  const x = s.some(20, fits, () => [s.draw(0, 2), s.draw(2, 5), s.draw(2, 5), s.draw(1, 2)]);
  if (!fits(s.shapeOf(x))) return undefined;
  const [images, rowCount, columnCount, channels] = s.shapeOf(x) as [number, number, number, number];
  const kernel = s.draw(1, Math.min(3, rowCount, columnCount));
  const [stride, padding, outChannels] = [s.draw(1, 2), s.draw(0, kernel - 1), s.draw(1, 3)];
  const places = [rowCount, columnCount].map((d) => Math.floor((d + 2 * padding - kernel) / stride) + 1);
  const options = { stride, padding };
  return { x, images, rowCount, columnCount, channels, kernel, places, outChannels, options };
}

function convolution(s: Sketch): void {
  const c = windows(s);
  if (!c) return;
  const w = s.shaped([c.kernel, c.kernel, c.channels, c.outChannels], 4);
  const bounds = around(c.kernel ** 2 * c.channels * s.bound(c.x) * s.bound(w));
  s.emit("convolution", [v(c.x), v(w), { options: c.options }], [c.images, ...c.places, c.outChannels], bounds);
}
function transposedConvolution(s: Sketch): void {
  // The value takes the place of the smaller grid.
  const fits = (shape: Shape): boolean => shape.length === 4 && isFull(shape.slice(1));
  const y = s.some(20, fits, () => [s.draw(0, 2), s.draw(1, 3), s.draw(1, 3), s.draw(1, 2)]);
  if (!fits(s.shapeOf(y))) return;
  const [images, rowCount, columnCount, outChannels] = s.shapeOf(y) as [number, number, number, number];
  const [kernel, stride, channels] = [s.draw(1, 3), s.draw(1, 2), s.draw(1, 3)];
  const padding = s.draw(0, Math.floor((kernel - 1) / 2));
  const size = [rowCount, columnCount].map((d) => stride * (d - 1) + kernel - 2 * padding + s.draw(0, stride - 1));
  const w = s.shaped([kernel, kernel, channels, outChannels], 4);
  const bounds = around(kernel ** 2 * outChannels * s.bound(y) * s.bound(w));
  const options = { options: { stride, padding, outputSize: size } };
  s.emit("transposedConvolution", [v(y), v(w), options], [images, ...size, channels], bounds);
}
function filterGradient(s: Sketch): void {
  const c = windows(s);
  if (!c) return;
  const y = s.shaped([c.images, ...c.places, c.outChannels], 4);
  const bounds = around(c.images * sizeOf(c.places) * s.bound(c.x) * s.bound(y));
  const options = { options: { ...c.options, kernelSize: [c.kernel, c.kernel] } };
  s.emit("filterGradient", [v(c.x), v(y), options], [c.kernel, c.kernel, c.channels, c.outChannels], bounds);
}

/** How to call each operation of the op set. */
const makers: Readonly<Record<string, Maker>> = {
  "tf.add": binary("tf.add", (a, b) => [a[0] + b[0], a[1] + b[1]]),
  "tf.sub": binary("tf.sub", (a, b) => [a[0] - b[1], a[1] - b[0]]),
  "tf.mul": binary("tf.mul", products),
  "tf.div": (s) => {
    const b = positive(s, 50);
    const a = partner(s, b, largest, true);
    const shape = broadcast(s.shapeOf(b), a.shape)!;
    const [low, high] = boundsOf(s, b);
    s.emit("tf.div", [a.term, v(b)], shape, products([a.low, a.high], [1 / high, 1 / low]));
  },
  "tf.maximum": sameShapes("tf.maximum", (a, b) => [Math.max(a[0], b[0]), Math.max(a[1], b[1])]),
  "tf.minimum": sameShapes("tf.minimum", (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1])]),
  "tf.pow": (s) => {
    const a = positive(s, 5);
    const literal = s.pick([2, 3, 0.5, -1, 1, 0]);
    const b = s.chance(50) ? { term: literal, shape: [], low: literal, high: literal } : partner(s, a, 2, false);
    const [low, high] = boundsOf(s, a);
    const m = Math.max(high, 1 / low) ** Math.max(-b.low, b.high, 0);
    s.emit("tf.pow", [v(a), b.term], broadcast(s.shapeOf(a), b.shape)!, [1 / m, m]);
  },
  "tf.greater": comparing("tf.greater"),
  "tf.greaterEqual": comparing("tf.greaterEqual"),
  "tf.less": comparing("tf.less"),
  "tf.lessEqual": comparing("tf.lessEqual"),
  "tf.equal": comparing("tf.equal"),
  "tf.logicalAnd": choosing((a, b) => ({
    call: "tf.logicalAnd",
    of: [
      { call: "tf.greater", of: [a, -0.5] },
      { call: "tf.less", of: [a, b] },
    ],
  })),
  "tf.neg": unary("tf.neg", (low, high) => [-high, -low]),
  "tf.abs": unary("tf.abs", (low, high) => [Math.max(0, low, -high), Math.max(-low, high)]),
  "tf.square": unary("tf.square", (low, high) => [0, Math.max(-low, high) ** 2], 17),
  "tf.sqrt": unaryOfPositive("tf.sqrt", (low, high) => [Math.sqrt(low), Math.sqrt(high)]),
  "tf.rsqrt": unaryOfPositive("tf.rsqrt", (low, high) => [1 / Math.sqrt(high), 1 / Math.sqrt(low)]),
  "tf.reciprocal": unaryOfPositive("tf.reciprocal", (low, high) => [1 / high, 1 / low]),
  "tf.log": unaryOfPositive("tf.log", (low, high) => [Math.log(low), Math.log(high)]),
  "tf.exp": unary("tf.exp", (low, high) => [Math.exp(low), Math.exp(high)], 5),
  "tf.erf": unary("tf.erf", () => [-1, 1]),
  "tf.atan": unary("tf.atan", () => [-1.6, 1.6]),
  "tf.step": unary("tf.step", () => [0.25, 1], largest, [0.25]),
  "tf.cast": (s) => {
    const x = s.some();
    const condition = { call: "tf.greater", of: [stopped(v(x)), s.number(-1, 1)] };
    s.emit("tf.cast", [condition, "float32"], s.shapeOf(x), [0, 1]);
  },
  "tf.clone": unary("tf.clone", (low, high) => [low, high]),
  "tf.onesLike": unary("tf.onesLike", () => [1, 1]),
  "tf.zerosLike": unary("tf.zerosLike", () => [0, 0]),
  "tf.fill": (s) => {
    const [shape, x] = [randomShape(s.draw, 0, 3), s.number(-2, 2)];
    const filled: Term = { call: "tf.fill", of: [shape, x] };
    const other = s.shaped(shape);
    s.emit("tf.mul", [filled, v(other)], shape, products([x, x], boundsOf(s, other)));
  },
  "tf.sum": reducing("tf.sum", (n, [low, high]) => [n * low, n * high], false),
  "tf.mean": reducing("tf.mean", (_, x) => x, true),
  "tf.max": reducing("tf.max", (_, x) => x, true),
  "tf.min": reducing("tf.min", (_, x) => x, true),
  "tf.prod": reducing("tf.prod", (n, [low, high]) => around(Math.max(1, -low, high) ** n), false, true),
  "tf.softmax": rows("tf.softmax", () => [0, 1]),
  "tf.logSoftmax": rows("tf.logSoftmax", (width, m) => [-2 * m - Math.log(width), 0]),
  "tf.matMul": matMul,
  "tf.reshape": moving("tf.reshape", reshaped, () => true),
  "tf.expandDims": moving(
    "tf.expandDims",
    (s, shape) => {
      const axis = s.draw(0, shape.length);
      return { more: [s.chance(30) ? axis - shape.length - 1 : axis], shape: shape.toSpliced(axis, 0, 1) };
    },
    () => true,
  ),
  "tf.squeeze": moving(
    "tf.squeeze",
    (s, shape) => {
      const ones = [...shape.keys()].filter((axis) => shape[axis] === 1);
      if (!ones.length || s.chance(30)) return { more: [], shape: shape.filter((d) => d !== 1) };
      const axis = s.pick(ones);
      return { more: [[axis]], shape: shape.toSpliced(axis, 1) };
    },
    (shape) => shape.includes(1),
  ),
  "tf.transpose": moving("tf.transpose", (s, shape) => {
    if (s.chance(30)) return { more: [], shape: shape.toReversed() };
    const order: number[] = [];
    for (const axis of shape.keys()) order.splice(s.draw(0, order.length), 0, axis);
    return { more: [order], shape: order.map((axis) => shape[axis]!) };
  }),
  "tf.concat": joined,
  "tf.stack": stacked,
  "tf.unstack": unstacked,
  "tf.split": splitUp,
  "tf.slice": moving("tf.slice", (s, shape) => {
    const begin = shape.map((d) => s.draw(0, Math.max(0, d - 1)));
    const sizes = shape.map((d, i) => s.draw(d && s.chance(95) ? 1 : 0, d - begin[i]!));
    const given = sizes.map((size, i) => (size === shape[i]! - begin[i]! && s.chance(30) ? -1 : size));
    return { more: [begin, given], shape: sizes };
  }),
  "tf.tile": moving("tf.tile", (s, shape) => {
    const times = shape.map(() => s.draw(1, 2));
    return { more: [times], shape: shape.map((d, i) => d * times[i]!) };
  }),
  "tf.pad": moving(
    "tf.pad",
    (s, shape) => {
      const ends = shape.map(() => [s.draw(0, 2), s.draw(0, 1)] as const);
      return { more: [ends], shape: shape.map((d, i) => d + ends[i]![0] + ends[i]![1]) };
    },
    (shape) => shape.length > 0,
    true,
  ),
  "tf.gather": gathered,
  relu: unary("relu", (low, high) => [Math.max(0, low), Math.max(0, high)]),
  leakyRelu: unary("leakyRelu", (low, high) => [low, Math.max(0, high)], largest, [0.3]),
  gelu: unary("gelu", (low, high) => [Math.max(-0.2, low), Math.max(0, high)]),
  tanh: unary("tanh", () => [-1, 1]),
  sigmoid: unary("sigmoid", (low) => [1 / (1 + Math.exp(-low)), 1]),
  softplus: unary("softplus", (low, high) => [Math.log1p(Math.exp(low)), Math.max(high, 0) + 0.7]),
  stopGradient: unary("stopGradient", (low, high) => [low, high]),
  watchGradient: unary("watchGradient", (low, high) => [low, high]),
  scaledDotProductAttention: attended,
  attentionScores: scored,
  attentionProbabilities: weighed,
  linearCrossEntropy: crossEntropy,
  embeddingLookup: looked,
  bernoulliLogLikelihood: bernoulli,
  layerNormalization: normalizing("layerNormalization"),
  rmsNormalization: normalizing("rmsNormalization"),
  inverseRms,
  sinkhorn,
  spectralNorm,
  convolution,
  transposedConvolution,
  filterGradient,
};
const names = Object.keys(makers);

/** Draws a program of up to a dozen calls in one to four stages. */
export function randomProgram(draw: Draw): Program {
  const s = sketch(draw);
  s.leaf(randomShape(draw, 0, 4));
  if (s.chance(50)) s.leaf(randomShape(draw, 1, 3, 1));
  const wanted = draw(1, 12);
  const calls = (): number => s.values.filter(({ from }) => "call" in from && from.stage === s.stage()).length;
  for (let i = 0; i < wanted; i++) {
    makers[s.pick(names)]!(s);
    if (calls() > 0 && s.stage() < 3 && s.chance(20)) s.nextStage();
  }
  if (!s.values.some(({ from }) => "call" in from)) makers["tf.neg"]!(s);
  const made = [...s.values.keys()].filter((i) => "call" in s.values[i]!.from);
  // What nothing else reads goes into the loss, most of it, and a little of what something does.
  const isRead = new Set<number>();
  for (const { from } of s.values)
    if ("call" in from) JSON.stringify(from, (_, x) => (typeof x?.value === "number" && isRead.add(x.value), x));
  const outputs = made.filter((i) => s.chance(isRead.has(i) ? 10 : 85));
  return complete({
    values: s.values,
    stages: s.stage() + 1,
    outputs,
    readings: made.filter((i) => isFull(s.shapeOf(i)) && s.chance(25)),
    unread: made.filter(() => s.chance(5)),
    frozen: Array.from({ length: s.stage() + 1 }, (_, stage) => stage).filter(() => s.chance(8)),
    reuses: s.chance(50),
    evaluates: s.chance(15),
  });
}

/** Programs for fast-check: printed as code, and shrunk by what is left out of them, where drawing anew would give others. */
class RandomPrograms extends Arbitrary<Program> {
  generate(random: Random): Generated<Program> {
    return printed(randomProgram((from, to) => random.nextInt(from, to)));
  }
  canShrinkWithoutContext(value: unknown): value is Program {
    return typeof value === "object" && value !== null && "values" in value;
  }
  shrink(program: Program): Stream<Generated<Program>> {
    return new Stream(map(smaller(program), printed));
  }
}

function* map<T, U>(items: Iterable<T>, f: (item: T) => U): Generator<U> {
  for (const item of items) yield f(item);
}

const printed = (program: Program): Generated<Program> =>
  new Generated({ ...program, [toStringMethod]: () => codeOf(program) }, undefined);

/** Random programs, printed as code and shrunk to a few calls. */
export const randomPrograms: Arbitrary<Program> = new RandomPrograms();
