import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { beforeAll, describe, expect, test } from "vitest";
import * as instruments from "../../src/instruments/index.ts";
import { members, type Member } from "../../src/registry.ts";
import { readMetrics } from "../../src/runs/tables.ts";
import { fathom } from "./capture.ts";

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

  test("a folder that is no run: exit code 2", async () => {
    const { code, stderr } = await fathom("measure", out);
    expect([code, stderr]).toEqual([2, expect.stringContaining("expected the folder of a run")]);
  });

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
    const named = await fathom("measure", dlcl, "layer-removal");
    expect([named.code, named.stderr]).toEqual([
      2,
      expect.stringContaining("layer-removal: expected layers that hand on"),
    ]);
    const all = await fathom("measure", dlcl, "--batches", "1");
    expect(all.code).toBe(0);
    expect(all.stderr).toContain("layer-removal left out: ");
    const written = readdirSync(join(dlcl, "measure", "step-00000001"));
    expect(written.filter((file) => file.endsWith(".csv"))).toEqual(
      names.filter((name) => name !== "layer-removal").map((name) => `${name}.csv`),
    );
  }, 120_000);
});
