// Twenty losses of a small run, stored: a change that is not meant to change the computation must give them again. One
// that is replaces the file and says why in its commit: `FATHOM_UPDATE_GOLDEN=1 npx vitest run test/golden
// && npx prettier --write test/golden`.
//
// Stored are the losses of the cpu engine: plain JavaScript, so no kernel is picked by what the processor can do, and every
// machine must give the same bits. Only Math.exp, Math.log and their like are the affair of V8 and may change by a unit in
// the last place between its versions: with another V8 than the one that wrote the file, the bound is that of onnx. ONNX
// Runtime sums in another order, on every kind of processor in its own: 1.2e-7 of the loss was the largest difference where
// the file was made, 1e-5 is allowed, since Adam amplifies what differs.
import { readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import type { EngineKind } from "../../src/engine/engine.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { build, randomBatch, smallTransformer } from "../helpers.ts";

const file = new URL("./losses.json", import.meta.url);
const schemes = ["pre-ln", "post-ln"] as const;
type Golden = { about: string; v8: string } & Record<(typeof schemes)[number], number[]>;
const v8 = process.versions.v8.split(".").slice(0, 2).join(".");

/** Losses of 20 steps of Adam: one layer a stack, dropout and label smoothing, a fresh random batch every step. */
async function losses(kind: EngineKind, residual: string): Promise<number[]> {
  const { players, parameters } = build(
    smallTransformer({ residual, depth: { encoder: 1, decoder: 1 }, dropout: 0.1, labelSmoothing: 0.1 }),
  );
  const engine = await kind.create({ threads: 1 });
  const moments = { beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 };
  const optimizer = createOptimizer({ kind: "adam", learningRate: 0.003, ...moments });
  const seen: number[] = [];
  for (let step = 0; step < 20; step++) {
    const batch = randomBatch(4, 6, 50, step % 5, [6, 5, 4, 2]);
    const options = { step, seed: 1, tapped: step % 2 === 0 };
    const { scalars, gradients } = await engine.differentiate(players[0]!, parameters, batch, options);
    seen.push(scalars["loss"]!);
    for (const [path, gradient] of gradients)
      optimizer.update(path, parameters.get(path)!.data, gradient, { gradientScale: 1, learningRate: 0.003, step });
  }
  await engine.dispose();
  return seen;
}

beforeAll(async () => {
  if (!process.env["FATHOM_UPDATE_GOLDEN"]) return;
  const about = "Losses of 20 steps on the cpu engine; see losses.test.ts. FATHOM_UPDATE_GOLDEN=1 writes them anew.";
  const runs: [string, number[]][] = [];
  for (const scheme of schemes) runs.push([scheme, await losses(engines.cpu, scheme)]);
  writeFileSync(file, `${JSON.stringify({ about, v8, ...Object.fromEntries(runs) }, null, 2)}\n`);
});
const stored = (): Golden => JSON.parse(readFileSync(file, "utf8")) as Golden;
const distance = (got: readonly number[], wanted: readonly number[]): number =>
  Math.max(...got.map((loss, i) => Math.abs(loss / wanted[i]! - 1)));

describe.each(schemes)("%s", (scheme) => {
  test("the cpu engine gives the stored losses, bit for bit", async () => {
    const got = await losses(engines.cpu, scheme);
    if (stored().v8 === v8) expect(got).toEqual(stored()[scheme]);
    else expect(distance(got, stored()[scheme])).toBeLessThan(1e-5);
  });

  test("the onnx engine gives them within 1e-5", async () => {
    const got = await losses(engines.onnx, scheme);
    expect(got).toHaveLength(20);
    expect(distance(got, stored()[scheme])).toBeLessThan(1e-5);
  });
});
