// Where gradients go when carry entries are written over, or do not reach the loss: by hand, on every engine.
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test as plainTest } from "vitest";
import * as engines from "../../src/engine/index.ts";
import type { Parameter, Player, Stage, Tensors } from "../../src/stage.ts";
import type { Batch } from "../../src/types.ts";
import { comparedEngines } from "../engines.ts";

const stage = (
  name: string,
  reads: string[],
  apply: (p: Tensors, carry: Tensors) => Tensors,
  learns?: string,
): Stage => ({
  name,
  stack: "stack",
  layer: "",
  key: name,
  parameters: learns ? { [learns]: { path: learns, shape: [2], init: { kind: "constant", value: 0 } } } : {},
  reads,
  apply: (p, carry) => ({ ...apply(p, carry) }),
});
const parameter = (path: string, numbers: number[]): [string, Parameter] => [
  path,
  { path, shape: [2], init: { kind: "constant", value: 0 }, data: Float32Array.from(numbers) },
];
const batch: Batch = { tensors: { b: { dtype: "float32", shape: [2], data: Float32Array.of(1, 1) } }, tokens: 1 };
const options = { step: 0, seed: 1, tapped: false };

describe.each([{ kind: engines.cpu, test: plainTest }, ...comparedEngines])("on $kind.name", ({ kind, test }) => {
  test("an entry that a stage without a gradient writes over passes none on to what it was", async () => {
    const player: Player = {
      name: "player",
      scalars: ["loss"],
      stages: [
        stage("one", [], ({ w }) => ({ x: tf.square(w!) }), "w"),
        stage("two", ["x"], (_, { x }) => ({ y: tf.square(x!) })),
        stage("three", ["b"], (_, { b }) => ({ x: tf.mul(b!, 10) })),
        stage("four", ["x", "y"], (_, { x, y }) => ({ loss: tf.sum(tf.mul(x!, y!)) })),
      ],
    };
    const engine = await kind.create({ threads: 1 });
    const { gradients } = await engine.differentiate(player, new Map([parameter("w", [1, 2])]), batch, options);
    // loss = sum(10 w^4)
    expect([...gradients.get("w")!]).toEqual([40, 320]);
    await engine.dispose();
  });

  test("parameters on which the loss does not depend have a gradient of zeros", async () => {
    const player: Player = {
      name: "player",
      scalars: ["loss"],
      stages: [
        stage("lost", [], ({ v }) => ({ x: tf.square(v!) }), "v"),
        stage("used", [], ({ w }) => ({ loss: tf.sum(tf.square(w!)) }), "w"),
      ],
    };
    const engine = await kind.create({ threads: 1 });
    const parameters = new Map([parameter("v", [3, 4]), parameter("w", [1, 2])]);
    const { gradients } = await engine.differentiate(player, parameters, batch, options);
    expect([...gradients.get("w")!]).toEqual([2, 4]);
    expect([...gradients.get("v")!]).toEqual([0, 0]);
    await engine.dispose();
  });
});
