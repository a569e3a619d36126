// `fathom doctor`: what it says of the engines here, and that it notices one that computes wrongly.
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { agreement, byOperation, refusals, summary, times } from "../../src/cli/parity-text.ts";
import type { Examination } from "../../src/engine/examine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { operations } from "../../src/engine/operations.ts";
import type { OperationParity } from "../../src/engine/twin.ts";
import {
  compareOperations,
  compareTraining,
  faultsOf,
  makeEngines,
  type NetworkTraining,
  smallNetworks,
} from "../../src/parity.ts";
import { fathom } from "./capture.ts";

const everywhere = ["cpu", "onnx", "wasm"];

interface Result {
  readonly engines: readonly Examination[];
  readonly operations: Readonly<Record<string, readonly OperationParity[]>>;
  readonly training: readonly NetworkTraining[];
}

test("doctor tries every engine, and those that work on every operation and in training", async () => {
  const { code, stdout } = await fathom("doctor", "--json");
  expect(code).toBe(0);
  const result = JSON.parse(stdout) as Result;
  const working = result.engines.filter(({ works }) => works).map(({ name }) => name);
  expect(working).toEqual(expect.arrayContaining(everywhere));
  expect(result.engines.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["onnx on cuda", "onnx on webgpu", "tensorflow", "tensorflow-gpu"]),
  );
  expect(Object.keys(result.operations)).toEqual(working);
  for (const name of working) expect(result.operations[name]).toHaveLength(operations.length);
  expect(result.training.map(({ network }) => network)).toEqual(["pre-LN transformer", "VAE", "GAN"]);
  for (const { engines, steps } of result.training) {
    expect(steps).toEqual([10]);
    // Float32 rounding of a loss, carried on for 10 steps of networks of some thousand numbers.
    for (const { differences, milliseconds } of engines) {
      expect(differences[0]).toBeLessThan(1e-5);
      expect(milliseconds).toBeGreaterThan(0);
    }
  }
}, 120_000);

test("doctor tells people the worst errors and their places, agreement and time, and with --all each operation", async () => {
  const { code, stdout } = await fathom("doctor", "--all");
  expect(code).toBe(0);
  const text = stripVTControlCharacters(stdout);
  expect(text).toMatch(/\nonnx +works \(auto picks this one\)\n|\ntensorflow-gpu +works \(auto/);
  expect(text).toMatch(/\nengine +worst forward error +worst gradient error +loss +refused +time\n/);
  expect(text).toMatch(/\nonnx +\S+e-\d \(.+\) +\S+e-\d \(.+\) +\S+ +\d+ +1\.0\n/);
  expect(text).toMatch(/\nconvolution +\S+ \/ \S+/);
  expect(text).toContain("by every engine: tf.unstack of [2, 1] along 1");
}, 120_000);

test("an engine that gets a gradient wrong is told from those that round", async () => {
  const engines = await makeEngines(["cpu", "onnx"]);
  const onnx = engines.get("onnx")!;
  const broken: Engine = {
    ...onnx,
    async differentiate(player, parameters, batch, options) {
      const result = await onnx.differentiate(player, parameters, batch, options);
      for (const gradient of result.gradients.values()) gradient.forEach((g, i) => (gradient[i] = 1.01 * g));
      return result;
    },
  };
  const found = await compareOperations(new Map([...engines, ["broken", broken]]));
  const rows = summary(found, [], (text) => `!${text}!`).rows;
  expect(rows[1]!.slice(0, 3).join()).not.toContain("!");
  expect(rows[2]![1]).not.toContain("!"); // values are right
  expect(rows[2]![2]).toMatch(/^!1\.0e-2 \(.*\)!$/);
  expect(faultsOf("onnx", found.get("onnx")!, [])).toEqual([]);
  expect(faultsOf("broken", found.get("broken")!, [])).toEqual([
    expect.stringMatching(/^the gradient of .* is wrong by 1\.0e-2$/),
  ]);
  expect(byOperation(found).rows.find(([name]) => name === "gelu")![3]).toMatch(/ \/ 1\.0e-2$/);
  expect(refusals(found).at(-1)).toBe("by every engine: tf.unstack of [2, 1] along 1");
  for (const engine of engines.values()) await engine.dispose();
}, 120_000);

test("an engine that computes nothing, and one whose losses are no numbers, are at fault", async () => {
  const engines = await makeEngines(["cpu", "onnx"]);
  const cpu = engines.get("cpu")!;
  const silent: Engine = { ...cpu, differentiate: () => Promise.reject(new Error("not today")) };
  const found = await compareOperations(new Map([["silent", silent]]));
  expect(faultsOf("silent", found.get("silent")!, [])).toEqual([
    "it computes no tf.add (not today)",
    "it computes no tf.sub (not today)",
    "it computes no tf.mul (not today)",
    `nor ${operations.length - 3} other operations`,
  ]);
  const nowhere: Engine = {
    ...cpu,
    async differentiate(player, parameters, batch, options) {
      const result = await cpu.differentiate(player, parameters, batch, options);
      return { ...result, scalars: { loss: NaN } };
    },
  };
  const training = await compareTraining(new Map([...engines, ["nowhere", nowhere]]), smallNetworks().slice(1, 2), {
    steps: [2],
  });
  expect(faultsOf("nowhere", [], training)).toEqual(["losses of the VAE are other ones than those of cpu"]);
  expect(faultsOf("onnx", [], training)).toEqual([]);
  for (const engine of engines.values()) await engine.dispose();
});

test("engines that train alike are told from one that does not, and from rounding", async () => {
  const engines = await makeEngines(["cpu", "onnx"]);
  const onnx = engines.get("onnx")!;
  const off: Engine = {
    ...onnx,
    async differentiate(player, parameters, batch, options) {
      const result = await onnx.differentiate(player, parameters, batch, options);
      for (const gradient of result.gradients.values()) gradient[0]! *= -1; // of one number a parameter
      return result;
    },
  };
  const networks = smallNetworks().slice(1);
  const training = await compareTraining(new Map([...engines, ["off", off]]), networks, {
    steps: [1, 4],
    withNudged: true,
  });
  for (const { engines: sides } of training) {
    const differences = Object.fromEntries(sides.map((side) => [side.engine, side.differences]));
    expect(Object.keys(differences)).toEqual(["cpu", "onnx", "off", "nudged cpu"]);
    expect(differences["cpu"]).toEqual([0, 0]);
    expect(differences["onnx"]![1]).toBeLessThan(1e-5);
    expect(differences["off"]![1]).toBeGreaterThan(1e-5);
  }
  const nudged = training.flatMap(
    ({ engines: sides }) => sides.find(({ engine }) => engine === "nudged cpu")!.differences,
  );
  expect(Math.max(...nudged)).toBeGreaterThan(0);
  expect(Math.max(...nudged)).toBeLessThan(1e-5);
  expect(agreement(training).head).toEqual(["engine", "VAE, 1 step", "VAE, 4 steps", "GAN, 1 step", "GAN, 4 steps"]);
  expect(times(training, ["onnx", "elsewhere"]).rows).toEqual([
    ["onnx", expect.stringMatching(/^\S+ ms \(1\.00\)$/), expect.stringMatching(/^\S+ ms \(1\.00\)$/)],
    ["elsewhere", "-", "-"],
  ]);
  for (const engine of engines.values()) await engine.dispose();
}, 120_000);
