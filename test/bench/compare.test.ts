// What `fathom bench` makes of measurements: fixed samples in, comparisons, files and figure out. No time is measured here.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type BenchReport, selectedWorks } from "../../src/bench/bench.ts";
import { conditionsText, ratiosOf, writeReport } from "../../src/bench/files.ts";
import * as registry from "../../src/bench/index.ts";
import { findPeers, type FoundPeer, parsePeers, peerNamed, peers } from "../../src/bench/peers.ts";
import { bestPeer, comparisonOf, leftOutText, type Sample, takeTurns } from "../../src/bench/turns.ts";
import type { Work } from "../../src/bench/work.ts";
import { benchFigure } from "../../src/plots/bench-figure.ts";
import { svgOf } from "../../src/plots/picture.ts";
import { members } from "../../src/registry.ts";
import { fathom } from "../cli/capture.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-bench-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const what = { work: "step", shape: "6+6, 64", threads: 1, unit: "ms/step" } as const;
const found = (name: FoundPeer["name"]): FoundPeer => ({ ...peerNamed(name), name, command: "-", version: "1" });
const costs = (...values: number[]): Sample[] => values.map((cost) => ({ cost, parameters: 10 }));
const fixed = comparisonOf(
  what,
  { before: 0.1, after: 0.2 },
  costs(10, 30, 20).map((sample, i) => ({ ...sample, firstStepMilliseconds: 100 + i })),
  new Map([
    ["torch", costs(20, 15, 40)],
    ["jax", costs(10, 20, 40)],
  ]),
  [],
);

describe("a comparison", () => {
  test("takes ratios round by round, not of medians", () => {
    expect(fixed.fathom.cost).toEqual({ median: 20, min: 10, max: 30 });
    expect(fixed.fathom.firstStepMilliseconds).toEqual({ median: 101, min: 100, max: 102 });
    expect(fixed.peers.map(({ name, ratio }) => [name, ratio])).toEqual([
      ["torch", { median: 0.5, min: 0.5, max: 2 }],
      ["jax", { median: 1, min: 0.5, max: 1.5 }],
    ]);
    expect(fixed).toMatchObject({ ...what, parameters: 10, rounds: 3 });
    expect(bestPeer(fixed)!.name).toBe("jax");
    expect(bestPeer({ ...fixed, peers: [] })).toBeUndefined();
  });

  test("of networks that differ in size is refused", () => {
    const theirs = new Map([["torch", [{ cost: 1, parameters: 11 }]]] as const);
    expect(() => comparisonOf(what, { before: 0, after: 0 }, costs(1), theirs, [])).toThrow(
      "torch: 11 parameters, in fathom 10",
    );
  });
});

describe("turns", () => {
  test("go fathom, peer, peer, and a peer that fails is left out from there on, with one line that says why", async () => {
    const order: string[] = [];
    const said: string[] = [];
    const asked = {
      rounds: 2,
      peers: [found("torch"), found("jax")],
      say: (text: string): void => void said.push(text),
    };
    const compared = await takeTurns(
      what,
      asked,
      async () => (order.push("fathom"), { cost: 1 }),
      async ({ name }) => {
        order.push(name);
        if (name === "torch" && order.length > 3) throw new Error("out of memory");
        return { cost: 2 };
      },
    );
    expect(order).toEqual(["fathom", "torch", "jax", "fathom", "torch", "jax"]);
    expect(compared.peers.map(({ name, values }) => [name, values])).toEqual([["jax", [2, 2]]]);
    expect(compared.leftOut).toEqual([{ name: "torch", reason: "out of memory", install: peerNamed("torch").install }]);
    expect(said).toEqual([
      expect.stringMatching(/^step, 6\+6, 64: PyTorch eager is left out: out of memory; to get it: /),
    ]);
  });

  test("let fathom's own failure through", async () => {
    const asked = { rounds: 1, peers: [], say: () => {} };
    const failing = takeTurns(
      what,
      asked,
      () => Promise.reject(new Error("ours")),
      async () => ({ cost: 1 }),
    );
    await expect(failing).rejects.toThrow("ours");
  });
});

describe("peers", () => {
  test("that are not here are said to be left out, with how to get them", async () => {
    // A Python that has nothing.
    const { found, leftOut } = await findPeers(["tfjs-wasm"], process.execPath);
    expect([found.map(({ name }) => name), leftOut]).toEqual([["tfjs-wasm"], []]);
    await expect(findPeers(["torch", "jax"], join(folder, "no-python"))).rejects.toThrow(
      /--python: expected a Python with torch or jax, but ".*no-python" has none: /,
    );
    const text = leftOutText({ name: "jax", reason: "No module named 'jax'", install: "pip" });
    expect(text).toBe("JAX jit is left out: No module named 'jax'; to get it: pip");
  });

  test("have programs that are there, and ways to be installed", () => {
    for (const { name, install, step } of peers) {
      const [file] = step({ depth: 1, width: 8, threads: 1, steps: 1 });
      expect(existsSync(join("scripts/peers", file!)), name).toBe(true);
      expect(install.length, name).toBeGreaterThan(5);
    }
  });

  test("are known by name", () => {
    expect(parsePeers(["torch", "jax"])).toEqual(["torch", "jax"]);
    expect(parsePeers(["none"])).toEqual([]);
    expect(() => parsePeers(["torhc"])).toThrow('--peer: unknown peer "torhc"; did you mean "torch"?');
  });
});

const report: BenchReport = {
  cpu: "A processor",
  cores: 2,
  memoryBytes: 1,
  platform: "linux-x64",
  started: "2026-01-01T00:00:00.000Z",
  loadBefore: 0.1,
  loadAfter: 0.2,
  rounds: 3,
  versions: { node: "20", torch: "2", jax: "0.1", vega: "6" },
  leftOut: [],
  comparisons: [fixed, { ...fixed, work: "depth-start", threads: 2 }],
  own: {},
};

describe("what is left in a folder", () => {
  test("is every number, and a figure", async () => {
    const out = mkdtempSync(join(folder, "out-"));
    const files = await writeReport(out, report);
    expect(files).toEqual(["bench.json", "bench.svg", "bench.png"].map((name) => join(out, name)));
    expect(JSON.parse(readFileSync(files[0]!, "utf8"))).toEqual(report);
    expect(readFileSync(files[1]!, "utf8")).toMatch(/^<svg/);
    expect([...readFileSync(files[2]!).subarray(1, 4)]).toEqual([..."PNG"].map((letter) => letter.charCodeAt(0)));
  });

  test("is no figure where nothing was compared", async () => {
    const out = mkdtempSync(join(folder, "own-"));
    const files = await writeReport(out, { ...report, comparisons: [] });
    expect(files).toEqual([join(out, "bench.json")]);
  });

  test("says machine, load and the versions that matter", () => {
    expect(conditionsText(report)).toBe(
      "A processor, 2 cores, load 0.10 before and 0.20 after; 3 rounds; node 20, torch 2, jax 0.1",
    );
  });
});

describe("the figure", () => {
  test("has a row a work, a dot a peer, a line at 1", () => {
    const ratios = ratiosOf(report.comparisons);
    expect(ratios.map(({ work, peer, median }) => [work, peer, median])).toEqual([
      ["step 6+6, 64", "PyTorch eager", 0.5],
      ["step 6+6, 64", "JAX jit", 1],
      ["depth-start 6+6, 64, 2 threads", "PyTorch eager", 0.5],
      ["depth-start 6+6, 64, 2 threads", "JAX jit", 1],
    ]);
    const spec = benchFigure(ratios, "conditions") as { layer: { encoding: { x: { datum?: number } } }[] };
    expect(spec.layer.some(({ encoding }) => encoding.x.datum === 1)).toBe(true);
    expect(JSON.stringify(spec)).toContain("fathom needs less than its peer in 2 of 4 comparisons");
  });

  test("marks a target where there is one", async () => {
    const ratio = { work: "step", peer: "PyTorch eager", median: 0.8, min: 0.7, max: 0.9 };
    const [without, aimed] = [benchFigure([ratio], ""), benchFigure([{ ...ratio, target: 0.5 }], "")];
    expect(JSON.stringify(without)).not.toContain("aimed");
    expect(JSON.stringify(aimed)).toContain("A short stroke is the ratio that is aimed at");
    expect(await svgOf("bench", aimed)).not.toBe(await svgOf("bench", without));
  });
});

describe("the command", () => {
  test("alone measures all that is compared with peers", () => {
    const names = selectedWorks([]).map(({ name }) => name);
    expect(names).toEqual([..."decode depth gan-epoch memory start step sweep vae-epoch wasm".split(" ")]);
    expect(selectedWorks(["step", "probes", "step"]).map(({ name }) => name)).toEqual(["step", "probes"]);
  });

  test("names every work in its help", async () => {
    const { stdout } = await fathom("bench", "--help");
    for (const name of [...members<Work>(registry).keys(), "soak"]) expect(stdout).toContain(name);
    for (const { name } of peers) expect(stdout).toContain(name);
  });

  test.each([
    [["stpe"], 'unknown work "stpe"; did you mean "step"?'],
    [["soak", "step"], "expected soak alone"],
    [["vae-epoch", "--shape", "6x64"], "--shape: expected none with vae-epoch"],
    [["step", "--peer", "torhc"], '--peer: unknown peer "torhc"'],
    [["step", "--out", "package.json"], "package.json: expected a folder that can be written to"],
    [["child"], "bench child: expected one --shape"],
  ])("%j is refused", async (args, message) => {
    const { code, stderr } = await fathom("bench", ...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
