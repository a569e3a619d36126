import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { beforeAll, describe, expect, test, vi } from "vitest";
import * as instruments from "../../src/instruments/index.ts";
import type { Instrument } from "../../src/instruments/instrument.ts";
import { members, type Member } from "../../src/registry.ts";
import { readMetrics } from "../../src/runs/tables.ts";
import { rewriteSums } from "../train/sums.ts";
import { fathom } from "./capture.ts";

/** The instrument that Ctrl-C comes upon, when it has begun. */
const interrupted = vi.hoisted(() => ({ instrument: "" }));

vi.mock("../../src/instruments/index.ts", async (original) => {
  const all = Object.values(await original<Record<string, Instrument>>());
  const withInterrupt = (one: Instrument): Instrument => ({
    ...one,
    measure(subject) {
      if (one.name === interrupted.instrument) process.emit("SIGINT");
      return one.measure(subject);
    },
  });
  return Object.fromEntries(all.map((one) => [one.name, withInterrupt(one)]));
});

const out = mkdtempSync(join(tmpdir(), "fathom-measure-"));
const debug = fileURLToPath(new URL("../../configs/debug.yaml", import.meta.url));
const names = [...members<Member>(instruments).keys()];
let run: string;

beforeAll(async () => {
  expect((await fathom("train", debug, "--out", out, "--quiet")).code).toBe(0);
  const runs = join(out, "debug", "runs");
  run = join(runs, readdirSync(runs)[0]!);
}, 60_000);

const rowsOf = (folder: string, instrument: string): Record<string, string>[] =>
  parse(readFileSync(join(folder, `${instrument}.csv`)), { columns: true });

describe("fathom measure", () => {
  test("writes a table and a figure for every instrument, says what was found, and where it is", async () => {
    const { code, stdout, stderr } = await fathom("measure", run);
    expect(code).toBe(0);
    const folder = join(run, "measure", "step-00000020");
    expect(readdirSync(folder).sort()).toEqual(
      names.flatMap((name) => [`${name}.csv`, `${name}.svg`, `${name}.vl.json`]).sort(),
    );
    for (const name of names) {
      expect(stdout).toContain(`${join(folder, name)}.csv`);
      expect(stderr).toMatch(new RegExp(`${name}: \\d+/\\d+`));
      const { title } = JSON.parse(readFileSync(join(folder, `${name}.vl.json`), "utf8")) as {
        title: { text: string[]; subtitle: string[] };
      };
      expect(stdout).toContain(`${name}: ${title.text.join(" ")}`);
      expect(title.subtitle[0]).toContain("step 20, on 2 dev batches of");
      expect(title.subtitle[0]).toContain("target tokens in all.");
      expect(stdout).not.toContain("NaN");
      expect(readFileSync(join(folder, `${name}.svg`), "utf8")).not.toMatch(/NaN|undefined|null/);
    }
    const places = [0, 1].flatMap((layer) => ["encoder", "decoder"].map((stack) => `${stack} ${layer}`));
    for (const name of ["layer-jacobian", "layer-removal"])
      expect(
        rowsOf(folder, name)
          .map(({ stack, layer }) => `${stack} ${layer}`)
          .sort(),
      ).toEqual(places.sort());
    expect(rowsOf(folder, "stack-jacobian").map(({ stack, layer }) => [stack, layer])).toEqual([
      ["encoder", ""],
      ["decoder", ""],
    ]);
    expect(rowsOf(folder, "loss-surface")).toHaveLength(441);
    expect(rowsOf(folder, "hessian").find(({ quantity }) => quantity === "trace")?.["residual"]).toBe("");
  }, 120_000);

  test("on all dev batches layer-removal's loss is the dev loss that training recorded, at every step there is", async () => {
    for (const step of [0, 10, 20]) {
      const { code, stdout } = await fathom(
        ...["measure", run, "layer-removal", "--step", String(step), "--batches", "10000", "--json"],
      );
      expect(code).toBe(0);
      const { folder } = JSON.parse(stdout) as { folder: string };
      const recorded = readMetrics(run).find((row) => row.split === "dev" && row.name === "loss" && row.step === step);
      const { loss } = rowsOf(folder, "layer-removal")[0]!;
      // The same engine on the same batches: but for the order of a sum.
      expect(Number(loss) / recorded!.value).toBeCloseTo(1, 6);
    }
  }, 60_000);

  test("the same run gives the same bytes; --json alone prints JSON, --quiet nothing", async () => {
    const measure = (...args: string[]) => fathom("measure", run, "stack-jacobian", ...args);
    const folder = join(run, "measure", "step-00000020");
    const bytes = () => ["csv", "svg", "vl.json"].map((e) => readFileSync(join(folder, `stack-jacobian.${e}`), "utf8"));
    const { stdout } = await measure("--json");
    const result = JSON.parse(stdout) as { step: number; results: { instrument: string; measurement: unknown }[] };
    expect([result.step, result.results.map(({ instrument }) => instrument)]).toEqual([20, ["stack-jacobian"]]);
    const first = bytes();
    expect(await measure("--quiet")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(bytes()).toEqual(first);
  }, 60_000);

  test("a run is found below --out", async () => {
    const below = run.slice(out.length + 1);
    expect((await fathom("measure", below, "stack-jacobian", "--out", out, "--quiet", "--step", "10")).code).toBe(0);
    expect(existsSync(join(run, "measure", "step-00000010", "stack-jacobian.csv"))).toBe(true);
  }, 60_000);

  test.each([
    [["layer-jacobia"], 'unknown instrument "layer-jacobia"; did you mean "layer-jacobian"? Known: '],
    [["hessian", "--step", "7"], "--step: expected a step with a checkpoint (0, 10, 20), got 7"],
    [["hessian", "--batches", "0"], "--batches: expected a whole number, at least 1, got 0"],
    [["hessian", "--batches"], "Not enough arguments following: batches"],
  ])("%j: exit code 2 and one sentence", async (args, message) => {
    const { code, stdout, stderr } = await fathom("measure", run, ...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
  });

  test("a folder that is no run: exit code 2; of an experiment its runs are named", async () => {
    for (const [folder, message] of [
      [out, "expected the folder of a run, got one without config.yaml"],
      [join(out, "nowhere"), "nowhere: expected the folder of a run, got no folder of that name"],
      [
        join(out, "debug"),
        `debug: expected the folder of a run, got that of an experiment; name one of its runs:\n${run}`,
      ],
    ] as const)
      expect(await fathom("measure", folder)).toEqual({
        code: 2,
        stdout: "",
        stderr: expect.stringContaining(message),
      });
  });

  test("a place that cannot be written to: exit code 2, before anything is measured", async () => {
    const blocked = join(out, "debug", "blocked");
    cpSync(run, blocked, { recursive: true });
    rmSync(join(blocked, "measure"), { recursive: true, force: true });
    writeFileSync(join(blocked, "measure"), "");
    const { code, stderr } = await fathom("measure", blocked);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /measure\S*: expected a folder that can be written to, got .*; what is measured of a run is kept/,
    );
    expect(stderr).not.toContain("hessian");
  });

  test("an instrument named twice measures once", async () => {
    const { stdout } = await fathom("measure", run, "stack-jacobian", "stack-jacobian", "--json");
    expect((JSON.parse(stdout) as { results: unknown[] }).results).toHaveLength(1);
  }, 60_000);

  test("Ctrl-C ends it: exit code 130; what was done is kept whole, and of the rest there is nothing", async () => {
    const folder = join(run, "measure", "step-00000000");
    rmSync(folder, { recursive: true, force: true });
    interrupted.instrument = "layer-jacobian";
    const two = await fathom("measure", run, "stack-jacobian", "layer-jacobian", "hessian", "--step", "0");
    expect([two.code, two.stdout]).toEqual([130, ""]);
    expect(two.stderr).toContain(`interrupted; kept in ${folder}: stack-jacobian`);
    expect(readdirSync(folder).sort()).toEqual(["csv", "svg", "vl.json"].map((e) => `stack-jacobian.${e}`));
    rmSync(folder, { recursive: true });
    interrupted.instrument = "hessian";
    const none = await fathom("measure", run, "hessian", "--step", "0");
    interrupted.instrument = "";
    expect([none.code, none.stdout]).toEqual([130, ""]);
    expect(none.stderr).toContain("interrupted; nothing written");
    expect(existsSync(folder)).toBe(false);
  }, 60_000);

  test("of a run that diverged it says so, and measures its last checkpoint", async () => {
    const wild = ["train.optimizer.kind=sgd", "train.optimizer.learningRate=1000000", "name=diverged"];
    await fathom("train", debug, "--out", out, "--quiet", ...wild);
    const runs = join(out, "diverged", "runs");
    const diverged = join(runs, readdirSync(runs)[0]!);
    const { code, stdout } = await fathom("measure", diverged, "stack-jacobian", "--batches", "1");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^step 0, 1 dev batch of \d+ target tokens; the run diverged: loss not finite at step \d/);
    const { run: how } = JSON.parse((await fathom("measure", diverged, "stack-jacobian", "--json")).stdout) as {
      run: { status: string };
    };
    expect(how.status).toBe("diverged");
  }, 60_000);

  test("a network whose numbers are not finite is measured all the same: tables, sentences, and no figure of nothing", async () => {
    const broken = join(out, "debug", "broken");
    cpSync(run, broken, { recursive: true });
    const weights = join(broken, "checkpoints", "step-00000020", "weights.safetensors");
    const bytes = readFileSync(weights);
    // Safetensors: the length of a JSON header, the header, float32 numbers: here all NaN.
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    for (let at = start; at < bytes.length; at += 4) bytes.writeFloatLE(NaN, at);
    for (const name of readdirSync(join(broken, "checkpoints")).filter((name) => name.endsWith("20"))) {
      writeFileSync(join(broken, "checkpoints", name, "weights.safetensors"), bytes);
      rewriteSums(join(broken, "checkpoints", name));
    }
    const { code, stdout } = await fathom("measure", broken, "--batches", "1");
    expect(code).toBe(0);
    for (const sentence of [
      "hessian: The top eigenvalue and the trace of the Hessian are not finite",
      "layer-jacobian: The Jacobian of no layer is finite",
      "layer-removal: The dev loss is not finite with all layers in place",
      "loss-surface: The loss is not finite at any point of the grid",
      "stack-jacobian: From first to last layer the Jacobian is not finite in any stack",
      "no figure: there is no finite number to draw",
    ])
      expect(stdout).toContain(sentence);
    expect(stdout).not.toContain("NaN");
    // Figures of the copied, finite run went with it.
    const folder = join(broken, "measure", "step-00000020");
    expect(readdirSync(folder).sort()).toEqual(names.map((name) => `${name}.csv`).sort());
  }, 120_000);

  test("a run without a checkpoint: exit code 2, and how to measure its start", async () => {
    const steps = ["train.steps=1", "train.evaluateEverySteps=1", "name=fresh"];
    await fathom("train", debug, "--out", out, "--quiet", ...steps);
    const runs = join(out, "fresh", "runs");
    const fresh = join(runs, readdirSync(runs)[0]!);
    rmSync(join(fresh, "checkpoints"), { recursive: true });
    const { code, stderr } = await fathom("measure", fresh);
    expect([code, stderr]).toEqual([2, expect.stringContaining("--step 0 measures the network as it started")]);
    expect((await fathom("measure", fresh, "stack-jacobian", "--step", "0", "--quiet")).code).toBe(0);
  }, 60_000);

  test("an instrument that refuses the network is an error where it was named, and left out and said so elsewhere", async () => {
    await fathom("train", debug, "--out", out, "--quiet", "model.residual=dlcl", "name=dlcl", "train.steps=1");
    const runs = join(out, "dlcl", "runs");
    const dlcl = join(runs, readdirSync(runs)[0]!);
    const named = await fathom("measure", dlcl, "loss-surface", "layer-removal");
    expect([named.code, named.stderr]).toEqual([
      2,
      expect.stringContaining("layer-removal: expected layers that hand on"),
    ]);
    expect(existsSync(join(dlcl, "measure"))).toBe(false);
    const all = await fathom("measure", dlcl, "--batches", "1");
    expect(all.code).toBe(0);
    expect(all.stderr).toContain("layer-removal left out: expected layers that hand on");
    const written = readdirSync(join(dlcl, "measure", "step-00000001"));
    expect(written.filter((file) => file.endsWith(".csv"))).toEqual(
      names.filter((name) => name !== "layer-removal").map((name) => `${name}.csv`),
    );
  }, 120_000);
});
