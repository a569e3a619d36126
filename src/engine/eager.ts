// The same stages, run operation by operation on one of TensorFlow.js's own backends. On the way down every stage is run
// again with the gradient tape on: slower than the compiled engine, and independent of it, which is what it is for.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs";
import { assert, UserError } from "../errors.ts";
import { watchGradient } from "../ops/index.ts";
import type { Reading, TapReading } from "../probes/probe.ts";
import {
  constantAt,
  learntBy,
  type Parameters,
  type Player,
  sizeOf,
  type Stage,
  type StageContext,
  type TapPoint,
  type Tensors,
} from "../stage.ts";
import type { Batch, Moments } from "../types.ts";
import type { Engine, NoisePosition, StepOptions, StepResult } from "./engine.ts";
import { momentsOf } from "./moments.ts";
import { drawNoise, noisePurpose } from "./noise.ts";

/** An engine on the TensorFlow.js backend `backend`, which must have been registered; `facts` are the backend's own. */
export async function eagerEngine(
  name: string,
  backend: string,
  facts: Readonly<Record<string, unknown>> = {},
): Promise<Engine> {
  tf.env().set("PROD", true); // silences the advertisement for tfjs-node that the cpu backend prints
  const use = async (): Promise<void> => {
    if (!(await tf.setBackend(backend)))
      throw new UserError(
        `engine ${name}: TensorFlow.js could not start its "${backend}" backend; "fathom doctor" says what is missing`,
      );
    await tf.ready();
  };
  await use();
  return {
    name,
    async differentiate(player, parameters, batch, options): Promise<StepResult> {
      await use();
      const scope = tf.engine();
      const noises: Noises = new Map();
      scope.startScope();
      try {
        return differentiate(player, parameters, batch, options, noises);
      } finally {
        scope.endScope();
        for (const { tensor } of noises.values()) tensor.dispose();
      }
    },
    async evaluate(player, parameters, batch, at) {
      await use();
      return tf.tidy(() => readScalars(player, lastCarry(player, parameters, batch, at)) as never) as Record<
        string,
        number
      >;
    },
    async output(player, parameters, batch, at) {
      await use();
      return tf.tidy(() => {
        const output = player.output && lastCarry(player, parameters, batch, at)[player.output];
        assert(output, `player ${player.name} does not say what its output is`);
        return output.dataSync() as never;
      }) as Float32Array;
    },
    facts: () => ({ engine: name, backend, tfjs: tf.version_core, ...facts }),
    dispose: async () => {},
  };
}

/** The carry after the last stage of the forward alone, without dropout or label smoothing. */
function lastCarry(
  player: Player,
  parameters: Parameters,
  batch: Batch,
  at: NoisePosition = { step: 0, seed: 0 },
): Tensors {
  let carry = batchTensors(batch);
  for (const stage of player.stages)
    carry = { ...carry, ...stage.apply(tensorsOf(stage, parameters), carry, evaluationContext(stage, at)) };
  return carry;
}

/** A step's random numbers by purpose: drawn once, used on the way up and again on the way down. */
type Noises = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array; readonly tensor: Tensor }>;

/** A tap's readings, taken as the tensors come by: TensorFlow.js drops them soon after. */
interface Tap {
  readonly component: string;
  readonly point: TapPoint;
  readonly activation: Moments;
  gradient?: Moments;
}

function differentiate(
  player: Player,
  parameters: Parameters,
  batch: Batch,
  options: StepOptions,
  noises: Noises,
): StepResult {
  let carry = batchTensors(batch);
  const differentiable = new Set<string>();
  const frames: { stage: Stage; carry: Tensors; wanted: string[] }[] = [];
  const readings: Reading[] = [];
  for (const stage of player.stages) {
    const wanted = stage.reads.filter((key) => differentiable.has(key));
    frames.push({ stage, carry, wanted });
    const context: StageContext = {
      ...trainingContext(stage, options, noises),
      reading(component, name, make) {
        if (!options.readings?.includes(name)) return;
        const values = Array.from(make().dataSync());
        readings.push({ stack: stage.stack, layer: stage.layer, component, name, values });
      },
    };
    const written = stage.apply(tensorsOf(stage, parameters), carry, context);
    if (learntBy(stage).length + wanted.length) for (const key of Object.keys(written)) differentiable.add(key);
    // Two entries may be one tensor, and the tape would give each the gradient of both.
    for (const [key, tensor] of Object.entries(written)) written[key] = tf.clone(tensor);
    carry = { ...carry, ...written };
  }
  const scalars = readScalars(player, carry);

  const cotangents = new Map<string, Tensor>([["loss", tf.scalar(1)]]);
  const gradients = new Map<string, Float32Array>();
  const taps: TapReading[] = [];
  for (const { stage, carry, wanted } of frames.reverse()) {
    const seen: Tap[] = [];
    const names = learntBy(stage);
    if (names.length + wanted.length === 0) continue; // no gradient flows through it
    const given = tensorsOf(stage, parameters);
    const xs = [...names.map((name) => given[name]!), ...wanted.map((key) => carry[key]!)];
    let written: string[] = [];
    // <y, dL/dy> summed over what the stage writes: its gradient is dL/dx.
    const pullback = (): Tensor => {
      const outputs = stage.apply(given, carry, trainingContext(stage, options, noises, seen));
      written = Object.keys(outputs);
      const products = written.flatMap((key) => {
        const cotangent = cotangents.get(key);
        return cotangent ? [tf.sum(tf.mul(outputs[key]!, cotangent))] : [];
      });
      return products.reduce((sum, product) => tf.add(sum, product));
    };
    const { grads } = tf.engine().gradients(pullback, xs, undefined, true);
    names.forEach((name, i) => {
      // What the stage writes may not depend on all its parameters.
      const gradient = (grads[i] ?? tf.zerosLike(given[name]!)) as Tensor;
      addInto(gradients, stage.parameters[name]!.path, gradient.dataSync() as Float32Array);
    });
    const passing = wanted.map((key) => (written.includes(key) ? undefined : cotangents.get(key)));
    for (const key of written) cotangents.delete(key);
    wanted.forEach((key, i) => {
      const own = grads[names.length + i] as Tensor | undefined;
      const sum = own && passing[i] ? tf.add(own, passing[i]) : (own ?? passing[i]);
      if (sum) cotangents.set(key, sum);
    });
    if (options.tapped)
      taps.unshift(
        ...seen.map(({ component, point, activation, gradient }) => ({
          stack: stage.stack,
          layer: stage.layer,
          component,
          point,
          activation,
          gradient: gradient!,
        })),
      );
  }
  return { scalars, gradients, taps, readings, noises };
}

function trainingContext(stage: Stage, { step, seed }: StepOptions, noises: Noises, taps?: Tap[]): StageContext {
  return {
    training: true,
    tap(component, point, x) {
      if (!taps) return x;
      const tap: Tap = { component, point, activation: momentsOf(x.dataSync()) };
      taps.push(tap);
      return watchGradient(x, (gradient) => (tap.gradient = momentsOf(gradient.dataSync())));
    },
    reading: () => {},
    noise(name, shape, noise) {
      const purpose = noisePurpose(stage, name, noise);
      let drawn = noises.get(purpose);
      if (!drawn) {
        const data = new Float32Array(sizeOf(shape));
        drawNoise(data, { seed, purpose, noise, step });
        // Kept, since it may be drawn within a gradient, as a gradient penalty takes it, with which all else goes.
        noises.set(purpose, (drawn = { shape, data, tensor: tf.keep(tf.tensor(data, [...shape])) }));
      }
      return drawn.tensor;
    },
    constant: constantOf(stage, step),
  };
}

const evaluationContext = (stage: Stage, { step, seed }: NoisePosition): StageContext => ({
  training: false,
  tap: (_component, _point, x) => x,
  reading: () => {},
  noise(name, shape, noise) {
    const data = new Float32Array(sizeOf(shape));
    drawNoise(data, { seed, purpose: noisePurpose(stage, name, noise), noise, step });
    return tf.tensor(data, [...shape]);
  },
  constant: constantOf(stage, step),
});

const constantOf =
  ({ name: stageName, constants }: Stage, step: number) =>
  (name: string): Tensor => {
    const constant = constants?.[name];
    assert(constant !== undefined, `${stageName}: no constant is called ${name}`);
    return tf.scalar(constantAt(constant, step));
  };

const batchTensors = (batch: Batch): Tensors =>
  Object.fromEntries(
    Object.entries(batch.tensors).map(([key, { data, shape, dtype }]) => [key, tf.tensor(data, [...shape], dtype)]),
  );

const tensorsOf = (stage: Stage, parameters: Parameters): Tensors =>
  Object.fromEntries(
    Object.entries(stage.parameters).map(([name, { path, shape }]) => [
      name,
      tf.tensor(parameters.get(path)!.data, [...shape]),
    ]),
  );

const readScalars = (player: Player, carry: Tensors): Record<string, number> =>
  Object.fromEntries(player.scalars.map((name) => [name, carry[name]!.dataSync()[0]!]));

function addInto(sums: Map<string, Float32Array>, path: string, values: Float32Array): void {
  const sum = sums.get(path);
  if (!sum) sums.set(path, Float32Array.from(values));
  else for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
}
