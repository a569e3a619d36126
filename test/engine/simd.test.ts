// The WebAssembly modules are what their sources give, and arrays are found where they are. What the loops compute is tested
// where they are used: moments.test.ts, test/train/optimizers.test.ts.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { wasm } from "../../src/engine/moments.wasm.ts";
import { float32Array, loopsOn, placed } from "../../src/engine/simd.ts";

test("the compiled modules are those of the sources", () => {
  const script = fileURLToPath(new URL("../../scripts/build-wasm.js", import.meta.url));
  const said = execFileSync(process.execPath, [script, "--check"], { encoding: "utf8" }); // throws on exit code 1
  expect(said.trim().split("\n").sort()).toEqual([
    "engine/heap.wat is compiled",
    "engine/moments.wat is compiled",
    "train/optimizers.wat is compiled",
  ]);
});

test("arrays are zeros apart from each other, small ones in one memory, large ones each in its own", () => {
  const [a, b, large] = [float32Array(7), float32Array(5), float32Array(5_000_000)];
  expect([a.length, b.length, large.length]).toEqual([7, 5, 5_000_000]);
  expect(b.buffer).toBe(a.buffer);
  expect(large.buffer).not.toBe(a.buffer);
  a.fill(1);
  expect([...b]).toEqual([0, 0, 0, 0, 0]);
  expect(large.some((x) => x !== 0)).toBe(false);
});

test("loops find four numbers at a time where they are, and others in a chunk filled up with zeros", () => {
  const loopsFor = loopsOn<object>(wasm);
  const array = float32Array(7);
  array.set([1, 2, 3, 4, 5, 6, 7]);
  const loops = loopsFor(array);
  const seen = (at: number, count: number): number[] => [...loops.floats.subarray(at / 4, at / 4 + count)];
  loops.floats.fill(9, 0, 300);
  expect(placed(loops, 1024, array, 0, 4)).toBe(array.byteOffset);
  expect(seen(array.byteOffset, 4)).toEqual([1, 2, 3, 4]);
  expect(placed(loops, 1024, array, 4, 3)).toBe(1024);
  expect(seen(1024, 5)).toEqual([5, 6, 7, 0, 9]);
  const elsewhere = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  expect(placed(loops, 1024, elsewhere, 4, 4)).toBe(1024);
  expect(seen(1024, 4)).toEqual([5, 6, 7, 8]);
  expect(loopsFor(elsewhere).floats.buffer).not.toBe(array.buffer);
  expect(loopsFor(elsewhere)).toBe(loopsFor(new Float32Array(1)));
});
