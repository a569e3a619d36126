// Optimizers against independent references: the papers' algorithms in float64, step by step, one number at a time. The
// optimizers store float32, so parameters of size 1 agree to a few 1e-7.
import { expect, test } from "vitest";
import type { OptimizerConfig } from "../../src/config/schema.ts";
import { optimizers as schemaNames } from "../../src/config/schema.ts";
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

test("the optimizers are those the configuration knows", () => {
  expect(Object.keys(optimizers).sort()).toEqual(schemaNames.map(({ name }) => name).sort());
});
