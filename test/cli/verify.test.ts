import { stripVTControlCharacters } from "node:util";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterEach, expect, test, vi } from "vitest";
import type { Environment } from "../../src/runs/environment.ts";
import { type CheckRecord, prepareVerifyFolder, readChecks, writeCheck } from "../../src/runs/verify-folder.ts";
import { type Check, claim, type Laboratory } from "../../src/theory/check.ts";
import type { Claim } from "../../src/types.ts";
import { fathom } from "./capture.ts";

/** What the stub checks measure; a test changes it. */
const stub = vi.hoisted(() => ({
  measured: 6.7,
  broken: false,
  during: (async () => {}) as (laboratory: Laboratory) => Promise<void>,
}));

vi.mock("../../src/theory/index.ts", () => {
  const check = (name: string, run: (laboratory: Laboratory) => Promise<readonly Claim[]>): Check => ({
    name,
    summary: `what ${name} claims`,
    source: "Somebody 2020, Theorem 1",
    conditions: "at initialisation",
    run: async (laboratory) => ({
      claims: await run(laboratory),
      figure: {
        kind: "lines",
        title: `finding of ${name}`,
        caption: "How to read it.",
        x: { title: "x" },
        y: { title: "y" },
        points: [1, 2].map((x) => ({ series: "a", x, y: x, seed: 1 })),
      },
    }),
  });
  return {
    product: check("product", async (laboratory) => {
      await stub.during(laboratory);
      if (stub.broken) throw new Error("the product is out");
      const correction = { claimed: 3325, text: "1.1 to the 20th" };
      const statement = "The product of twenty factors of 1.1.";
      return [
        claim({
          name: "product",
          statement,
          predicted: 1.1 ** 20,
          measured: stub.measured,
          tolerance: 0.01,
          correction,
        }),
      ];
    }),
    slope: check("slope", async () => [
      claim({
        name: "slope/one",
        statement: "It is flat.",
        predicted: 0,
        measured: [0.01, 0.02, 0.03],
        tolerance: 0.1,
      }),
      claim({ name: "slope/two", statement: "It is finite.", predicted: 1, measured: 1, tolerance: 0.1 }),
    ]),
  };
});

afterEach(() => void Object.assign(stub, { measured: 6.7, broken: false, during: async () => {} }));

const freshOut = (): string => mkdtempSync(join(tmpdir(), "fathom-verify-"));
const keys = ["name", "statement", "predicted", "measured", "relativeError", "tolerance", "verdict"];
const read = (out: string, file: string): string => readFileSync(join(out, "verify", file), "utf8");
const checksOf = (out: string): { name: string; verdict: string; made: string }[] =>
  JSON.parse(read(out, "checks.json"));

test("--json gives a list of claims; nothing fails: exit code 0; files in three formats, lists and a page are left", async () => {
  const out = freshOut();
  const { code, stdout, stderr } = await fathom("verify", "--json", "--out", out);
  expect([code, stderr]).toEqual([0, ""]);
  const claims = JSON.parse(stdout) as Record<string, unknown>[];
  expect(claims.map(({ name, verdict }) => [name, verdict])).toEqual([
    ["product", "corrected"],
    ["slope/one", "holds"],
    ["slope/two", "holds"],
  ]);
  for (const one of claims) expect(Object.keys(one)).toEqual(expect.arrayContaining(keys));
  expect(claims[0]).toMatchObject({ correction: { claimed: 3325 }, check: "product", conditions: "at initialisation" });
  expect(claims[1]).toMatchObject({ measured: 0.02, spread: { seeds: 3, low: 0.01, high: 0.03 } });
  expect(checksOf(out)).toEqual(claims);
  expect(parse(read(out, "checks.csv"), { columns: true })).toMatchObject([
    { name: "product", verdict: "corrected", claimed: "3325", measured: "6.7" },
    { name: "slope/one", seeds: "3", low: "0.01" },
    { name: "slope/two", seeds: "" },
  ]);
  const plots = ["product", "slope"].flatMap((name) =>
    ["csv", "json", "png", "svg"].map((format) => `${name}.${format}`),
  );
  expect(readdirSync(join(out, "verify", "plots")).sort()).toEqual(plots);
  expect(JSON.parse(read(out, "plots/slope.json"))).toHaveProperty("$schema");
  expect(read(out, "report.html")).toContain("finding of slope");
});

test("in a terminal every claim has verdict, statement and numbers, and the last line the counts and the page", async () => {
  const out = freshOut();
  const { code, stdout, stderr } = await fathom("verify", "--out", out);
  expect(code).toBe(0);
  const text = stripVTControlCharacters(stdout); // a terminal's colours are on where CI is set
  expect(text).toMatch(/corrected +product/);
  expect(text).toContain("The product of twenty factors of 1.1.");
  expect(text).toContain("as stated it would be 3325; in its place: 1.1 to the 20th");
  expect(text).toContain("predicted 0, measured 0.02 (0.01 to 0.03, 3 seeds); relative error 0.02, tolerance 0.1");
  const last = stdout.trim().split("\n").at(-1)!;
  expect(last).toMatch(/^3 claims: 2 hold, 1 corrected; \d+ s; .*report\.html$/);
  expect(stderr).toContain("2 of 2: slope: 2 hold");
});

test("a claim that fails: exit code 1", async () => {
  stub.measured = 7;
  const { code, stdout } = await fathom("verify", "product", "--json", "--out", freshOut());
  expect([code, JSON.parse(stdout)[0].verdict]).toEqual([1, "fails"]);
});

test("a check that throws fails with the reason, the others still run, and the JSON stays JSON", async () => {
  const out = freshOut();
  await fathom("verify", "--json", "--out", out);
  stub.broken = true;
  const { code, stdout } = await fathom("verify", "--json", "--out", out);
  expect(code).toBe(1);
  const nothing = { predicted: null, measured: null, relativeError: null, tolerance: null };
  expect(JSON.parse(stdout)).toMatchObject([
    { name: "product", verdict: "fails", reason: "the product is out", ...nothing },
    { name: "slope/one", verdict: "holds" },
    { name: "slope/two", verdict: "holds" },
  ]);
  expect(JSON.parse(read(out, "checks.json"))[0]).toMatchObject(nothing);
  expect(parse(read(out, "checks.csv"), { columns: true })[0]).toMatchObject({ predicted: "", measured: "" });
  // The figure of the run before would speak for a check that no longer runs.
  expect(existsSync(join(out, "verify", "plots", "product.svg"))).toBe(false);
  expect((await fathom("verify", "product", "--out", out)).stdout).toContain(
    "could not be carried out: the product is out",
  );
});

test("an unknown name: exit code 2, the known ones are listed, and nothing is left", async () => {
  const out = freshOut();
  const { code, stdout, stderr } = await fathom("verify", "slop", "--out", out);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain('unknown check "slop"; did you mean "slope"? Known: product, slope');
  expect(readdirSync(out)).toEqual([]);
});

test("one check alone is put beside what the others found before", async () => {
  const out = freshOut();
  await fathom("verify", "--json", "--out", out);
  const before = checksOf(out);
  const untouched = ["checks/slope.json", "plots/slope.svg"].map((file) => read(out, file));
  stub.measured = 7;
  const { stdout } = await fathom("verify", "product", "--json", "--out", out);
  expect(JSON.parse(stdout)).toHaveLength(1);
  const after = checksOf(out);
  expect(after.map(({ name, verdict }) => [name, verdict])).toEqual([
    ["product", "fails"],
    ["slope/one", "holds"],
    ["slope/two", "holds"],
  ]);
  expect(after.slice(1)).toEqual(before.slice(1));
  expect(after[0]!.made > before[0]!.made).toBe(true);
  expect(["checks/slope.json", "plots/slope.svg"].map((file) => read(out, file))).toEqual(untouched);
  expect(read(out, "report.html")).toContain("finding of slope");
});

test("a run of all checks removes what a check that is gone had found", async () => {
  const out = freshOut();
  await fathom("verify", "slope", "--json", "--out", out);
  const inFolder = (file: string): string => join(out, "verify", file);
  const gone = read(out, "checks/slope.json").replace('"check": "slope"', '"check": "gone"');
  for (const file of ["checks/gone.json", "plots/gone.json", "plots/gone.svg", "plots/gone.png"])
    writeFileSync(inFolder(file), gone);
  // What is not a check's is its owner's, whatever its name.
  const others = [
    "checks/notes.txt",
    "checks/gone.txt",
    "plots/gone-by-hand.svg",
    "plots/slope-large.png",
    "plots/README",
  ];
  for (const file of others) writeFileSync(inFolder(file), "mine");
  const folders = ["checks/old", "checks/old.json", "plots/old", "plots/gone.svg.d"];
  for (const folder of folders) mkdirSync(inFolder(folder));
  const { code } = await fathom("verify", "--json", "--out", out);
  expect(code).toBe(0);
  for (const file of ["checks/gone.json", "plots/gone.json", "plots/gone.svg", "plots/gone.png"])
    expect(existsSync(inFolder(file)), file).toBe(false);
  for (const file of others) expect(read(out, file)).toBe("mine");
  for (const folder of folders) expect(existsSync(inFolder(folder)), folder).toBe(true);
  expect(checksOf(out)).toHaveLength(3);
});

test("one check alone leaves what a check that is gone had found", async () => {
  const out = freshOut();
  await fathom("verify", "slope", "--json", "--out", out);
  const gone = read(out, "checks/slope.json").replace('"check": "slope"', '"check": "gone"');
  writeFileSync(join(out, "verify", "checks", "gone.json"), gone);
  await fathom("verify", "slope", "--json", "--out", out);
  expect(read(out, "checks/gone.json")).toBe(gone);
});

test("numbers that JSON does not have come back as they were, and texts that read like them stay texts", () => {
  const folder = join(freshOut(), "verify");
  prepareVerifyFolder(folder);
  const nothing = { predicted: NaN, measured: NaN, relativeError: NaN, tolerance: NaN };
  const overflown = {
    ...{ predicted: 1, measured: Infinity, relativeError: Infinity, tolerance: 0.1, within: [-Infinity, 2] as const },
    spread: { seeds: 2, low: -Infinity, high: NaN },
    correction: { claimed: -Infinity, text: "NaN" },
  };
  const claims = [nothing, overflown].map((one) => ({
    ...one,
    name: "odd",
    statement: "NaN",
    verdict: "fails" as const,
  }));
  const points = [{ series: "Infinity", x: 1, y: NaN }];
  const figure = {
    kind: "lines",
    title: "NaN",
    caption: "-Infinity",
    x: { title: "x" },
    y: { title: "y" },
    points,
  } as const;
  const texts = { check: "odd", summary: "NaN", source: "Infinity", conditions: "-Infinity", reason: "NaN" };
  const environment = { host: "NaN" } as unknown as Environment;
  const record: CheckRecord = { ...texts, claims, figure, engine: "onnx", made: "now", seconds: 1, environment };
  writeCheck(folder, record);
  expect(readChecks(folder)).toEqual([record]);
});

test("Ctrl-C ends it at the next computation: exit code 130, and what earlier runs left is as it was", async () => {
  const out = freshOut();
  await fathom("verify", "--json", "--out", out);
  const before = checksOf(out);
  stub.during = async ({ trained }) => {
    process.emit("SIGINT");
    await trained({ residual: "pre-ln", depth: 1, width: 8, steps: 1000, seed: 1 });
  };
  const { code, stdout, stderr } = await fathom("verify", "--out", out);
  expect([code, stdout]).toEqual([130, ""]);
  expect(stderr).toContain("interrupted; 0 finished checks kept");
  expect(checksOf(out)).toEqual(before);
  const empty = freshOut();
  expect((await fathom("verify", "--out", empty)).code).toBe(130);
  expect(readdirSync(empty)).toEqual([]);
});

test("a damaged file of an earlier run: exit code 2 and its name, before anything is run", async () => {
  const out = freshOut();
  await fathom("verify", "--json", "--out", out);
  writeFileSync(join(out, "verify", "checks", "slope.json"), `{"check": "slo`);
  const { code, stderr } = await fathom("verify", "product", "--out", out);
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /checks\/slope\.json: expected what a check found, got .*; remove this file and run the check again/,
  );
  expect(stderr).not.toContain("1 of 1");
});

test("a copy of what a check found, under another name: exit code 2, or its claims would be listed twice", async () => {
  const out = freshOut();
  await fathom("verify", "--json", "--out", out);
  writeFileSync(join(out, "verify", "checks", "slope-copy.json"), read(out, "checks/slope.json"));
  const { code, stderr } = await fathom("verify", "product", "--out", out);
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining("slope-copy.json: expected what a check found, got what"),
  ]);
});

test("report, status, plot and compare say that results/verify is no experiment", async () => {
  const out = freshOut();
  await fathom("verify", "--json", "--out", out);
  for (const verb of ["report", "status", "plot", "compare"]) {
    const { code, stdout, stderr } = await fathom(verb, "verify", "--out", out);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("verify: expected an experiment's folder (with runs/ or manifest.jsonl), got another one");
  }
});

test("an experiment that is named verify is not written into", async () => {
  const out = freshOut();
  await fathom("verify", "--json", "--out", out);
  writeFileSync(join(out, "verify", "manifest.jsonl"), "");
  const { code, stderr } = await fathom("verify", "--out", out);
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining("got one that is named verify; choose another folder with --out"),
  ]);
});

test("the laboratory trains a real network from its initialisation, once, and hands out copies", async () => {
  const seen: Awaited<ReturnType<Laboratory["trained"]>>[] = [];
  stub.during = async ({ trained }) => {
    const options = { residual: "pre-ln", depth: 1, width: 16, steps: 30, seed: 1 };
    seen.push(await trained(options));
    const [{ parameters }] = seen as [(typeof seen)[0]];
    for (const { data } of parameters.values()) data.fill(NaN);
    const began = performance.now();
    seen.push(await trained(options));
    expect(performance.now() - began).toBeLessThan(100);
  };
  const { code } = await fathom("verify", "product", "--json", "--out", freshOut());
  expect(code).toBe(0);
  const { loss, parameters, initial, batch, options } = seen[1]!;
  expect(loss.after).toBeLessThan(loss.before - 0.5);
  // At the start the network knows nothing; a loss below ln V would.
  expect(loss.before).toBeGreaterThan(Math.log(options.vocabulary) - 0.2);
  for (const [path, { data }] of parameters) {
    expect(data.every(Number.isFinite)).toBe(true);
    expect(initial.get(path)!.data).not.toBe(data);
  }
  expect([...parameters].some(([path, { data }]) => data[0] !== initial.get(path)!.data[0])).toBe(true);
  expect(batch.tensors["source"]!.shape[0]).toBe(4);
  expect(batch.tokens).toBe(batch.tensors["labelWeights"]!.data.filter((weight) => weight > 0).length);
});
