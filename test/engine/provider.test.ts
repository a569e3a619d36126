// Execution providers: what their graphs may hold, what is said where one is missing, and that those that are here give
// the gradients of the reference. WebGPU runs where the machine has a GPU or Mesa's software Vulkan (25 or newer).
import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import type { Constant, Graph, Node, ValueInfo } from "../../src/engine/graph.ts";
import { cpu, onnx } from "../../src/engine/index.ts";
import { lower } from "../../src/engine/lower.ts";
import { encodeModel } from "../../src/engine/onnx-model.ts";
import { cpuProvider, type Provider, providers } from "../../src/engine/providers.ts";
import { createEngine, requireEngine } from "../../src/engine/select.ts";
import { createSession, missingProvider } from "../../src/engine/session.ts";
import * as schema from "../../src/config/schema.ts";
import { UserError } from "../../src/errors.ts";
import { gan } from "../../src/models/gan.ts";
import { vae } from "../../src/models/vae.ts";
import { type Parameters, type Player, sizeOf } from "../../src/stage.ts";
import { stream } from "../../src/random.ts";
import type { Batch } from "../../src/types.ts";
import { build, randomBatch, relativeDifference, schemeNames, shake, smallTransformer } from "../helpers.ts";
import { convolutional, imageBatch, residual, shaken, smallGan, smallVae } from "../models/images.ts";
import { programsOf } from "./programs.ts";

/** Operators of the ONNX standard that graphs may hold, with the opset in which each got the form it is used in, by the
 *  schemas of the PyPI package onnx. */
const standard: Readonly<Record<string, number>> = {
  ...{ Abs: 13, Add: 14, And: 7, Atan: 7, Cast: 13, Concat: 13, ConstantOfShape: 9, Conv: 11, ConvTranspose: 11 },
  ...{ Div: 14, Equal: 13, Erf: 13, Exp: 13, Expand: 13, Gather: 13, Gemm: 13, Greater: 13, GreaterOrEqual: 16 },
  ...{ HardSigmoid: 6 },
  ...{ Identity: 16, LayerNormalization: 17, LeakyRelu: 16, Less: 13, LessOrEqual: 16, Log: 13, LogSoftmax: 13 },
  ...{ MatMul: 13, Max: 13, Min: 13, Mul: 14, Neg: 13, Pow: 15, Reciprocal: 13, ReduceMax: 18, ReduceMean: 18 },
  ...{ ReduceMin: 18, ReduceProd: 18, ReduceSum: 13, ReduceSumSquare: 18, Relu: 14, Reshape: 14, ScatterND: 18 },
  ...{ Sigmoid: 13, Slice: 13, Softmax: 13, Softplus: 1, Split: 18, Sqrt: 13, Sub: 14, Tanh: 13, Tile: 13 },
  ...{ Transpose: 13, Where: 16 },
};

interface Case {
  readonly name: string;
  readonly players: readonly Player[];
  readonly parameters: Parameters;
  readonly batch: Batch;
}
const translating = (scheme: string, more = {}): Case => {
  const { players, parameters } = build(smallTransformer({ residual: scheme, dropout: 0.1, ...more }));
  shake(parameters);
  return { name: scheme, players, parameters, batch: randomBatch(3, 8, 50, 1, [8, 5, 2]) };
};
const encoding = (name: string, more = {}): Case => {
  const { players } = vae(smallVae(more));
  return { name, players, parameters: shaken(players), batch: imageBatch("binary") };
};
const playing = (name: string, more = {}): Case => {
  const { players } = gan(smallGan(more));
  return { name, players, parameters: shaken(players), batch: imageBatch("grey") };
};
const images = (): Case[] => [
  encoding("vae"),
  encoding("vae, iwae", { objective: "iwae", samples: 3 }),
  encoding("vae, residual", { encoder: residual("pre-ln"), decoder: residual("post-ln") }),
  playing("gan, minimax", { loss: "minimax" }),
  playing("gan, wgan-gp", { loss: "wgan-gp" }),
  playing("gan, spectral norm", { loss: "hinge", spectralNorm: true }),
  playing("dcgan", { net: convolutional() }), // 6 images are 6 channels in the gradient of a kernel
];

const named = (name: string): Provider => providers.find((provider) => provider.name === name)!;
const webgpu = named("webgpu");

test("the schema's providers are those of the engine", () => {
  expect(schema.providers).toEqual(providers.map(({ name, summary }) => ({ name, summary })));
  expect(onnx.providers![0]!.name).toBe("cpu");
});

describe.each(providers.filter(({ name }) => name !== "cpu"))("graphs for $name", (provider) => {
  test("hold standard operators of their opset alone, whatever the model and the scheme", () => {
    const more = { norm: "rms-norm", activation: "gelu", tiedEmbeddings: "all", labelSmoothing: 0.1 };
    const cases = [...schemeNames.map((name) => translating(name)), translating("pre-ln", more), ...images()];
    let nodes = 0;
    for (const { name, players, batch } of cases)
      for (const player of players)
        for (const { model } of programsOf(player, batch, provider, { taps: "scaled", readings: [] })) {
          const { graph, opsetImport } = fromBinary(ModelProtoSchema, model);
          expect(opsetImport.map(({ domain }) => domain)).toEqual([""]);
          const opset = Number(opsetImport[0]!.version);
          const beyond = graph!.node.filter((n) => n.domain !== "" || !(standard[n.opType]! <= opset));
          expect(
            beyond.map(({ opType }) => opType),
            name,
          ).toEqual([]);
          expect(graph!.output.map(({ name }) => name)).not.toContain("halt");
          nodes += graph!.node.length;
        }
    expect(nodes).toBeGreaterThan(10_000);
  });
});

test("graphs for the cpu hold operators beyond the standard, so that the test above can fail", () => {
  const { players, batch } = translating("pre-ln");
  const programs = programsOf(players[0]!, batch, cpuProvider, { taps: "none", readings: [] });
  const ops = new Set(programs.flatMap(({ nodes }) => nodes.map(({ op, domain }) => `${domain}.${op}`)));
  expect(ops).toContain("com.microsoft.FusedMatMul");
});

// Each as the runtime's own kernel computes it and as it is written with others, both on the CPU. Float32 sums in
// another order differ by some 1e-7.
describe("an operator written with others gives the same", () => {
  const cases: Record<
    string,
    { readonly node: Partial<Node>; readonly shapes: readonly number[][]; readonly y: number[] }
  > = {
    "FusedMatMul, both transposed, scaled": {
      node: { op: "FusedMatMul", domain: "com.microsoft", attributes: { transA: 1, transB: 1, alpha: { float: 0.5 } } },
      shapes: [
        [2, 3, 5, 4],
        [2, 3, 6, 5],
      ],
      y: [2, 3, 4, 6],
    },
    "FusedMatMul, broadcast": {
      node: { op: "FusedMatMul", domain: "com.microsoft", attributes: { transA: 0, transB: 1 } },
      shapes: [
        [2, 3, 4, 5],
        [3, 6, 5],
      ],
      y: [2, 3, 4, 6],
    },
    "LayerNormalization with a bias": {
      node: { op: "LayerNormalization", attributes: { axis: -1, epsilon: { float: 1e-5 } } },
      shapes: [[2, 7, 9], [9], [9]],
      y: [2, 7, 9],
    },
    "LayerNormalization without": {
      node: { op: "LayerNormalization", attributes: { axis: -1, epsilon: { float: 1 } } },
      shapes: [[7, 9], [9]],
      y: [7, 9],
    },
    Softplus: { node: { op: "Softplus" }, shapes: [[7, 9]], y: [7, 9] },
    "Conv of 9 channels": {
      node: {
        op: "Conv",
        attributes: { kernel_shape: [2, 2], pads: [1, 1, 1, 1], strides: [1, 1], dilations: [2, 2] },
      },
      shapes: [
        [2, 9, 5, 5],
        [4, 9, 2, 2],
      ],
      y: [2, 4, 5, 5],
    },
  };

  test.each(Object.entries(cases))("%s", async (name, { node, shapes, y }) => {
    const inputs = shapes.map((_, i) => `x${i}`);
    const graph: Graph = {
      nodes: [{ op: "", domain: "", attributes: {}, ...node, inputs, outputs: ["y"] }],
      values: new Map<string, ValueInfo>([
        ...inputs.map((x, i) => [x, { shape: shapes[i]!, dtype: "float32" }] as const),
        ["y", { shape: y, dtype: "float32" }],
      ]),
      constants: new Map<string, Constant>(),
    };
    const feeds = Object.fromEntries(
      inputs.map((x, i) => {
        const data = Float32Array.from(stream(1, x).normal(new Float64Array(sizeOf(shapes[i]!))), (z) => 8 * z);
        return [x, new ort.Tensor("float32", data, shapes[i]!)];
      }),
    );
    const run = async (given: Graph): Promise<Float32Array> => {
      const session = await createSession({ model: encodeModel(given, inputs, ["y"]) }, 1);
      const result = new Float32Array(sizeOf(y));
      await session.run(feeds, { y: new ort.Tensor("float32", result, y) });
      await session.release();
      return result;
    };
    const lowered = lower(graph, ["Conv", "FusedMatMul", "LayerNormalization", "Softplus"]);
    expect(lowered.nodes.length, name).toBeGreaterThan(1);
    expect(lowered.nodes.every(({ op, domain }) => domain === "" && op in standard)).toBe(true);
    expect(relativeDifference(await run(lowered), await run(graph))).toBeLessThan(1e-6);
  });

  test("a convolution that WebGPU computes right stays as it is", () => {
    for (const channels of [1, 2, 3, 4, 5, 12]) {
      const values = new Map<string, ValueInfo>([
        ["x", { shape: [1, channels, 4, 4], dtype: "float32" }],
        ["w", { shape: [4, channels, 1, 1], dtype: "float32" }],
        ["y", { shape: [1, 4, 4, 4], dtype: "float32" }],
      ]);
      const nodes = [{ op: "Conv", domain: "", inputs: ["x", "w"], outputs: ["y"], attributes: {} }];
      expect(lower({ nodes, values, constants: new Map() }, ["Conv"]).nodes, `${channels}`).toEqual(nodes);
    }
  });
});

describe("a provider that is missing", () => {
  test("is refused with what was looked for and what is offered", async () => {
    const unknown = { ...webgpu, name: "no-such", advice: "needs luck" };
    const missing = (await missingProvider(unknown))!;
    expect(missing).toMatch(/^expected onnxruntime-node \S+ to offer it on \w+-\w+, got cpu\b.*; it needs luck$/);
    expect(await missingProvider(cpuProvider)).toBeUndefined();
  });

  test.each(["cuda", "webgpu"])("%s is a user's error that names the keys and says how to get it", async (provider) => {
    const missing = await missingProvider(named(provider));
    const required = requireEngine({ kind: "onnx", provider }, { threads: 1, keepGraphs: false });
    if (missing === undefined) expect((await required).provider).toBe(provider);
    else {
      await expect(required).rejects.toThrow(UserError);
      await expect(required).rejects.toThrow(
        `engine.provider: ${provider} cannot work here with engine.kind: onnx: ${missing}; or use engine: onnx`,
      );
      expect(missing).toContain(named(provider).advice);
    }
  });

  test("an engine that compiles no graphs keeps none", async () => {
    await expect(createEngine("cpu", { threads: 1, onProgram: () => {} })).rejects.toThrow(
      "--keep-graphs: expected an engine that compiles graphs, got cpu; use engine: onnx or leave --keep-graphs out",
    );
  });
});

for (const provider of providers) {
  const missing = await missingProvider(provider);
  if (missing) console.log(`tests of provider ${provider.name} are skipped: ${missing}`);

  // 1e-4, as everywhere between engines: two float32 evaluations of these graphs differ by about 1e-6.
  describe.skipIf(missing)(`on ${provider.name}`, () => {
    test.each([translating("pre-ln"), translating("post-ln"), ...images()])(
      "$name: gradients, scalars and output are those of the reference",
      async ({ players, parameters, batch }) => {
        const engine = await createEngine({ kind: "onnx", provider: provider.name }, { threads: 1 });
        const reference = await cpu.create({ threads: 1 });
        expect(engine.facts()["provider"]).toBe(provider.name);
        for (const player of players) {
          const options = { step: 3, seed: 1, tapped: true };
          const got = await engine.differentiate(player, parameters, batch, options);
          const want = await reference.differentiate(player, parameters, batch, options);
          expect(got.gradients.size).toBe(want.gradients.size);
          for (const [path, gradient] of want.gradients)
            // Below that a gradient is rounding alone: a bias that a softmax or a batch normalisation takes off again.
            if (Math.hypot(...gradient) > 1e-6)
              expect(relativeDifference(got.gradients.get(path)!, gradient), path).toBeLessThan(1e-4);
          for (const [name, value] of Object.entries(want.scalars)) expect(got.scalars[name]).toBeCloseTo(value, 4);
          const evaluated = await engine.evaluate(player, parameters, batch);
          for (const [name, value] of Object.entries(await reference.evaluate(player, parameters, batch)))
            expect(evaluated[name]).toBeCloseTo(value, 4);
          if (player.output !== undefined) {
            const output = await engine.output(player, parameters, batch);
            expect(relativeDifference(output, await reference.output(player, parameters, batch))).toBeLessThan(1e-4);
          }
        }
        await engine.dispose();
      },
      120_000, // software Vulkan compiles every shader
    );
  });
}
