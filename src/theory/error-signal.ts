// Reads the error signal dE/dx inside a chain of stages, and from it the Jacobians of its links. A stage that adds a
// parameter of zeros changes nothing, and the gradient of that parameter is the error at its place: so what is read here
// is what training computes.
import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { carryAfter, readout } from "../engine/linearize.ts";
import { type Parameter, type Parameters, type Player, sizeOf, type Stage } from "../stage.ts";
import type { HostTensor } from "../types.ts";
import type { Matrix } from "./matrix.ts";

/** The first carry of a chain, or the carry between two of its links. */
export type Carry = Readonly<Record<string, HostTensor>>;

/** A place in a chain: carry entry `entry`, of this shape, as stage number `before` finds it. */
export interface Gauge {
  readonly before: number;
  readonly entry: string;
  readonly shape: readonly number[];
}

/** The loss of a chain, and dE/dx at every gauge, in the order of `gauges`, which is that of the chain. */
export async function errorsAt(
  engine: Engine,
  stages: readonly Stage[],
  parameters: Parameters,
  carry: Carry,
  gauges: readonly Gauge[],
): Promise<{ readonly loss: number; readonly errors: readonly Float64Array[] }> {
  const zeros = new Map<string, Parameter>();
  const gauged = stages.flatMap((stage, index) => [
    ...gauges.flatMap((gauge, i) => (gauge.before === index ? [gaugeStage(gauge, i, zeros)] : [])),
    stage,
  ]);
  const player: Player = { name: "gauged", stages: gauged, scalars: ["loss"] };
  const batch = { tensors: carry, tokens: 1 };
  const all = new Map([...parameters, ...zeros]);
  const { scalars, gradients } = await engine.differentiate(player, all, batch, { step: 0, seed: 0, tapped: false });
  // Copied, since the engine's arrays are overwritten by its next step.
  return { loss: scalars["loss"]!, errors: [...zeros.keys()].map((path) => Float64Array.from(gradients.get(path)!)) };
}

function gaugeStage({ entry, shape }: Gauge, index: number, zeros: Map<string, Parameter>): Stage {
  const path = `gauge/${index}`;
  const zero = { path, shape, init: { kind: "constant", value: 0 } } as const;
  zeros.set(path, { ...zero, data: new Float32Array(sizeOf(shape)) });
  return {
    name: path,
    stack: "gauge",
    layer: "",
    key: `gauge ${entry}`,
    parameters: { zero },
    reads: [entry],
    apply: (p, carry) => ({ [entry]: tf.add(carry[entry]!, p["zero"]!) }),
  };
}

/** The vector-Jacobian products of `rows` cotangents at the end of a chain with a carry of one sentence: for every stage,
 *  dE/dx of the entry as that stage finds it, row after row. The sentence is repeated `rows` times in the batch, and
 *  each copy carries a cotangent of its own: sentences of a batch do not meet, so one backward gives all rows. */
export async function pullBack(
  engine: Engine,
  stages: readonly Stage[],
  parameters: Parameters,
  carry: Carry,
  entry: string,
  cotangents: Float32Array,
): Promise<readonly Float64Array[]> {
  const [, ...rest] = carry[entry]!.shape;
  const rows = cotangents.length / sizeOf(rest);
  const shape = [rows, ...rest];
  const repeated = Object.fromEntries(Object.entries(carry).map(([name, tensor]) => [name, repeat(tensor, rows)]));
  const given = { ...repeated, cotangent: { dtype: "float32", shape, data: cotangents } } as const;
  const gauges = stages.map((_, before) => ({ before, entry, shape }));
  return (await errorsAt(engine, [...stages, readout(entry, "cotangent")], parameters, given, gauges)).errors;
}

/** The Jacobians d x_end / d x_k of a chain with a carry of one sentence, as explicit matrices, x_k the entry as stage k
 *  finds it and x_end as the last leaves it: row i is the vector-Jacobian product of the i-th unit vector. */
export async function jacobians(
  engine: Engine,
  stages: readonly Stage[],
  parameters: Parameters,
  carry: Carry,
  entry: string,
): Promise<readonly Matrix[]> {
  const size = sizeOf(carry[entry]!.shape);
  const units = new Float32Array(size * size);
  for (let i = 0; i < size; i++) units[i * size + i] = 1;
  const rows = await pullBack(engine, stages, parameters, carry, entry, units);
  return rows.map((data) => ({ size, data }));
}

/** A tensor of one sentence as a batch of `count` copies. */
function repeat({ dtype, shape, data }: HostTensor, count: number): HostTensor {
  const repeated = dtype === "int32" ? new Int32Array(data.length * count) : new Float32Array(data.length * count);
  for (let i = 0; i < count; i++) repeated.set(data, i * data.length);
  return { dtype, shape: [count, ...shape.slice(1)], data: repeated };
}

/** The carry as every stage of a chain finds it, and as the last leaves it, without dropout. */
export async function carries(
  engine: Engine,
  stages: readonly Stage[],
  parameters: Parameters,
  first: Carry,
): Promise<readonly Carry[]> {
  const found = [first];
  for (const stage of stages) found.push(await carryAfter(engine, [stage], parameters, found.at(-1)!));
  return found;
}
