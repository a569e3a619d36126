// The library as its users have it: the functions themselves, the example, and the packed package installed in an empty project, where a
// program in TypeScript is compiled and run.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { readRuns, sweep, train, UserError, type Progress } from "../src/index.ts";
import { useTemporaryCache } from "./data/temporary-cache.ts";
import { scratch } from "./runs/folder.ts";
import { buildIfStale } from "./train/build.ts";

useTemporaryCache();
beforeAll(buildIfStale, 300_000);

const root = fileURLToPath(new URL("..", import.meta.url));

/** A transformer that trains in a moment. */
const tiny = {
  name: "tiny",
  data: {
    corpus: "typescript-diagnostics",
    directions: ["en-de"],
    vocabulary: { kind: "bpe", size: 300 },
    maxLength: 12,
  },
  model: { kind: "transformer", depth: 2, width: 8, heads: 2, residual: "pre-ln" },
  train: {
    steps: 4,
    batch: { sentences: 4 },
    optimizer: { kind: "adam", learningRate: 0.001 },
    evaluateEverySteps: 2,
    checkpointEverySteps: 2,
  },
  probes: { everySteps: 2, record: ["gradient-norm"] },
};

describe("train", () => {
  test("trains an object's run, prints nothing, and finds it finished the next time", async () => {
    const out = scratch();
    const printed = [vi.spyOn(console, "log"), vi.spyOn(console, "error"), vi.spyOn(process.stdout, "write")];
    const steps: number[] = [];
    const onProgress = ({ step, doing }: Progress): void => void (doing === undefined && steps.push(step));
    const { run, ...how } = await train(tiny, { out, overrides: { "train.steps": 3 }, onProgress });
    for (const spy of printed) {
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
    }
    expect(how).toEqual({ status: "done", reason: "", finishedBefore: false });
    expect(steps.at(-1)).toBe(3);
    expect(run.steps).toBe(3);
    expect(run.resolved).toMatchObject({ train: { steps: 3 }, model: { width: 8 } });
    const losses = run.metrics().filter(({ split, name }) => split === "train" && name === "loss");
    expect(losses.map(({ step }) => step)).toEqual([0, 1, 2]);
    expect(run.finalTrainLoss).toBe(losses.at(-1)!.value);
    const [gradient] = run.layers(({ stack, quantity }) => stack === "encoder" && quantity === "parameter-gradient");
    expect(gradient!.l2).toBeGreaterThan(0);
    expect(run.readings()).toEqual([]);

    const again = await train(tiny, { out, overrides: { "train.steps": 3 } });
    expect(again).toMatchObject({ status: "done", finishedBefore: true });
    expect(again.run.dir).toBe(run.dir);
  });

  test("an override that is undefined leaves what the configuration says", async () => {
    const { run } = await train(tiny, { out: scratch(), overrides: { "model.depth": undefined, "train.steps": 1 } });
    expect(run.resolved).toMatchObject({ model: { depth: { encoder: 2, decoder: 2 } }, train: { steps: 1 } });
  });

  test("a signal interrupts it, and the same call goes on", async () => {
    const out = scratch();
    const stop = new AbortController();
    const onProgress = ({ step }: Progress): void => void (step === 2 && stop.abort());
    const stopped = await train(tiny, { out, signal: stop.signal, onProgress });
    expect(stopped).toMatchObject({ status: "interrupted", reason: "interrupted; the same command goes on with it" });
    const { status, run } = await train(tiny, { out });
    expect([status, run.steps]).toEqual(["done", 4]);
  });

  test.each([
    [{ ...tiny, train: { ...tiny.train, steps: -1 } }, {}, /^configuration: train\.steps: expected/],
    [tiny, { overrides: { "model.residul": "pre-ln" } }, /unknown key; did you mean "model.residual"/],
    ["no-such-file.yaml", {}, /^no-such-file\.yaml: expected a configuration file/],
    [{ ...tiny, name: 1n as unknown as string }, {}, /^configuration: expected what JSON can hold/],
  ])("what cannot be used is a UserError (%#)", async (config, options, message) => {
    const error = await train(config, { out: scratch(), ...options }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  });
});

describe("sweep", () => {
  const asked = { ...tiny, sweep: { parameters: { "model.residual": { values: ["pre-ln", "post-ln"] } } } };

  test("runs all in processes of their own, tells how far each is, and keeps what was asked", async () => {
    const out = scratch();
    const seen = new Set<string>();
    const { dir, status, runs, report } = await sweep(asked, {
      out,
      jobs: 2,
      report: false,
      onProgress: (id) => seen.add(id),
    });
    expect([status, report]).toEqual(["done", undefined]);
    expect(runs.map(({ config, status }) => [config["model.residual"], status])).toEqual([
      ["pre-ln", "done"],
      ["post-ln", "done"],
    ]);
    expect([...seen].sort()).toEqual(runs.map(({ id }) => id).sort());
    expect(readFileSync(join(dir, "experiment.yaml"), "utf8")).toContain("post-ln");
    expect(existsSync(join(dir, "runs.csv"))).toBe(true);
    expect((await readRuns(dir)).map(({ id }) => id)).toEqual(runs.map(({ id }) => id));
    // Finished runs are not run again.
    const said: string[] = [];
    const again = await sweep(asked, { out, report: false, onNote: (line) => said.push(line) });
    expect([again.status, said]).toEqual(["done", []]);
  });

  test("one whose signal is aborted starts nothing", async () => {
    const { status, runs } = await sweep(asked, { out: scratch(), report: false, signal: AbortSignal.abort() });
    expect(status).toBe("interrupted");
    expect(runs.map((run) => run.status)).toEqual(["pending", "pending"]);
    expect(runs[0]!.metrics()).toEqual([]);
  });
});

test("readRuns refuses a folder that is no experiment", async () => {
  await expect(readRuns(scratch())).rejects.toThrow(UserError);
});

test("the examples: gradient profiles of two schemes at two depths, and the exponents that are fitted to them", () => {
  const out = scratch();
  const { status, stdout, stderr } = spawnSync(process.execPath, ["examples/gradient-profile.mjs", out], {
    cwd: root,
    encoding: "utf8",
  });
  expect(status, stderr).toBe(0);
  const ratios = [...stdout.matchAll(/^(post-ln|pre-ln), (6|18) layers: first over last (\S+)$/gm)];
  expect(ratios).toHaveLength(4);
  const lines = readFileSync(join(out, "gradient-profile/gradient-profile.csv"), "utf8").trim().split("\n").slice(1);
  expect(lines).toHaveLength(2 * (6 + 18));
  const norms = lines.flatMap((line) => (line.startsWith("post-ln,18,") ? [Number(line.split(",")[3])] : []));
  const [, , , told] = ratios.find(([, scheme, depth]) => scheme === "post-ln" && depth === "18")!;
  expect(Number(told)).toBeCloseTo(norms[0]! / norms.at(-1)!, 2);
  // Xiong et al. 2020, theorem 1: post-LN's gradients fade towards the first layers, pre-LN's do not.
  const ratioOf = (wanted: string): number =>
    Number(ratios.find(([, scheme, depth]) => `${scheme} ${depth}` === wanted)![3]);
  expect(ratioOf("post-ln 18")).toBeLessThan(ratioOf("pre-ln 18"));
  expect(ratioOf("post-ln 18")).toBeLessThan(ratioOf("post-ln 6"));

  // What the next example fits, of two depths through both points.
  const dir = join(out, "gradient-profile");
  const fitted = spawnSync(process.execPath, ["examples/depth-exponents.mjs", dir], { cwd: root, encoding: "utf8" });
  expect(fitted.status, fitted.stderr).toBe(0);
  const [head, ...rows] = readFileSync(join(dir, "depth-exponents.csv"), "utf8").trim().split("\n");
  expect(head).toBe("scheme,stack,quantity,seed,exponent from 6 layers on,norm at 6,norm at 18");
  expect(rows.map((row) => row.split(",").slice(0, 3).join(" "))).toEqual(
    ["post-ln", "pre-ln"].flatMap((scheme) =>
      ["decoder", "encoder"].map((stack) => `${scheme} ${stack} parameter-gradient`),
    ),
  );
  for (const row of rows) {
    const [exponent, at6, at18] = row.split(",").slice(4).map(Number) as [number, number, number];
    expect(exponent).toBeCloseTo(Math.log(at18 / at6) / Math.log(3), 3); // written with four decimals
  }
});

describe("the package", () => {
  const npm = (cwd: string, ...args: string[]) =>
    spawnSync("npm", args, {
      cwd,
      encoding: "utf8",
      shell: process.platform === "win32",
    });
  const isReachable = npm(root, "view", "yaml@2.9.1", "version", "--fetch-retries=0").status === 0;
  if (!isReachable) console.warn("test/library.test.ts: npm's registry is out of reach; the package is not installed");

  test.skipIf(!isReachable)(
    "packed and installed in an empty project, it compiles with tsc --strict and runs",
    { timeout: 600_000 },
    () => {
      const folder = scratch();
      // Packs what is built: `prepare` would build again beneath other tests.
      const packed = npm(root, "pack", "--ignore-scripts", "--json", "--pack-destination", folder);
      expect(packed.status, packed.stderr).toBe(0);
      const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
      const project = join(folder, "project");
      mkdirSync(project);
      writeFileSync(join(project, "package.json"), '{ "name": "consumer", "private": true, "type": "module" }');
      // As docs/library.md says: install scripts download what is of use on GPUs alone.
      const install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", join("..", tarball)];
      const installed = npm(project, ...install);
      expect(installed.status, installed.stderr).toBe(0);

      const consumer = /```ts\n([^]*?)```/.exec(readFileSync(join(root, "docs/library.md"), "utf8"))?.[1];
      expect(consumer).toContain('from "fathom"');
      writeFileSync(join(project, "consumer.ts"), consumer!);
      const options = { strict: true, target: "ES2023", module: "NodeNext", types: [], skipLibCheck: false };
      writeFileSync(
        join(project, "tsconfig.json"),
        JSON.stringify({ compilerOptions: options, files: ["consumer.ts"] }),
      );
      const tsc = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", project], {
        encoding: "utf8",
      });
      expect(tsc.status, tsc.stdout).toBe(0);

      const ran = spawnSync(process.execPath, ["consumer.js"], { cwd: project, encoding: "utf8" });
      expect(ran.status, ran.stderr).toBe(0);
      expect(ran.stdout).toMatch(/^done: loss \d\.\d+ after 20 steps$/m);
      expect(ran.stdout).toMatch(/^pre-ln: \d/m);
      expect(ran.stdout).toContain("override train.steps=-1: train.steps: expected at least 1");
      expect(existsSync(join(project, "node_modules/fathom/examples/gradient-profile.mjs"))).toBe(true);
      const command = spawnSync(
        process.execPath,
        ["node_modules/fathom/bin/fathom.js", "export", "results/library", "--format", "parquet"],
        {
          cwd: project,
          encoding: "utf8",
        },
      );
      expect(command.status, command.stderr).toBe(0);
    },
  );
});
