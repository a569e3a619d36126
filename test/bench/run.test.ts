// The works run, small, beside peers where a Python with them is here (FATHOM_BENCH_PYTHON names one). How long anything takes is not
// tested. Needs the built dist/.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import type { BenchReport } from "../../src/bench/bench.ts";
import { type DecodingComparison, type DecodingTiming } from "../../src/bench/decode.ts";
import { compareEpoch } from "../../src/bench/epoch.ts";
import { timeInChild } from "../../src/bench/network.ts";
import { findPeers, peers } from "../../src/bench/peers.ts";
import type { PeerTiming } from "../../src/bench/step.ts";
import { leftOutText, runPeer } from "../../src/bench/turns.ts";
import { fathom } from "../cli/capture.ts";

const python = process.env["FATHOM_BENCH_PYTHON"];
const { found, leftOut } = await findPeers(
  peers.map(({ name }) => name),
  python,
);
for (const missing of leftOut) console.log(`not tested: ${leftOutText(missing)}`);
const torch = found.filter(({ name }) => name === "torch");

/** Weights and biases of layers from size to size. */
const parametersOf = (...sizes: number[]): number =>
  sizes.slice(1).reduce((sum, size, i) => sum + (sizes[i]! + 1) * size, 0);

const shape = { depth: 1, width: 8 };
const fathomStep = await timeInChild(shape, { threads: 1, steps: 4, warmup: 1 });

/** One batch over and over, and small steps: every loss is below the one before it. */
const falls = (losses: readonly number[]): boolean => losses.every((loss, i) => i === 0 || loss < losses[i - 1]!);

/** ONNX Runtime leaves logs of its own there. */
const foldersOfOurs = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith("fathom"));

describe("a training step", () => {
  test("of fathom: losses fall, and the interface that the guard reads is there", () => {
    expect(fathomStep.milliseconds).toHaveLength(4);
    expect(fathomStep.losses).toHaveLength(1 + 1 + 4);
    expect(falls(fathomStep.losses)).toBe(true);
    expect(fathomStep.firstStepAt).toBeGreaterThan(fathomStep.started);
    expect(fathomStep.peakMemory).toBeGreaterThan(2 ** 20);
  });

  const ofSteps = found.filter(({ name }) => name !== "torch-compile");
  test.each(ofSteps)("of $label: as many parameters, and losses fall", async (peer) => {
    const timing = await runPeer<PeerTiming>(peer, peer.step({ ...shape, threads: 1, steps: 4, warmup: 1 }));
    expect(timing.milliseconds).toHaveLength(4);
    expect(timing.parameters).toBe(fathomStep.parameters);
    if (timing.losses) {
      expect(timing.losses).toHaveLength(1 + 1 + 4);
      expect(falls(timing.losses)).toBe(true);
    } else expect(peer.language).toBe("node"); // its program prints the last loss alone
    if (timing.firstStepAt !== undefined) expect(timing.firstStepAt).toBeGreaterThan(timing.started);
  });

  const jax = found.filter(({ name }) => name === "jax");
  test.runIf(jax.length > 0)("in JAX is the same as a loop and as a scan", async () => {
    const args = ["jax_step.py", "2", "8", "1", "2", "--batch", "2", "--length", "4", "--form"];
    const [loop, scan] = [
      await runPeer<PeerTiming>(jax[0]!, [...args, "loop"]),
      await runPeer<PeerTiming>(jax[0]!, [...args, "scan"]),
    ];
    expect(scan.parameters).toBe(loop.parameters);
    // Another order of sums, in float32.
    scan.losses!.forEach((loss, i) => expect(Math.abs(loss / loop.losses![i]! - 1)).toBeLessThan(1e-5));
  });
});

describe("decoding", () => {
  test.runIf(torch.length > 0)("in PyTorch gives the same tokens with keys and values kept as without", async () => {
    const args = ["torch_decode.py", "2", "16", "1", "1", "--warmup", "0", "--sentences", "3"];
    const [kept, full] = [
      await runPeer<DecodingTiming & { tokens: number[][] }>(torch[0]!, args),
      await runPeer<DecodingTiming & { tokens: number[][] }>(torch[0]!, [...args, "--full"]),
    ];
    expect(kept.tokens).toEqual(full.tokens);
    expect(kept.tokens.map((row) => row.length)).toEqual([64, 64, 64]);
  });

  test("is compared by sentences, and both ways, greedy and with a beam", async () => {
    const args = ["--shape", "1x8", "--rounds", "1", "--steps", "1", "--json", ...(python ? ["--python", python] : [])];
    const { code, stdout } = await fathom("bench", "decode", ...args);
    expect(code).toBe(0);
    const { comparisons, own } = JSON.parse(stdout) as BenchReport;
    expect(comparisons.map(({ shape, peers }) => [shape, peers.length])).toEqual([
      ["1+1, 8, batch 1", torch.length],
      ["1+1, 8, batch 32", torch.length],
    ]);
    const { source, target, lines } = own["decode"] as { source: number; target: number; lines: DecodingComparison[] };
    expect([source, target]).toEqual([32, 64]);
    expect(lines.map(({ depth, width, sentences, beam }) => [depth, width, sentences, beam])).toEqual([
      [1, 8, 1, 1],
      [1, 8, 1, 4],
      [1, 8, 16, 1],
      [1, 8, 16, 4],
    ]);
    for (const { incremental, full, ratio } of lines) {
      expect(incremental.median).toBeGreaterThan(0);
      expect(ratio.median).toBe(full.median / incremental.median);
    }
  });
});

test.each([
  ["vae-epoch", 600, parametersOf(784, 500, 250, 40) + parametersOf(20, 250, 500, 784)],
  ["gan-epoch", 550, parametersOf(100, 256, 256, 784) + parametersOf(784, 256, 256, 1)],
] as const)("%s compares the same network", async (what, steps, parameters) => {
  const peers = found.filter(({ name }) => name === "torch" || name === "torch-fused");
  const { signal } = new AbortController();
  const asked = { threads: 1, rounds: 1, steps: 1, peers, say: () => {}, signal, missed: () => {} };
  const compared = await compareEpoch(what, asked);
  expect(compared).toMatchObject({ work: what, shape: `${steps} steps, from 1`, parameters, leftOut: [] });
  expect(compared.fathom.cost.median).toBeGreaterThan(0);
  expect(compared.peers.map(({ name }) => name)).toEqual(peers.map(({ name }) => name));
  for (const { cost, ratio } of compared.peers) expect(ratio.median).toBe(compared.fathom.cost.median / cost.median);
});

test("start, memory and depth are compared, each in its unit, and leave nothing behind", async () => {
  const temporary = mkdtempSync(join(tmpdir(), "fathom-temporary-"));
  vi.stubEnv("TMPDIR", temporary);
  const args = [
    "--shape",
    "1x8",
    "--rounds",
    "1",
    "--steps",
    "1",
    "--peer",
    torch[0]?.name ?? "none",
    ...(python ? ["--python", python] : []),
  ];
  const { code, stdout, stderr } = await fathom("bench", "start", "memory", "depth", ...args, "--json");
  expect([code, stderr]).toEqual([0, ""]);
  const { comparisons, own } = JSON.parse(stdout) as BenchReport;
  expect(comparisons.map(({ work, unit, peers }) => [work, unit, peers.length])).toEqual([
    ["start", "s", torch.length],
    ["memory", "MiB", torch.length],
    ["depth", "ms/step", torch.length],
    ["depth-start", "s", torch.length],
  ]);
  for (const { fathom } of comparisons) expect(fathom.cost.median).toBeGreaterThan(0);
  const { lines } = own["depth"] as { lines: { depth: number; compileMilliseconds: number; peakMemory: number }[] };
  expect(lines).toMatchObject([{ depth: 1, width: 8, threads: 1 }]);
  expect(lines[0]!.compileMilliseconds).toBeGreaterThan(0);
  vi.unstubAllEnvs();
  expect(foldersOfOurs(temporary)).toEqual([]);
  rmSync(temporary, { recursive: true });
});

test("a bench that is interrupted prints and keeps what it has measured, says what is missing, and leaves no process behind", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-interrupted-"));
  const temporary = mkdtempSync(join(tmpdir(), "fathom-temporary-"));
  // More rounds than it will ever get to; `memory` is not begun.
  const args = ["bench", "step", "memory", "--shape", "1x8", "2x8", "--rounds", "1000", "--steps", "1"];
  const child = spawn(process.execPath, ["bin/fathom.js", ...args, "--peer", "none", "--out", out], {
    env: { ...process.env, TMPDIR: temporary },
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data) => (stdout += String(data)));
  child.stderr.on("data", (data) => {
    stderr += String(data);
    if (stderr.includes("round 3 of 1000")) child.kill("SIGINT");
  });
  const [code] = (await once(child, "close")) as [number];
  expect(code).toBe(130);
  const report = JSON.parse(readFileSync(join(out, "bench.json"), "utf8")) as BenchReport;
  expect(report.comparisons.map(({ work, shape }) => [work, shape])).toEqual([["step", "1+1, 8"]]);
  const [{ rounds, fathom }] = report.comparisons as [BenchReport["comparisons"][number]];
  expect(rounds).toBeGreaterThanOrEqual(2);
  expect(fathom.values).toHaveLength(rounds);
  expect(report.missing).toEqual([`${1000 - rounds} rounds of step 1+1, 8`, "step 2+2, 8", "memory"]);
  expect(stdout).toContain("ms/step");
  expect(stdout.trim().split("\n").at(-1)).toBe(`interrupted; not measured: ${report.missing!.join("; ")}`);
  expect(foldersOfOurs(temporary)).toEqual([]);
  for (const folder of [out, temporary]) rmSync(folder, { recursive: true });
});

test("a sweep of eight runs is compared", { timeout: 300_000 }, async () => {
  const args = [
    "--shape",
    "1x8",
    "--rounds",
    "1",
    "--steps",
    "2",
    "--peer",
    torch[0]?.name ?? "none",
    ...(python ? ["--python", python] : []),
  ];
  const out = mkdtempSync(join(tmpdir(), "fathom-sweep-test-"));
  const { code, stdout } = await fathom("bench", "sweep", ...args, "--out", out);
  expect(code).toBe(0);
  expect(stdout).toContain(join(out, "bench.json"));
  const [compared] = (JSON.parse(readFileSync(join(out, "bench.json"), "utf8")) as BenchReport).comparisons;
  rmSync(out, { recursive: true });
  expect(compared).toMatchObject({ work: "sweep", shape: "8 runs, 1+1, 8", unit: "s" });
  expect(compared!.peers.length).toBe(torch.length);
});

describe("the guard", () => {
  const guard = (...args: string[]): { code: number; said: string } => {
    try {
      const program = ["scripts/bench-guard.js", ...args];
      return { code: 0, said: execFileSync(process.execPath, program, { stdio: "pipe", encoding: "utf8" }) };
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: string };
      return { code: status, said: stderr };
    }
  };

  test.each([
    [["no-such-commit"], 'expected a commit of this repository, got "no-such-commit"'],
    [[], "expected one commit to compare with, got 0"],
    [["HEAD", "--shape", "big"], '--shape: expected DEPTHxWIDTH, e.g. 6x64, got "big"'],
    [["HEAD", "--rounds", "0"], '--rounds: expected a whole number, at least 1, got "0"'],
  ])("refuses %j with one error", (args, message) => {
    const { code, said } = guard(...args);
    expect(code).toBe(2);
    expect(said).toContain(`bench:guard: ${message}`);
  });

  const git = (...args: string[]): string => execFileSync("git", args, { stdio: "pipe", encoding: "utf8" });
  test.runIf(existsSync(".git"))(
    "compares with a commit, and leaves nothing of it behind",
    { timeout: 240_000 },
    () => {
      const before = git("worktree", "list");
      const { code, said } = guard("HEAD", "--shape", "1x8", "--rounds", "1", "--steps", "2");
      expect(said).toMatch(
        /^1x8 {2}this [\d.]+ ms {2}[0-9a-f]{12} [\d.]+ ms {2}this \/ that [\d.]+ \([\d.]+-[\d.]+\)\n/,
      );
      expect(code).toBe(0);
      expect(git("worktree", "list")).toBe(before);
    },
  );
});
