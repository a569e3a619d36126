// The WebAssembly modules are what their sources give, and chunks copy what they should. What the loops compute is tested
// where they are used: moments.test.ts, test/train/optimizers.test.ts.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { emptyChunk, fillChunk } from "../../src/engine/simd.ts";

test("the compiled modules are those of the sources", () => {
  const script = fileURLToPath(new URL("../../scripts/build-wasm.js", import.meta.url));
  const said = execFileSync(process.execPath, [script, "--check"], { encoding: "utf8" }); // throws on exit code 1
  expect(said.trim().split("\n").sort()).toEqual([
    "engine/heap.wat is compiled",
    "engine/moments.wat is compiled",
    "train/optimizers.wat is compiled",
  ]);
});

test("a chunk takes what fits, pads with zeros and gives back no more than it took", () => {
  const array = Float32Array.of(1, 2, 3, 4, 5, 6, 7);
  const chunk = new Float32Array(4).fill(9);
  expect(fillChunk(chunk, array, 0, 2)).toBe(4);
  expect([...chunk]).toEqual([1, 2, 3, 4]);
  expect(fillChunk(chunk, array, 4, 2)).toBe(4);
  expect([...chunk]).toEqual([5, 6, 7, 0]);
  chunk.fill(-1);
  emptyChunk(chunk, array, 4);
  expect([...array]).toEqual([1, 2, 3, 4, -1, -1, -1]);
  emptyChunk(chunk, array, 0);
  expect([...array]).toEqual([-1, -1, -1, -1, -1, -1, -1]);
  expect(fillChunk(chunk.fill(9), Float32Array.of(8), 0, 2)).toBe(2);
  expect([...chunk]).toEqual([8, 0, 9, 9]);
});
