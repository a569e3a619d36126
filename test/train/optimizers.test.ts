// Optimizers against independent references: the papers' algorithms in float64, step by step, one number at a time. The
// optimizers compute in float32, so parameters of size 1 agree to a few 1e-7.
import { describe, expect, test } from "vitest";
import type { OptimizerConfig } from "../../src/config/schema.ts";
import { optimizers as schemaNames } from "../../src/config/schema.ts";
import { float32Array } from "../../src/engine/simd.ts";
import { stream } from "../../src/random.ts";
import { createOptimizer, optimizers } from "../../src/train/optimizers.ts";
import { relativeDifference } from "../helpers.ts";

const [size, steps] = [7, 6];
const start = Array.from(stream(1, "start").normal(new Float64Array(size)), Math.fround);
const gradientAt = (step: number): Float32Array => stream(1, "gradient").normal(new Float32Array(size), step);
const rateAt = (step: number): number => 0.01 / (step + 1);

/** Parameters after every step, by the optimizer under test; gradients arrive scaled by `gradientScale`. */
function trajectory(config: OptimizerConfig, gradientScale = 1): Float32Array[] {
  const optimizer = createOptimizer(config);
  const parameter = Float32Array.from(start);
  return Array.from({ length: steps }, (_, step) => {
    optimizer.update("w", parameter, gradientAt(step), { gradientScale, learningRate: rateAt(step), step });
    return parameter.slice();
  });
}

/** One number's way under a rule of the papers: `rule(theta, g, t, alpha)` with t from 1. */
function reference(rule: () => (theta: number, g: number, t: number, alpha: number) => number): number[][] {
  const ways = start.map((theta, i) => {
    const step = rule();
    let x = theta;
    return Array.from({ length: steps }, (_, t) => (x = step(x, gradientAt(t)[i]!, t + 1, rateAt(t))));
  });
  return Array.from({ length: steps }, (_, t) => ways.map((way) => way[t]!));
}

/** Kingma & Ba 2015, algorithm 1. */
const adam = (beta1: number, beta2: number, epsilon: number, l2: number) => () => {
  let [m, v] = [0, 0];
  return (theta: number, gradient: number, t: number, alpha: number): number => {
    const g = gradient + l2 * theta;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g ** 2;
    const [mHat, vHat] = [m / (1 - Math.pow(beta1, t)), v / (1 - Math.pow(beta2, t))];
    return theta - (alpha * mHat) / (Math.sqrt(vHat) + epsilon);
  };
};

/** Loshchilov & Hutter 2019, algorithm 2, in the form of its line 12 with schedule multiplier and alpha as one. */
const adamW = (beta1: number, beta2: number, epsilon: number, decay: number) => () => {
  const step = adam(beta1, beta2, epsilon, 0)();
  return (theta: number, g: number, t: number, alpha: number): number =>
    step(theta, g, t, alpha) - alpha * decay * theta;
};

const moments = { learningRate: 0.01, beta1: 0.9, beta2: 0.98, epsilon: 1e-9 };
test.each<[string, OptimizerConfig, number[][]]>([
  ["adam", { kind: "adam", ...moments, weightDecay: 0 }, reference(adam(0.9, 0.98, 1e-9, 0))],
  ["adam with an L2 penalty", { kind: "adam", ...moments, weightDecay: 0.1 }, reference(adam(0.9, 0.98, 1e-9, 0.1))],
  [
    "adam with a large epsilon",
    { kind: "adam", ...moments, epsilon: 0.5, weightDecay: 0 },
    reference(adam(0.9, 0.98, 0.5, 0)),
  ],
  ["adamw", { kind: "adamw", ...moments, weightDecay: 0.1 }, reference(adamW(0.9, 0.98, 1e-9, 0.1))],
  [
    "sgd",
    { kind: "sgd", learningRate: 0.01, momentum: 0, weightDecay: 0 },
    reference(() => (theta, g, _, alpha) => theta - alpha * g),
  ],
  [
    "sgd with momentum and an L2 penalty",
    { kind: "sgd", learningRate: 0.01, momentum: 0.9, weightDecay: 0.1 },
    reference(() => {
      let u = 0;
      return (theta, g, _, alpha) => {
        u = 0.9 * u + (g + 0.1 * theta);
        return theta - alpha * u;
      };
    }),
  ],
])("%s goes the way of its paper", (_, config, wanted) => {
  trajectory(config).forEach((parameters, t) =>
    expect(relativeDifference(parameters, wanted[t]!), `step ${t}`).toBeLessThan(1e-6),
  );
});

test("adam and adamw differ once there is weight decay", () => {
  const [l2, decoupled] = (["adam", "adamw"] as const).map((kind) =>
    trajectory({ kind, ...moments, weightDecay: 0.1 }),
  );
  expect(relativeDifference(l2!.at(-1)!, decoupled!.at(-1)!)).toBeGreaterThan(1e-4);
});

test("gradients are scaled before anything else: half the scale is half the gradient", () => {
  const config: OptimizerConfig = { kind: "sgd", learningRate: 0.01, momentum: 0.9, weightDecay: 0 };
  const moved = (scale: number): number[] => Array.from(trajectory(config, scale).at(-1)!, (x, i) => x - start[i]!);
  // Differences of numbers of size 1, about 0.05 large.
  expect(
    relativeDifference(
      moved(0.5).map((x) => 2 * x),
      moved(1),
    ),
  ).toBeLessThan(1e-5);
});

test("an update reports the moments of what it changed and of the parameter before", () => {
  for (const config of [
    { kind: "adam", ...moments, weightDecay: 0 },
    { kind: "adamw", ...moments, weightDecay: 0.1 },
    { kind: "sgd", learningRate: 0.01, momentum: 0.9, weightDecay: 0 },
  ] as const) {
    const optimizer = createOptimizer(config);
    const parameter = Float32Array.of(3, -4, 0);
    for (let step = 0; step < 3; step++) {
      const before = parameter.slice();
      const gradient = Float32Array.of(0.5, -1, 2);
      const settings = { gradientScale: 1, learningRate: 0.1, step };
      const reported = optimizer.update("w", parameter, gradient, settings);
      const update = Array.from(parameter, (x, i) => x - before[i]!);
      expect(reported.update.count).toBe(3);
      expect(reported.update.max).toBe(Math.max(...update.map(Math.abs)));
      expect(reported.update.sumSquares).toBeCloseTo(
        update.reduce((sum, x) => sum + x * x, 0),
        12,
      );
      expect(reported.parameter.sumSquares).toBeCloseTo(
        before.reduce((sum, x) => sum + x * x, 0),
        12,
      );
      expect(reported.parameter.max).toBe(Math.max(...Array.from(before, Math.abs)));
      if (step === 0) expect(reported.parameter).toEqual({ sumSquares: 25, max: 4, count: 3 });
    }
  }
});

test("state belongs to a parameter's path, so the order of updates does not matter", () => {
  const run = (order: readonly string[]): Map<string, Float32Array> => {
    const optimizer = createOptimizer({ kind: "adam", ...moments, weightDecay: 0 });
    const parameters = new Map(["a", "b/c"].map((path) => [path, Float32Array.from(start)]));
    for (let step = 0; step < 3; step++)
      for (const path of order)
        optimizer.update(path, parameters.get(path)!, gradientAt(path === "a" ? step : step + 10), {
          gradientScale: 1,
          learningRate: 0.1,
          step,
        });
    expect([...optimizer.state.keys()].sort()).toEqual([
      "first-moment/a",
      "first-moment/b/c",
      "second-moment/a",
      "second-moment/b/c",
    ]);
    return parameters;
  };
  expect(run(["a", "b/c"])).toEqual(run(["b/c", "a"]));
});

test("sgd without momentum keeps no state", () => {
  const optimizer = createOptimizer({ kind: "sgd", learningRate: 1, momentum: 0, weightDecay: 0 });
  optimizer.update("w", Float32Array.of(1), Float32Array.of(1), { gradientScale: 1, learningRate: 1, step: 0 });
  expect(optimizer.state.size).toBe(0);
});

/** The nearest float32, to which every operation is rounded: twice rounded, to float64 first, gives the same of +, -, *, / and the
 *  root (Figueroa 1995). */
const f = Math.fround;

/** The loops of optimizers.wat over single numbers: the same operations in the same order, so the same bits. */
type PlainUpdate = (
  state: Record<string, Float32Array>,
  parameter: Float32Array,
  gradient: Float32Array,
  settings: { gradientScale: number; learningRate: number; step: number },
) => void;

const plainAdam =
  (beta1: number, beta2: number, epsilon: number, penalty: number, decay: number): PlainUpdate =>
  (state, parameter, gradient, { gradientScale, learningRate, step }) => {
    const { "first-moment": m, "second-moment": v } = state as Record<"first-moment" | "second-moment", Float32Array>;
    const rate = f(learningRate / (1 - beta1 ** (step + 1)));
    const correct2 = f(1 / (1 - beta2 ** (step + 1)));
    for (let i = 0; i < parameter.length; i++) {
      const p = parameter[i]!;
      const g = f(f(gradient[i]! * f(gradientScale)) + f(f(penalty) * p));
      const mi = f(f(f(beta1) * m[i]!) + f(f(1 - beta1) * g));
      const vi = f(f(f(beta2) * v[i]!) + f(f(f(1 - beta2) * g) * g));
      const moved = f(f(rate * mi) / f(f(Math.sqrt(f(vi * correct2))) + f(epsilon)));
      parameter[i] = f(f(p - moved) - f(f(learningRate * decay) * p));
      [m[i], v[i]] = [mi, vi];
    }
  };

const plainSgd =
  (momentum: number, penalty: number): PlainUpdate =>
  ({ velocity }, parameter, gradient, { gradientScale, learningRate }) => {
    for (let i = 0; i < parameter.length; i++) {
      const p = parameter[i]!;
      let u = f(f(gradient[i]! * f(gradientScale)) + f(f(penalty) * p));
      if (velocity) u = f(f(f(momentum) * velocity[i]!) + u);
      parameter[i] = f(p - f(f(learningRate) * u));
      if (velocity) velocity[i] = u;
    }
  };

/** Bits, those of NaN made equal: which NaN an operation gives is nobody's promise. */
const bitsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.map((x) => (Number.isNaN(x) ? NaN : x)).buffer);

/** Normal numbers of all sizes that float32 has, from denormal to nearly infinite, with zeros of both signs between. */
const wild = (purpose: string, n: number, step = 0): Float32Array => {
  const exponents = stream(2, `${purpose} exponent`).uniform(new Float64Array(n), step);
  const values = stream(2, purpose).normal(new Float32Array(n), step);
  return values.map((x, i) => (i % 11 === 5 ? 0 * x : x * 10 ** (70 * exponents[i]! - 40)));
};
/** Numbers as a training has them. */
const tame = (purpose: string, n: number, step = 0): Float32Array =>
  stream(3, purpose).normal(new Float32Array(n), step);

const loops: [string, OptimizerConfig, PlainUpdate][] = [
  ["adam", { kind: "adam", ...moments, weightDecay: 0 }, plainAdam(0.9, 0.98, 1e-9, 0, 0)],
  ["adam with a penalty", { kind: "adam", ...moments, weightDecay: 0.1 }, plainAdam(0.9, 0.98, 1e-9, 0.1, 0)],
  [
    "adam without memory",
    { kind: "adam", ...moments, beta1: 0, beta2: 0, weightDecay: 0 },
    plainAdam(0, 0, 1e-9, 0, 0),
  ],
  ["adamw", { kind: "adamw", ...moments, weightDecay: 0.1 }, plainAdam(0.9, 0.98, 1e-9, 0, 0.1)],
  ["sgd", { kind: "sgd", learningRate: 1, momentum: 0, weightDecay: 0 }, plainSgd(0, 0)],
  ["sgd with decay", { kind: "sgd", learningRate: 1, momentum: 0, weightDecay: 0.1 }, plainSgd(0, 0.1)],
  ["sgd with momentum", { kind: "sgd", learningRate: 1, momentum: 0.9, weightDecay: 0.1 }, plainSgd(0.9, 0.1)],
];
describe.each(loops)("%s is the same bits as a plain loop", (_, config, plain) => {
  // Lengths about the four numbers that are taken at once and the 4096 of a chunk.
  const cases = [
    ...[1, 2, 5, 7, 4095, 4096, 4097, 8193].map((n) => ["tame", n, tame] as const),
    ...[7, 4099].map((n) => ["wild", n, wild] as const),
    ...[7, 4099].map((n) => ["broken", n, brokenAt] as const),
  ];
  const places = [
    ["in place", (values: Float32Array) => inMemory(values)],
    ["copied", (values: Float32Array) => values],
  ] as const;
  test.each(
    places.flatMap(([where, put]) => cases.map(([numbers, n, make]) => [numbers, n, where, make, put] as const)),
  )("%s numbers, %i of them, %s", (_numbers, n, _where, make, put) => {
    const optimizer = createOptimizer(config);
    const got = put(make("parameter", n));
    const wanted = Float32Array.from(got);
    const state = Object.fromEntries(optimizer.slots.map((slot) => [slot, new Float32Array(n)]));
    for (let step = 0; step < 4; step++) {
      const before = Float32Array.from(got);
      const gradient = put(make("gradient", n, step));
      const settings = { gradientScale: step === 3 ? 0.3 : 1, learningRate: 0.01 / (step + 1), step };
      const reported = optimizer.update("w", got, gradient, settings);
      plain(state, wanted, gradient, settings);
      expect(bitsOf(got)).toEqual(bitsOf(wanted));
      for (const slot of optimizer.slots)
        expect(bitsOf(optimizer.state.get(`${slot}/w`)!)).toEqual(bitsOf(state[slot]!));
      const update = Array.from(wanted, (x, i) => x - before[i]!);
      for (const [moments, values] of [
        [reported.update, update],
        [reported.parameter, [...before]],
      ] as const) {
        const sum = values.reduce((total, x) => total + x * x, 0);
        expect(moments.count).toBe(n);
        expect(moments.max).toBe(values.reduce((max, x) => (Math.abs(x) > max ? Math.abs(x) : max), 0));
        // Sums of float64 in another order: n roundings at most.
        if (Number.isFinite(sum)) expect(Math.abs(moments.sumSquares - sum)).toBeLessThanOrEqual(n * 1.2e-16 * sum);
        else expect(moments.sumSquares).toBe(sum);
      }
    }
  });
});

test.each(loops)("%s goes the same way where it is not measured, and its moments are NaN", (_, config) => {
  const optimizers = [createOptimizer(config), createOptimizer(config)];
  const parameters = [tame("parameter", 4099), tame("parameter", 4099)];
  for (let step = 0; step < 3; step++) {
    const settings = { gradientScale: 1, learningRate: 0.01, step };
    const gradient = tame("gradient", 4099, step);
    optimizers[0]!.update("w", parameters[0]!, gradient, settings);
    const reported = optimizers[1]!.update("w", parameters[1]!, gradient, { ...settings, measured: false });
    expect(reported.update).toEqual({ sumSquares: NaN, max: NaN, count: 4099 });
    expect(reported.parameter).toEqual({ sumSquares: NaN, max: NaN, count: 4099 });
  }
  expect(bitsOf(parameters[1]!)).toEqual(bitsOf(parameters[0]!));
  expect(optimizers[1]!.state).toEqual(optimizers[0]!.state);
});

/** The same numbers in a memory that loops work on. */
function inMemory(values: Float32Array): Float32Array {
  const array = float32Array(values.length);
  array.set(values);
  return array;
}

/** Numbers of which a few are NaN or infinite. */
function brokenAt(purpose: string, n: number, step = 0): Float32Array {
  const values = tame(purpose, n, step);
  const at = purpose === "parameter" ? 1 : 3;
  values[at] = NaN;
  values[at + 1] = step % 2 ? -Infinity : Infinity;
  return values;
}

test("a gradient of another length is refused", () => {
  const optimizer = createOptimizer({ kind: "adam", ...moments, weightDecay: 0 });
  const settings = { gradientScale: 1, learningRate: 1, step: 0 };
  expect(() => optimizer.update("w", new Float32Array(3), new Float32Array(2), settings)).toThrow(/2 numbers .* of 3/);
});

test("the optimizers are those the configuration knows", () => {
  expect(Object.keys(optimizers).sort()).toEqual(schemaNames.map(({ name }) => name).sort());
});
