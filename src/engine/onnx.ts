// The default engine: stages compiled to ONNX, run by ONNX Runtime's native CPU kernels. For every shape of batch a plan
// is laid out once: which session runs when, from which buffers into which. A step walks the plan.
import * as ort from "onnxruntime-node";
import { assert, messageOf } from "../errors.ts";
import type { TapReading } from "../probes/probe.ts";
import { stream } from "../random.ts";
import { type Noise, type Parameters, type Player, sizeOf, type Stage } from "../stage.ts";
import type { Batch, HostTensor, Moments } from "../types.ts";
import {
  type CarryInfo,
  compilationKey,
  type CompiledStage,
  compileStage,
  type Mode,
  type Port,
  type Program,
} from "./compile.ts";
import type { Engine, EngineKind, StepOptions, StepResult } from "./engine.ts";
import type { ElementType } from "./graph.ts";
import { assertNoAliasing, createSession, type Session, sessionOptions } from "./session.ts";

export const onnx: EngineKind = {
  name: "onnx",
  summary: "compiled stages on ONNX Runtime's native CPU kernels; the default without a GPU",
  unavailable: async () => undefined,
  create: async ({ threads }) => onnxEngine(threads),
};

/** A session with its arguments laid out. */
interface Call {
  readonly what: string;
  readonly session: Session;
  readonly feeds: Record<string, ort.Tensor>;
  readonly fetches: Record<string, ort.Tensor>;
}

/** Everything a step on one shape of batch does, in order. */
interface Plan {
  /** Buffers the batch is copied into. */
  readonly batch: Readonly<Record<string, ort.Tensor>>;
  readonly noises: readonly {
    readonly purpose: string;
    readonly noise: Noise;
    readonly shape: readonly number[];
    readonly data: Float32Array;
  }[];
  readonly calls: readonly Call[];
  readonly scalars: Readonly<Record<string, ort.Tensor>>;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Gradients of shared parameters, to be added up after the call with this number. */
  readonly sums: readonly { readonly after: number; readonly into: Float32Array; readonly from: Float32Array }[];
  /** Vectors [sum of squares, max] of the taps' activations and gradients. */
  readonly taps: readonly { readonly stage: Stage; readonly compiled: CompiledStage; readonly values: TapValues }[];
}

interface TapValues {
  readonly activations: Float32Array;
  readonly gradients: Float32Array;
}

interface Loaded {
  readonly compiled: CompiledStage;
  readonly forward: Session;
  readonly backward?: Session;
}

function onnxEngine(threads: number): Engine {
  const loaded = new Map<string, Promise<Loaded>>();
  const plans = new Map<string, Promise<Plan>>();
  const pool = bufferPool(() => plans.clear());
  const identity = numbering();

  let compileMilliseconds = 0;
  const loadStage = (stage: Stage, carry: Carry, mode: Mode, tapped: boolean): Promise<Loaded> =>
    remember(loaded, compilationKey(stage, carry, mode, tapped), async () => {
      const start = performance.now();
      const compiled = compileStage(stage, carry, mode, tapped);
      const forward = await createSession(compiled.forward, threads);
      const backward = compiled.backward && (await createSession(compiled.backward, threads));
      compileMilliseconds += performance.now() - start;
      return backward ? { compiled, forward, backward } : { compiled, forward };
    });
  const planOf = async (
    player: Player,
    parameters: Parameters,
    batch: Batch,
    mode: "train" | "evaluate",
    tapped: boolean,
  ) => {
    const shapes = Object.entries(batch.tensors).map(([name, { shape }]) => [name, shape]);
    const key = JSON.stringify([identity(player), identity(parameters), mode, tapped, shapes]);
    // Growing a shared buffer clears the plans, this one included: it is then laid out again, on buffers large enough.
    for (;;) {
      const plan = await remember(plans, key, () => layOut(player, parameters, batch, mode, tapped, pool, loadStage));
      if (plans.has(key)) return plan;
    }
  };
  const runPlan = async (
    plan: Plan,
    batch: Batch,
    { step, seed }: Pick<StepOptions, "step" | "seed">,
  ): Promise<void> => {
    for (const [name, tensor] of Object.entries(plan.batch))
      (tensor.data as Float32Array).set(batch.tensors[name]!.data as Float32Array);
    for (const { purpose, noise, data } of plan.noises) {
      const source = stream(seed, purpose);
      if (noise.kind === "dropout") source.dropout(data, noise.rate, step);
      else source.normal(data, step);
    }
    let nextSum = 0;
    for (const [i, call] of plan.calls.entries()) {
      try {
        await call.session.run(call.feeds, call.fetches);
      } catch (error) {
        throw new Error(`${call.what}: ${messageOf(error)}`, { cause: error });
      }
      for (; plan.sums[nextSum]?.after === i; nextSum++) {
        const { into, from } = plan.sums[nextSum]!;
        for (let j = 0; j < into.length; j++) into[j]! += from[j]!;
      }
    }
  };
  const scalarsOf = (plan: Plan): Record<string, number> =>
    Object.fromEntries(Object.entries(plan.scalars).map(([name, { data }]) => [name, Number(data[0])]));

  return {
    name: "onnx",
    async differentiate(player, parameters, batch, options): Promise<StepResult> {
      const plan = await planOf(player, parameters, batch, "train", options.tapped);
      await runPlan(plan, batch, options);
      return {
        scalars: scalarsOf(plan),
        gradients: plan.gradients,
        taps: plan.taps.flatMap(readTaps),
        noises: new Map(plan.noises.map((noise) => [noise.purpose, noise])),
      };
    },
    async evaluate(player, parameters, batch) {
      const plan = await planOf(player, parameters, batch, "evaluate", false);
      await runPlan(plan, batch, { step: 0, seed: 0 });
      return scalarsOf(plan);
    },
    facts: () => ({
      engine: "onnx",
      threads,
      ...sessionOptions,
      compiledStages: loaded.size,
      compileMilliseconds: Math.round(compileMilliseconds),
    }),
    async dispose() {
      for (const { forward, backward } of await Promise.all(loaded.values())) {
        await forward.release();
        await backward?.release();
      }
      loaded.clear();
      plans.clear();
    },
  };
}

type Carry = Readonly<Record<string, CarryInfo>>;

/** Lays out the calls of a step. Buffers come from `pool` by purpose, so plans for batches of different shapes share
 *  their memory. */
async function layOut(
  player: Player,
  parameters: Parameters,
  batch: Batch,
  mode: "train" | "evaluate",
  tapped: boolean,
  pool: BufferPool,
  load: (stage: Stage, carry: Carry, mode: Mode, tapped: boolean) => Promise<Loaded>,
): Promise<Plan> {
  const training = mode === "train";
  const batchTensors = Object.fromEntries(
    Object.entries(batch.tensors).map(([name, tensor]) => [
      name,
      pool.tensor(`batch ${name}`, tensor.shape, tensor.dtype),
    ]),
  );
  let carry: Record<string, CarryInfo> = Object.fromEntries(
    Object.entries(batch.tensors).map(([key, { shape, dtype }]: [string, HostTensor]) => [
      key,
      { shape, dtype, differentiable: false },
    ]),
  );
  const current: Record<string, ort.Tensor> = { ...batchTensors };
  const calls: Call[] = [];
  const noises: { purpose: string; noise: Noise; shape: readonly number[]; data: Float32Array }[] = [];
  const taps: { stage: Stage; compiled: CompiledStage; values: TapValues }[] = [];
  const frames: { stage: Stage; loaded: Loaded; tensors: Map<string, ort.Tensor> }[] = [];
  const bind = (ports: readonly Port[], tensorOf: (port: Port) => ort.Tensor): Record<string, ort.Tensor> =>
    Object.fromEntries(ports.map((port) => [port.name, tensorOf(port)]));
  const addCall = (
    what: string,
    session: Session,
    program: Program,
    tensorOf: (port: Port, output: boolean) => ort.Tensor,
  ) => {
    const feeds = bind(program.inputs, (port) => tensorOf(port, false));
    const fetches = bind(program.outputs, (port) => tensorOf(port, true));
    assertNoAliasing(feeds, fetches, what);
    calls.push({ what, session, feeds, fetches });
  };

  const gradients = new Map<string, Float32Array>();
  const sums: { after: number; into: Float32Array; from: Float32Array }[] = [];
  /** Where a stage's gradient of a parameter goes: the first stage to reach it writes, later ones are added. */
  const gradientTensor = (stage: Stage, port: Port): ort.Tensor => {
    const { path } = stage.parameters[port.key]!;
    const known = gradients.get(path);
    const tensor = pool.tensor(
      known ? `gradient of ${path} from ${stage.name}` : `gradient of ${path}`,
      port.shape,
      port.dtype,
    );
    if (known) sums.push({ after: calls.length, into: known, from: tensor.data as Float32Array });
    else gradients.set(path, tensor.data as Float32Array);
    return tensor;
  };
  // Cotangents of a carry entry live in two buffers that take turns, since a call may not write what it reads.
  const cotangents = new Map<string, { tensor: ort.Tensor; turn: number }>();
  const cotangentTensor = (
    port: Port,
    output: boolean,
    next: Map<string, { tensor: ort.Tensor; turn: number }>,
  ): ort.Tensor => {
    const known = cotangents.get(port.key);
    if (!output) return known?.tensor ?? pool.zeros(`no cotangent of ${port.key}`, port.shape);
    const turn = known ? 1 - known.turn : 0;
    const tensor = pool.tensor(`cotangent of ${port.key} ${turn}`, port.shape, port.dtype);
    next.set(port.key, { tensor, turn });
    return tensor;
  };

  for (const [index, stage] of player.stages.entries()) {
    const isLast = index === player.stages.length - 1;
    const stageMode: Mode = !training ? "evaluate" : isLast ? "turn" : "train";
    const { compiled, ...sessions } = await load(stage, pick(carry, stage.reads), stageMode, tapped);
    const tensors = new Map<string, ort.Tensor>(stage.reads.map((key) => [`carry ${key}`, current[key]!]));
    // While nothing has to be kept for a backward, two buffers take turns here as well.
    const place = training ? stage.name : `evaluation ${index % 2}`;
    for (const [key, { shape, dtype }] of Object.entries(compiled.writes))
      tensors.set(`written ${key}`, pool.tensor(`${place} written ${key}`, shape, dtype));
    for (const { name, shape, noise } of compiled.noises) {
      const tensor = pool.tensor(`${stage.name} noise ${name}`, shape, "float32");
      tensors.set(`noise ${name}`, tensor);
      const purpose = `${noise.kind}/${stage.name}/${name}`;
      noises.push({ purpose, noise, shape, data: tensor.data as Float32Array });
    }
    const frame = { stage, loaded: { compiled, ...sessions }, tensors };
    frames.push(frame);
    const next = new Map<string, { tensor: ort.Tensor; turn: number }>();
    const tapVector = (port: Port): ort.Tensor => {
      const tensor = pool.tensor(`${stage.name} taps`, port.shape, "float32");
      tensors.set("taps", tensor);
      return tensor;
    };
    addCall(`forward of ${stage.name}`, sessions.forward, compiled.forward, (port, output) => {
      if (port.role === "parameter") return pool.parameter(parameters, stage.parameters[port.key]!.path);
      if (port.role === "gradient") return gradientTensor(stage, port);
      if (port.role === "cotangent") return cotangentTensor(port, output, next);
      if (port.role === "taps") return tapVector(port);
      return argument(frame, port, pool);
    });
    for (const [key, value] of next) cotangents.set(key, value);
    for (const key of Object.keys(compiled.writes)) current[key] = tensors.get(`written ${key}`)!;
    carry = { ...carry, ...compiled.writes };
  }

  if (training)
    for (const frame of frames.slice(0, -1).reverse()) {
      const { stage, loaded, tensors } = frame;
      const { compiled, backward } = loaded;
      const next = new Map<string, { tensor: ort.Tensor; turn: number }>();
      let tapGradients: ort.Tensor | undefined;
      addCall(`backward of ${stage.name}`, backward!, compiled.backward!, (port, output) => {
        if (port.role === "parameter") return pool.parameter(parameters, stage.parameters[port.key]!.path);
        if (port.role === "gradient") return gradientTensor(stage, port);
        if (port.role === "cotangent") return cotangentTensor(port, output, next);
        if (port.role === "taps")
          return (tapGradients = pool.tensor(`${stage.name} tap gradients`, port.shape, "float32"));
        return argument(frame, port, pool);
      });
      for (const key of Object.keys(compiled.writes)) cotangents.delete(key);
      for (const [key, value] of next) cotangents.set(key, value);
      if (tapGradients)
        taps.unshift({
          stage,
          compiled,
          values: {
            activations: tensors.get("taps")!.data as Float32Array,
            gradients: tapGradients.data as Float32Array,
          },
        });
    }
  const scalars = Object.fromEntries(player.scalars.map((name) => [name, current[name]!]));
  return { batch: batchTensors, noises, calls, scalars, gradients, sums, taps };
}

/** The tensor behind a carry entry, noise, output or kept value of a stage. */
function argument(
  frame: { readonly stage: Stage; readonly tensors: Map<string, ort.Tensor> },
  port: Port,
  pool: BufferPool,
): ort.Tensor {
  const name = `${port.role} ${port.key}`;
  let tensor = frame.tensors.get(name);
  if (!tensor) {
    assert(port.role === "kept", `${frame.stage.name}: nothing is known of ${name}`);
    tensor = pool.tensor(`${frame.stage.name} ${name}`, port.shape, port.dtype);
    frame.tensors.set(name, tensor);
  }
  return tensor;
}

function readTaps({ stage, compiled, values }: Plan["taps"][number]): TapReading[] {
  const moments = (vector: Float32Array, i: number, count: number): Moments => ({
    sumSquares: vector[2 * i]!,
    max: vector[2 * i + 1]!,
    count,
  });
  return compiled.taps.map(({ component, point, count }, i) => ({
    stack: stage.stack,
    layer: stage.layer,
    component,
    point,
    activation: moments(values.activations, i, count),
    gradient: moments(values.gradients, i, count),
  }));
}

/** Memory by purpose. A buffer grows to the largest tensor that asks for it; tensors are views of its beginning. */
type BufferPool = ReturnType<typeof bufferPool>;

function bufferPool(onGrowth: () => void) {
  const buffers = new Map<string, ArrayBuffer>();
  const parameterTensors = new WeakMap<Float32Array, ort.Tensor>();
  const tensor = (purpose: string, shape: readonly number[], dtype: ElementType): ort.Tensor => {
    const size = sizeOf(shape);
    const bytes = size * (dtype === "bool" ? 1 : dtype === "int64" ? 8 : 4);
    let buffer = buffers.get(purpose);
    if (!buffer || buffer.byteLength < bytes) {
      if (buffer) onGrowth();
      buffers.set(purpose, (buffer = new ArrayBuffer(bytes)));
    }
    return new ort.Tensor(dtype, new arrays[dtype](buffer, 0, size) as Float32Array, shape);
  };
  return {
    tensor,
    /** A tensor nobody writes to. */
    zeros: (purpose: string, shape: readonly number[]): ort.Tensor => tensor(purpose, shape, "float32"),
    parameter(parameters: Parameters, path: string): ort.Tensor {
      const { data, shape } = parameters.get(path)!;
      let known = parameterTensors.get(data);
      if (!known) parameterTensors.set(data, (known = new ort.Tensor("float32", data, shape)));
      return known;
    },
  };
}

const arrays = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array } as const;

const pick = (carry: Carry, keys: readonly string[]): Carry => {
  for (const key of keys)
    assert(carry[key], `a stage reads "${key}", which neither the batch nor a stage before it gives`);
  return Object.fromEntries(keys.map((key) => [key, carry[key]!]));
};

/** A function that numbers objects: plans belong to one player and its parameters, whatever their names. */
function numbering(): (object: object) => number {
  const numbers = new WeakMap<object, number>();
  let next = 0;
  return (object) => {
    if (!numbers.has(object)) numbers.set(object, next++);
    return numbers.get(object)!;
  };
}

/** The value under `key`, made once, even if asked for again while it is being made. */
function remember<T>(map: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let value = map.get(key);
  if (!value) map.set(key, (value = make()));
  return value;
}
