// Optimizers by the name used in configs: loops over typed arrays in float32, the same whatever the engine, so that every engine
// trains alike. The loops are those of optimizers.wat. State is kept by parameter path, never by position.
import type { OptimizerConfig } from "../config/schema.ts";
import type { ResidentOptimizer } from "../engine/engine.ts";
import { chunkLength, copied, float32Array, fours, loopsOn, placed } from "../engine/simd.ts";
import { assert } from "../errors.ts";
import type { Moments } from "../types.ts";
import { wasm } from "./optimizers.wasm.ts";

type Kind = OptimizerConfig["kind"];

/** Moments of what an update did to a parameter, and of the parameter before it. */
export interface UpdateMoments {
  readonly update: Moments;
  readonly parameter: Moments;
}

/** State arrays are part of the checkpoint. */
export interface Optimizer extends ResidentOptimizer {
  /** Updates `parameter` in place from `gradientScale * gradient`. */
  update(path: string, parameter: Float32Array, gradient: Float32Array, settings: UpdateSettings): UpdateMoments;
}

/** How a parameter is updated. */
export interface UpdateSettings {
  readonly gradientScale: number;
  readonly learningRate: number;
  /** Number of the update, from 0. */
  readonly step: number;
  /** False where nobody asks for the moments, which take a fifth of the time: they are then NaN. */
  readonly measured?: boolean;
}

/** Makes the optimizer a config describes, with empty state. */
export function createOptimizer(config: OptimizerConfig): Optimizer {
  return (optimizers[config.kind] as (config: OptimizerConfig) => Optimizer)(config);
}

/** The state array `slot` of a parameter, zeros at first. */
function slot(state: Map<string, Float32Array>, name: string, path: string, size: number): Float32Array {
  const key = `${name}/${path}`;
  let array = state.get(key);
  if (!array) state.set(key, (array = float32Array(size)));
  return array;
}

export const optimizers: { readonly [K in Kind]: (config: Extract<OptimizerConfig, { kind: K }>) => Optimizer } = {
  adam: (config) => adam(config, config.weightDecay, 0),
  adamw: (config) => adam(config, 0, config.weightDecay),
  sgd: (config) => sgd(config),
};

/** Adam (Kingma & Ba 2015, algorithm 1): p -= lr * m_hat / (sqrt(v_hat) + eps). `penalty` is an L2 term added to the
 *  gradient; `decay` the decoupled weight decay of AdamW (Loshchilov & Hutter 2019): p -= lr * decay * p. */
function adam(
  { beta1, beta2, epsilon }: { beta1: number; beta2: number; epsilon: number },
  penalty: number,
  decay: number,
): Optimizer {
  const state = new Map<string, Float32Array>();
  return {
    rule: { kind: "adam", beta1, beta2, epsilon, penalty, decay },
    slots: ["first-moment", "second-moment"],
    state,
    update(path, parameter, gradient, { gradientScale, learningRate, step, measured = true }) {
      const m = slot(state, "first-moment", path, parameter.length);
      const v = slot(state, "second-moment", path, parameter.length);
      const rate = learningRate / (1 - beta1 ** (step + 1));
      const correct2 = 1 / (1 - beta2 ** (step + 1));
      const shrink = learningRate * decay;
      const moments = [beta1, 1 - beta1, beta2, 1 - beta2] as const;
      return updateInChunks(gradient, [parameter, m, v], measured, (run, length, g, [p, first, second]) =>
        run.adam(length, g, p!, first!, second!, gradientScale, penalty, ...moments, rate, correct2, epsilon, shrink),
      );
    },
  };
}

/** Stochastic gradient descent with heavy-ball momentum (Polyak 1964): u = momentum * u + g; p -= lr * u. */
function sgd({ momentum, weightDecay }: { momentum: number; weightDecay: number }): Optimizer {
  const state = new Map<string, Float32Array>();
  return {
    rule: { kind: "sgd", momentum, penalty: weightDecay },
    slots: momentum ? ["velocity"] : [],
    state,
    update(path, parameter, gradient, { gradientScale, learningRate, measured = true }) {
      const changed = momentum ? [parameter, slot(state, "velocity", path, parameter.length)] : [parameter];
      return updateInChunks(gradient, changed, measured, (run, length, g, [p, velocity = 0]) =>
        run.sgd(length, g, p!, velocity, gradientScale, weightDecay, momentum, learningRate),
      );
    },
  };
}

// See optimizers.wat for the layout and the formulas.
interface Rules {
  adam(
    length: number,
    ...rest: [
      ...places: [gradient: number, parameter: number, first: number, second: number],
      scale: number,
      penalty: number,
      beta1: number,
      rest1: number,
      beta2: number,
      rest2: number,
      rate: number,
      correct2: number,
      epsilon: number,
      shrink: number,
    ]
  ): void;
  sgd(
    length: number,
    ...rest: [
      ...places: [gradient: number, parameter: number, velocity: number],
      scale: number,
      penalty: number,
      momentum: number,
      rate: number,
    ]
  ): void;
  measure(length: number, parameter: number, before: number): void;
}
const loopsFor = loopsOn<Rules>(wasm);
const [gradientChunk, beforeChunk] = [1024, 66560];
const changedChunks = [17408, 33792, 50176];

/** Runs `update` over one stretch of the arrays after the other, each so short that what is copied stays in the cache; `changed` is the
 *  parameter, then its state. */
function updateInChunks(
  gradient: Float32Array,
  changed: readonly Float32Array[],
  measured: boolean,
  update: (run: Rules, length: number, gradient: number, changed: readonly number[]) => void,
): UpdateMoments {
  const count = changed[0]!.length;
  assert(gradient.length === count, `a gradient of ${gradient.length} numbers for a parameter of ${count}`);
  const loops = loopsFor(changed[0]!);
  const { run, floats, doubles } = loops;
  doubles.fill(measured ? 0 : NaN, 0, 8);
  for (let start = 0; start < count; start += chunkLength) {
    const length = Math.min(chunkLength, count - start);
    const places = changed.map((array, i) => placed(loops, changedChunks[i]!, array, start, length));
    if (measured) copied(floats, beforeChunk, changed[0]!, start, length);
    update(run, fours(length), placed(loops, gradientChunk, gradient, start, length), places);
    if (measured) run.measure(fours(length), places[0]!, beforeChunk);
    for (const [i, array] of changed.entries())
      if (places[i] === changedChunks[i]) {
        const from = places[i]! / 4;
        array.set(floats.subarray(from, from + length), start);
      }
  }
  // The root of a square is the magnitude exactly, as long as the square neither overflows nor vanishes: those of float32
  // and of their differences do not.
  const moments = (at: number): Moments => ({
    sumSquares: doubles[at]! + doubles[at + 1]!,
    max: Math.sqrt(Math.max(doubles[at + 2]!, doubles[at + 3]!)),
    count,
  });
  return { update: moments(0), parameter: moments(4) };
}
