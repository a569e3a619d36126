// Parameters that are said to be fixed are part of the programs; tensors that are said to lie still are read where they lie. Neither
// changes what a network says.
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import type { Parameter, Parameters, Player, Stage } from "../../src/stage.ts";
import type { Batch, CompiledProgram } from "../../src/types.ts";

const path = "stack/weight";
const parametersOf = (weight: number[]): Parameters =>
  new Map<string, Parameter>([
    [path, { path, shape: [2], init: { kind: "constant", value: 0 }, data: Float32Array.from(weight) }],
  ]);
const scaled = (name: string, factor: number): Stage => ({
  name,
  stack: "stack",
  layer: "",
  key: "scaled",
  parameters: { weight: { path, shape: [2], init: { kind: "constant", value: 0 } } },
  constants: { factor },
  reads: ["x"],
  apply: ({ weight }, { x }, { constant }) => ({ x: tf.mul(tf.mul(x!, weight!), constant("factor")) }),
});
/** x (2 w) (3 w): two stages of one key whose constants differ. */
const player: Player = { name: "player", scalars: [], output: "x", stages: [scaled("a", 2), scaled("b", 3)] };
const batchOf = (x: Float32Array): Batch => ({ tensors: { x: { dtype: "float32", shape: [2], data: x } }, tokens: 1 });

describe.each([engines.onnx, engines.cpu])("on $name", (kind) => {
  const programs: CompiledProgram[] = [];
  const made = kind.create({ threads: 1, onProgram: (program) => programs.push(program) });
  afterAll(async () => (await made).dispose());
  const output = async (parameters: Parameters, x: Float32Array, options = {}): Promise<number[]> =>
    Array.from(await (await made).output(player, parameters, batchOf(x), options));

  test("fixed parameters say what they say as inputs, each stage with its own constants", async () => {
    const parameters = parametersOf([1, 2]);
    expect(await output(parameters, Float32Array.of(1, 1))).toEqual([6, 24]);
    expect(await output(parameters, Float32Array.of(1, 1), { fixedParameters: true })).toEqual([6, 24]);
    // Other parameters have programs of their own, though their stages have the same keys.
    expect(await output(parametersOf([3, 1]), Float32Array.of(1, 1), { fixedParameters: true })).toEqual([54, 6]);
    if (kind === engines.onnx) {
      const inputs = programs.map((program) => program.inputs.map(({ name }) => name).join());
      expect(inputs).toEqual([
        "parameter:weight,carry:x,constant:factor",
        // Carried on, x has a parameter behind it, so that the second stage is another program.
        "parameter:weight,carry:x,constant:factor",
        ...new Array<string>(4).fill("carry:x"),
      ]);
    }
  });

  test("a change of parameters is seen by every call that does not take them for fixed", async () => {
    const parameters = parametersOf([1, 1]);
    await output(parameters, Float32Array.of(1, 1), { fixedParameters: true });
    parameters.get(path)!.data.set([2, 2]);
    expect(await output(parameters, Float32Array.of(1, 1))).toEqual([24, 24]);
  });

  test("a tensor that is read in place is read anew at every call, wherever it lies by then", async () => {
    const parameters = parametersOf([1, 1]);
    const x = Float32Array.of(1, 2);
    expect(await output(parameters, x, { inPlace: new Set(["x"]) })).toEqual([6, 12]);
    x[0] = 5;
    expect(await output(parameters, x, { inPlace: new Set(["x"]) })).toEqual([30, 12]);
    expect(await output(parameters, Float32Array.of(7, 7), { inPlace: new Set(["x"]) })).toEqual([42, 42]);
    expect(await output(parameters, Float32Array.of(1, 1))).toEqual([6, 6]);
    expect(Array.from(x)).toEqual([5, 2]);
  });
});

test("on onnx, an engine's own array is refused as a tensor to be read in place", async () => {
  const engine = await engines.onnx.create({ threads: 1 });
  const parameters = parametersOf([1, 1]);
  const one = { ...player, stages: player.stages.slice(0, 1) };
  const own = await engine.output(one, parameters, batchOf(Float32Array.of(1, 1)));
  await expect(engine.output(one, parameters, batchOf(own), { inPlace: new Set(["x"]) })).rejects.toThrow(
    "shares its memory with input carry:x",
  );
  await engine.dispose();
});
