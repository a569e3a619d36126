// Turns a stage into programs: its operations are recorded once, forward and backward, split at the end of the forward,
// simplified, and encoded. What the backward needs of the forward becomes outputs of the one and inputs of the other.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
// The union package registers TensorFlow.js's gradients, which tfjs-core alone does not under Node.
import "@tensorflow/tfjs";
import { assert } from "../errors.ts";
import { watchGradient } from "../ops/index.ts";
import {
  learntBy,
  type Noise,
  type Parameters,
  sizeOf,
  type Stage,
  type StageContext,
  type TapPoint,
} from "../stage.ts";
import type { Dtype } from "../types.ts";
import { expandCrossEntropies, joinCrossEntropies } from "./cross-entropy.ts";
import {
  type Constant,
  dropDeadNodes,
  type ElementType,
  fuseNodes,
  type Graph,
  mergeDuplicateNodes,
  type Node,
  type ValueInfo,
} from "./graph.ts";
import { lower } from "./lower.ts";
import { encodeModel } from "./onnx-model.ts";
import { cpuProvider, type Provider } from "./providers.ts";
import { record, type Recorder } from "./recorder.ts";

/** What stands at one end of a program.
 *  `parameter`, `carry`, `noise`, `constant`: the stage's arguments. `written`: what it returns. `cotangent`: dL/d(carry entry).
 *  `gradient`: dL/d(parameter). `kept`: a value of the forward that the backward reads. `taps`: a few numbers
 *  for every tapped tensor, see `measure`. `readings`: what the stage offered, in one vector. */
export type Role =
  "parameter" | "carry" | "noise" | "constant" | "written" | "cotangent" | "gradient" | "kept" | "taps" | "readings";

export interface Port {
  readonly role: Role;
  /** Parameter, carry entry, noise or value, by name. */
  readonly key: string;
  /** Name of the ONNX input or output. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: ElementType;
}

export interface Program {
  readonly model: Uint8Array;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly nodes: readonly Node[];
  /** Bytes of the values between its nodes, most of those that are alive at once. */
  readonly workspace: number;
}

/** A carry entry between two stages. */
export interface CarryInfo {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  /** Whether a parameter stands behind it, so that a gradient has to flow into it. */
  readonly differentiable: boolean;
}

/** `train`: a forward and a backward program. `turn`: both in one, for the last stage, whose backward follows its
 *  forward at once. `pass`: a forward of training through which no gradient flows, so that it is not tapped. `evaluate`: a
 *  forward without dropout. */
export type Mode = "train" | "turn" | "pass" | "evaluate";

/** Whether no gradient flows through a stage: it has no parameters to learn, and no parameter stands behind what it reads. */
export const isPassive = (stage: Stage, carry: Readonly<Record<string, CarryInfo>>): boolean =>
  learntBy(stage).length === 0 && stage.reads.every((key) => !carry[key]!.differentiable);

/** What a program measures beside its work: at the stage's taps or not and how, see `measure`, and readings by name. */
export interface Measured {
  readonly taps: "none" | "plain" | "scaled";
  readonly readings: readonly string[];
}

export interface CompiledStage {
  readonly forward: Program;
  /** Present in mode `train`. */
  readonly backward?: Program;
  readonly writes: Readonly<Record<string, CarryInfo>>;
  readonly taps: readonly { readonly component: string; readonly point: TapPoint; readonly count: number }[];
  readonly readings: readonly { readonly component: string; readonly name: string; readonly count: number }[];
  readonly noises: readonly { readonly name: string; readonly shape: readonly number[]; readonly noise: Noise }[];
}

/** How many arrays of numbers TensorFlow.js holds just now, in all its backends: what compiling or an eager step has left behind.
 *  Its own count of tensors is of no use here: of those that share an array, as views do, it forgets to count some down. */
export const liveArrays = (): number => tf.engine().state.numDataBuffers;

/** Identifies the graph of a stage: equal keys compile to the same programs. */
export function compilationKey(
  stage: Stage,
  carry: Readonly<Record<string, CarryInfo>>,
  mode: Mode,
  measured: Measured,
): string {
  const shapes = Object.entries(stage.parameters).map(([name, { shape }]) => [name, shape]);
  const reads = stage.reads.map((key) => [key, carry[key]]);
  return JSON.stringify([stage.key, shapes, reads, mode, measured, stage.frozen ?? false]);
}

/** Arguments of a stage by the names of its programs' inputs. */
export type Arguments = ReadonlyMap<string, Constant>;

/** What a stage with these parameters is given whenever it runs: the parameters, and the constants that no step changes. */
export function lastingArguments({ parameters: specs, constants = {} }: Stage, parameters: Parameters): Arguments {
  const given = new Map<string, Constant>();
  for (const [name, { path, shape }] of Object.entries(specs))
    given.set(inputName("parameter", name), { dtype: "float32", shape, data: parameters.get(path)!.data });
  for (const [name, value] of Object.entries(constants))
    if (typeof value === "number")
      given.set(inputName("constant", name), { dtype: "float32", shape: [], data: Float32Array.of(value) });
  return given;
}

const inputName = (role: Role, key: string): string => `${role}:${key}`;

/** Compiles `stage` for a carry of these shapes, in operators that `provider` has. What is `known` of its arguments is part of its
 *  programs, and none of their inputs. */
export function compileStage(
  stage: Stage,
  carry: Readonly<Record<string, CarryInfo>>,
  mode: Mode,
  { taps, readings }: Measured,
  provider: Provider = cpuProvider,
  known: Arguments = new Map(),
): CompiledStage {
  return record(provider === cpuProvider ? "cpu" : "standard", (recorder) => {
    const trace = traceStage(stage, carry, mode, readings, recorder);
    const encode: Encode = (direction, nodes, wanted, available) =>
      program(nodes, wanted, available, recorder, { provider, known, what: programName(direction, stage, mode) });
    return mode === "train" ? splitPrograms(trace, recorder, taps, encode) : oneProgram(trace, recorder, taps, encode);
  });
}

/** The two programs of a stage in training; what is but one is called forward. */
export type Direction = "forward" | "backward";

/** What errors and kept graphs call a program: `backward of encoder/00 (train)`. */
export const programName = (direction: Direction, { name }: Stage, mode: Mode): string =>
  `${direction} of ${name} (${mode})`;

/** Makes a program of nodes, the outputs that are wanted, and the inputs there are. */
type Encode = (
  direction: Direction,
  nodes: readonly Node[],
  wanted: readonly Wanted[],
  available: ReadonlyMap<string, Port>,
) => Program;

/** A traced tap: the tensor, and its gradient once the tape has come by. */
interface Tap {
  readonly component: string;
  readonly point: TapPoint;
  readonly activation: Tensor;
  gradient?: Tensor;
}

/** A traced reading. */
interface TracedReading {
  readonly component: string;
  readonly name: string;
  readonly values: Tensor;
}

interface Trace {
  readonly inputs: ReadonlyMap<string, Port>;
  readonly written: Record<string, Tensor>;
  readonly writes: Record<string, CarryInfo>;
  readonly gradients: ReadonlyMap<string, Tensor>;
  readonly cotangents: ReadonlyMap<string, Tensor>;
  readonly taps: readonly Tap[];
  readonly readings: readonly TracedReading[];
  readonly noises: CompiledStage["noises"];
  /** Number of nodes recorded before the first of the backward. */
  readonly forwardEnd: number;
}

function traceStage(
  stage: Stage,
  carry: Readonly<Record<string, CarryInfo>>,
  mode: Mode,
  asked: readonly string[],
  recorder: Recorder,
): Trace {
  const inputs = new Map<string, Port>();
  const input = (role: Role, key: string, shape: readonly number[], dtype: Dtype): Tensor => {
    const name = inputName(role, key);
    inputs.set(name, { role, key, name, shape, dtype });
    return recorder.input(name, shape, dtype);
  };
  const learnt = learntBy(stage);
  const differentiable = stage.reads.filter((key) => carry[key]!.differentiable);
  const givenParameters = Object.fromEntries(
    Object.entries(stage.parameters).map(([name, { shape }]) => [name, input("parameter", name, shape, "float32")]),
  );
  const givenCarry = Object.fromEntries(
    stage.reads.map((key) => [key, input("carry", key, carry[key]!.shape, carry[key]!.dtype)]),
  );
  const isForwardOnly = mode === "evaluate" || mode === "pass";
  const taps: Tap[] = [];
  const readings: TracedReading[] = [];
  const noises: { name: string; shape: readonly number[]; noise: Noise }[] = [];
  const constants = new Map<string, Tensor>();
  const context: StageContext = {
    training: mode !== "evaluate",
    tap(component, point, x) {
      if (isForwardOnly) return x;
      const tap: Tap = { component, point, activation: x };
      taps.push(tap);
      return watchGradient(x, (gradient) => (tap.gradient = gradient));
    },
    reading(component, name, make) {
      if (asked.includes(name)) readings.push({ component, name, values: make() });
    },
    noise(name, shape, noise) {
      noises.push({ name, shape, noise });
      return input("noise", name, shape, "float32");
    },
    constant(name) {
      let tensor = constants.get(name);
      if (!tensor) constants.set(name, (tensor = input("constant", name, [], "float32")));
      return tensor;
    },
  };

  const written: Record<string, Tensor> = {};
  const run = (parameters: Record<string, Tensor>, entries: Record<string, Tensor>): void => {
    Object.assign(written, stage.apply(parameters, entries, context));
    // Literals become nodes now, while the forward is being recorded.
    for (const tensor of Object.values(written)) recorder.nameOf(tensor);
    for (const { values } of readings) recorder.nameOf(values);
  };
  const describe = (): Record<string, CarryInfo> =>
    Object.fromEntries(
      Object.entries(written).map(([key, { shape, dtype }]) => [
        key,
        { shape, dtype: dtype as Dtype, differentiable: learnt.length + differentiable.length > 0 },
      ]),
    );
  if (isForwardOnly) {
    run(givenParameters, givenCarry);
    const none = new Map<string, Tensor>();
    const forwardEnd = recorder.nodes.length;
    return {
      inputs,
      written,
      writes: describe(),
      gradients: none,
      cotangents: none,
      taps,
      readings,
      noises,
      forwardEnd,
    };
  }

  let forwardEnd = 0;
  // What the loss depends on through this stage: dL/dinput = sum over outputs of <y, dL/dy> differentiated, with dL/dy
  // given. An entry that is read but not written passes by, and its cotangent with it.
  const pullback = (...args: Tensor[]): Tensor => {
    const parameters = { ...givenParameters };
    learnt.forEach((name, i) => (parameters[name] = args[i]!));
    const entries = { ...givenCarry };
    differentiable.forEach((key, i) => (entries[key] = args[learnt.length + i]!));
    run(parameters, entries);
    forwardEnd = recorder.nodes.length;
    if (mode === "turn") return written["loss"]!.asScalar();
    const passing = Object.fromEntries(differentiable.flatMap((key) => (key in written ? [] : [[key, entries[key]!]])));
    const products = Object.entries({ ...written, ...passing }).flatMap(([key, y]) =>
      y.dtype === "float32" ? [tf.sum(tf.mul(y, input("cotangent", key, y.shape, "float32")))] : [],
    );
    return products.reduce((sum, product) => tf.add(sum, product));
  };
  const xs = [...learnt.map((name) => givenParameters[name]!), ...differentiable.map((key) => givenCarry[key]!)];
  const { grads } = tf.engine().gradients(() => pullback(...xs), xs, undefined, true);
  const gradients = new Map<string, Tensor>();
  // Where nothing the stage writes depends on a parameter its gradient is 0, as that of a bias is which only shifts a score
  // whose slope is penalised.
  learnt.forEach((name, i) => {
    assert(grads[i] || stage.mayIgnoreParameters, `stage ${stage.name}: no gradient reaches parameter ${name}`);
    gradients.set(name, grads[i] ?? tf.zerosLike(givenParameters[name]!));
  });
  // An entry that only what is not differentiated depends on has none, as a VAE's KL term where it is reported beside a loss of
  // importance weights.
  const cotangents = new Map(
    differentiable.flatMap((key, i) => {
      const gradient = grads[learnt.length + i];
      return gradient ? [[key, gradient] as const] : [];
    }),
  );
  return { inputs, written, writes: describe(), gradients, cotangents, taps, readings, noises, forwardEnd };
}

/** Appends the measuring of tensors: of each the largest |x| = m and the sum of x^2, all in one vector. Squares leave float32's
 *  range where x is below 1e-19 or above 1e19, as vanishing gradients are: `scaled` adds the sum of (x / m)^2, which costs half
 *  as much again. Tensors are reduced as they are: a view of one that is in use elsewhere is a copy in ONNX Runtime, and took
 *  longer than the reductions. */
function measure(tensors: readonly Tensor[], recorder: Recorder, taps: Measured["taps"]): string {
  const rank = Math.max(1, tensors[0]!.rank);
  const numbers = tensors.flatMap((tensor) => {
    const { shape } = tensor;
    const x = recorder.nameOf(tensor);
    const one = shape.map(() => 1);
    const reduced = (op: string, x: string): string => recorder.node(op, [x], one, { keepdims: 1 });
    const largest = reduced("ReduceMax", recorder.node("Abs", [x], shape));
    const found = [largest, reduced("ReduceSumSquare", x)];
    if (taps === "scaled") {
      // The least normal number, so that all zeros give 0 and not 0 / 0.
      const divisor = recorder.node("Max", [largest, recorder.scalar(2 ** -126)], one);
      found.push(reduced("ReduceSumSquare", recorder.node("Div", [x, divisor], shape)));
    }
    const ones = new Array<number>(rank).fill(1);
    return shape.length === rank
      ? found
      : found.map((name) => recorder.node("Reshape", [name, recorder.integers(ones)], ones));
  });
  const count = numbers.length;
  const column = recorder.node("Concat", numbers, [count, ...new Array<number>(rank - 1).fill(1)], { axis: 0 });
  return recorder.node("Reshape", [column, recorder.integers([count])], [count]);
}

/** Forward and backward as one program, or the forward alone where there is no gradient. */
function oneProgram(trace: Trace, recorder: Recorder, how: Measured["taps"], encode: Encode): CompiledStage {
  const wanted = wantedOutputs(trace, recorder);
  const taps = how === "none" ? [] : trace.taps;
  const tapped = [...taps.map((t) => t.activation), ...taps.map((t) => t.gradient!)];
  if (taps.length) wanted.push(["taps", "", measure(tapped, recorder, how)]);
  wanted.push(...readingOutput(trace, recorder));
  for (const [key, tensor] of Object.entries(trace.written)) wanted.push(["written", key, recorder.nameOf(tensor)]);
  const { nodes, renamed } = mergeDuplicateNodes(recorder.nodes);
  const outputs = wanted.map(([role, key, name]) => [role, key, renamed.get(name) ?? name] as const);
  return { ...describeStage(trace, taps), forward: encode("forward", nodes, outputs, trace.inputs) };
}

/** A forward program and a backward one. Whatever the backward reads is kept by the forward, but for what is cheaper to
 *  make again than to store: views, masks and literals. */
function splitPrograms(trace: Trace, recorder: Recorder, how: Measured["taps"], encode: Encode): CompiledStage {
  const taps = how === "none" ? [] : trace.taps;
  const measured = (tensors: readonly Tensor[]): Wanted[] =>
    tensors.length ? [["taps", "", measure(tensors, recorder, how)]] : [];
  const backwardWanted = [...wantedOutputs(trace, recorder), ...measured(taps.map((t) => t.gradient!))];
  const end = recorder.nodes.length;
  const forwardWanted = measured(taps.map((t) => t.activation));
  forwardWanted.push(...readingOutput(trace, recorder));
  for (const [key, tensor] of Object.entries(trace.written))
    forwardWanted.push(["written", key, recorder.nameOf(tensor)]);

  // The measuring of the forward moves up to where the forward ends.
  const all = recorder.nodes;
  const forward = [...all.slice(0, trace.forwardEnd), ...all.slice(end)];
  const inForward = new Set(forward.flatMap((node) => node.outputs));
  const { nodes, renamed } = mergeDuplicateNodes([...forward, ...all.slice(trace.forwardEnd, end)]);
  const current = ([role, key, name]: Wanted): Wanted => [role, key, renamed.get(name) ?? name];
  const isForward = (node: Node): boolean => inForward.has(node.outputs[0]!);
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));

  const again = new Set<Node>(); // forward nodes the backward repeats
  const repeat = (name: string): void => {
    const node = producers.get(name);
    if (!node || !isForward(node) || again.has(node) || !isCheap(node)) return;
    again.add(node);
    node.inputs.forEach(repeat);
  };
  const backwardOutputs = backwardWanted.map(current);
  const wantedNames = backwardOutputs.map(([, , name]) => name);
  const backwardOnly = dropDeadNodes(nodes, wantedNames).filter((node) => !isForward(node));
  for (const name of [...backwardOnly.flatMap((node) => node.inputs), ...wantedNames]) repeat(name);
  const backwardNodes = nodes.filter((node) => again.has(node) || (!isForward(node) && backwardOnly.includes(node)));

  const made = new Set(backwardNodes.flatMap((node) => node.outputs));
  const forwardOutputs = forwardWanted.map(current);
  const writtenKey = new Map(forwardOutputs.flatMap(([role, key, name]) => (role === "written" ? [[name, key]] : [])));
  const kept = new Map<string, Port>();
  for (const name of new Set([...backwardNodes.flatMap((node) => node.inputs), ...wantedNames])) {
    const info = recorder.values.get(name);
    if (made.has(name) || trace.inputs.has(name) || recorder.constants.has(name) || !info) continue;
    const key = writtenKey.get(name);
    kept.set(name, { role: key ? "written" : "kept", key: key ?? name, name, ...info });
    if (!key) forwardOutputs.push(["kept", name, name]);
  }
  const forwardNodes = nodes.filter(isForward);
  return {
    ...describeStage(trace, taps),
    forward: encode("forward", forwardNodes, forwardOutputs, trace.inputs),
    backward: encode("backward", backwardNodes, backwardOutputs, new Map([...trace.inputs, ...kept])),
  };
}

/** An output to be: its role, its key, and the value it carries. */
type Wanted = readonly [role: Role, key: string, name: string];

const wantedOutputs = (trace: Trace, recorder: Recorder): Wanted[] => [
  ...[...trace.gradients].map(([key, tensor]): Wanted => ["gradient", key, recorder.nameOf(tensor)]),
  ...[...trace.cotangents].map(([key, tensor]): Wanted => ["cotangent", key, recorder.nameOf(tensor)]),
];

/** All readings of a stage end to end, as one output; none where there is none. */
function readingOutput({ readings }: Trace, recorder: Recorder): Wanted[] {
  if (!readings.length) return [];
  const names = readings.map(({ values }) => recorder.nameOf(values));
  const count = readings.reduce((sum, { values }) => sum + values.size, 0);
  return [["readings", "", recorder.node("Concat", names, [count], { axis: 0 })]];
}

const describeStage = (
  trace: Trace,
  taps: readonly Tap[],
): Pick<CompiledStage, "writes" | "taps" | "readings" | "noises"> => ({
  writes: trace.writes,
  taps: taps.map(({ component, point, activation }) => ({ component, point, count: sizeOf(activation.shape) })),
  readings: trace.readings.map(({ component, name, values }) => ({ component, name, count: values.size })),
  noises: trace.noises,
});

/** Views of other values and comparisons cost less to repeat than to carry over. */
const isCheap = ({ op }: Node): boolean => ["Reshape", "Expand", "Cast", "Greater", "ConstantOfShape"].includes(op);

/** Simplifies nodes and encodes them. Outputs that no node makes, or two of the same value, get a copy of their own. */
function program(
  nodes: readonly Node[],
  wanted: readonly Wanted[],
  available: ReadonlyMap<string, Port>,
  recorder: Recorder,
  { provider, known, what }: { readonly provider: Provider; readonly known: Arguments; readonly what: string },
): Program {
  const values = new Map(recorder.values);
  const made = new Set(nodes.flatMap((node) => node.outputs));
  const taken = new Set<string>();
  const copies: Node[] = [];
  const outputs = wanted.map(([role, key, source], i): Port => {
    const info = values.get(source) ?? recorder.constants.get(source)!;
    let name = source;
    if (taken.has(source) || !made.has(source)) {
      name = `out${i}`;
      values.set(name, info);
      copies.push({ op: "Identity", domain: "", inputs: [source], outputs: [name], attributes: {} });
    }
    taken.add(name);
    return { role, key, name, shape: info.shape, dtype: info.dtype };
  });
  const constants = new Map([...recorder.constants, ...known]);
  const keep = new Set(outputs.map(({ name }) => name));
  const graph: Graph = { nodes: dropDeadNodes(joinCrossEntropies([...nodes, ...copies]), keep), values, constants };
  const fused = dropDeadNodes(fuseNodes(graph, keep), keep);
  const read = new Set(fused.flatMap((node) => node.inputs));
  const inputs = [...available.values()].filter(({ name }) => read.has(name) && !known.has(name));
  return encoded(lower({ ...graph, nodes: fused }, provider.lowered), inputs, outputs, provider, what);
}

/** Encodes a graph, its ends under names that say what they are: `written:x`, `gradient:query/weight`. */
function encoded(
  graph: Graph,
  inputs: readonly Port[],
  outputs: readonly Port[],
  provider: Provider,
  what: string,
): Program {
  const renamed = new Map<string, string>();
  const named = (port: Port, name: string): Port => {
    renamed.set(port.name, name);
    return { ...port, name };
  };
  const namedInputs = inputs.map((port) => (port.role === "written" ? named(port, `written:${port.key}`) : port));
  const namedOutputs = outputs.map((port) => {
    const { role, key } = port;
    if (role === "kept") return port;
    // That of what the stage writes is an input and may have the same key.
    if (role === "cotangent") return named(port, `carry-cotangent:${key}`);
    return named(port, key ? `${role}:${key}` : role);
  });
  const nameOf = (name: string): string => renamed.get(name) ?? name;
  const nodes = graph.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(nameOf),
    outputs: node.outputs.map(nameOf),
  }));
  const values = new Map([...graph.values].map(([name, info]) => [nameOf(name), info] as const));
  const whole = expandCrossEntropies({ ...graph, nodes, values });
  const names = (ports: readonly Port[]): string[] => ports.map(({ name }) => name);
  const model = encodeModel(whole, names(namedInputs), names(namedOutputs), {
    name: what,
    halts: provider.halts,
  });
  const workspace = workspaceOf(whole.nodes, whole.values, new Set(names(namedOutputs)));
  return { model, inputs: namedInputs, outputs: namedOutputs, nodes: whole.nodes, workspace };
}

/** Bytes of a tensor. */
export const bytesOf = ({ shape, dtype }: ValueInfo): number => sizeOf(shape) * elementBytes[dtype];

const elementBytes: Readonly<Record<ElementType, number>> = { float32: 4, int32: 4, int64: 8, bool: 1 };

/** Bytes that values other than `outputs` take up, at most, where nodes run one after the other and a value goes with the last
 *  node that reads it. What is within loops is not counted: estimates came out 5 % too high without, and 12 to 24 % with it. */
function workspaceOf(
  nodes: readonly Node[],
  values: ReadonlyMap<string, ValueInfo>,
  outputs: ReadonlySet<string>,
): number {
  const lastReader = new Map(nodes.flatMap(({ inputs }, i) => inputs.map((name) => [name, i] as const)));
  const alive = new Map<string, number>();
  let [bytes, most] = [0, 0];
  for (const [i, node] of nodes.entries()) {
    for (const name of node.outputs)
      if (!outputs.has(name)) {
        alive.set(name, bytesOf(values.get(name)!));
        bytes += alive.get(name)!;
      }
    most = Math.max(most, bytes);
    for (const name of [...node.inputs, ...node.outputs])
      if (alive.has(name) && (lastReader.get(name) ?? i) === i) {
        bytes -= alive.get(name)!;
        alive.delete(name);
      }
  }
  return most;
}
