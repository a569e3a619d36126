// Holds a tensor function against a plain float64 twin: its values, and its gradient against central differences of the twin.
// Those are taken in float64 and far more exact than float32 (see src/engine/twin.ts); what remains is the rounding of the
// engine under test. That is 6e-8 an operation, times the square root of the tens of terms a sum has here and the few operations
// in a row: below 1e-5 of the whole tensor.
import { expect } from "vitest";
import type { Engine } from "../src/engine/engine.ts";
import { centralDifferences, differentiateTwin, inputsOf, type Twin } from "../src/engine/twin.ts";
import { stream } from "../src/random.ts";
import type { HostTensor } from "../src/types.ts";
import { relativeDifference } from "./helpers.ts";

export type { Twin };
export const rounding = 1e-5;

/** Asserts that the engine's gradients are those of the twin. `zero`: inputs whose gradient is 0 in theory. */
export async function expectGradients(twin: Twin, engine: Engine, zero: readonly string[] = []): Promise<void> {
  const values = twin.reference(inputsOf(twin));
  const cotangent = stream(1, "test cotangent").normal(new Float32Array(values.length));
  const { scalars, gradients } = await differentiateTwin(twin, engine, cotangent);
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
