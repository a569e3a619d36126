// Random stages of the op set on the `onnx` engine and on `cpu`: readings, loss and gradients of at least 2,000 programs. One that
// differs is made smaller and printed as code.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { operations } from "../../src/engine/operations.ts";
import { cpuProvider } from "../../src/engine/providers.ts";
import { stopGradient } from "../../src/ops/index.ts";
import { sizeOf } from "../../src/stage.ts";
import { nudgedCpu } from "./nudged-cpu.ts";
import { programsOf } from "./programs.ts";
import { randomPrograms } from "./random-operations.ts";
import {
  callsIn,
  decimals,
  type Functions,
  functions,
  isCall,
  type Program,
  type Runnable,
  runnable,
  featuresOf,
  type Value,
} from "./random-programs.ts";

/** Of the largest number of a tensor, as for single operations in operations.test.ts: float32 rounding is 6e-8 an operation, and
 *  sums have tens of terms. */
const rounding = 1e-5;
/** What exceeds `rounding` is held against how far cpu itself moves when every value is off by two roundings: results that are small
 *  differences of large numbers, and comparisons and maxima of numbers that are equal but for rounding. The largest of `nudges` such
 *  moves is an estimate of how far two right engines may be apart, hence the factor. */
const nudges = 8;
const room = 10;

const cpu = await engines.cpu.create({ threads: 1 });
const nudged = await nudgedCpu();

type Results = ReadonlyMap<string, Float32Array>;

async function resultsOf(
  engine: Engine,
  { player, parameters, batch, readings }: Runnable,
  evaluates: boolean,
): Promise<Results> {
  const options = { step: 0, seed: 1, tapped: false, readings };
  const step = await engine.differentiate(player, parameters, batch, options);
  const found: [string, Float32Array][] = [["loss", Float32Array.of(step.scalars["loss"]!)]];
  for (const { layer, name, values } of step.readings)
    found.push([`${name} of stage ${layer}`, Float32Array.from(values)]);
  for (const [path, gradient] of step.gradients)
    found.push([`gradient of ${path.split("/").at(-1)}`, gradient.slice()]);
  if (evaluates) {
    const scalars = await engine.evaluate(player, parameters, batch, { step: 0, seed: 1 });
    found.push(["loss of evaluation", Float32Array.of(scalars["loss"]!)]);
  }
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const largestOf = (values: Float32Array): number => values.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
const apart = (a: Float32Array, b: Float32Array): number =>
  a.length === b.length
    ? a.reduce((m, x, i) => Math.max(m, Number.isNaN(x - b[i]!) ? Infinity : Math.abs(x - b[i]!)), 0)
    : Infinity;

/** Compares programs on two engines, and counts what it saw. */
function comparison(other: () => Promise<Engine>, otherFunctions: Functions = functions) {
  const seen = { programs: 0, nudged: 0, calls: new Map<string, number>(), features: {} as Record<string, number> };
  return {
    seen,
    /** Throws where the engines differ, saying where. */
    async compare(program: Program): Promise<void> {
      seen.programs++;
      for (const [feature, holds] of Object.entries(featuresOf(program)))
        seen.features[feature] = (seen.features[feature] ?? 0) + Number(holds);
      for (const name of callsIn(program)) seen.calls.set(name, (seen.calls.get(name) ?? 0) + 1);
      const want = await resultsOf(cpu, runnable(program), program.evaluates);
      for (const [what, values] of want)
        if (!values.every(Number.isFinite)) throw new Error(`${what} is not finite on cpu: ${values.join(", ")}`);
      const got = await resultsOf(await other(), runnable(program, otherFunctions), program.evaluates);
      expect([...got.keys()]).toEqual([...want.keys()]);
      const exceeding = [...want].filter(([what, w]) => !(apart(got.get(what)!, w) <= rounding * largestOf(w)));
      if (!exceeding.length) return;
      seen.nudged++;
      const moved = new Map<string, number>();
      for (let seed = 1; seed <= nudges; seed++) {
        nudged.nudge(seed);
        for (const [what, values] of await resultsOf(nudged.engine, runnable(program), program.evaluates))
          moved.set(what, Math.max(moved.get(what) ?? 0, apart(values, want.get(what)!)));
      }
      const wrong = exceeding.flatMap(([what, w]) => {
        const g = got.get(what)!;
        const difference = apart(g, w);
        const allowed = rounding * largestOf(w) + room * moved.get(what)!;
        if (difference <= allowed) return [];
        const at = w.findIndex((x, i) => !(Math.abs(x - g[i]!) < difference));
        const found = `onnx ${g[at]}, cpu ${w[at]} at ${at} of ${w.length}`;
        return [`${what}: ${found}; they differ by ${difference}, more than ${allowed}`];
      });
      if (wrong.length) throw new Error(wrong.join("\n"));
    },
  };
}

/** An engine that is made anew after so many programs, whose sessions it keeps until then. */
function renewed(every: number) {
  let engine: Engine | undefined;
  let uses = 0;
  return {
    async next(): Promise<Engine> {
      if (uses++ % every === 0) {
        await engine?.dispose();
        engine = await engines.onnx.create({ threads: 1 });
      }
      return engine!;
    },
    dispose: async () => engine?.dispose(),
  };
}

/** How many programs are tried, which always are the same ones. */
const parameters = { seed: 1, numRuns: 2000 };
/** Every operation of the op set is called this often at least, and every feature of programs seen: about half of what is. */
const least = 60;

test("random programs give the same losses, readings and gradients on onnx as on cpu", async () => {
  const onnx = renewed(100);
  const { seen, compare } = comparison(onnx.next);
  try {
    await fc.assert(fc.asyncProperty(randomPrograms, compare), { ...parameters, includeErrorInReport: true });
  } finally {
    await onnx.dispose();
  }
  expect(seen.programs).toBe(parameters.numRuns);
  // maskedSoftmax is for the forward alone: attention has the gradient.
  const drawn = operations.map(({ name }) => name).filter((name) => name !== "maskedSoftmax");
  const rare = drawn.filter((name) => !((seen.calls.get(name) ?? 0) >= least));
  expect(rare).toEqual([]);
  for (const [feature, count] of Object.entries(seen.features)) expect(count, feature).toBeGreaterThan(least);
  // Far fewer than would hide a mistake; about 1.5 % are seen.
  expect(seen.nudged).toBeLessThan(0.04 * seen.programs);
});

/** y times `factor`, and its gradient times `slope`: right where both are 1. */
const off =
  (f: (x: Tensor) => Tensor, factor: number, slope: number) =>
  (x: Tensor): Tensor =>
    tf.add(tf.mul(f(x), slope), tf.mul(stopGradient(f(x)), factor - slope));

test.each([
  ["tf.atan", off(tf.atan, 1, 1.001), "gradient of v0"],
  ["tf.erf", off(tf.erf, 1.001, 1), "loss"],
])(
  "%s that is off by a thousandth on one engine is found, and printed in a program of a call or two",
  async (name, f, where) => {
    const onnx = renewed(100);
    const { compare } = comparison(onnx.next, { ...functions, [name]: f });
    const result = await fc.check(fc.asyncProperty(randomPrograms, compare), {
      ...parameters,
      includeErrorInReport: true,
    });
    await onnx.dispose();
    expect(result.failed).toBe(true);
    const [program] = result.counterexample!;
    expect(program.values.filter(({ from }) => isCall(from)).length).toBeLessThanOrEqual(2);
    const message = await fc.asyncDefaultReportMessage(result);
    expect(message).toMatch(new RegExp(`const v\\d+ = ${name.replace(".", "\\.")}\\(v0\\); // \\[`));
    expect(message).toMatch(/const v0 = parameter\(\[.+\], \[.*\]\);/);
    expect(message).toContain(`${where}: onnx `);
  },
);

// Found so. ONNX Runtime (1.30) sets only the first of several products of matrices to 0 where there is nothing to add up, and leaves
// the others as they were; it takes the process down where it fuses a transpose of an empty tensor into them.
test.each([
  [
    [2, 3, 0],
    [2, 0, 4],
  ],
  [
    [3, 0, 3],
    [3, 3, 5],
  ],
  [
    [0, 2, 3],
    [0, 3, 2],
  ],
])("products of several matrices [%s] and [%s], of which one is empty, are not asked of ONNX Runtime", async (a, b) => {
  const leaf = (shape: number[]): Value => ({
    shape,
    low: -2,
    high: 2,
    from: { leaf: "parameter", numbers: decimals("matrices", sizeOf(shape)) },
  });
  const product: Value = {
    shape: [a[0]!, a[1]!, b[2]!],
    low: -20,
    high: 20,
    from: { call: "tf.matMul", of: [{ value: 0 }, { value: 1 }, false, false], stage: 0 },
  };
  const program: Program = {
    values: [leaf(a), leaf(b), product],
    stages: 1,
    outputs: [2],
    readings: [],
    unread: [],
    frozen: [],
    reuses: false,
    evaluates: true,
  };
  const { player, batch } = runnable(program);
  for (const { nodes } of programsOf(player, batch, cpuProvider, { taps: "none", readings: [] }))
    expect(nodes.map(({ op }) => op)).not.toContain("FusedMatMul");
  const onnx = renewed(1);
  await comparison(onnx.next).compare(program);
  await onnx.dispose();
});
