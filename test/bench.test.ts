// The comparisons of epochs run, on both sides where a Python with PyTorch is here: `compareEpoch` itself throws where the two
// networks have not the same number of parameters. How long anything takes is not tested. Needs the built dist/.
import { expect, test } from "vitest";
import { compareEpoch, type DecodingComparison, findTorch } from "../src/bench.ts";
import { fathom } from "./cli/capture.ts";

/** Weights and biases of layers from size to size. */
const parametersOf = (...sizes: number[]): number =>
  sizes.slice(1).reduce((sum, size, i) => sum + (sizes[i]! + 1) * size, 0);

test.each([
  ["vae-epoch", 600, parametersOf(784, 500, 250, 40) + parametersOf(20, 250, 500, 784)],
  ["gan-epoch", 550, parametersOf(100, 256, 256, 784) + parametersOf(784, 256, 256, 1)],
] as const)("%s compares the same network", async (what, steps, parameters) => {
  const python = (await findTorch(undefined))?.python;
  const line = await compareEpoch(what, { threads: 1, rounds: 1, steps: 1, python });
  expect(line).toMatchObject({ what, steps, parameters });
  const { fathom, torch, ratio } = line;
  expect(fathom.median).toBeGreaterThan(0);
  expect([torch, ratio].map((range) => range !== undefined)).toEqual([python !== undefined, python !== undefined]);
  if (torch && ratio) expect(ratio.median).toBe(fathom.median / torch.median);
});

test("decode compares both ways for one sentence and for many, greedy and with a beam", async () => {
  const { code, stdout } = await fathom("bench", "decode", "--shape", "1x8", "--rounds", "1", "--json");
  expect(code).toBe(0);
  const { source, target, lines } = JSON.parse(stdout) as {
    source: number;
    target: number;
    lines: DecodingComparison[];
  };
  expect([source, target]).toEqual([32, 64]);
  expect(lines.map(({ depth, width, sentences, beam }) => [depth, width, sentences, beam])).toEqual([
    [1, 8, 1, 1],
    [1, 8, 1, 4],
    [1, 8, 16, 1],
    [1, 8, 16, 4],
  ]);
  for (const { incremental, full, ratio } of lines) {
    expect(incremental.median).toBeGreaterThan(0);
    expect(ratio.median).toBe(full.median / incremental.median);
  }
});

test("an epoch takes no shape", async () => {
  const { code, stderr } = await fathom("bench", "vae-epoch", "--shape", "6x64");
  expect(code).toBe(2);
  expect(stderr).toContain("--shape: expected none with vae-epoch");
});
