// Instruments on VAEs and GANs: a player's own layers and parameters are measured, and plain layers have no residual stream.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { UserError } from "../../src/errors.ts";
import { hessianRows, usualHessianEffort } from "../../src/instruments/hessian.ts";
import * as instruments from "../../src/instruments/index.ts";
import type { Instrument, Subject } from "../../src/instruments/instrument.ts";
import { lossSurfaceRows } from "../../src/instruments/loss-surface.ts";
import { layersOf } from "../../src/instruments/stacks.ts";
import { gan } from "../../src/models/gan.ts";
import { vae } from "../../src/models/vae.ts";
import { members } from "../../src/registry.ts";
import type { Player } from "../../src/stage.ts";
import { convolutional, imageBatch, residual, shaken, smallGan, smallVae } from "../models/images.ts";
import { eigenvalues, jacobianMatrix } from "./dense.ts";

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

const subjectsOf = (players: readonly Player[]): Subject[] => {
  const parameters = shaken(players);
  return players.map((player) => ({ engine, player, parameters, batches: [imageBatch("grey")], seed: 1 }));
};

const blocks = { generator: residual("pre-ln"), discriminator: residual("pre-ln") };

test.each([
  ["VAE", vae(smallVae()).players],
  ["GAN", gan(smallGan()).players],
  ["DCGAN", gan(smallGan({ net: convolutional() })).players],
])("of a %s of plain layers, those that need a residual stream are refused, with what to do", async (_, players) => {
  for (const subject of subjectsOf(players)) {
    const refused: string[] = [];
    for (const { name, refuse } of members<Instrument>(instruments).values())
      try {
        await refuse?.(subject);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        expect((error as Error).message).toMatch(
          /^expected a model of residual blocks \(model.depth\), got plain layers/,
        );
        refused.push(name);
      }
    expect(refused).toEqual(["layer-jacobian", "layer-removal", "stack-jacobian"]);
  }
});

test("of a GAN of residual blocks nothing is refused, and each player's layers are its own", async () => {
  for (const subject of subjectsOf(gan(smallGan({ net: blocks })).players)) {
    for (const { refuse } of members<Instrument>(instruments).values()) await refuse?.(subject);
    const { name } = subject.player;
    expect(layersOf(subject.player).map((layer) => layer.name)).toEqual([`${name}/00`, `${name}/01`]);
  }
});

test("the Hessian of a GAN's player is that of its own loss by its own parameters", async () => {
  for (const subject of subjectsOf(gan(smallGan()).players)) {
    const { player, parameters, batches } = subject;
    const own = [...parameters.values()].filter(({ path }) => path.startsWith(player.name));
    const theta = own.flatMap(({ data }) => [...data]);
    const gradient = async (x: Float64Array): Promise<number[]> => {
      let at = 0;
      for (const { data } of own) data.set(x.subarray(at, (at += data.length)));
      const options = { step: 0, seed: 0, tapped: false };
      const { gradients } = await engine.differentiate(player, parameters, batches[0]!, options);
      return own.flatMap(({ path }) => [...gradients.get(path)!]);
    };
    const matrix = await jacobianMatrix(gradient, theta, 1e-2);
    await gradient(Float64Array.from(theta));
    const values = eigenvalues(matrix.map((row, i) => row.map((x, j) => (x + matrix[j]![i]!) / 2)));
    const [top] = await hessianRows(subject, { ...usualHessianEffort, tolerance: 1e-3, probes: 2 });
    expect(top!.parameters).toBe(theta.length);
    expect(Math.abs(top!.value / values.at(-1)! - 1), player.name).toBeLessThan(0.02);
  }
});

test("the loss surface of a GAN's player leaves the other's parameters where they are", async () => {
  const [{ player, parameters, ...rest }] = subjectsOf(gan(smallGan()).players) as [Subject];
  const moved = new Set<string>();
  const start = new Map(Array.from(parameters, ([path, { data }]) => [path, data.slice()]));
  const watching: Engine = {
    ...engine,
    evaluate(...args) {
      for (const [path, { data }] of parameters) if (data.some((x, i) => x !== start.get(path)![i])) moved.add(path);
      return engine.evaluate(...args);
    },
  };
  await lossSurfaceRows({ ...rest, player, parameters, engine: watching }, { points: 3, radius: 0.5 });
  expect(
    [...moved].every((path) => path.startsWith("discriminator/")),
    [...moved].join(),
  ).toBe(true);
  expect(moved.size).toBeGreaterThan(0);
});
