// `--keep-graphs`: what a run was compiled to stands in its folder, and changes neither its id nor its numbers.

import { fromBinary } from "@bufbuild/protobuf";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { ModelProtoSchema } from "onnx-buf";
import * as ort from "onnxruntime-node";
import { afterAll, expect, test } from "vitest";
import { missingProvider } from "../../src/engine/session.ts";
import { providers } from "../../src/engine/providers.ts";
import { readGraphs } from "../../src/runs/graphs.ts";
import type { RunRow } from "../../src/types.ts";
import { fathom } from "./capture.ts";

const out = mkdtempSync(join(tmpdir(), "fathom-graphs-"));
afterAll(() => rmSync(out, { recursive: true }));
const config = "configs/debug.yaml";
const short = ["train.steps=2", "engine=onnx"];

const runDirOf = async (folder: string, ...more: string[]): Promise<string> => {
  const { code, stdout } = await fathom("train", config, ...short, ...more, "--out", join(out, folder), "--json");
  expect(code).toBe(0);
  return (JSON.parse(stdout) as { runDir: string }).runDir;
};
/** Without `seconds`, which no two runs share. */
const numbers = (runDir: string): string[] =>
  readFileSync(join(runDir, "metrics.csv"), "utf8")
    .split("\n")
    .map((line) => line.split(",").toSpliced(2, 1).join());

test("a run keeps every program as a model that the runtime loads, and an index of them; its id and numbers stay", async () => {
  const [plain, kept] = [await runDirOf("plain"), await runDirOf("kept", "--keep-graphs")];
  expect(basename(kept)).toBe(basename(plain));
  expect(numbers(kept)).toEqual(numbers(plain));
  expect(existsSync(join(plain, "graphs"))).toBe(false);

  const folder = join(kept, "graphs");
  const index = readGraphs(kept);
  const files = readdirSync(folder).filter((name) => name !== "index.json");
  expect(Object.keys(index)).toEqual(files.sort());
  const ways = Object.values(index).map(({ stage, mode, direction }) => `${direction} of ${stage} (${mode})`);
  for (const way of ["forward", "backward"]) expect(ways).toContain(`${way} of encoder/00 (train)`);
  expect(ways).toContain("forward of output (turn)");
  expect(ways).toContain("forward of encoder/00 (evaluate)");

  for (const [file, entry] of Object.entries(index)) {
    expect(file).toMatch(/^[a-z0-9-]+\.(train|turn|pass|evaluate)\.(forward|backward)\.[0-9a-f]{8}\.onnx$/);
    const bytes = readFileSync(join(folder, file));
    const { graph, docString } = fromBinary(ModelProtoSchema, bytes);
    expect(graph!.name).toBe(`${entry.direction} of ${entry.stage} (${entry.mode})`);
    expect(docString).toContain("The first output, `halt`, is an empty sequence and no result.");
    expect(graph!.output.map(({ name }) => name)).toEqual(["halt", ...entry.outputs.map(({ name }) => name)]);
    expect(graph!.input.map(({ name }) => name)).toEqual(entry.inputs.map(({ name }) => name));
    const counted = Object.values(entry.nodes).reduce((sum, count) => sum + count, 0);
    expect(graph!.node.length).toBe(counted + 1); // and the one that makes `halt`
    // Every value has a shape, so that a viewer shows all of them.
    const known = new Set([...graph!.input, ...graph!.output, ...graph!.valueInfo].map(({ name }) => name));
    expect(graph!.node.flatMap(({ output }) => output.filter((name) => name && !known.has(name)))).toEqual([]);
    await (await ort.InferenceSession.create(bytes)).release();
  }
  const backward = Object.values(index).find((e) => e.stage === "encoder/00" && e.direction === "backward")!;
  const ends = [...backward.inputs, ...backward.outputs].map(({ name }) => name);
  for (const name of ["parameter:feed-forward/in/weight", "gradient:feed-forward/in/weight", "cotangent:encoder"])
    expect(ends).toContain(name);
  expect(backward.nodes["Gemm"]).toBeGreaterThan(3);
}, 60_000);

test("--afresh removes what an earlier attempt has kept", async () => {
  const runDir = await runDirOf("afresh", "--keep-graphs");
  expect(await runDirOf("afresh", "--afresh")).toBe(runDir);
  expect(existsSync(join(runDir, "graphs"))).toBe(false);
}, 60_000);

test("a sweep hands it to its runs", async () => {
  const args = ["configs/debug.yaml", ...short, "--out", join(out, "sweep"), "--keep-graphs", "--json"];
  const { code, stdout } = await fathom("sweep", ...args);
  expect(code).toBe(0);
  const { experiment, runs } = JSON.parse(stdout) as { experiment: string; runs: RunRow[] };
  expect(runs).toHaveLength(1);
  expect(Object.keys(readGraphs(join(experiment, "runs", runs[0]!.id))).length).toBeGreaterThan(10);
}, 120_000);

test("an engine without graphs is refused before anything is made", async () => {
  for (const verb of ["train", "sweep"]) {
    const { code, stderr } = await fathom(verb, config, "engine=cpu", "--keep-graphs", "--out", join(out, "cpu"));
    expect(code).toBe(2);
    expect(stderr).toContain("--keep-graphs: expected an engine that compiles graphs, got cpu; use engine: onnx");
    expect(existsSync(join(out, "cpu"))).toBe(false);
  }
});

for (const provider of providers) {
  const missing = await missingProvider(provider);
  test.skipIf(missing === undefined)(`${provider.name} is refused before anything is made`, async () => {
    for (const verb of ["train", "sweep"]) {
      const overrides = ["engine.kind=onnx", `engine.provider=${provider.name}`];
      const { code, stderr } = await fathom(verb, config, ...overrides, "--out", join(out, provider.name));
      expect(code).toBe(2);
      expect(stderr).toContain(`engine.provider: ${provider.name} cannot work here with engine.kind: onnx: ${missing}`);
      expect(existsSync(join(out, provider.name))).toBe(false);
    }
  });
}
