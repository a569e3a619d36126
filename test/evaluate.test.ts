// Metrics of runs: refused before training where they cannot be, interrupted and measured again, and on demand.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { checkResolved } from "../src/config/resolve.ts";
import { writeRunsCsv } from "../src/runs/experiment.ts";
import { readRun, updateRun } from "../src/runs/run-folder.ts";
import { readLayers, readMetrics } from "../src/runs/tables.ts";
import { fathom } from "./cli/capture.ts";
import { type DotsOptions, dotsConfig, dotsFolder, dotsRun, gan, vae } from "./dots.ts";
import { tables } from "./train/run-folder.ts";

const root = mkdtempSync(join(tmpdir(), "fathom-evaluate-"));
const images = join(root, "images");
beforeAll(() => void dotsFolder(images));
afterEach(() => void vi.unstubAllEnvs());
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
const freshRun = (model: object, options: DotsOptions = {}) =>
  dotsRun(root, model, { images, samples: { epochs: [] }, ...options });

describe("metrics that a model cannot have are refused in the configuration", () => {
  test.each([
    [
      "of another kind of model",
      gan,
      "none",
      { final: ["parzen", "importance-weighted-nll"] },
      ["metrics.final.1", 'expected one of class-histogram, frechet-distance, parzen, got "importance-weighted-nll"'],
    ],
    [
      "a likelihood of grey images, by sampling",
      vae,
      "none",
      { final: ["naive-likelihood"] },
      [
        "metrics.final.0",
        "expected one of class-histogram, frechet-distance, latent-units, parzen with data.binarization: none, got naive-likelihood: " +
          "grey values have no Bernoulli likelihood; remove it or choose another data.binarization",
      ],
    ],
    [
      "a likelihood of grey images, at evaluations",
      vae,
      "none",
      { evaluation: ["importance-weighted-nll"] },
      ["metrics.evaluation.0", expect.stringMatching(/got importance-weighted-nll: grey values/)],
    ],
  ])("%s", async (_, model, binarization, metrics, problem) => {
    const refused = await dotsConfig(images, model, { data: { binarization }, metrics });
    expect(refused.ok ? [] : refused.problems.map(({ path, message }) => [path.join("."), message])).toEqual([problem]);
    expect((await dotsConfig(images, vae, { metrics: { final: ["naive-likelihood"] } })).ok).toBe(true);
  });

  test("what a run has written is read without the registry", async () => {
    const resolved = await dotsConfig(images, gan, { data: { binarization: "none" }, metrics: { final: ["parzen"] } });
    expect(resolved.ok && checkResolved(resolved.value)).toEqual(resolved);
  });
});

describe("a run", () => {
  const measuring = {
    metrics: { evaluation: ["importance-weighted-nll", "latent-units"], final: ["latent-units"], importanceSamples: 3 },
    train: { evaluateEverySteps: 8 },
  };

  test("stopped while it measures an evaluation ends as interrupted, and measures it again", async () => {
    const whole = await freshRun(vae, measuring);
    expect(await whole.go()).toEqual({ status: "done" });
    const run = await freshRun(vae, measuring);
    // 20 is the end.
    for (const at of [8, 20]) {
      expect(await run.go(({ step, doing }) => step === at && doing !== undefined)).toEqual({ status: "interrupted" });
      expect(readdirSync(join(run.runDir, "checkpoints"))).toContain(`step-${String(at).padStart(8, "0")}`);
      expect(readMetrics(run.runDir).filter(({ step, split }) => step === at && split === "dev")).toEqual([]);
    }
    expect(await run.go()).toEqual({ status: "done" });
    expect(tables(run.runDir)).toEqual(tables(whole.runDir));
    expect(readMetrics(whole.runDir).filter(({ step, name }) => step === 8 && name === "nll")).toHaveLength(1);
  });

  test("whose final metrics fail keeps the tables of what was trained", async () => {
    const file = join(root, "no-folder");
    writeFileSync(file, "");
    vi.stubEnv("FATHOM_CACHE", file);
    const { runDir, go } = await freshRun(vae, { metrics: { final: ["class-histogram"] } });
    await expect(go()).rejects.toThrow(/expected a cached file that can be read/);
    expect(readMetrics(runDir).filter(({ split, name }) => split === "train" && name === "loss")).toHaveLength(20);
    expect(readFileSync(join(runDir, "metrics.csv"), "utf8")).toMatch(/\n20,80,.*,dev,loss,/);
    expect(readLayers(runDir).length).toBeGreaterThan(0);
  });

  test("says what its final metrics rest on; of grey images it has no ELBO", async () => {
    const { runDir, go } = await freshRun(vae, {
      metrics: { final: ["importance-weighted-nll", "parzen"], importanceSamples: 3, images: 7 },
    });
    await go();
    expect(readRun(runDir)!.details["metrics"]).toEqual({
      nll: "3 samples of z an image",
      parzen: "7 generated images",
    });
    expect(readMetrics(runDir).some(({ name }) => name === "elbo")).toBe(true);
    const grey = await freshRun(vae, { data: { binarization: "none" } });
    await grey.go();
    const names = new Set(readMetrics(grey.runDir).map(({ name }) => name));
    expect(names).toContain("reconstruction");
    expect(names).not.toContain("elbo");
  });
});

describe("fathom evaluate and compare", () => {
  let runDir: string;
  beforeAll(async () => {
    const run = await freshRun(vae, { metrics: { final: ["importance-weighted-nll"], importanceSamples: 3 } });
    runDir = run.runDir;
    await run.go();
    updateRun(runDir, { status: "done" });
  });
  const rows = (): Record<string, string>[] =>
    parse(readFileSync(join(runDir, "evaluation-test.csv")), { columns: true });

  test("rows of other metrics at the same step stay, and say what they were made with", async () => {
    const { code, stdout } = await fathom("evaluate", runDir, "importance-weighted-nll", "--importance-samples", "2");
    expect(code).toBe(0);
    expect(stdout).toMatch(/nll .* 2 samples of z an image/);
    await fathom("evaluate", runDir, "parzen", "--images", "9");
    await fathom("evaluate", runDir, "importance-weighted-nll", "--importance-samples", "4");
    expect(rows().map(({ step, name, detail }) => [step, name, detail])).toEqual([
      ["20", "parzen", "9 generated images"],
      ["20", "parzen-sigma", expect.any(String)],
      ["20", "nll", "4 samples of z an image"],
    ]);
  });

  test("what two metrics say is said once", async () => {
    const { stdout } = await fathom("evaluate", runDir, "parzen", "parzen", "--images", "9");
    expect(stdout.match(/^parzen /gm)).toHaveLength(1);
  });

  test.each([
    [["latent-units", "no-such-metric"], /unknown metric "no-such-metric". Known: class-histogram/],
    [
      ["--importance-samples", "1000001"],
      /--importance-samples: expected a whole number from 1 to 1000000, got 1000001/,
    ],
    [["--images", "100001"], /--images: expected a whole number from 1 to 100000/],
  ])("refuses %j before it computes anything", async (args, message) => {
    const before = rows();
    const { code, stderr } = await fathom("evaluate", runDir, ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(rows()).toEqual(before);
  });

  test("numbers over seeds name the binarisation", async () => {
    const experiment = dirname(dirname(runDir));
    expect((await fathom("compare", experiment)).stdout).toMatch(/test nll[^]*\nbinarization of the images: threshold/);
    const [row] = parse(readFileSync(writeRunsCsv(experiment)), { columns: true }) as Record<string, string>[];
    expect(row!["binarization"]).toBe("threshold");
    expect(Number(row!["nll"])).toBeGreaterThan(0);
  });
});
