// Optimizers by the name used in configs: plain loops over typed arrays, in float64 with float32 storage, so every engine
// trains alike. State is kept by parameter path, never by position.
import type { OptimizerConfig } from "../config/schema.ts";
import type { Moments } from "../types.ts";

type Kind = OptimizerConfig["kind"];

/** Moments of what an update did to a parameter, and of the parameter before it. */
export interface UpdateMoments {
  readonly update: Moments;
  readonly parameter: Moments;
}

export interface Optimizer {
  /** Names of the state arrays a parameter has once it has been updated. */
  readonly slots: readonly string[];
  /** State arrays by `<slot>/<parameter path>`; part of the checkpoint. */
  readonly state: Map<string, Float32Array>;
  /** Updates `parameter` in place from `gradientScale * gradient` at update number `step` (from 0). */
  update(
    path: string,
    parameter: Float32Array,
    gradient: Float32Array,
    settings: { readonly gradientScale: number; readonly learningRate: number; readonly step: number },
  ): UpdateMoments;
}

/** Makes the optimizer a config describes, with empty state. */
export function createOptimizer(config: OptimizerConfig): Optimizer {
  return (optimizers[config.kind] as (config: OptimizerConfig) => Optimizer)(config);
}

/** The state array `slot` of a parameter, zeros at first. */
function slot(state: Map<string, Float32Array>, name: string, path: string, size: number): Float32Array {
  const key = `${name}/${path}`;
  let array = state.get(key);
  if (!array) state.set(key, (array = new Float32Array(size)));
  return array;
}

export const optimizers: { readonly [K in Kind]: (config: Extract<OptimizerConfig, { kind: K }>) => Optimizer } = {
  adam: (config) => adam(config, config.weightDecay, 0),
  adamw: (config) => adam(config, 0, config.weightDecay),
  sgd: (config) => sgd(config),
};

// The loops below add up the moments of the update as they go. They are written out in each optimizer: accumulators in a
// closure make them ten times slower.

/** Adam (Kingma & Ba 2015, algorithm 1): p -= lr * m_hat / (sqrt(v_hat) + eps). `penalty` is an L2 term added to the
 *  gradient; `decay` the decoupled weight decay of AdamW (Loshchilov & Hutter 2019): p -= lr * decay * p. */
function adam(
  { beta1, beta2, epsilon }: { beta1: number; beta2: number; epsilon: number },
  penalty: number,
  decay: number,
): Optimizer {
  const state = new Map<string, Float32Array>();
  return {
    slots: ["first-moment", "second-moment"],
    state,
    update(path, parameter, gradient, { gradientScale, learningRate, step }) {
      const m = slot(state, "first-moment", path, parameter.length);
      const v = slot(state, "second-moment", path, parameter.length);
      const rate = learningRate / (1 - beta1 ** (step + 1));
      const correct2 = 1 / (1 - beta2 ** (step + 1));
      const shrink = learningRate * decay;
      let { updateSquares, updateMax, parameterSquares, parameterMax } = emptySums();
      for (let i = 0; i < parameter.length; i++) {
        const p = parameter[i]!;
        const g = gradient[i]! * gradientScale + penalty * p;
        const mi = (m[i] = beta1 * m[i]! + (1 - beta1) * g);
        const vi = (v[i] = beta2 * v[i]! + (1 - beta2) * g * g);
        const next = Math.fround(p - (rate * mi) / (Math.sqrt(vi * correct2) + epsilon) - shrink * p);
        parameter[i] = next;
        const update = next - p;
        updateSquares += update * update;
        parameterSquares += p * p;
        if (Math.abs(update) > updateMax) updateMax = Math.abs(update);
        if (Math.abs(p) > parameterMax) parameterMax = Math.abs(p);
      }
      return momentsOfUpdate({ updateSquares, updateMax, parameterSquares, parameterMax }, parameter.length);
    },
  };
}

/** Stochastic gradient descent with heavy-ball momentum (Polyak 1964): u = momentum * u + g; p -= lr * u. */
function sgd({ momentum, weightDecay }: { momentum: number; weightDecay: number }): Optimizer {
  const state = new Map<string, Float32Array>();
  return {
    slots: momentum ? ["velocity"] : [],
    state,
    update(path, parameter, gradient, { gradientScale, learningRate }) {
      const velocity = momentum ? slot(state, "velocity", path, parameter.length) : undefined;
      let { updateSquares, updateMax, parameterSquares, parameterMax } = emptySums();
      for (let i = 0; i < parameter.length; i++) {
        const p = parameter[i]!;
        let u = gradient[i]! * gradientScale + weightDecay * p;
        if (velocity) u = velocity[i] = momentum * velocity[i]! + u;
        const next = Math.fround(p - learningRate * u);
        parameter[i] = next;
        const update = next - p;
        updateSquares += update * update;
        parameterSquares += p * p;
        if (Math.abs(update) > updateMax) updateMax = Math.abs(update);
        if (Math.abs(p) > parameterMax) parameterMax = Math.abs(p);
      }
      return momentsOfUpdate({ updateSquares, updateMax, parameterSquares, parameterMax }, parameter.length);
    },
  };
}

const emptySums = () => ({ updateSquares: 0, updateMax: 0, parameterSquares: 0, parameterMax: 0 });

const momentsOfUpdate = (sums: ReturnType<typeof emptySums>, count: number): UpdateMoments => ({
  update: { sumSquares: sums.updateSquares, max: sums.updateMax, count },
  parameter: { sumSquares: sums.parameterSquares, max: sums.parameterMax, count },
});
