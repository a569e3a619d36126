// The slow twin of engine and taps: a whole network as one TensorFlow.js function on the plain backend, not stage by stage, with
// a tensor of zeros added at every tap: the gradient with respect to those zeros is the gradient of the activation (the idea of
// flax's `perturb`). Every zero must be a tensor of its own, or gradients add up silently.
import * as tf from "@tensorflow/tfjs-core";
import * as engines from "../../src/engine/index.ts";
import { stream } from "../../src/random.ts";
import { constantAt, type Parameter, type Player, sizeOf, type StageContext } from "../../src/stage.ts";
import type { Batch } from "../../src/types.ts";

/** Step and seed of the twin's dropout. */
export const [step, seed] = [3, 1];

/** What the twin saw. */
export interface Twin {
  /** In the order in which the network meets them: `encoder 0 self-attention branch`. */
  readonly taps: { place: string; activation: Float32Array; gradient: Float32Array }[];
  readonly gradients: Map<string, Float32Array>;
}

/** Loss, activations and all gradients of a player, as one function of parameters and perturbations. */
export async function wholeNetwork(player: Player, parameters: Map<string, Parameter>, batch: Batch): Promise<Twin> {
  await engines.cpu.create({ threads: 1 });
  const paths = [...parameters.keys()];
  const seen: { place: string; activation: Float32Array; shape: number[] }[] = [];
  // What is given is made outside the function: what is made inside, the tape disposes before it goes back.
  const given: Record<string, tf.Tensor> = Object.fromEntries(
    Object.entries(batch.tensors).map(([name, { data, shape, dtype }]) => [name, tf.tensor(data, [...shape], dtype)]),
  );
  const noises = new Map<string, tf.Tensor>();
  const loss = (weights: tf.Tensor[], zeros: tf.Tensor[] | undefined): tf.Scalar => {
    let carry = given;
    let met = 0;
    for (const stage of player.stages) {
      const context: StageContext = {
        training: true,
        tap(component, point, x) {
          const zero = zeros?.[met++];
          if (zero) return tf.add(x, zero);
          const place = `${stage.stack} ${stage.layer} ${component} ${point}`;
          seen.push({ place, activation: Float32Array.from(x.dataSync()), shape: x.shape });
          return x;
        },
        reading: () => {},
        noise(name, shape, noise) {
          if (noise.kind !== "dropout") throw new Error("only dropout here");
          const purpose = `dropout/${stage.name}/${name}`;
          const factors = stream(seed, purpose).dropout(new Float32Array(sizeOf(shape)), noise.rate, step);
          if (!noises.has(purpose)) noises.set(purpose, tf.tensor(factors, [...shape]));
          return noises.get(purpose)!;
        },
        constant: (name) => tf.scalar(constantAt(stage.constants![name]!, 0)),
      };
      const own = Object.entries(stage.parameters).map(([name, { path }]) => [name, weights[paths.indexOf(path)]!]);
      carry = { ...carry, ...stage.apply(Object.fromEntries(own) as Record<string, tf.Tensor>, carry, context) };
    }
    return carry["loss"]!.asScalar();
  };
  const weights = paths.map((path) => tf.tensor(parameters.get(path)!.data, [...parameters.get(path)!.shape]));
  loss(weights, undefined);
  const zeros = seen.map(({ shape }) => tf.zeros(shape));
  const split = (tensors: tf.Tensor[]) => [tensors.slice(0, paths.length), tensors.slice(paths.length)] as const;
  const gradients = tf.grads((...tensors: tf.Tensor[]) => loss(...split(tensors)))([...weights, ...zeros]);
  const [ofWeights, ofZeros] = split(gradients).map((g) => g.map((t) => t.dataSync() as Float32Array));
  return {
    taps: seen.map(({ place, activation }, i) => ({ place, activation, gradient: ofZeros![i]! })),
    gradients: new Map(paths.map((path, i) => [path, ofWeights![i]!])),
  };
}
