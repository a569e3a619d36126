// `engine` in a configuration: a name, or what runs the engine's graphs beside it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { configHash } from "../../src/config/identity.ts";
import { loadRun, loadSweep } from "../../src/config/load.ts";
import { checkResolved } from "../../src/config/resolve.ts";
import type { RunConfig } from "../../src/config/schema.ts";
import { minimal, names } from "../config/names.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-provider-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "c.yaml");

function load(engine: string | undefined, overrides: string[] = []): RunConfig {
  writeFileSync(file, engine === undefined ? minimal : `${minimal}\nengine: ${engine}\n`);
  return loadRun(file, overrides, names).config;
}
const onGpu = { kind: "onnx", provider: "webgpu" };

test("a provider beside the engine is resolved; the default one leaves the name alone, and with it the run's id", () => {
  expect(load("{kind: onnx, provider: webgpu}").engine).toEqual(onGpu);
  expect(load("{provider: webgpu}").engine).toEqual(onGpu); // onnx alone has providers
  for (const text of ["onnx", "{kind: onnx}", "{kind: onnx, provider: cpu}", "{kind: onnx, provider: null}"])
    expect(load(text).engine, text).toBe("onnx");
  expect(load("{kind: wasm}").engine).toBe("wasm");
  expect(load(undefined).engine).toBe("auto");
  expect(configHash(load("{kind: onnx, provider: cpu}"))).toBe(configHash(load("onnx")));
  expect(configHash(load("{kind: onnx, provider: webgpu}"))).not.toBe(configHash(load("onnx")));
});

test("what was resolved resolves to itself", () => {
  const config = load("{kind: onnx, provider: webgpu}");
  expect(checkResolved(JSON.parse(JSON.stringify(config)))).toEqual({ ok: true, value: config });
});

test("overrides set the engine as a whole or in parts, whatever the file says", () => {
  for (const written of [undefined, "auto", "wasm", "{kind: onnx}", "{kind: onnx, provider: cuda}"]) {
    expect(load(written, ["engine.kind=onnx", "engine.provider=webgpu"]).engine).toEqual(onGpu);
    expect(load(written, ["engine=onnx"]).engine).toBe("onnx");
    expect(load(written, ["engine={kind: onnx, provider: webgpu}"]).engine).toEqual(onGpu);
  }
  expect(load("onnx", ["engine.provider=webgpu"]).engine).toEqual(onGpu);
  expect(load("{kind: onnx, provider: cuda}", ["engine.kind=wasm", "engine.provider=null"]).engine).toBe("wasm");
});

test("a sweep may vary the provider", () => {
  writeFileSync(
    file,
    `${minimal}\nengine: onnx\nsweep:\n  parameters:\n    engine.provider: {values: [cpu, webgpu]}\n`,
  );
  const { runs } = loadSweep(file, [], names);
  expect(runs.map(({ config }) => config.engine)).toEqual(["onnx", onGpu]);
  expect(runs.map(({ id }) => id.split("_")[0])).toEqual(["provider=cpu", "provider=webgpu"]);
});

test("an unknown provider is placed and told the known ones", () => {
  const line = `${minimal}\n`.split("\n").length;
  expect(() => load("{kind: onnx, provider: webgp}")).toThrow(
    `${file}:${line}:32: engine.provider: expected one of cpu, cuda, webgpu, got "webgp"; did you mean "webgpu"?`,
  );
  expect(() => load("{kind: onnx, device: 0}")).toThrow(/engine\.device: unknown key.* Known here: kind, provider/);
});

test("another engine with a provider is refused with both keys", () => {
  for (const kind of ["cpu", "auto", "tensorflow-gpu"])
    expect(() => load(`{kind: ${kind}, provider: webgpu}`)).toThrow(
      `engine.provider: expected no engine.provider with engine.kind: ${kind}, got webgpu: engine.kind: onnx alone has ` +
        `providers; say engine.kind: onnx or remove engine.provider`,
    );
});
