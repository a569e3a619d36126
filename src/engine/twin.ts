// How far an engine's numbers are from float64: an operation in plain loops beside the same as the engine computes it, forward
// and gradient. What tests assert, and what `fathom doctor` and docs/engines.md show.
import type { Tensor } from "@tensorflow/tfjs-core";
import { messageOf } from "../errors.ts";
import { stream } from "../random.ts";
import { type Parameter, type Player, type Stage, sizeOf, type Tensors } from "../stage.ts";
import type { HostTensor } from "../types.ts";
import type { Engine, StepResult } from "./engine.ts";

/** A function of tensors and its twin in plain JavaScript. */
export interface Twin {
  /** Shapes of what is differentiated; filled with normals. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** What is not: ids, masks, dropout factors. */
  readonly constants?: Readonly<Record<string, HostTensor>>;
  /** Replaces some of the random inputs. */
  readonly values?: Readonly<Record<string, ArrayLike<number>>>;
  apply(tensors: Tensors): Tensor;
  /** The same in float64, row-major arrays in and out. */
  reference(arrays: Readonly<Record<string, Float64Array>>): Float64Array;
}

/** The inputs of a twin: float32 numbers, so that both sides see the same. */
export function inputsOf({ inputs, constants = {}, values = {} }: Twin): Record<string, Float64Array> {
  const drawn = Object.entries(inputs).map(([name, shape]) => [
    name,
    Float64Array.from(
      Float32Array.from(values[name] ?? stream(1, `test ${name}`).normal(new Float32Array(sizeOf(shape)))),
    ),
  ]);
  const fixed = Object.entries(constants).map(([name, { data }]) => [name, Float64Array.from(data)]);
  return Object.fromEntries([...drawn, ...fixed]) as Record<string, Float64Array>;
}

/** sum(y * cotangent) and its gradient to every input, and y itself as the reading `y` where `read`, as the engine sees them. */
export async function differentiateTwin(
  twin: Twin,
  engine: Engine,
  cotangent: Float32Array,
  read = false,
): Promise<StepResult> {
  const arrays = inputsOf(twin);
  const parameters = new Map<string, Parameter>(
    Object.entries(twin.inputs).map(([path, shape]) => [
      path,
      { path, shape, init: { kind: "constant", value: 0 }, data: Float32Array.from(arrays[path]!) },
    ]),
  );
  const stage: Stage = {
    name: "twin",
    stack: "twin",
    layer: "",
    key: `twin ${++twins}`,
    parameters: Object.fromEntries(parameters),
    reads: [...Object.keys(twin.constants ?? {}), "cotangent"],
    apply(p, carry, context) {
      const y = twin.apply({ ...p, ...carry }).flatten();
      context.reading("twin", "y", () => y);
      return { loss: y.mul(carry["cotangent"]!).sum() };
    },
  };
  const player: Player = { name: "twin", stages: [stage], scalars: ["loss"] };
  const tensors: Record<string, HostTensor> = {
    ...twin.constants,
    cotangent: { dtype: "float32", shape: [cotangent.length], data: cotangent },
  };
  const options = { step: 0, seed: 1, tapped: false, readings: read ? ["y"] : [] };
  return engine.differentiate(player, parameters, { tensors, tokens: 1 }, options);
}

/** Makes the keys of their stages differ. */
let twins = 0;

/** dot(reference(inputs), cotangent) differentiated element by element, by central differences of fourth order. The step is 1e-4 of
 *  numbers below 1, down to 1e-6, and 1e-4 above: what is large is a large shift, and not a slow function. In float64 that leaves an
 *  error of about 1e-11, or of 1e-16 of the values over the step, where those are large. */
export function centralDifferences(twin: Twin, cotangent: Float32Array): Record<string, Float64Array> {
  const arrays = inputsOf(twin);
  const loss = (): number => twin.reference(arrays).reduce((sum, y, i) => sum + y * cotangent[i]!, 0);
  return Object.fromEntries(
    Object.keys(twin.inputs).map((name) => {
      const array = arrays[name]!;
      const gradient = array.map((x, i) => {
        const step = 1e-4 * Math.min(1, Math.max(1e-2, Math.abs(x)));
        const at = (steps: number): number => {
          array[i] = x + steps * step;
          const value = loss();
          array[i] = x;
          return value;
        };
        return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step);
      });
      return [name, gradient];
    }),
  );
}

/** An operation by the name it has in code, and what it is tried on. */
export interface Operation {
  /** `tf.add`, or `layerNormalization` of src/ops. */
  readonly name: string;
  /** By what is special about them: shapes, or values. */
  readonly cases: Readonly<Record<string, Twin>>;
}

/** The worst error of an operation on an engine, and the case that has it. */
export interface Deviation {
  readonly error: number;
  readonly case: string;
}

/** What an engine makes of an operation. */
export interface OperationParity {
  readonly operation: string;
  /** Largest |y - y64|, in parts of the largest |y64|. */
  readonly forward: Deviation;
  /** Largest |g - g64| of the gradient to an input, in parts of the largest |g64| of that input; NaN where none is taken. */
  readonly gradient: Deviation;
  /** Cases that the engine does not compute, and what it says. */
  readonly refused: readonly { readonly case: string; readonly reason: string }[];
}

/** Numbers below this count as 0 in a reference, and what an engine makes of them is not divided by them: central differences are
 *  no better. */
const floor = 1e-6;

/** Largest difference from `want`, in parts of its largest number; Infinity where something is not finite that should be, or missing. */
export function deviation(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Infinity;
  let [difference, largest] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    const d = Math.abs(got[i]! - want[i]!);
    if (!(d <= difference)) difference = Number.isNaN(d) ? Infinity : d;
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  return largest > floor ? difference / largest : difference;
}

/** A twin with what it ought to give. */
interface Reference {
  readonly cotangent: Float32Array;
  readonly values: Float64Array;
  readonly gradients: Readonly<Record<string, Float64Array>>;
}

/** Made once: every engine is held against the same. */
const references = new WeakMap<Twin, Reference>();

function referenceOf(twin: Twin): Reference {
  let reference = references.get(twin);
  if (!reference) {
    const values = twin.reference(inputsOf(twin));
    const cotangent = stream(1, "test cotangent").normal(new Float32Array(values.length));
    references.set(twin, (reference = { cotangent, values, gradients: centralDifferences(twin, cotangent) }));
  }
  return reference;
}

/** Errors of one twin on an engine: forward, and the worst of its gradients. Throws what the engine throws. */
export async function compareTwin(twin: Twin, engine: Engine): Promise<{ forward: number; gradient: number }> {
  const { cotangent, values, gradients: wanted } = referenceOf(twin);
  const { readings, gradients } = await differentiateTwin(twin, engine, cotangent, values.length > 0);
  const errors = Object.entries(wanted).map(([name, gradient]) => deviation(gradients.get(name) ?? [], gradient));
  return { forward: deviation(readings[0]?.values ?? [], values), gradient: errors.length ? Math.max(...errors) : NaN };
}

/** Tries an operation on all its cases. */
export async function compareOperation({ name, cases }: Operation, engine: Engine): Promise<OperationParity> {
  const none: Deviation = { error: 0, case: "" };
  let [forward, gradient]: [Deviation, Deviation] = [none, { error: NaN, case: "" }];
  const refused: { case: string; reason: string }[] = [];
  const worse = (known: Deviation, error: number, what: string): Deviation =>
    error > known.error || !known.case ? { error, case: what } : known;
  for (const [what, twin] of Object.entries(cases)) {
    try {
      const found = await compareTwin(twin, engine);
      forward = worse(forward, found.forward, what);
      gradient = worse(gradient, found.gradient, what);
    } catch (error) {
      refused.push({ case: what, reason: messageOf(error).split("\n")[0]! });
    }
  }
  return { operation: name, forward, gradient, refused };
}
