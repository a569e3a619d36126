// The Jacobian of a stretch of the network as a linear map that can be applied, and never as a matrix. A stage's derivative
// is a stage: both directions are players like any other, run by any engine as it is.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { assert } from "../errors.ts";
import { type Parameter, type Parameters, type Player, sizeOf, type Stage, type StageContext } from "../stage.ts";
import type { Batch, HostTensor } from "../types.ts";
import { type CarryInfo, compilationKey, compileStage } from "./compile.ts";
import type { Engine } from "./engine.ts";

/** The Jacobian J = dy/dx of one carry entry after some stages, y, with respect to the same entry before them, x; dropout
 *  off, all else in the first carry held fixed. Applied, not stored: J has `size`^2 elements. */
export interface Linearization {
  /** Number of elements of x, and of y. */
  readonly size: number;
  /** J v: how the end moves when the start moves along v. */
  jvp(v: Float32Array): Promise<Float32Array>;
  /** J^T u: the gradient at the start when u is the gradient at the end. */
  vjp(u: Float32Array): Promise<Float32Array>;
}

/** Linearizes `stages` at `carry`, which holds all they read that none of them writes; `parameters` are read anew at every
 *  product. Graphs are shared between stages of equal key, and between linearizations on one engine. */
export function linearize(
  engine: Engine,
  stages: readonly Stage[],
  parameters: Parameters,
  carry: Readonly<Record<string, HostTensor>>,
  entry: string,
): Linearization {
  const start = carry[entry];
  assert(start?.dtype === "float32", `linearize: the carry holds no float32 entry "${entry}"`);
  const { shape } = start;
  const size = sizeOf(shape);

  // u comes in as data, and x as a parameter, whose gradient is then J^T u.
  const path = `linearization/${entry}`;
  const x: Parameter = { path, shape, init: { kind: "constant", value: 0 }, data: start.data as Float32Array };
  const used = stages.flatMap((stage) => Object.values(stage.parameters).map(({ path }) => path));
  const withStart: Parameters = new Map([...used.map((path) => [path, parameters.get(path)!] as const), [path, x]]);
  const down: Player = {
    name: "vector-jacobian",
    stages: [startStage(entry, x), ...stages.map(withoutDropout), readout(entry, cotangentOf(entry))],
    scalars: ["loss"],
  };
  const up: Player = {
    name: "jacobian-vector",
    stages: tangentStages(engine, stages, carry, entry),
    scalars: [],
    output: tangentOf(entry),
  };
  const batchWith = (name: string, data: Float32Array): Batch => {
    assert(data.length === size, `linearize: expected ${size} numbers, got ${data.length}`);
    return { tensors: { ...carry, [name]: { dtype: "float32", shape, data } }, tokens: 1 };
  };
  return {
    size,
    async jvp(v) {
      return Float32Array.from(await engine.output(up, parameters, batchWith(tangentOf(entry), v)));
    },
    async vjp(u) {
      const options = { step: 0, seed: 0, tapped: false };
      const { gradients } = await engine.differentiate(down, withStart, batchWith(cotangentOf(entry), u), options);
      return Float32Array.from(gradients.get(path)!);
    },
  };
}

/** The carry entry `entry` after `stages`, run on `batch` without dropout. */
export async function entryAfter(
  engine: Engine,
  stages: readonly Stage[],
  parameters: Parameters,
  batch: Batch,
  entry: string,
): Promise<Float32Array> {
  const player: Player = { name: "forward", stages, scalars: [], output: entry };
  return Float32Array.from(await engine.output(player, parameters, batch));
}

/** The whole carry after `stages`, run on `carry` one by one without dropout: where to linearize what follows. */
export async function carryAfter(
  engine: Engine,
  stages: readonly Stage[],
  parameters: Parameters,
  carry: Readonly<Record<string, HostTensor>>,
): Promise<Readonly<Record<string, HostTensor>>> {
  let current = carry;
  for (const stage of stages) {
    const written: Record<string, HostTensor> = {};
    for (const [entry, { shape, dtype }] of Object.entries(writesOf(engine, stage, infoOf(current)))) {
      const data = await entryAfter(engine, [stage], parameters, { tensors: current, tokens: 1 }, entry);
      written[entry] = { shape, dtype, data };
    }
    current = { ...current, ...written };
  }
  return current;
}

const tangentOf = (entry: string): string => `tangent of ${entry}`;
const cotangentOf = (entry: string): string => `cotangent of ${entry}`;

/** Writes x into the carry. */
const startStage = (entry: string, x: Parameter): Stage => ({
  name: `start of ${entry}`,
  stack: "linearization",
  layer: "",
  key: `start of ${entry}`,
  parameters: { x },
  reads: [],
  apply: ({ x }) => ({ [entry]: tf.clone(x!) }),
});

/** loss = <y, u> of the carry entries `entry` and `cotangent`, whose gradient at y is u: the error that a chain is given at its
 *  end. */
export const readout = (entry: string, cotangent: string): Stage => ({
  name: "readout",
  stack: "readout",
  layer: "",
  key: `readout of ${entry} by ${cotangent}`,
  parameters: {},
  reads: [entry, cotangent],
  apply: (_, carry) => ({ loss: inner(carry[entry]!, carry[cotangent]!) }),
});

/** The stage as evaluation runs it, without dropout or label smoothing, whether or not its gradient is taken. */
export const withoutDropout = (stage: Stage): Stage => ({
  ...stage,
  key: `without dropout ${stage.key}`,
  apply: (parameters, carry, context) => stage.apply(parameters, carry, evaluating(context)),
});

/** What a stage sees: no training, and nothing that looks on, through which a derivative could not pass. */
const evaluating = (context: StageContext): StageContext => ({
  ...context,
  training: false,
  tap: (_component, _point, x) => x,
  reading: () => {},
});

/** Every stage with its tangents: beside each float32 entry that depends on x it writes dy/dx v under `tangentOf`. */
function tangentStages(
  engine: Engine,
  stages: readonly Stage[],
  carry: Readonly<Record<string, HostTensor>>,
  entry: string,
): readonly Stage[] {
  let known = infoOf(carry);
  const active = new Set([entry]);
  return stages.map((stage) => {
    const writes = writesOf(engine, stage, known);
    const moving = stage.reads.filter((key) => active.has(key));
    known = { ...known, ...writes };
    for (const [key, { dtype }] of Object.entries(writes))
      if (moving.length && dtype === "float32") active.add(key);
      else active.delete(key);
    return moving.length ? tangentStage(stage, moving) : withoutDropout(stage);
  });
}

const infoOf = (carry: Readonly<Record<string, HostTensor>>): Readonly<Record<string, CarryInfo>> =>
  Object.fromEntries(
    Object.entries(carry).map(([key, { shape, dtype }]) => [key, { shape, dtype, differentiable: false }]),
  );

type Writes = Readonly<Record<string, CarryInfo>>;

/** What a stage writes into a carry like `carry`; found once an engine for stages of equal key. */
function writesOf(engine: Engine, stage: Stage, carry: Readonly<Record<string, CarryInfo>>): Writes {
  const reads = Object.fromEntries(
    stage.reads.map((key) => {
      assert(
        carry[key],
        `linearize: ${stage.name} reads "${key}", which neither the carry nor a stage before it gives`,
      );
      return [key, carry[key]];
    }),
  );
  const nothing = { taps: "none", readings: [] } as const;
  const key = compilationKey(stage, reads, "evaluate", nothing);
  let known = writesByKey.get(engine);
  if (!known) writesByKey.set(engine, (known = new Map()));
  let writes = known.get(key);
  if (!writes) known.set(key, (writes = compileStage(stage, reads, "evaluate", nothing).writes));
  return writes;
}

/** Goes with the engine, as the graphs do that it has compiled under the same keys. */
const writesByKey = new WeakMap<Engine, Map<string, Writes>>();

/** The stage with the tangents of what it writes, from those of the entries `moving` that it reads.
 *  J v is the gradient of <J^T u, v> by u: J^T u is linear in u, so that its second derivative is never asked for. Such a
 *  derivative, by x, would be wrong: operations with gradients of their own (src/ops) keep tensors of the forward, which
 *  the tape takes for constants. */
function tangentStage(stage: Stage, moving: readonly string[]): Stage {
  return {
    ...stage,
    key: `tangents by ${JSON.stringify(moving)} of ${stage.key}`,
    reads: [...stage.reads, ...moving.map(tangentOf)],
    apply(parameters, carry, given) {
      const context = evaluating(given);
      // Once more below, on the tape, which disposes of what it has recorded; a compiled graph holds it once.
      const written = stage.apply(parameters, carry, context);
      const keys = Object.keys(written).filter((key) => written[key]!.dtype === "float32");
      const u = keys.map((key) => tf.zeros(written[key]!.shape));
      const x = moving.map((key) => carry[key]!);
      const along = (): Tensor => {
        const pullback = (): Tensor => {
          const outputs = stage.apply(parameters, carry, context);
          return total(keys.map((key, i) => inner(outputs[key]!, u[i]!)));
        };
        const { grads } = tf.engine().gradients(pullback, x, undefined, true);
        const products = moving.flatMap((key, i) => (grads[i] ? [inner(grads[i], carry[tangentOf(key)]!)] : []));
        return products.length ? total(products) : tf.scalar(0);
      };
      const { grads } = tf.engine().gradients(along, u, undefined, true);
      const tangents = keys.map((key, i) => [tangentOf(key), grads[i] ?? tf.zerosLike(written[key]!)]);
      return { ...written, ...(Object.fromEntries(tangents) as Record<string, Tensor>) };
    },
  };
}

const inner = (a: Tensor, b: Tensor): Tensor => tf.sum(tf.mul(a, b));
const total = (terms: readonly Tensor[]): Tensor => terms.reduce((sum, term) => tf.add(sum, term));
