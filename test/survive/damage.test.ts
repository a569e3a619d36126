// Damaged files of a run: what can be repaired is, what cannot is refused by name, and nothing damaged is ever trained on.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { freezePlan, planRuns, readManifest } from "../../src/runs/manifest.ts";
import { readConfig, readRun, type RunIdentity, updateRun } from "../../src/runs/run-folder.ts";
import { openTranslator } from "../../src/translate.ts";
import { fathom } from "../cli/capture.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { scratch } from "../runs/folder.ts";
import { rewriteSums } from "../train/sums.ts";
import { failAt } from "./file-system.mjs";
import { go, results, runOf, writeConfigs } from "./tiny.ts";

useTemporaryCache();
const folder = scratch();
let run: RunIdentity;
let whole: Record<string, string>;
/** A run that has died with checkpoints of steps 2 and 4. */
let begun: string;
beforeAll(async () => {
  writeConfigs(folder);
  run = await runOf(join(folder, "vae.yaml"));
  whole = results((await go(scratch(), run)).runDir);
  begun = scratch();
  const halt = (): never => {
    throw new Error("died");
  };
  const dying = failAt({ folder: begun, at: 1, halt, matching: /^mkdirSync .*\.step-00000005/ });
  await expect(go(begun, run)).rejects.toThrow("died");
  dying.restore();
});

/** A copy of that run to be damaged: its experiment's folder and its own. */
function copy(): { out: string; runDir: string } {
  const out = scratch();
  cpSync(begun, out, { recursive: true });
  return { out, runDir: join(out, "runs", run.id) };
}

const newest = "checkpoints/step-00000004";
const earlier = "checkpoints/step-00000002";
const parts = ["weights.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"];

/** Ways to damage a file, by name. */
const damages: Record<string, (file: string) => void> = {
  "one bit flipped near its beginning": (file) => flip(file, 0.02),
  "one bit flipped in its middle": (file) => flip(file, 0.5),
  "one bit flipped near its end": (file) => flip(file, 0.99),
  "its last byte cut off": (file) => truncateSync(file, readFileSync(file).length - 1),
  "nothing in it": (file) => truncateSync(file, 0),
  "no such file": (file) => rmSync(file),
};
function flip(file: string, place: number): void {
  const bytes = readFileSync(file);
  bytes[Math.floor(place * bytes.length)]! ^= 1;
  writeFileSync(file, bytes);
}

describe("a damaged checkpoint is passed over, named, for the one before it, and the bits are those of a whole run", () => {
  test.each(parts.flatMap((part) => Object.keys(damages).map((damage) => [part, damage] as const)))(
    "%s: %s",
    async (part, damage) => {
      const { out, runDir } = copy();
      damages[damage]!(join(runDir, newest, part));
      const lines: string[] = [];
      expect(await go(out, run, lines)).toMatchObject({ status: "done" });
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain(`${join(runDir, newest)}/`);
      expect(lines[0]).toContain("passed over");
      expect(lines[0]).toMatch(/damaged-step-00000004 now, and the run goes on from step 2$/);
      rmSync(join(runDir, "checkpoints/damaged-step-00000004"), { recursive: true });
      expect(results(runDir)).toEqual(whole);
    },
  );
});

test("where no checkpoint is whole all are named, nothing is trained, and how to start over is said", async () => {
  const { out, runDir } = copy();
  flip(join(runDir, newest, "weights.safetensors"), 0.5);
  truncateSync(join(runDir, earlier, "optimizer.safetensors"), 100);
  const before = readFileSync(join(runDir, "events.jsonl"));
  const refused = go(out, run);
  await expect(refused).rejects.toThrow(UserError);
  await expect(refused).rejects.toThrow(
    new RegExp(
      `${newest}/weights\\.safetensors: expected[^]*${earlier}/optimizer\\.safetensors: expected[^]*` +
        "start the run over with `fathom train --afresh`",
    ),
  );
  expect(readFileSync(join(runDir, "events.jsonl"))).toEqual(before);
  expect(readdirSync(join(runDir, "checkpoints")).filter((name) => /^step/.test(name))).toHaveLength(2);
  expect(readRun(runDir)).toMatchObject({ status: "failed" });
});

test("a checkpoint that says it is of another step is passed over: somebody has renamed it", async () => {
  const { out, runDir } = copy();
  cpSync(join(runDir, earlier), join(runDir, "checkpoints/step-00000003"), { recursive: true });
  rmSync(join(runDir, newest), { recursive: true });
  const lines: string[] = [];
  await go(out, run, lines);
  expect(lines[0]).toMatch(/expected the state of step 3, as step-00000003 says, got that of step 2; passed over/);
});

/** Changes what a checkpoint's state.json says, checksum and all. */
function changeState(checkpoint: string, change: Record<string, unknown>): void {
  const file = join(checkpoint, "state.json");
  const state = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...state, ...change }));
  rewriteSums(checkpoint);
}

test.each(["events", "hashes"])("a checkpoint that does not tell of its %s is passed over", async (key) => {
  const { out, runDir } = copy();
  changeState(join(runDir, newest), { [key]: undefined });
  const lines: string[] = [];
  await go(out, run, lines);
  expect(lines).toEqual([
    expect.stringMatching(/expected the checkpoint of step 4 to tell of its events and data, got none; .* passed over/),
  ]);
  rmSync(join(runDir, "checkpoints/damaged-step-00000004"), { recursive: true });
  expect(results(runDir)).toEqual(whole);
});

describe("events", () => {
  const events = (runDir: string): string => join(runDir, "events.jsonl");
  const lengthAt = (runDir: string, checkpoint: string): number =>
    (JSON.parse(readFileSync(join(runDir, checkpoint, "state.json"), "utf8")) as { events: { bytes: number } }).events
      .bytes;

  test.each<[string, (file: string) => void]>([
    ["a torn last line", (file) => writeFileSync(file, '{"type":"layers","step":', { flag: "a" })],
    ["lines of something else at the end", (file) => writeFileSync(file, "\0\0\0\n{]\n", { flag: "a" })],
  ])("%s behind the last checkpoint is cut off", async (_, damage) => {
    const { out, runDir } = copy();
    damage(events(runDir));
    const lines: string[] = [];
    await go(out, run, lines);
    expect(lines).toEqual([]);
    expect(results(runDir)).toEqual(whole);
  });

  test.each<[string, (file: string, from: number, to: number) => void]>([
    ["cut off", (file, from, to) => truncateSync(file, (from + to) >> 1)],
    ["changed", (file, from, to) => flip(file, (from + to) / 2 / readFileSync(file).length)],
  ])("%s between two checkpoints: the run goes on from the earlier one", async (_, damage) => {
    const { out, runDir } = copy();
    damage(events(runDir), lengthAt(runDir, earlier), lengthAt(runDir, newest));
    const lines: string[] = [];
    await go(out, run, lines);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/events\.jsonl: expected the \d+ bytes of events before this checkpoint/);
    rmSync(join(runDir, "checkpoints/damaged-step-00000004"), { recursive: true });
    expect(results(runDir)).toEqual(whole);
  });

  test.each<[string, (file: string) => void]>([
    ["emptied", (file) => truncateSync(file, 0)],
    ["removed", (file) => rmSync(file)],
    ["changed at their beginning", (file) => flip(file, 0.01)],
  ])("%s: no checkpoint stands for them, and the run is refused", async (_, damage) => {
    const { out, runDir } = copy();
    damage(events(runDir));
    await expect(go(out, run)).rejects.toThrow(UserError);
    await expect(go(out, run)).rejects.toThrow(/events\.jsonl: expected the \d+ bytes of events/);
  });
});

test.each(Object.entries(damages).slice(0, -1))(
  "run.json with %s is written anew, which is said",
  async (_, damage) => {
    const { out, runDir } = copy();
    const file = join(runDir, "run.json");
    damage(file);
    const isRead = readRun(runDir) !== undefined; // a flipped bit may leave a record that is one
    const lines: string[] = [];
    await go(out, run, lines);
    expect(lines.filter((line) => !line.includes(": begun with "))).toEqual(
      isRead ? [] : [`${file}: damaged; written anew, and the run goes on from its checkpoints`],
    );
    expect(results(runDir)).toEqual(whole);
  },
);

describe("a configuration", () => {
  test.each<[string, (text: string) => string]>([
    ["with one value changed", (text) => text.replace("latent: 2", "latent: 3")],
    ["with one digit changed", (text) => text.replace("learningRate: 0.003", "learningRate: 0.002")],
    ["cut off", (text) => text.slice(0, text.indexOf("train:") + 20)],
    ["whose first lines alone are left", (text) => text.split("\n").slice(0, 4).join("\n")],
    ["that is empty", () => ""],
    ["whose note of its run was changed", (text) => text.replace('"hash":', '"hasj":')],
  ])("%s is refused by name, by what trains it and by what reads its run", async (_, damage) => {
    const { out, runDir } = copy();
    const file = join(runDir, "config.yaml");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, damage(text));
    expect(readFileSync(file, "utf8")).not.toBe(text);
    const { code, stderr } = await fathom("train", file, "--out", scratch());
    expect([code, stderr]).toEqual([2, expect.stringContaining(file)]);
    expect(() => readConfig(runDir)).toThrow(UserError);
    expect(() => readConfig(runDir)).toThrow(file);
    // The command that began the run writes it again.
    await go(out, run);
    expect(readFileSync(file, "utf8")).toBe(text);
    expect(results(runDir)).toEqual(whole);
  });

  test("that was changed on purpose is trained once its note is gone", async () => {
    const { runDir } = copy();
    const text = readFileSync(join(runDir, "config.yaml"), "utf8");
    const file = join(scratch(), "changed.yaml");
    writeFileSync(file, text.replace(/^# made with: .*\n/m, "").replace("latent: 2", "latent: 3"));
    expect(await fathom("train", file, "--out", scratch(), "--quiet")).toMatchObject({ code: 0, stderr: "" });
  });
});

test.each<[string, (text: string) => string]>([
  ["cut off within a line", (text) => text.slice(0, -20)],
  ["with a bit flipped", (text) => text.replace('"seed":1', '"seed":3')],
  ["emptied", () => ""],
])("a manifest %s is refused by name", (_, damage) => {
  const dir = scratch();
  freezePlan(dir, planRuns(dir, [{ ...run, varied: {} }]));
  const file = join(dir, "manifest.jsonl");
  writeFileSync(file, damage(readFileSync(file, "utf8")));
  expect(() => readManifest(dir)).toThrow(UserError);
  expect(() => readManifest(dir)).toThrow(`${file}:1: expected a planned run as it was frozen`);
});

describe("what looks at a checkpoint refuses a damaged one by name, and takes no other in its place", () => {
  test.each([
    ["sample", newest],
    ["measure", newest],
    ["inspect", newest],
  ])("fathom %s", async (verb, checkpoint) => {
    const { runDir } = copy();
    flip(join(runDir, checkpoint, "weights.safetensors"), 0.7);
    const { code, stderr } = await fathom(verb, runDir, "--step", "4", "--quiet");
    expect([code, stderr]).toEqual([2, expect.stringContaining(join(runDir, checkpoint, "weights.safetensors"))]);
    expect(stderr).toContain("restore the checkpoint, or remove its folder to use another one");
  });

  test("a translator, and one whose vocabulary was damaged", async () => {
    const out = scratch();
    const { runDir } = await go(out, await runOf(join(folder, "transformer.yaml")));
    const open = () => openTranslator(runDir, { signal: new AbortController().signal });
    await (await open()).dispose();
    const file = join(runDir, "tokenizer.json");
    const text = readFileSync(file, "utf8");
    for (const damaged of [text.slice(0, -9), text.replace(/[a-z](?=[^a-z]*$)/, "?"), ""]) {
      expect(damaged).not.toBe(text);
      writeFileSync(file, damaged);
      await expect(open()).rejects.toThrow(UserError);
      await expect(open()).rejects.toThrow(file);
    }
    writeFileSync(file, text);
    const best = readdirSync(join(runDir, "checkpoints")).find((name) => name.startsWith("best-"))!;
    flip(join(runDir, "checkpoints", best, "weights.safetensors"), 0.5);
    await expect(open()).rejects.toThrow(UserError);
    await expect(open()).rejects.toThrow(join(best, "weights.safetensors"));
  });
});

test("data that changed since a run began is not trained on", async () => {
  const { out, runDir } = copy();
  updateRun(runDir, { hashes: { data: "0".repeat(64) } });
  await expect(go(out, run)).rejects.toThrow(UserError);
  await expect(go(out, run)).rejects.toThrow(/expected the data that the run was begun with \(SHA-256 000000000000\)/);
  expect(existsSync(join(runDir, "metrics.csv"))).toBe(false);
});

test("data that changed since a run began is not trained on where run.json was damaged either, and no checkpoint is passed over", async () => {
  const { out, runDir } = copy();
  changeState(join(runDir, newest), { hashes: { data: "0".repeat(64) } });
  truncateSync(join(runDir, "run.json"), 0);
  const other = /expected the data that the run was begun with \(SHA-256 000000000000\), got another/;
  await expect(go(out, run)).rejects.toThrow(UserError);
  await expect(go(out, run)).rejects.toThrow(other); // what the first attempt wrote to run.json changes nothing
  expect(existsSync(join(runDir, "metrics.csv"))).toBe(false);
  expect(existsSync(join(runDir, newest))).toBe(true);
});

test("a run that was begun with other data and has no checkpoint starts with those that are there", async () => {
  const { out, runDir } = copy();
  rmSync(join(runDir, "checkpoints"), { recursive: true });
  updateRun(runDir, { hashes: { data: "0".repeat(64) } });
  await go(out, run);
  expect(results(runDir)).toEqual(whole);
});
