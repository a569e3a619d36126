// A chain of equal layers of one number, such as the seed's examples speak of, run and differentiated by the engine.
import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import type { Stage } from "../stage.ts";
import { type Carry, pullBack } from "./error-signal.ts";

const carry: Carry = { x: { dtype: "float32", shape: [1, 1], data: Float32Array.of(1) } };

/** `multiply`: x' = c x. `residual`: x' = x + c x. `branch`: f(x) = c x alone. */
export type ScalarLayer = "multiply" | "residual" | "branch";

const layer = (kind: ScalarLayer, slope: number, index: number): Stage => ({
  name: `scalar/${kind}/${index}`,
  stack: "scalar",
  layer: index,
  key: `scalar ${kind}`,
  parameters: {},
  reads: ["x"],
  constants: { slope },
  apply(_, { x }, context) {
    const f = tf.mul(x!, context.constant("slope"));
    return { x: kind === "residual" ? tf.add(x!, f) : f };
  },
});

/** d x_end / d x_k for every k of the chain of `kinds` with slope c, from the bottom up. */
export async function scalarGradients(engine: Engine, kinds: readonly ScalarLayer[], slope: number): Promise<number[]> {
  const stages = kinds.map((kind, index) => layer(kind, slope, index));
  return (await pullBack(engine, stages, new Map(), carry, "x", Float32Array.of(1))).map((rows) => rows[0]!);
}
