// The same stages, run operation by operation on one of TensorFlow.js's own backends. On the way down every stage is run
// again with the gradient tape on: slower than the compiled engine, and independent of it, which is what it is for.
import { setImmediate as turn } from "node:timers/promises";
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
import type { Engine, NoisePosition, StepOptions, StepResult, TrainedStep } from "./engine.ts";
import { drawNoise, noisePurpose } from "./noise.ts";
import { localReadout, type Readout, remoteReadout } from "./readout.ts";
import { residence } from "./resident.ts";
import { gradientsOf } from "./tape.ts";

/** What differs between backends. */
interface Backend {
  /** The name under which it has been registered with TensorFlow.js. */
  readonly backend: string;
  /** Facts of its own for run.json. */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** Of a backend whose tensors do not lie in JavaScript's memory: numbers are read once a step, all in one, and training may
   *  leave parameters where they are. */
  readonly isRemote?: true;
  /** Whether the way up is kept for the way down, see {@link differentiateAtOnce}. Else stages are gone through twice. */
  readonly keepsTape?: boolean;
  /** The numbers of a tensor where they lie, until the next operation; a copy if not given. */
  readonly view?: (x: Tensor) => Float32Array;
}

/** An engine that runs stages operation by operation. */
export async function eagerEngine(name: string, options: Backend): Promise<Engine> {
  const { backend, facts = {}, isRemote, keepsTape, view = (x) => x.dataSync() as Float32Array } = options;
  tf.env().set("PROD", true); // silences the advertisement for tfjs-node that the cpu backend prints
  const use = async (): Promise<void> => {
    // All that follows comes at once, and without this no signal would ever arrive.
    await turn();
    if (!(await tf.setBackend(backend)))
      throw new UserError(
        `engine ${name}: TensorFlow.js could not start its "${backend}" backend; "fathom doctor" says what is missing`,
      );
    await tf.ready();
  };
  await use();
  const home = isRemote ? residence() : undefined;
  /** A parameter on the device: where training has left it there, or a copy of the host's. */
  const parameterOf = (parameters: Parameters, path: string): Tensor => {
    const { data, shape } = parameters.get(path)!;
    return home?.tensorOf(parameters, path) ?? tf.tensor(data, [...shape]);
  };
  /** Runs `step` and drops every tensor it made; what it has put on the readout can be read afterwards. */
  const inScope = <T>(step: (readout: Readout, noises: Noises) => T): T => {
    const readout = isRemote ? remoteReadout() : localReadout(view);
    const noises: Noises = new Map();
    const scope = tf.engine();
    scope.startScope();
    try {
      const result = step(readout, noises);
      readout.read();
      return result;
    } finally {
      scope.endScope();
      for (const { tensor } of noises.values()) tensor.dispose();
      readout.dispose();
    }
  };
  const lastCarry = (player: Player, parameters: Parameters, batch: Batch, at: NoisePosition): Tensors =>
    forward(player, (path) => parameterOf(parameters, path), batch, at);
  const start: NoisePosition = { step: 0, seed: 0 };

  return {
    name,
    async differentiate(player, parameters, batch, options): Promise<StepResult> {
      await use();
      return inScope((readout, noises) => {
        const parameter = (path: string): Tensor => parameterOf(parameters, path);
        const way = keepsTape ? differentiateAtOnce : differentiate;
        const { gradients, finish } = way(player, parameter, batch, { options, noises, readout });
        const arrays = new Map<string, Float32Array>();
        for (const [path, gradient] of gradients) arrays.set(path, Float32Array.from(view(gradient)));
        readout.read();
        return { ...finish(), gradients: arrays, noises };
      });
    },
    ...(home && {
      residence: {
        async train(player, parameters, batch, options): Promise<TrainedStep> {
          await use();
          return inScope((readout, noises) => {
            home.enter(parameters, player, options.optimizer);
            const parameter = (path: string): Tensor => parameterOf(parameters, path);
            const { gradients, finish } = differentiate(player, parameter, batch, { options, noises, readout });
            const move = home.move(player, gradients, options, readout);
            readout.read();
            const step = finish();
            return { ...step, ...move(step.scalars["loss"]!) };
          });
        },
        fetch: () => home.fetch(),
        leave: () => home.leave(),
      },
    }),
    async evaluate(player, parameters, batch, at = start) {
      await use();
      return inScope((readout) => {
        const scalars = readScalars(player, lastCarry(player, parameters, batch, at), readout);
        readout.read();
        return scalars();
      });
    },
    async output(player, parameters, batch, at) {
      await use();
      return inScope(() => {
        const output = player.output && lastCarry(player, parameters, batch, { ...start, ...at })[player.output];
        assert(output, `player ${player.name} does not say what its output is`);
        return output.dataSync() as Float32Array;
      });
    },
    facts: () => ({ engine: name, backend, tfjs: tf.version_core, ...facts }),
    async dispose() {
      home?.leave();
    },
  };
}

/** The carry after the last stage of the forward alone, without dropout or label smoothing. */
function forward(player: Player, parameter: (path: string) => Tensor, batch: Batch, at: NoisePosition): Tensors {
  let carry = batchTensors(batch);
  for (const stage of player.stages)
    carry = { ...carry, ...stage.apply(tensorsOf(stage, parameter), carry, evaluationContext(stage, at)) };
  return carry;
}

/** A step's random numbers by purpose: drawn once, used on the way up and again on the way down. */
type Noises = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array; readonly tensor: Tensor }>;

/** A tap's moments, asked for as the tensors come by: TensorFlow.js drops them soon after. */
interface Tap {
  readonly component: string;
  readonly point: TapPoint;
  readonly activation: () => Moments;
  gradient?: () => Moments;
}

interface Pass {
  readonly options: StepOptions;
  readonly noises: Noises;
  readonly readout: Readout;
}

/** Forward up, backward down. `finish` gives what was put on the readout, once that has been read. */
function differentiate(
  player: Player,
  parameter: (path: string) => Tensor,
  batch: Batch,
  pass: Pass,
): { gradients: Map<string, Tensor>; finish: () => Pick<StepResult, "scalars" | "taps" | "readings"> } {
  const { options, readout } = pass;
  let carry = batchTensors(batch);
  const differentiable = new Set<string>();
  const frames: { stage: Stage; given: Tensors; carry: Tensors; wanted: string[] }[] = [];
  const readings: (() => Reading)[] = [];
  for (const stage of player.stages) {
    const wanted = stage.reads.filter((key) => differentiable.has(key));
    const given = tensorsOf(stage, parameter);
    frames.push({ stage, given, carry, wanted });
    const context: StageContext = { ...trainingContext(stage, pass), reading: readingOf(stage, pass, readings) };
    const written = stage.apply(given, carry, context);
    // What a stage without a gradient writes over has none any more.
    const isDifferentiated = learntBy(stage).length + wanted.length > 0;
    for (const key of Object.keys(written)) differentiable[isDifferentiated ? "add" : "delete"](key);
    // Two entries may be one tensor, and the tape would give each the gradient of both.
    for (const [key, tensor] of Object.entries(written)) written[key] = tf.clone(tensor);
    carry = { ...carry, ...written };
  }
  const scalars = readScalars(player, carry, readout);

  const cotangents = new Map<string, Tensor>([["loss", tf.scalar(1)]]);
  const gradients = new Map<string, Tensor>();
  const taps: (() => TapReading)[] = [];
  for (const { stage, given, carry, wanted } of frames.reverse()) {
    const seen: Tap[] = [];
    const names = learntBy(stage);
    if (names.length + wanted.length === 0) continue; // no gradient flows through it
    const xs = [...names.map((name) => given[name]!), ...wanted.map((key) => carry[key]!)];
    let written: string[] = [];
    // <y, dL/dy> summed over what the stage writes: its gradient is dL/dx.
    const pullback = (): Tensor => {
      const outputs = stage.apply(given, carry, trainingContext(stage, pass, options.tapped ? seen : undefined));
      written = Object.keys(outputs);
      const products = written.flatMap((key) => {
        const cotangent = cotangents.get(key);
        return cotangent ? [tf.sum(tf.mul(outputs[key]!, cotangent))] : [];
      });
      return products.length > 0 ? products.reduce((sum, product) => tf.add(sum, product)) : tf.scalar(0);
    };
    const { grads } = tf.engine().gradients(pullback, xs, undefined, true);
    names.forEach((name, i) => {
      // What the stage writes may not depend on all its parameters.
      const gradient = (grads[i] ?? tf.zerosLike(given[name]!)) as Tensor;
      const { path } = stage.parameters[name]!;
      const sum = gradients.get(path);
      gradients.set(path, sum ? tf.add(sum, gradient) : gradient);
    });
    const passing = wanted.map((key) => (written.includes(key) ? undefined : cotangents.get(key)));
    for (const key of written) cotangents.delete(key);
    wanted.forEach((key, i) => {
      const own = grads[names.length + i] as Tensor | undefined;
      const sum = own && passing[i] ? tf.add(own, passing[i]) : (own ?? passing[i]);
      if (sum) cotangents.set(key, sum);
    });
    taps.unshift(...seen.map((tap) => tapReading(stage, tap)));
  }
  const finish = () => ({
    scalars: scalars(),
    taps: taps.map((tap) => tap()),
    readings: readings.map((reading) => reading()),
  });
  return { gradients, finish };
}

/** The same on one tape. */
function differentiateAtOnce(
  player: Player,
  parameter: (path: string) => Tensor,
  batch: Batch,
  pass: Pass,
): ReturnType<typeof differentiate> {
  const { options, readout } = pass;
  const givens = player.stages.map((stage) => tensorsOf(stage, parameter));
  const learnt = player.stages.flatMap((stage, i) =>
    learntBy(stage).map((name) => ({ path: stage.parameters[name]!.path, x: givens[i]![name]! })),
  );
  const readings: (() => Reading)[] = [];
  const taps: (() => TapReading)[] = [];
  let scalars!: () => Record<string, number>;
  const up = (): Tensor => {
    let carry = batchTensors(batch);
    const differentiable = new Set<string>();
    player.stages.forEach((stage, i) => {
      const isDifferentiated = learntBy(stage).length > 0 || stage.reads.some((key) => differentiable.has(key));
      const seen: Tap[] = [];
      const context: StageContext = {
        ...trainingContext(stage, pass, options.tapped && isDifferentiated ? seen : undefined),
        reading: readingOf(stage, pass, readings),
      };
      // What no gradient needs goes as soon as the stage is through.
      const written = tf.tidy(() => stage.apply(givens[i]!, carry, context));
      for (const key of Object.keys(written)) differentiable[isDifferentiated ? "add" : "delete"](key);
      carry = { ...carry, ...written };
      taps.push(...seen.map((tap) => tapReading(stage, tap)));
    });
    scalars = readScalars(player, carry, readout);
    return carry["loss"]!;
  };
  const xs = learnt.map(({ x }) => x);
  const found = gradientsOf(up, xs);
  const gradients = new Map<string, Tensor>();
  learnt.forEach(({ path, x }, i) => {
    const gradient = found[i] ?? tf.zerosLike(x);
    const sum = gradients.get(path);
    gradients.set(path, sum ? tf.add(sum, gradient) : gradient);
  });
  const finish = () => ({
    scalars: scalars(),
    taps: taps.map((tap) => tap()),
    readings: readings.map((reading) => reading()),
  });
  return { gradients, finish };
}

/** Takes the readings that are asked for. */
const readingOf =
  ({ stack, layer }: Stage, { options, readout }: Pass, readings: (() => Reading)[]): StageContext["reading"] =>
  (component, name, make) => {
    if (!options.readings?.includes(name)) return;
    const values = readout.add(make());
    readings.push(() => ({ stack, layer, component, name, values: Array.from(values()) }));
  };

const tapReading =
  ({ stack, layer }: Stage, tap: Tap) =>
  (): TapReading => {
    const { component, point, activation, gradient } = tap;
    return { stack, layer, component, point, activation: activation(), gradient: gradient!() };
  };

function trainingContext(stage: Stage, { options, noises, readout }: Pass, taps?: Tap[]): StageContext {
  const { step, seed } = options;
  return {
    training: true,
    tap(component, point, x) {
      if (!taps) return x;
      const tap: Tap = { component, point, activation: readout.moments(x) };
      taps.push(tap);
      return watchGradient(x, (gradient) => (tap.gradient = readout.moments(gradient)));
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

const tensorsOf = (stage: Stage, parameter: (path: string) => Tensor): Tensors =>
  Object.fromEntries(Object.entries(stage.parameters).map(([name, { path }]) => [name, parameter(path)]));

function readScalars(player: Player, carry: Tensors, readout: Readout): () => Record<string, number> {
  const values = player.scalars.map((name) => [name, readout.add(carry[name]!)] as const);
  return () => Object.fromEntries(values.map(([name, value]) => [name, value()[0]!]));
}
