import { expect, test } from "vitest";
import { drawNoise, noiseKeeper } from "../../src/engine/noise.ts";

const normal = { seed: 1, purpose: "normal/latent/z", noise: { kind: "normal" }, step: 3 } as const;
const drawn = (draw: Parameters<typeof drawNoise>[1], length = 8): Float32Array => {
  const out = new Float32Array(length);
  drawNoise(out, draw);
  return out;
};

test("kept noise is what would be drawn, through other steps, lengths, seeds, purposes and kinds and back", () => {
  const keep = noiseKeeper();
  const memory = new Float32Array(8);
  const half = memory.subarray(0, 4);
  const dropout = (rate: number) => ({ ...normal, noise: { kind: "dropout", rate } }) as const;
  for (const draw of [
    normal,
    normal,
    { ...normal, step: 4 },
    normal,
    { ...normal, seed: 2 },
    { ...normal, purpose: "normal/shown/instance" },
    dropout(0.5),
    dropout(0.25),
    normal,
  ]) {
    keep(memory, draw);
    expect(memory).toEqual(drawn(draw));
  }
  // A shorter batch begins in the same memory.
  keep(half, { ...normal, step: 5 });
  expect(half).toEqual(drawn({ ...normal, step: 5 }, 4));
  keep(memory, normal);
  expect(memory).toEqual(drawn(normal));
});

test("what is there already is not drawn again", () => {
  const keep = noiseKeeper();
  const memory = new Float32Array(8);
  keep(memory, normal);
  memory[0] = 42;
  keep(memory, normal);
  expect(memory[0]).toBe(42);
});
