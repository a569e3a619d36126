import { execFileSync, spawn, spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { singleRun } from "../../src/config/sweep.ts";
import { UserError } from "../../src/errors.ts";
import { versionsAndMachine } from "../../src/runs/environment.ts";
import { codeNotes, differences, originLine, originOf, parseOrigin } from "../../src/runs/origin.ts";
import { createRunFolder, readConfig, readOrigin, readRun, startRun, writeConfig } from "../../src/runs/run-folder.ts";
import { fathom } from "../cli/capture.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { go, results, runOf, writeConfigs } from "../survive/tiny.ts";
import { bin, buildIfStale } from "../train/build.ts";
import { config, scratch } from "./folder.ts";

useTemporaryCache();

const here = originOf({ hash: "0123456789abcdef", engine: "onnx", ...versionsAndMachine() });

describe("differences between where a run was made and here", () => {
  test("none where all is equal", () => expect(differences(here, here)).toEqual([]));

  test("each is one phrase: versions, those that one side lacks, engine, processor and platform", () => {
    const there = {
      ...here,
      engine: "tensorflow-gpu",
      cpu: "Another CPU",
      platform: "darwin-arm64",
      versions: { ...here.versions, node: "20.1.0", "onnxruntime-node": "1.0.0", abacus: "3" },
    };
    expect(differences(there, here)).toEqual([
      `node 20.1.0 (here ${process.versions.node})`,
      `onnxruntime-node 1.0.0 (here ${here.versions["onnxruntime-node"]})`,
      "abacus 3 (here none)",
      "engine tensorflow-gpu (here onnx)",
      `processor Another CPU (here ${here.cpu})`,
      `platform darwin-arm64 (here ${here.platform})`,
    ]);
  });

  test("engines are not compared where one is not known", () => {
    expect(differences({ ...here, engine: "" }, here)).toEqual([]);
    expect(differences(here, { ...here, engine: "" })).toEqual([]);
  });
});

describe("what runs were made with that differs among them", () => {
  const versions = { fathom: "0.1.0", node: "20.19.0" };
  const at = (commit: string, dirty = false) => ({ git: { commit, dirty }, versions });

  test("nothing where they agree, or there are none", () => {
    expect(codeNotes([])).toEqual([]);
    expect(codeNotes([at("a1b2c3d4"), at("a1b2c3d4")])).toEqual([]);
  });

  test("commits, changes since and the lack of a repository, each with its number of runs, in one line", () => {
    const runs = [at("a1b2c3d4"), at("d4e5f6a7", true), at("a1b2c3d4"), { git: null, versions }, at("d4e5f6a7")];
    expect(codeNotes(runs)).toEqual([
      "runs were made by different code: 2 runs at a1b2c3d, 1 at d4e5f6a (changed since), 1 outside a git repository, 1 at d4e5f6a",
    ]);
  });

  test("versions that differ, in another", () => {
    const later = { ...at("a1b2c3d4"), versions: { ...versions, node: "22.0.0", abacus: "3" } };
    expect(codeNotes([at("a1b2c3d4"), later, later])).toEqual([
      "runs were made with different versions: 1 run with node 20.19.0, 2 with node 22.0.0; 1 run with abacus none, 2 with abacus 3",
    ]);
  });
});

test("config.yaml tells of its origin, in a comment that leaves its meaning and its hash as they are", () => {
  const run = singleRun(config(1));
  const runDir = createRunFolder(scratch(), run.id);
  const record = startRun(runDir, run);
  writeConfig(runDir, { ...record, engine: "onnx" }, run.config);
  const file = join(runDir, "config.yaml");
  expect(readOrigin(file, readFileSync(file, "utf8"))).toEqual({ ...here, hash: run.hash });
  expect(singleRun(readConfig(runDir) as typeof run.config).hash).toBe(run.hash);
  // An earlier version wrote no such comment: run.json beside the file tells instead, and nothing does without it.
  const text = readFileSync(file, "utf8").replace(/^# made with: .*\n/m, "");
  writeFileSync(file, text);
  expect(parseOrigin(file, text)).toBeUndefined();
  expect(readOrigin(file, text)).toEqual({ ...originOf(readRun(runDir)!) });
  const alone = join(scratch(), "config.yaml");
  writeFileSync(alone, text);
  expect(readOrigin(alone, text)).toBeUndefined();
});

test.each([
  ["no JSON", "# made with: {"],
  ["without its parts", '# made with: {"hash": "a"}'],
  ["of another configuration", originLine(here)],
])("a comment %s is refused by name, and how to do without it is said", (_, line) => {
  const parse = (): unknown => parseOrigin("some/config.yaml", `# a run\n${line}\nname: a\n`);
  expect(parse).toThrow(UserError);
  expect(parse).toThrow(/^some\/config\.yaml: expected .*; restore the file, or remove its line "# made with: \.\.\."/);
});

test("a run is reproduced from its config.yaml alone, with the same bits; other versions are said", async () => {
  const folder = scratch();
  writeConfigs(folder);
  const run = await runOf(join(folder, "vae.yaml"));
  const { runDir } = await go(join(scratch(), "vae"), run);
  const file = join(scratch(), "copied.yaml");
  cpSync(join(runDir, "config.yaml"), file);

  const out = scratch();
  const same = await fathom("train", file, "--out", out);
  expect([same.code, same.stderr]).toEqual([0, expect.not.stringContaining("made with")]);
  const again = join(out, "vae/runs", run.id);
  expect(readRun(again)!.hash).toBe(readRun(runDir)!.hash);
  expect(results(again)).toEqual(results(runDir));
  expect(readFileSync(join(again, "config.yaml"), "utf8")).toBe(readFileSync(file, "utf8"));
  expect((await fathom("train", file, "--out", out)).stderr).toContain(
    "--afresh runs it again, --out elsewhere beside it",
  );

  const node = `"node":"${process.versions.node}"`;
  writeFileSync(file, readFileSync(file, "utf8").replace(node, '"node":"20.1.0"'));
  const other = await fathom("train", file, "--out", scratch());
  expect(other.code).toBe(0);
  expect(other.stderr).toContain(
    `${file}: its run was made with node 20.1.0 (here ${process.versions.node}): the last bits of the numbers may differ here\n`,
  );
  // With other values it is another run.
  const changed = await fathom("train", file, "train.steps=2", "--out", scratch());
  expect([changed.code, changed.stderr]).toEqual([0, expect.not.stringContaining("made with")]);
});

// Whoever opened the pipe a second time would wait for another writer for ever: hence a process of its own, which is ended then.
test.skipIf(process.platform === "win32")(
  "a run's config.yaml may come through a pipe, its origin with it",
  async () => {
    buildIfStale();
    const folder = scratch();
    writeConfigs(folder);
    const { runDir } = await go(join(scratch(), "vae"), await runOf(join(folder, "vae.yaml")));
    const file = join(scratch(), "copied.yaml");
    const node = `"node":"${process.versions.node}"`;
    writeFileSync(file, readFileSync(join(runDir, "config.yaml"), "utf8").replace(node, '"node":"20.1.0"'));
    const pipe = join(scratch(), "pipe");
    execFileSync("mkfifo", [pipe]);
    const writer = spawn("sh", ["-c", 'cat "$1" > "$2"', "sh", file, pipe]);
    const command = [bin, "train", pipe, "--out", scratch()];
    const { status, stderr } = spawnSync(process.execPath, command, { encoding: "utf8", timeout: 60_000 });
    writer.kill();
    expect([status, stderr]).toEqual([0, expect.stringContaining(`${pipe}: its run was made with node 20.1.0`)]);
  },
  90_000,
);
