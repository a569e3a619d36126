// Jacobians of stages as products: J v and J^T u belong to one matrix, and that matrix is the derivative.
import { env } from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { carryAfter, entryAfter, linearize } from "../../src/engine/linearize.ts";
import type { TransformerOptions } from "../../src/models/transformer.ts";
import { stream } from "../../src/random.ts";
import type { Parameters, Stage } from "../../src/stage.ts";
import type { HostTensor } from "../../src/types.ts";
import { build, randomBatch, relativeDifference, schemeNames, shake, smallTransformer } from "../helpers.ts";

const sizes = { width: 8, heads: 2, feedForward: 12, vocabulary: 20 };

let cpu: Engine, onnx: Engine;
beforeAll(async () => {
  [cpu, onnx] = [await engines.cpu.create({ threads: 1 }), await engines.onnx.create({ threads: 1 })];
});
afterAll(async () => {
  await cpu.dispose();
  await onnx.dispose();
});

const normal = (size: number, purpose: string): Float32Array => stream(1, purpose).normal(new Float32Array(size));
const norm = (a: Float32Array): number => Math.hypot(...a);
const inner = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

interface Stretch {
  readonly stages: readonly Stage[];
  readonly parameters: Parameters;
  readonly carry: Readonly<Record<string, HostTensor>>;
}

/** A stack from its embedding to its last layer, or its second layer alone, and the carry that it starts from. */
async function stretch(
  overrides: Partial<TransformerOptions>,
  stack: "encoder" | "decoder",
  part: "stack" | "layer",
): Promise<Stretch> {
  const { players, parameters } = build(smallTransformer({ ...sizes, ...overrides }));
  shake(parameters);
  const { stages } = players[0]!;
  const layers = stages.filter((stage) => stage.stack === stack && stage.layer !== "");
  const wanted = part === "stack" ? layers : layers.slice(1, 2);
  const before = stages.slice(0, stages.indexOf(wanted[0]!));
  const { tensors } = randomBatch(2, 4, sizes.vocabulary, 1, [4, 3]);
  return { stages: wanted, parameters, carry: await carryAfter(cpu, before, parameters, tensors) };
}

const places = (["encoder", "decoder"] as const).flatMap((stack) =>
  (["stack", "layer"] as const).map((part) => [stack, part] as const),
);

describe.each(schemeNames)("%s", (residual) => {
  test.each(places)("%s, %s: <u, J v> = <J^T u, v>, on both engines the same", async (stack, part) => {
    const { stages, parameters, carry } = await stretch({ residual, dropout: 0.2 }, stack, part);
    const [onCpu, onOnnx] = [cpu, onnx].map((engine) => linearize(engine, stages, parameters, carry, stack));
    const { size } = onCpu!;
    const [u, v] = [normal(size, "u"), normal(size, "v")];
    const [jv, jtu] = [await onCpu!.jvp(v), await onCpu!.vjp(u)];
    const [jv2, jtu2] = [await onOnnx!.jvp(v), await onOnnx!.vjp(u)];
    expect(norm(jv)).toBeGreaterThan(0.01);
    // Float32 has steps of 6e-8, and some hundred operations follow each other; a derivative that lacks a term is off by
    // 1e-2 and more.
    const bound = 1e-5;
    for (const [a, b] of [
      [jv, jtu],
      [jv2, jtu2],
    ] as const)
      expect(Math.abs(inner(u, a) - inner(b, v))).toBeLessThan(bound * norm(u) * norm(a));
    expect(relativeDifference(jv2, jv)).toBeLessThan(bound);
    expect(relativeDifference(jtu2, jtu)).toBeLessThan(bound);
  });
});

test("compiling does not grow with depth", async () => {
  const engine = await engines.onnx.create({ threads: 1 });
  const compiled = async (layers: number): Promise<number> => {
    const { stages, parameters, carry } = await stretch({ depth: { encoder: layers, decoder: 1 } }, "encoder", "stack");
    const { size, jvp, vjp } = linearize(engine, stages, parameters, carry, "encoder");
    await jvp(normal(size, "v"));
    await vjp(normal(size, "u"));
    return Number(engine.facts()["compiledStages"]);
  };
  const two = await compiled(2);
  expect(await compiled(12)).toBe(two);
  await engine.dispose();
});

test("products are the caller's to keep, and see parameters as they are now", async () => {
  const { stages, parameters, carry } = await stretch({}, "encoder", "stack");
  const { size, jvp, vjp } = linearize(onnx, stages, parameters, carry, "encoder");
  const [u, v] = [normal(size, "u"), normal(size, "v")];
  const before = [await jvp(v), await vjp(u)];
  const copies = before.map((x) => x.slice());
  for (const { data } of parameters.values()) data.forEach((x, i) => (data[i] = 1.5 * x));
  const after = [await jvp(v), await vjp(u)];
  expect(before).toEqual(copies);
  after.forEach((x, i) => expect(relativeDifference(x, before[i]!)).toBeGreaterThan(0.01));
});

test("a product is the same after larger ones have moved the engine's buffers, and on parameters of an equal network", async () => {
  const engine = await engines.onnx.create({ threads: 1 });
  const { stages, parameters, carry } = await stretch({}, "encoder", "stack");
  const { size, jvp, vjp } = linearize(engine, stages, parameters, carry, "encoder");
  const [u, v] = [normal(size, "u"), normal(size, "v")];
  const before = [await jvp(v), await vjp(u)];
  const wider = await stretch({ width: 16 }, "encoder", "stack");
  const large = linearize(engine, wider.stages, wider.parameters, wider.carry, "encoder");
  await large.jvp(normal(large.size, "v"));
  await large.vjp(normal(large.size, "u"));
  expect([await jvp(v), await vjp(u)]).toEqual(before);
  // The same players on other parameters have plans of their own.
  const other = new Map(
    Array.from(parameters, ([path, one]) => [path, { ...one, data: one.data.map((x) => 1.5 * x) }]),
  );
  const player = { name: "forward", stages, scalars: [], output: "encoder" };
  const batch = { tensors: carry, tokens: 1 };
  const [one, two] = [
    (await engine.output(player, parameters, batch)).slice(),
    await engine.output(player, other, batch),
  ];
  expect(relativeDifference(two, one)).toBeGreaterThan(0.01);
  expect(await engine.output(player, parameters, batch)).toEqual(one);
  await engine.dispose();
});

test("a stretch without stages has the identity, and a wrong length is an error", async () => {
  const { parameters, carry } = await stretch({}, "encoder", "stack");
  const { size, jvp, vjp } = linearize(onnx, [], parameters, carry, "encoder");
  const v = normal(size, "v");
  expect([await jvp(v), await vjp(v)]).toEqual([v, v]);
  await expect(jvp(new Float32Array(size + 1))).rejects.toThrow(`expected ${size} numbers`);
});

// On the cpu engine the very same code computes in float64, see finite-differences.test.ts.
describe("in float64", () => {
  const { Float32Array: float32 } = globalThis;
  const { platform } = env();
  const { isTypedArray } = platform;
  beforeAll(() => {
    globalThis.Float32Array = Float64Array as never;
    platform.isTypedArray = (a): a is Float32Array => ArrayBuffer.isView(a);
  });
  afterAll(() => {
    globalThis.Float32Array = float32;
    platform.isTypedArray = isTypedArray;
  });

  // GELU: differences across the kink of a ReLU are wrong. A layer's Jacobian is a factor of its stack's.
  test.each(schemeNames.flatMap((residual) => [[residual, "encoder"] as const, [residual, "decoder"] as const]))(
    "%s, %s: J v is what a central difference gives",
    async (residual, stack) => {
      const { stages, parameters, carry } = await stretch({ residual, activation: "gelu" }, stack, "stack");
      const { size, jvp, vjp } = linearize(cpu, stages, parameters, carry, stack);
      const [u, v] = [normal(size, "u"), normal(size, "v")];
      const h = 1e-5;
      const at = (t: number): Promise<Float32Array> => {
        const { shape, data } = carry[stack]!;
        const moved = Float32Array.from(data, (x, i) => x + t * v[i]!);
        const tensors = { ...carry, [stack]: { dtype: "float32" as const, shape, data: moved } };
        return entryAfter(cpu, stages, parameters, { tensors, tokens: 1 }, stack);
      };
      const [ahead, behind] = [await at(h), await at(-h)];
      const slope = ahead.map((y, i) => (y - behind[i]!) / (2 * h));
      const jv = await jvp(v);
      // TensorFlow.js's erf is a polynomial that is off by up to 1.5e-7 (Abramowitz and Stegun 7.1.26), and its slope from
      // the density that the gradient uses by as many parts; the difference's own errors are smaller.
      expect(relativeDifference(jv, slope)).toBeLessThan(2e-6);
      // Both are exact but for rounding.
      expect(Math.abs(inner(u, jv) - inner(await vjp(u), v))).toBeLessThan(1e-12 * norm(u) * norm(jv));
    },
  );
});
