// What optimizers do, as operations on tensors. The host has the same as loops (src/train/optimizers.ts).
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { assert } from "../errors.ts";

/** How an optimizer changes a parameter p with gradient g, in numbers; `penalty` is an L2 term: g + penalty p takes the place of g.
 *  `adam`: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, p -= rate m' / (sqrt(v') + epsilon) + rate decay p, with
 *  m' and v' corrected for their start at 0. `sgd`: u = momentum u + g, p -= rate u. */
export type UpdateRule =
  | {
      readonly kind: "adam";
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly penalty: number;
      readonly decay: number;
    }
  | { readonly kind: "sgd"; readonly momentum: number; readonly penalty: number };

/** A step of `rule` over any shape: the parameter and the optimizer's state after it, in the order of its slots. The same
 *  operations in the same order as the host's loops (src/train/optimizers.wat). `step` counts from 0. */
export function applyRule(
  rule: UpdateRule,
  { parameter, gradient, state }: { parameter: Tensor; gradient: Tensor; state: readonly Tensor[] },
  { learningRate, step }: { readonly learningRate: number; readonly step: number },
): { parameter: Tensor; state: Tensor[] } {
  const g = rule.penalty ? tf.add(gradient, tf.mul(rule.penalty, parameter)) : gradient;
  if (rule.kind === "sgd") {
    const { momentum } = rule;
    const velocity = momentum ? tf.add(tf.mul(momentum, state[0]!), g) : g;
    return { parameter: tf.sub(parameter, tf.mul(learningRate, velocity)), state: momentum ? [velocity] : [] };
  }
  const { beta1, beta2, epsilon, decay } = rule;
  const [first, second] = state;
  assert(first && second, "adam has two slots");
  const m = tf.add(tf.mul(beta1, first), tf.mul(1 - beta1, g));
  const v = tf.add(tf.mul(beta2, second), tf.mul(tf.mul(1 - beta2, g), g));
  const rate = learningRate / (1 - beta1 ** (step + 1));
  const correct2 = 1 / (1 - beta2 ** (step + 1));
  const move = tf.div(tf.mul(rate, m), tf.add(tf.sqrt(tf.mul(v, correct2)), epsilon));
  const moved = tf.sub(parameter, move);
  return { parameter: decay ? tf.sub(moved, tf.mul(learningRate * decay, parameter)) : moved, state: [m, v] };
}
