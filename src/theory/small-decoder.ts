// A decoder small enough to integrate over its latents: z [N, D] -> logits [N, M], one hidden layer. With few latents, what the
// seed says of an expectation can be compared with the integral.
import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { linear, linearParameters } from "../nn/linear.ts";
import { scope, under } from "../nn/parameters.ts";
import { stream } from "../random.ts";
import type { Parameter, ParameterSpec, Player, Stage } from "../stage.ts";
import { initialize } from "../train/initialize.ts";

/** D, width of the hidden layer, and M. */
export interface DecoderSizes {
  readonly latent: number;
  readonly hidden: number;
  readonly pixels: number;
}

/** logits = tanh(z W_1 + b_1) W_2 + b_2 from carry entry `latent`; f_theta(z) = sigmoid(logits) goes into `pixels` beside
 *  them. */
export function decoderStage({ latent, hidden, pixels }: DecoderSizes): Stage {
  const shapes = {
    ...scope("hidden", linearParameters(latent, hidden)),
    ...scope("output", linearParameters(hidden, pixels)),
  };
  const parameters = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]): [string, ParameterSpec] => [
      name,
      { ...shape, path: `small-decoder/${name}` },
    ]),
  );
  return {
    name: "small-decoder",
    stack: "decoder",
    layer: "",
    key: `theory small decoder ${latent}-${hidden}-${pixels}`,
    parameters,
    reads: ["latent"],
    apply(p, { latent }) {
      const [first, second] = [under(p, "hidden"), under(p, "output")];
      const hidden = tf.tanh(linear(latent!, first["weight"]!, first["bias"]));
      const logits = linear(hidden, second["weight"]!, second["bias"]);
      return { logits, pixels: tf.sigmoid(logits) };
    },
  };
}

/** Parameters of a decoder that is far from linear: normal with standard deviation 1, biases too. */
export function decoderParameters(stage: Stage, seed: number): Map<string, Parameter> {
  const player: Player = { name: "decoder", stages: [stage], scalars: [] };
  const parameters = initialize([player], seed);
  for (const [path, { data }] of parameters) {
    stream(seed, `theory/${path}`).normal(data);
  }
  return parameters;
}

/** f_theta(z) [N, M] of latents z [N, D], by the engine. */
export async function pixelsOf(
  engine: Engine,
  stage: Stage,
  parameters: ReadonlyMap<string, Parameter>,
  latents: ArrayLike<number>,
  latent: number,
): Promise<Float32Array> {
  const shape = [latents.length / latent, latent];
  const batch = {
    tensors: { latent: { dtype: "float32", shape, data: Float32Array.from(latents) } },
    tokens: shape[0]!,
  } as const;
  const player: Player = { name: "decode", stages: [stage], scalars: [], output: "pixels" };
  return Float32Array.from(await engine.output(player, parameters, batch));
}
