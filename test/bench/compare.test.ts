// What `fathom bench` makes of measurements: fixed samples in, comparisons, files and figure out. No time is measured here.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { ESLint } from "eslint";
import { getFileInfo } from "prettier";
import { afterAll, describe, expect, test } from "vitest";
import { type BenchReport, minutesOf, selectedWorks } from "../../src/bench/bench.ts";
import { cellsOf, cellText, ofEach } from "../../src/bench/cells.ts";
import { conditionsText, ratiosOf, writeReport } from "../../src/bench/files.ts";
import * as registry from "../../src/bench/index.ts";
import { findPeers, type FoundPeer, parsePeers, peerNamed, peers, requireNamed } from "../../src/bench/peers.ts";
import { comparisonTable } from "../../src/bench/table.ts";
import { bestPeer, comparisonOf, leftOutText, type Sample, takeTurns } from "../../src/bench/turns.ts";
import type { Work } from "../../src/bench/work.ts";
import { benchFigure } from "../../src/plots/bench-figure.ts";
import { svgOf } from "../../src/plots/picture.ts";
import { members } from "../../src/registry.ts";
import { fathom } from "../cli/capture.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-bench-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const brief = ["--rounds", "1", "--steps", "1"];
const what = { work: "step", shape: "6+6, 64", threads: 1, unit: "ms/step" } as const;
const found = (name: FoundPeer["name"]): FoundPeer => ({ ...peerNamed(name), name, command: "-", version: "1" });
/** What a work is asked that nobody interrupts; `said` has its lines. */
const asking = (rounds: number, peers: FoundPeer[] = []) => {
  const said: string[] = [];
  const missing: string[] = [];
  const controller = new AbortController();
  const say = (text: string): void => void said.push(text);
  const missed = (text: string): void => void missing.push(text);
  return { rounds, peers, say, missed, signal: controller.signal, interrupt: () => controller.abort(), said, missing };
};
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
    const asked = asking(2, [found("torch"), found("jax")]);
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
    expect(asked.said).toEqual([
      "step 6+6, 64: round 1 of 2 ...",
      "step 6+6, 64: round 2 of 2 ...",
      expect.stringMatching(/^step 6\+6, 64: PyTorch eager is left out: out of memory; to get it: /),
    ]);
    expect(asked.missing).toEqual([]);
  });

  test("that are interrupted give the rounds that are whole on all sides", async () => {
    const asked = asking(5, [found("torch"), found("jax")]);
    const order: string[] = [];
    const compared = await takeTurns(
      what,
      asked,
      async () => (order.push("fathom"), { cost: order.length }),
      async ({ name }) => {
        order.push(name);
        if (order.length < 8) return { cost: order.length };
        asked.interrupt();
        throw new Error("its process was ended");
      },
    );
    expect(order).toHaveLength(8);
    expect(compared).toMatchObject({ rounds: 2, fathom: { values: [1, 4] }, leftOut: [] });
    expect(compared.peers.map(({ name, values }) => [name, values])).toEqual([
      ["torch", [2, 5]],
      ["jax", [3, 6]],
    ]);
    expect(asked.missing).toEqual(["3 rounds of step 6+6, 64"]);
    const nothing = takeTurns(
      what,
      asked,
      async () => ({ cost: 1 }),
      async () => ({ cost: 1 }),
    );
    await expect(nothing).rejects.toThrow("aborted");
  });

  test("go on with what comes next until they are interrupted, which leaves out the rest by name", async () => {
    const asked = asking(1);
    const cells = cellsOf({ shapes: [{ depth: 2, width: 64 }], threads: [1, 2, 4] });
    const results = await ofEach(
      asked,
      cells,
      (cell) => `step ${cellText(cell)}`,
      async ({ threads }) => {
        if (threads === 2) {
          asked.interrupt();
          asked.signal.throwIfAborted();
        }
        return threads;
      },
    );
    expect([results, asked.missing]).toEqual([[1], ["step 2+2, 64, 2 threads", "step 2+2, 64, 4 threads"]]);
    const failing = ofEach(asking(1), cells, cellText, () => Promise.reject(new Error("ours")));
    await expect(failing).rejects.toThrow("ours");
  });

  test("let fathom's own failure through", async () => {
    const failing = takeTurns(
      what,
      asking(1),
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
    const python = join(folder, "no-python");
    const none = await findPeers(["torch", "jax"], python);
    expect(none.leftOut.map(({ name, reason }) => [name, reason])).toEqual([
      ["torch", "there is no such program"],
      ["jax", "there is no such program"],
    ]);
    expect(() => requireNamed(none, { python })).toThrow(
      /^--python: expected a Python with torch or jax, got ".*no-python": there is no such program; to get one: /,
    );
    const text = leftOutText({ name: "jax", reason: "No module named 'jax'", install: "pip" });
    expect(text).toBe("JAX jit is left out: No module named 'jax'; to get it: pip");
  });

  test("of which one that is named must be here, while others may be missing", async () => {
    const leftOut = [{ name: "jax", reason: "No module named 'jax'", install: "pip" }] as const;
    expect(() => requireNamed({ found: [], leftOut: [...leftOut] }, { peers: ["jax"] })).toThrow(
      /^--peer: expected one that is here, got jax \(No module named 'jax'; to get it: pip\)$/,
    );
    requireNamed({ found: [found("torch")], leftOut: [...leftOut] }, { peers: ["torch", "jax"] });
    requireNamed({ found: [], leftOut: [...leftOut] }, {});
  });

  test("that no Python has say what each Python said", async () => {
    const path = process.env["PATH"];
    const bin = mkdtempSync(join(folder, "bin-"));
    writeFileSync(join(bin, "python3"), "#!/bin/sh\necho 'no jax in this one' >&2; exit 1\n", { mode: 0o755 });
    process.env["PATH"] = `${bin}:${path}`;
    try {
      const { found, leftOut } = await findPeers(["jax"], undefined);
      // Debian's may have it.
      if (found.length > 0) expect(found[0]!.command).toBe("/usr/bin/python3");
      else expect(leftOut[0]!.reason).toMatch(/^python3: no jax in this one; \/usr\/bin\/python3: .+/);
    } finally {
      process.env["PATH"] = path;
    }
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
    expect(() => parsePeers(["torhc"])).toThrow(/^--peer: unknown peer "torhc"; did you mean "torch"\? .*, none$/);
    expect(() => parsePeers(["none", "torch"])).toThrow("--peer: none stands alone, got none torch");
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
    const versionsOf = (versions: Record<string, string>): string =>
      conditionsText({ ...report, rounds: 1, versions })
        .split("; ")
        .slice(1)
        .join("; ");
    expect(versionsOf({ "torch-compile": "2" })).toBe("1 round; torch 2");
    expect(versionsOf({ torch: "2", "torch-fused": "2", "tfjs-wasm": "4" })).toBe("1 round; torch 2, tfjs-wasm 4");
    expect(versionsOf({ torch: "1", "torch-fused": "2" })).toBe("1 round; torch 1, torch-fused 2");
  });
});

describe("the table", () => {
  const alone = { ...fixed, peers: [] };

  test("has a column for each peer, and ratios to those that were measured", () => {
    const { head, rows, under } = comparisonTable([fixed, alone]);
    expect(head.slice(5)).toEqual(["torch", "jax", "ratio to torch", "ratio to best"]);
    expect(rows[0]!.slice(4)).toEqual([
      "20.0 (10.0-30.0)",
      "20.0 (15.0-40.0)",
      "20.0 (10.0-40.0)",
      "0.50 (0.50-2.00)",
      "1.00 (0.50-1.50) jax",
    ]);
    expect(rows[1]!.slice(5)).toEqual(["-", "-", "-", "-"]);
    expect(under).toContain("ratios are fathom / peer");
    const [jax] = fixed.peers.filter(({ name }) => name === "jax");
    expect(comparisonTable([{ ...fixed, peers: [jax!] }]).head.slice(5)).toEqual(["jax", "ratio to best"]);
  });

  test("of fathom alone has no ratios, and of one round no ranges", () => {
    const one = comparisonOf(what, { before: 0, after: 0 }, costs(12.34), new Map(), []);
    const { head, rows, under } = comparisonTable([one]);
    expect(head).toEqual(["work", "shape", "threads", "unit", "fathom"]);
    expect(rows).toEqual([["step", "6+6, 64", "1", "ms/step", "12.3"]]);
    expect(under).not.toContain("ratio");
  });

  test("says what an epoch is scaled from", () => {
    expect(comparisonTable([alone]).under).not.toContain("scaled");
    expect(comparisonTable([{ ...alone, unit: "s/epoch" }]).under).toContain("scaled from the steps that were timed");
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

  test("marks targets of PyTorch eager, and of works that are compared with others alone", () => {
    const targets = (work: string, shape: string, ...names: FoundPeer["name"][]): (number | undefined)[] => {
      const peers = names.map((name) => ({ ...fixed.peers[0]!, name }));
      return ratiosOf([{ ...fixed, work, shape, peers }]).map(({ target }) => target);
    };
    expect(targets("step", "6+6, 256", "torch", "torch-fused", "jax")).toEqual([1.1, undefined, undefined]);
    expect(targets("wasm", "6+6, 128, wasm", "tfjs-wasm")).toEqual([0.5]);
    expect(targets("wasm", "6+6, 128, tensorflow", "tfjs-tensorflow")).toEqual([undefined]);
  });

  test("marks a target where there is one", async () => {
    const ratio = { work: "step", peer: "PyTorch eager", median: 0.8, min: 0.7, max: 0.9 };
    const [without, aimed] = [benchFigure([ratio], ""), benchFigure([{ ...ratio, target: 0.5 }], "")];
    expect(JSON.stringify(without)).not.toContain("aimed");
    expect(JSON.stringify(aimed)).toContain("A short stroke is the ratio that is aimed at");
    expect(await svgOf("bench", aimed)).not.toBe(await svgOf("bench", without));
  });
});

test("what the documents have one make at the top level is ignored by git, ESLint and Prettier, and nothing of ours is", async () => {
  const theirs = ["peers/lib/a.js", "bench/a.js"];
  const ours = ["scripts/peers/tfjs-step.js", "src/bench/bench.ts", "test/bench/run.test.ts"];
  const eslint = new ESLint();
  const ignored = async (file: string): Promise<unknown[]> => [
    await eslint.isPathIgnored(file),
    (await getFileInfo(file, { ignorePath: ".prettierignore" })).ignored,
    ...(existsSync(".git") ? [spawnSync("git", ["check-ignore", "-q", "--no-index", file]).status === 0] : []),
  ];
  for (const file of theirs) expect(new Set(await ignored(file)), file).toEqual(new Set([true]));
  for (const file of ours) expect(new Set(await ignored(file)), file).toEqual(new Set([false]));
});

describe("the command", () => {
  test("alone measures all that is compared with peers", () => {
    const names = selectedWorks([]).map(({ name }) => name);
    expect(names).toEqual([..."decode depth gan-epoch memory start step sweep vae-epoch wasm".split(" ")]);
    expect(selectedWorks(["step", "probes", "step"]).map(({ name }) => name)).toEqual(["step", "probes"]);
  });

  test("names every work in its help, a line each, and where it looks for Python", async () => {
    const { stdout } = await fathom("bench", "--help");
    for (const name of [...members<Work>(registry).keys(), "soak"])
      expect(stdout).toMatch(new RegExp(`^ +(works +)?${name} +\\w`, "m"));
    for (const { name } of [...peers, { name: "none" }]) expect(stdout).toContain(name);
    expect(stdout.replace(/\s+/g, " ")).toContain("the first that has it of python3 and /usr/bin/python3");
  });

  test("knows about how long its works take, with what peers compile, but for those that were not timed", () => {
    const timed = { minutes: 2, comparesWith: ["torch", "jax"] as const };
    const options = { rounds: 3, threads: [1, 2], found: [] };
    expect(minutesOf([timed], options)).toBe(2 * 3 * 2);
    const beside = [found("torch"), found("jax"), found("torch-fused")];
    expect(minutesOf([timed], { ...options, found: beside })).toBe(2 * 3 * 2 * (1 + 1 + peerNamed("jax").timesAsLong!));
    expect(minutesOf([timed, { comparesWith: [] }], options)).toBeUndefined();
    for (const { name, minutes } of selectedWorks([])) expect(minutes, name).toBeGreaterThan(0);
  });

  test("says before it measures what it will do, and with each line how far it is", async () => {
    const { stdout, stderr } = await fathom("bench", "step", "--shape", "1x8", "--peer", "none", ...brief);
    const lines = stripVTControlCharacters(stderr).trim().split("\n");
    expect(lines.filter((line) => !line.startsWith("the machine is busy"))).toEqual([
      "1 work, 1 round of each: step",
      "fathom alone; Ctrl-C ends it with what is measured by then",
      "work 1 of 1, step 1+1, 8: round 1 of 1 ...",
    ]);
    expect(stdout).toContain("; 1 round; ");
    expect(stdout).not.toContain("ratio");
    const quiet = await fathom("bench", "step", "--shape", "1x8", "--peer", "none", ...brief, "--quiet");
    expect([quiet.stdout, quiet.stderr]).toEqual(["", ""]);
  });

  test.each([
    [["stpe"], 'unknown work "stpe"; did you mean "step"? Known: decode, '],
    [["bogus"], "roofline, soak, start"],
    [["soak", "step"], "expected soak alone"],
    [["vae-epoch", "--shape", "6x64"], "--shape: expected none with vae-epoch"],
    [["step", "--peer", "torhc"], '--peer: unknown peer "torhc"'],
    [["step", "--peer", "none", "torch"], "--peer: none stands alone"],
    [["step", "--peer", "tfjs-wasm"], "--peer: step cannot be compared with tfjs-wasm; expected some of torch, "],
    [["probes", "--peer", "torch"], "--peer: probes cannot be compared with torch; leave it out"],
    [["step", "--peer", "jax", "--python", "no/python"], 'got "no/python": there is no such program'],
    [["step", "--out", "package.json"], "package.json: expected a folder that can be written to"],
    [["child"], "bench child: expected one --shape"],
  ])("%j is refused", async (args, message) => {
    const { code, stderr } = await fathom("bench", ...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
