// A network of MLPs with a loss, for tests: stages that end in the carry entry `hidden`, a linear map, and the squared
// distance to targets.
import * as tf from "@tensorflow/tfjs-core";
import { linear, linearParameters } from "../../src/nn/linear.ts";
import { stream } from "../../src/random.ts";
import { type Parameter, type Player, type Stage, sizeOf } from "../../src/stage.ts";
import { initialize } from "../../src/train/initialize.ts";
import type { Batch, HostTensor } from "../../src/types.ts";

/** Rows of a batch, numbers a row has, and numbers a target has. */
export const sizes = { rows: 5, inputs: 7, targets: 3 };

/** Normal numbers of their own for every `purpose`. */
const normals = (purpose: string, shape: readonly number[]): HostTensor => ({
  dtype: "float32",
  shape,
  data: stream(1, `test ${purpose}`).normal(new Float32Array(sizeOf(shape))),
});

/** Inputs `images` [B, P] and `targets` [B, 3]. */
export const batch = (rows = sizes.rows, inputs = sizes.inputs): Batch => ({
  tensors: { images: normals("images", [rows, inputs]), targets: normals("targets", [rows, sizes.targets]) },
  tokens: rows,
});

/** The mean of (h W + b - target)^2 over all numbers, h the stream of `stack` [B, `width`]. */
export function squaredLoss(stack: string, width: number): Stage {
  const { weight, bias } = linearParameters(width, sizes.targets);
  return {
    name: "output",
    stack: "output",
    layer: "",
    key: `squared loss ${stack}`,
    parameters: {
      weight: { ...weight!, path: "output/projection/weight" },
      bias: { ...bias!, path: "output/projection/bias" },
    },
    reads: [stack, "targets"],
    apply(p, carry) {
      const y_BK = linear(carry[stack]!, p["weight"]!, p["bias"]);
      return { loss: tf.mean(tf.square(tf.sub(y_BK, carry["targets"]!))) };
    },
  };
}

/** A player of these stages, the last of which writes `stack`, and a squared loss; with its initial parameters. */
export function regression(
  stages: readonly Stage[],
  stack: string,
  width: number,
): { player: Player; parameters: Map<string, Parameter> } {
  const all = [...stages, squaredLoss(stack, width)];
  const player: Player = { name: "model", stages: all, scalars: ["loss"], output: stack };
  return { player, parameters: initialize([player], 1) };
}
