// Where TensorFlow's packages are missing, or see no GPU, fathom says what to do; where they are there, they load whatever the
// version of Node.
import { existsSync } from "node:fs";
import util from "node:util";
import { expect, test } from "vitest";
import { tensorflow } from "../../src/engine/index.ts";
import { automatic, createEngine } from "../../src/engine/select.ts";
import { comparedEngines } from "../engines.ts";

const hasGpu = existsSync("/dev/nvidia0");
const { test: testWithTensorflow } = comparedEngines.find(({ kind }) => kind === tensorflow)!;

test.skipIf(hasGpu)(
  "tensorflow-gpu without a GPU is refused, naming what is missing, and auto takes onnx",
  async () => {
    const refused = createEngine("tensorflow-gpu", { threads: 1 });
    await expect(refused).rejects.toThrow(/engine: tensorflow-gpu cannot work here: @tensorflow\/tfjs-node(-gpu)? /);
    await expect(refused).rejects.toThrow(/install-libtensorflow --gpu|NVIDIA driver|only one of the two/);
    expect((await automatic()).name).toBe("onnx");
  },
);

test.skipIf(!(await tensorflow.unavailable()))("tensorflow that is not installed names the script that does it", () =>
  expect(createEngine("tensorflow", { threads: 1 })).rejects.toThrow(
    /@tensorflow\/tfjs-node .*scripts\/install-libtensorflow/,
  ),
);

testWithTensorflow("tfjs-node finds the helpers that newer versions of Node do not have", async () => {
  const engine = await tensorflow.create({ threads: 1 });
  const helpers = util as unknown as Record<string, (value: unknown) => boolean>;
  expect([helpers["isNullOrUndefined"]!(null), helpers["isNullOrUndefined"]!(0), helpers["isArray"]!([])]).toEqual([
    true,
    false,
    true,
  ]);
  expect(engine.facts()).toMatchObject({ engine: "tensorflow", device: "cpu", threads: 1 });
  expect(engine.facts()["tensorflow"]).toMatch(/^2\.\d+/);
  await engine.dispose();
});
