// Lays out what a step does on one shape of batch: which session runs when, from which buffers into which. The engine
// then walks the plan.
import * as ort from "onnxruntime-node";
import { assert } from "../errors.ts";
import type { Reading, TapReading } from "../probes/probe.ts";
import { type Constant, type Noise, type Parameters, type Player, sizeOf, type Stage } from "../stage.ts";
import type { Batch, Dtype, HostTensor, Moments } from "../types.ts";
import {
  bytesOf,
  type CarryInfo,
  type CompiledStage,
  type Direction,
  isPassive,
  type Measured,
  type Mode,
  type Port,
  type Program,
  programName,
} from "./compile.ts";
import type { ElementType } from "./graph.ts";
import { noisePurpose } from "./noise.ts";
import { assertNoAliasing, type Session } from "./session.ts";
import { float32Array } from "./simd.ts";

/** A session with its arguments laid out. */
interface Call {
  readonly what: string;
  readonly session: Session;
  readonly feeds: Record<string, ort.Tensor>;
  readonly fetches: Record<string, ort.Tensor>;
  /** What is drawn for it before it runs. */
  readonly noises: readonly PlannedNoise[];
}

/** Noise that a stage asks for, and where it is drawn. */
interface PlannedNoise {
  readonly purpose: string;
  readonly noise: Noise;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A call that reads a tensor, and under which name. */
interface Reader {
  readonly call: Call;
  readonly input: string;
}

/** Everything a step on one shape of batch does, in order. */
export interface Plan {
  /** The tensors of the batch: the buffer that each is copied into, and the calls that read it. */
  readonly batch: Readonly<Record<string, { readonly buffer: ort.Tensor; readonly readers: readonly Reader[] }>>;
  readonly noises: readonly PlannedNoise[];
  /** What stages are fed, to be set to their values at the step. */
  readonly constants: readonly { readonly constant: Constant; readonly data: Float32Array }[];
  readonly calls: readonly Call[];
  readonly scalars: Readonly<Record<string, ort.Tensor>>;
  /** The carry entry `player.output` after the last stage. */
  readonly output: ort.Tensor | undefined;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Gradients of shared parameters, to be added up after the call with this number. */
  readonly sums: readonly { readonly after: number; readonly into: Float32Array; readonly from: Float32Array }[];
  /** Reads the taps of the step that was run last, from the bottom of the network up. */
  readonly readTaps: () => TapReading[];
  /** What the stages offered in the step that was run last. */
  readonly readReadings: () => Reading[];
}

/** A compiled stage with its sessions. */
export interface Loaded {
  readonly compiled: CompiledStage;
  readonly forward: Session;
  readonly backward?: Session;
}

/** The carry between two stages. */
export type Carry = Readonly<Record<string, CarryInfo>>;

/** A stage in its place: its programs, and the tensors behind its ports by role and key. */
interface Frame extends Loaded {
  readonly stage: Stage;
  readonly mode: Mode;
  readonly tensors: Map<string, ort.Tensor>;
  readonly noises: PlannedNoise[];
}

/** What a step is laid out for. */
export interface LayoutOptions extends Measured {
  readonly training: boolean;
  /** Whether the forward of a stage is run once more before its backward, from what the stage below has written, instead of keeping what
   *  the backward reads until then (Chen et al. 2016, Training deep nets with sublinear memory cost): all stages then share one
   *  set of buffers for that and for their noise. */
  readonly recompute?: boolean | undefined;
}

/** Lays out the calls of a step. Buffers come from `pool` by purpose, so plans for batches of different shapes share
 *  their memory; `load` gives the sessions of a stage. */
export async function layOut(
  player: Player,
  parameters: Parameters,
  batch: Batch,
  options: LayoutOptions,
  pool: BufferPool,
  load: (stage: Stage, carry: Carry, mode: Mode, measured: Measured) => Promise<Loaded>,
): Promise<Plan> {
  const { training, recompute = false, ...measured } = options;
  const calls: Call[] = [];
  const noises: PlannedNoise[] = [];
  const constants: { constant: Constant; data: Float32Array }[] = [];
  const gradients = new Map<string, Float32Array>();
  const sums: { after: number; into: Float32Array; from: Float32Array }[] = [];
  const cotangents = new Map<string, ort.Tensor>();
  const nextCotangent = turns(pool, "cotangent of");
  const nextEvaluated = turns(pool, "evaluated");

  /** Where a stage's gradient of a parameter goes: the first stage to reach it writes, later ones are added. */
  const gradientTensor = ({ stage }: Frame, port: Port): ort.Tensor => {
    const { path } = stage.parameters[port.key]!;
    const known = gradients.get(path);
    const purpose = known ? `gradient of ${path} from ${stage.name}` : `gradient of ${path}`;
    const tensor = pool.tensor(purpose, port.shape, port.dtype, inLoops);
    if (known) sums.push({ after: calls.length, into: known, from: tensor.data as Float32Array });
    else gradients.set(path, tensor.data as Float32Array);
    return tensor;
  };
  /** The tensor a port of a frame stands for. Values kept for the backward and taps get theirs when first asked for. */
  const tensorOf = (frame: Frame, direction: string, port: Port): ort.Tensor => {
    if (port.role === "parameter") return pool.parameter(parameters, frame.stage.parameters[port.key]!.path);
    if (port.role === "gradient") return gradientTensor(frame, port);
    const name = port.role === "taps" ? `taps ${direction}` : `${port.role} ${port.key}`;
    let tensor = frame.tensors.get(name);
    if (!tensor) {
      assert(["kept", "taps", "readings"].includes(port.role), `${frame.stage.name}: nothing is known of ${name}`);
      const owner = recompute && port.role === "kept" ? "recomputed" : frame.stage.name;
      frame.tensors.set(name, (tensor = pool.tensor(`${owner} ${name}`, port.shape, port.dtype)));
    }
    return tensor;
  };
  const addCall = (frame: Frame, direction: Direction, session: Session, program: Program): void => {
    const fresh = new Map<string, ort.Tensor>();
    const feeds = program.inputs.map((port) => {
      if (port.role !== "cotangent") return [port.name, tensorOf(frame, direction, port)] as const;
      // What no later stage reads has no gradient: a buffer nobody writes to.
      const zeros = () => pool.tensor(`no cotangent of ${port.key}`, port.shape, port.dtype);
      return [port.name, cotangents.get(port.key) ?? zeros()] as const;
    });
    const fetches = program.outputs.map((port) => {
      if (port.role !== "cotangent") return [port.name, tensorOf(frame, direction, port)] as const;
      const tensor = nextCotangent(port.key, port.shape, port.dtype);
      fresh.set(port.key, tensor);
      return [port.name, tensor] as const;
    });
    const what = programName(direction, frame.stage, frame.mode);
    const drawn = direction === "forward" ? frame.noises : [];
    const call = {
      what,
      session,
      feeds: Object.fromEntries(feeds),
      fetches: Object.fromEntries(fetches),
      noises: drawn,
    };
    assertNoAliasing(call.feeds, call.fetches, what);
    calls.push(call);
    if (direction === "backward") for (const key of Object.keys(frame.compiled.writes)) cotangents.delete(key);
    for (const [key, tensor] of fresh) cotangents.set(key, tensor);
  };

  const batchTensors: Record<string, ort.Tensor> = {};
  let carry: Record<string, CarryInfo> = {};
  for (const [key, { shape, dtype }] of Object.entries(batch.tensors)) {
    batchTensors[key] = pool.tensor(`batch ${key}`, shape, dtype);
    carry[key] = { shape, dtype, differentiable: false };
  }
  const current = { ...batchTensors };
  const frames: Frame[] = [];
  for (const [index, stage] of player.stages.entries()) {
    const isLast = index === player.stages.length - 1;
    const read = pick(carry, stage.reads);
    const mode: Mode = !training ? "evaluate" : isPassive(stage, read) ? "pass" : isLast ? "turn" : "train";
    const loaded = await load(stage, read, mode, measured);
    const tensors = new Map(stage.reads.map((key) => [`carry ${key}`, current[key]!]));
    const frame: Frame = { ...loaded, stage, mode, tensors, noises: [] };
    const { writes } = loaded.compiled;
    for (const [key, { shape, dtype }] of Object.entries(writes)) {
      // While nothing has to be kept for a backward, two buffers take turns.
      current[key] = training ? pool.tensor(`${stage.name} ${key}`, shape, dtype) : nextEvaluated(key, shape, dtype);
      tensors.set(`written ${key}`, current[key]);
    }
    for (const [name, constant] of Object.entries(stage.constants ?? {})) {
      const data = new Float32Array(1);
      constants.push({ constant, data });
      tensors.set(`constant ${name}`, new ort.Tensor("float32", data, []));
    }
    for (const { name, shape, noise } of loaded.compiled.noises) {
      // The last stage's would be drawn over what the one below it has not yet read on the way down.
      const owner = recompute && !isLast ? "recomputed" : stage.name;
      const tensor = pool.tensor(`${owner} noise ${name}`, shape, "float32");
      tensors.set(`noise ${name}`, tensor);
      const purpose = noisePurpose(stage, name, noise);
      frame.noises.push({ purpose, noise, shape, data: tensor.data as Float32Array });
    }
    noises.push(...frame.noises);
    addCall(frame, "forward", loaded.forward, loaded.compiled.forward);
    carry = { ...carry, ...writes };
    frames.push(frame);
  }
  // The last stage has run backward with its forward.
  const below = frames.slice(0, -1).reverse();
  for (const frame of below) {
    if (!frame.backward) continue;
    // What the uppermost has kept is still there.
    if (recompute && frame !== below[0]) addCall(frame, "forward", frame.forward, frame.compiled.forward);
    addCall(frame, "backward", frame.backward, frame.compiled.backward!);
  }

  const scalars = Object.fromEntries(player.scalars.map((name) => [name, current[name]!]));
  const readTaps = (): TapReading[] =>
    training && measured.taps !== "none" ? frames.flatMap((f) => tapReadings(f, measured)) : [];
  const readReadings = (): Reading[] => frames.flatMap(readingsOf);
  const output = player.output === undefined ? undefined : current[player.output];
  const readersOf = (tensor: ort.Tensor): Reader[] =>
    calls.flatMap((call) => {
      const inputs = Object.keys(call.feeds).filter((input) => call.feeds[input] === tensor);
      return inputs.map((input) => ({ call, input }));
    });
  const given = Object.entries(batchTensors).map(
    ([key, buffer]) => [key, { buffer, readers: readersOf(buffer) }] as const,
  );
  return {
    batch: Object.fromEntries(given),
    noises,
    constants,
    calls,
    scalars,
    output,
    gradients,
    sums,
    readTaps,
    readReadings,
  };
}

/** Lets the calls that read a tensor of the batch find it in `data` from now on. */
export function bind(readers: readonly Reader[], { dtype, shape }: HostTensor, data: ort.Tensor["data"]): void {
  for (const { call, input } of readers) {
    if (call.feeds[input]!.data === data) continue;
    call.feeds[input] = new ort.Tensor(dtype, data as Float32Array, shape);
    assertNoAliasing(call.feeds, call.fetches, call.what);
  }
}

/** Two buffers a key that take turns, since a call may not write what it reads. */
function turns(pool: BufferPool, what: string) {
  const turn = new Map<string, number>();
  return (key: string, shape: readonly number[], dtype: Dtype | ElementType): ort.Tensor => {
    const next = 1 - (turn.get(key) ?? 1);
    turn.set(key, next);
    return pool.tensor(`${what} ${key} ${next}`, shape, dtype);
  };
}

/** Largest |x| between which sums of squares are true in float32, however many small numbers underflow beside the largest. */
const [leastPlain, largestPlain] = [1e-12, 1e12];

/** Whether the sum of squares of a tensor is lost: its largest number is neither 0 nor within range. What is not finite stays so
 *  however it is measured. */
export const isOutOfRange = ({ max }: Moments): boolean =>
  Number.isFinite(max) && max !== 0 && (max < leastPlain || max > largestPlain);

/** The readings of a frame's taps, activations in the vector of the forward and gradients in that of the backward, or both in
 *  one where the two are one program. Of each it holds m, sum x^2 and, where measured `scaled`, sum (x / m)^2; that counts only where
 *  the plain sum is out of range, so that numbers do not depend on how a step was measured. */
function tapReadings({ stage, compiled, backward, tensors }: Frame, { taps }: Measured): TapReading[] {
  const vector = (direction: string): ArrayLike<number> =>
    (tensors.get(`taps ${direction}`)?.data ?? []) as Float32Array;
  const stride = taps === "scaled" ? 3 : 2;
  const moments = (values: ArrayLike<number>, i: number, count: number): Moments => {
    const [max, squares] = [values[stride * i]!, values[stride * i + 1]!];
    const plain = { sumSquares: squares, max, count };
    if (taps === "plain" || !isOutOfRange(plain)) return plain;
    return { ...plain, sumSquares: values[stride * i + 2]! * max * max };
  };
  return compiled.taps.map(({ component, point, count }, i) => ({
    stack: stage.stack,
    layer: stage.layer,
    component,
    point,
    activation: moments(vector("forward"), i, count),
    gradient: backward
      ? moments(vector("backward"), i, count)
      : moments(vector("forward"), compiled.taps.length + i, count),
  }));
}

/** What a frame's stage offered, from the vector it left. */
function readingsOf({ stage, compiled, tensors }: Frame): Reading[] {
  const vector = (tensors.get("readings ")?.data ?? []) as Float32Array;
  let at = 0;
  return compiled.readings.map(({ component, name, count }) => ({
    stack: stage.stack,
    layer: stage.layer,
    component,
    name,
    values: Array.from(vector.subarray(at, (at += count))),
  }));
}

/** Memory by purpose. A buffer grows to the largest tensor that asks for it; tensors are views of its beginning. */
export type BufferPool = ReturnType<typeof bufferPool>;

/** Makes an empty pool; `onGrowth` hears of buffers that have moved. A buffer named in `least` has so many bytes from the start. */
export function bufferPool(onGrowth: () => void, least: ReadonlyMap<string, number> = new Map()) {
  const buffers = new Map<string, Uint8Array<ArrayBuffer>>();
  const parameterTensors = new WeakMap<Float32Array, ort.Tensor>();
  const tensor = (
    purpose: string,
    shape: readonly number[],
    dtype: ElementType,
    allocate = (bytes: number) => new Uint8Array(bytes),
  ): ort.Tensor => {
    const size = sizeOf(shape);
    const bytes = bytesOf({ shape, dtype });
    let buffer = buffers.get(purpose);
    if (!buffer || buffer.byteLength < bytes) {
      if (buffer) onGrowth();
      buffers.set(purpose, (buffer = allocate(Math.max(bytes, least.get(purpose) ?? 0))));
    }
    return new ort.Tensor(dtype, new arrays[dtype](buffer.buffer, buffer.byteOffset, size) as Float32Array, shape);
  };
  return {
    tensor,
    parameter(parameters: Parameters, path: string): ort.Tensor {
      const { data, shape } = parameters.get(path)!;
      let known = parameterTensors.get(data);
      if (!known) parameterTensors.set(data, (known = new ort.Tensor("float32", data, shape)));
      return known;
    },
  };
}

/** Bytes where loops of ours find numbers that they go through. */
function inLoops(bytes: number): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = float32Array(bytes / 4);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

const arrays = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array } as const;

const pick = (carry: Carry, keys: readonly string[]): Carry => {
  for (const key of keys)
    assert(carry[key], `a stage reads "${key}", which neither the batch nor a stage before it gives`);
  return Object.fromEntries(keys.map((key) => [key, carry[key]!]));
};
