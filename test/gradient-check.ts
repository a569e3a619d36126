// Holds a tensor function against a plain float64 twin: its values, and its gradient against central differences of the
// twin. The differences are taken in float64, where a step of 1e-5 leaves an error of about 1e-10; what remains is the
// float32 rounding of the engine under test. That is 6e-8 an operation, times the square root of the tens of terms a
// sum has here and the few operations in a row: below 1e-5 of the whole tensor.
import type { Tensor } from "@tensorflow/tfjs-core";
import { expect } from "vitest";
import type { Engine } from "../src/engine/engine.ts";
import { stream } from "../src/random.ts";
import { type Parameter, type Player, type Stage, sizeOf, type Tensors } from "../src/stage.ts";
import type { HostTensor } from "../src/types.ts";
import { relativeDifference } from "./helpers.ts";

export const rounding = 1e-5;

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
    Float64Array.from(values[name] ?? stream(1, `test ${name}`).normal(new Float32Array(sizeOf(shape)))),
  ]);
  const fixed = Object.entries(constants).map(([name, { data }]) => [name, Float64Array.from(data)]);
  return Object.fromEntries([...drawn, ...fixed]) as Record<string, Float64Array>;
}

/** The value of sum(y * cotangent) for a random cotangent, and its gradient to every input, as the engine sees it. */
export async function differentiate(twin: Twin, engine: Engine, cotangent: Float32Array) {
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
    key: `twin ${Math.random()}`,
    parameters: Object.fromEntries(parameters),
    reads: [...Object.keys(twin.constants ?? {}), "cotangent"],
    apply(p, carry) {
      const y = twin.apply({ ...p, ...carry });
      return { loss: y.flatten().mul(carry["cotangent"]!).sum() };
    },
  };
  const player: Player = { name: "twin", stages: [stage], scalars: ["loss"] };
  const tensors: Record<string, HostTensor> = {
    ...twin.constants,
    cotangent: { dtype: "float32", shape: [cotangent.length], data: cotangent },
  };
  return engine.differentiate(player, parameters, { tensors, tokens: 1 }, { step: 0, seed: 1, tapped: false });
}

/** dot(reference(inputs), cotangent) differentiated by central differences, element by element. */
function centralDifferences(twin: Twin, cotangent: Float32Array): Record<string, Float64Array> {
  const step = 1e-5;
  const arrays = inputsOf(twin);
  const loss = (): number => twin.reference(arrays).reduce((sum, y, i) => sum + y * cotangent[i]!, 0);
  return Object.fromEntries(
    Object.keys(twin.inputs).map((name) => {
      const array = arrays[name]!;
      const gradient = array.map((x, i) => {
        array[i] = x + step;
        const up = loss();
        array[i] = x - step;
        const down = loss();
        array[i] = x;
        return (up - down) / (2 * step);
      });
      return [name, gradient];
    }),
  );
}

/** Asserts that the engine's gradients are those of the twin. `zero`: inputs whose gradient is 0 in theory. */
export async function expectGradients(twin: Twin, engine: Engine, zero: readonly string[] = []): Promise<void> {
  const values = twin.reference(inputsOf(twin));
  const cotangent = stream(1, "test cotangent").normal(new Float32Array(values.length));
  const { scalars, gradients } = await differentiate(twin, engine, cotangent);
  const loss = values.reduce((sum, y, i) => sum + y * cotangent[i]!, 0);
  const scale = values.reduce((sum, y, i) => sum + Math.abs(y * cotangent[i]!), 0);
  expect(Math.abs(scalars["loss"]! - loss)).toBeLessThan(rounding * scale);
  for (const [name, wanted] of Object.entries(centralDifferences(twin, cotangent))) {
    const got = gradients.get(name)!;
    expect(got.length, name).toBe(wanted.length);
    if (zero.includes(name)) expect(Math.hypot(...got), name).toBeLessThan(rounding);
    else {
      expect(Math.hypot(...wanted), `gradient of ${name}`).toBeGreaterThan(1e-3); // a zero would prove nothing
      expect(relativeDifference(got, wanted), name).toBeLessThan(rounding);
    }
  }
}

/** Int32 ids as a host tensor. */
export const ids = (shape: readonly number[], data: readonly number[]): HostTensor => ({
  dtype: "int32",
  shape,
  data: Int32Array.from(data),
});

/** Float32 numbers as a host tensor. */
export const floats = (shape: readonly number[], data: ArrayLike<number>): HostTensor => ({
  dtype: "float32",
  shape,
  data: Float32Array.from(data),
});
