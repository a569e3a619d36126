// The Hessian known by its products beside the matrix itself.
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { hessianRows, usualHessianEffort } from "../../src/instruments/hessian.ts";
import type { Subject } from "../../src/instruments/instrument.ts";
import { stream } from "../../src/random.ts";
import type { Stage } from "../../src/stage.ts";
import type { CurvatureRow } from "../../src/types.ts";
import { build, randomBatch, shake, smallTransformer } from "../helpers.ts";
import { eigenvalues, jacobianMatrix, type Matrix } from "./dense.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await engines.onnx.create({ threads: 1 });
});
afterAll(() => engine.dispose());

function subjectOf(dropout: number): Subject {
  const sizes = {
    width: 4,
    heads: 1,
    feedForward: 2,
    vocabulary: 6,
    depth: { encoder: 1, decoder: 1 },
    tiedEmbeddings: "all" as const,
  };
  const options = { ...sizes, activation: "gelu" as const, dropout, labelSmoothing: dropout };
  const { players, parameters } = build(smallTransformer(options));
  shake(parameters);
  const batches = [randomBatch(2, 3, 6, 1, [3, 2]), randomBatch(1, 2, 6, 2)];
  return { engine, player: players[0]!, parameters, batches, seed: 1 };
}

/** The Hessian of the mean loss a target, column by column from gradients. */
async function matrixOf({ player, parameters, batches }: Subject): Promise<Matrix> {
  const all = [...parameters.values()];
  const theta = Float64Array.from(all.flatMap(({ data }) => [...data]));
  const write = (x: Float64Array): void => {
    let at = 0;
    for (const { data } of all) data.set(x.subarray(at, (at += data.length)));
  };
  const targets = batches.reduce((sum, { tokens }) => sum + tokens, 0);
  const gradient = async (x: Float64Array): Promise<Float64Array> => {
    write(x);
    const sum = new Float64Array(theta.length);
    for (const batch of batches) {
      const { gradients } = await engine.differentiate(player, parameters, batch, { step: 0, seed: 0, tapped: false });
      const flat = all.flatMap(({ path }) => [...gradients.get(path)!]);
      flat.forEach((g, i) => (sum[i]! += (g * batch.tokens) / targets));
    }
    return sum;
  };
  const matrix = await jacobianMatrix(gradient, theta, 1e-3);
  write(theta);
  return matrix;
}

test("top eigenvalue and trace are those of the explicit matrix, dropout and label smoothing left aside", async () => {
  const matrix = await matrixOf(subjectOf(0));
  const values = eigenvalues(matrix.map((row, i) => row.map((x, j) => (x + matrix[j]![i]!) / 2)));
  const trace = values.reduce((sum, value) => sum + value, 0);
  const subject = subjectOf(0.2);
  const before = [...subject.parameters.values()].map(({ data }) => data.slice());
  const effort = { ...usualHessianEffort, step: { eigenvalue: 1e-4, trace: 1e-3 }, tolerance: 1e-6, probes: 64 };
  const rows = await hessianRows(subject, effort);
  const row = (quantity: CurvatureRow["quantity"]) => rows.find((one) => one.quantity === quantity)!;
  // Float32 gradients over steps of 1e-3 are good to 1e-4 of the largest entries, and a residual that stops falling there
  // may leave a few thousandths to go.
  const top = row("top-eigenvalue");
  expect(Math.abs(top.value / values.at(-1)! - 1)).toBeLessThan(3e-3);
  expect(Math.min(...values.map((value) => Math.abs(value / top.value - 1)))).toBeLessThan(top.residual + 1e-3);
  expect(Math.abs(row("trace").value - trace)).toBeLessThan(4 * row("trace").standardError);
  // The standard error that Hutchinson's estimate has by theory: sqrt(2 (||H||_F^2 - sum of H_ii^2) / probes). Of 64 probes
  // it is itself known to some 10 %.
  const spread = matrix.reduce((sum, r, i) => sum + r.reduce((s, x, j) => s + (i === j ? 0 : x * x), 0), 0);
  expect(row("trace").standardError / Math.sqrt((2 * spread) / 64)).toBeGreaterThan(0.7);
  expect(row("trace").standardError / Math.sqrt((2 * spread) / 64)).toBeLessThan(1.3);
  for (const { disagreement } of rows) expect(disagreement).toBeLessThan(1e-2);
  expect([...subject.parameters.values()].map(({ data }) => data)).toEqual(before);
});

/** A network of one vector of parameters w, loss w^T A w / 2: its Hessian is A, here with the eigenvalues given, along axes
 *  that are none of w's. */
function quadratic(eigenvalues: readonly number[]): Subject {
  const size = eigenvalues.length;
  const normal = (purpose: string): Float32Array => stream(5, purpose).normal(new Float32Array(size));
  // A reflection I - 2 u u^T is orthogonal and its own inverse.
  const u = normal("u");
  const square = u.reduce((sum, x) => sum + x * x, 0);
  const axis = (i: number, k: number): number => (i === k ? 1 : 0) - (2 * u[i]! * u[k]!) / square;
  const data = Float32Array.from({ length: size * size }, (_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    return eigenvalues.reduce((sum, value, k) => sum + value * axis(i, k) * axis(j, k), 0);
  });
  const w = { path: "quadratic/form/w", shape: [size, 1], init: { kind: "constant", value: 0 } as const };
  const stage: Stage = {
    name: "quadratic",
    stack: "quadratic",
    layer: "",
    key: "quadratic",
    parameters: { w },
    reads: ["matrix"],
    apply: ({ w }, { matrix }) => ({ loss: tf.mul(0.5, tf.sum(tf.mul(w!, tf.matMul(matrix!, w as tf.Tensor2D)))) }),
  };
  return {
    engine,
    player: { name: "quadratic", stages: [stage], scalars: ["loss"] },
    parameters: new Map([[w.path, { ...w, data: normal("w") }]]),
    batches: [{ tensors: { matrix: { dtype: "float32", shape: [size, size], data } }, tokens: 1 }],
    seed: 1,
  };
}

/** Eigenvalues found, by name, and how many iterations each took. */
async function eigenvaluesOf(subject: Subject, effort = usualHessianEffort) {
  const rows = (await hessianRows(subject, effort)).filter(({ quantity }) => quantity !== "trace");
  const by = (of: (row: CurvatureRow) => number) => Object.fromEntries(rows.map((row) => [row.quantity, of(row)]));
  return { value: by(({ value }) => value), residual: by(({ residual }) => residual), count: by(({ count }) => count) };
}

// A residual of at most 1e-2 leaves less than its square, over the gap to the next eigenvalue in parts of this one.
const bound = 1e-3;

test("where the eigenvalue largest in magnitude lies below 0 it is the bottom, and the top is found beside it", async () => {
  const { value, residual } = await eigenvaluesOf(quadratic([-5, 3, 2, 1, 0.5, 0, -1, -2]));
  expect(Object.keys(value)).toEqual(["top-eigenvalue", "bottom-eigenvalue"]);
  expect(Math.abs(value["top-eigenvalue"]! / 3 - 1)).toBeLessThan(bound);
  expect(Math.abs(value["bottom-eigenvalue"]! / -5 - 1)).toBeLessThan(bound);
  for (const one of Object.values(residual)) expect(one).toBeLessThanOrEqual(usualHessianEffort.tolerance);
});

test("where it lies above 0 it is the top, and nothing is said of a bottom", async () => {
  const { value, count } = await eigenvaluesOf(quadratic([5, 3, 2, 1, 0.5, 0, -1, -4]));
  expect(Object.keys(value)).toEqual(["top-eigenvalue"]);
  expect(Math.abs(value["top-eigenvalue"]! / 5 - 1)).toBeLessThan(bound);
  expect(count["top-eigenvalue"]).toBeLessThan(usualHessianEffort.maxIterations);
});

// v^T H v is all but constant from one iteration to the next where two of opposite signs share v, and is neither of them.
test.each([
  [3, -3.0001],
  [-3, 3.0001],
])(
  "where %d and %d hold each other up neither passes for the largest, and the top is found all the same",
  async (...two) => {
    const { value } = await eigenvaluesOf(quadratic([...two, 1, 0.5, 0, -1]));
    expect(Object.keys(value)).toEqual(["top-eigenvalue"]);
    expect(Math.abs(value["top-eigenvalue"]! / Math.max(...two) - 1)).toBeLessThan(bound);
  },
);

test("a Hessian of nothing but 0 has the top 0, and one that is not finite none, after one product", async () => {
  const flat = await eigenvaluesOf(quadratic([0, 0, 0, 0]));
  expect([flat.value, flat.residual]).toEqual([{ "top-eigenvalue": 0 }, { "top-eigenvalue": 0 }]);
  const { value, count } = await eigenvaluesOf(quadratic([NaN, 1, 2, 3]));
  expect([value, count]).toEqual([{ "top-eigenvalue": NaN }, { "top-eigenvalue": 1 }]);
});

test("a step too long shows in what it disagrees with", async () => {
  const step = { eigenvalue: 0.3, trace: 0.3 };
  const rows = await hessianRows(subjectOf(0), { ...usualHessianEffort, step, maxIterations: 20 });
  expect(Math.max(...rows.map(({ disagreement }) => disagreement))).toBeGreaterThan(0.05);
});

test("a network that is too large is refused before any work, with its size and the limit", async () => {
  const subject = subjectOf(0);
  const size = [...subject.parameters.values()].reduce((sum, { data }) => sum + data.length, 0);
  const idle = { ...engine, differentiate: () => Promise.reject(new Error("worked")) };
  const refused = hessianRows({ ...subject, engine: idle }, { ...usualHessianEffort, largest: size - 1 });
  await expect(refused).rejects.toThrow(`expected a network of at most ${size - 1} parameters, got ${size}`);
});
