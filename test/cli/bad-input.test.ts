import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test, vi } from "vitest";
import * as verbs from "../../src/cli/index.ts";
import { fathom } from "./capture.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-bad-"));
const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
const good = join(folder, "good.yaml");
writeFileSync(good, debug);

/** The debug configuration with one thing changed. */
function changed(from: string, to: string): string {
  expect(debug).toContain(from);
  const file = join(folder, "bad.yaml");
  writeFileSync(file, debug.replace(from, to));
  return file;
}

test.each([
  ["unknown key", "width: 16", "widht: 16", 'model.widht: unknown key; did you mean "width"?'],
  ["wrong type", "steps: 20", "steps: twenty", 'train.steps: expected a number, got "twenty"'],
  [
    "contradictory keys",
    "residual: pre-ln",
    "residual: pre-ln\n  finalNorm: false",
    "model.residual: pre-ln needs a final norm on each stack; leave model.finalNorm out",
  ],
  ["steps and epochs", "steps: 20", "steps: 20\n  epochs: 2", "expected either train.steps or train.epochs, got both"],
  [
    "width not divisible by heads",
    "heads: 2",
    "heads: 5",
    "model.width: expected a multiple of model.heads (5), got 16",
  ],
  ["unknown scheme", "residual: pre-ln", "residual: preln", 'got "preln"; did you mean "pre-ln"?'],
  [
    "unknown corpus",
    "corpus: typescript-diagnostics",
    "corpus: typescript",
    "data.corpus: expected one of software-messages, typescript-diagnostics",
  ],
  [
    "a norm where the scheme has none",
    "residual: pre-ln",
    "residual: rezero\n  norm: rms-norm",
    "model.norm: expected none, got rms-norm: model.residual: rezero has no place for a norm; leave model.norm out",
  ],
  [
    "no norm where the scheme is built on norms",
    "residual: pre-ln",
    "residual: pre-ln\n  norm: none",
    "model.norm: expected a norm, got none: model.residual: pre-ln is built on norms; leave model.norm out",
  ],
  ["broken YAML", "directions: [en-de]", "directions: [en-de", "bad.yaml:"],
])("%s: exit code 2 and one clear error with its place", async (_name, from, to, message) => {
  const file = changed(from, to);
  for (const verb of ["train", "sweep"]) {
    const { code, stdout, stderr } = await fathom(verb, file, "--out", join(folder, "out"));
    expect(code).toBe(2);
    expect(stderr).toMatch(/bad\.yaml:\d+:\d+: /);
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).not.toContain("at ");
    expect(stdout).toBe("");
  }
});

test("an unreadable file: exit code 2", async () => {
  const { code, stderr } = await fathom("train", join(folder, "none.yaml"));
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining("none.yaml: expected a configuration file that can be read: there is no such file"),
  ]);
});

test("an override of an unknown key: exit code 2 and the nearest key", async () => {
  const { code, stderr } = await fathom("train", good, "model.dept=3");
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining('override model.dept=3: unknown key; did you mean "model.depth"?'),
  ]);
});

test("a results folder that cannot be written: exit code 2", async () => {
  // Below a file and, on Linux, in /proc, since permissions do not stop an administrator. Node's own recursive mkdir never
  // returns from the latter.
  const places = process.platform === "linux" ? [good, "/proc/fathom"] : [good];
  const verbs = [
    ["train", good],
    ["sweep", good, "--jobs", "1"],
  ];
  for (const [args, place] of verbs.flatMap((args) => places.map((place) => [args, place] as const))) {
    const { code, stderr } = await fathom(...args, "--out", place);
    expect(code).toBe(2);
    expect(stderr).toContain("expected a folder that can be written to");
    expect(stderr).toContain("choose another with --out");
  }
});

test.each([
  [["trian", good], "train"],
  [["train", good, "--jobs", "2"], "Unknown argument: jobs"],
  [["train"], "fathom train: expected CONFIG (experiment as YAML), got none; for example: fathom train configs/"],
  [["translate"], "fathom translate: expected RUN (a run's folder, or its path below results), got none; for example:"],
  [["measure", "--quiet"], "fathom measure: expected RUN ("],
  [["train", good, "--train.steps", "3"], "is written without dashes, after its file: train.steps=3\n"],
  [["sweep", good, "--train.steps=3", "--model.depth", "4"], "after its file: train.steps=3\n"],
  [["sweep", good, "--model.depth", "4", "--quiet"], "after its file: model.depth=4\n"],
  [["sweep", good, "--job", "2"], "--job: did you mean --jobs?\n"],
  [[], "expected a command"],
  [["sweep", good, "--jobs", "0"], "expected --jobs to be a whole number of 1 or more, got 0"],
  [["sweep", good, "--launcher", "locl"], 'unknown launcher "locl"; did you mean "local"?'],
  [["list", "residuals"], 'unknown kind "residuals"; did you mean "residual"?'],
  [["list", "residual", "deepnrm"], 'unknown residual "deepnrm"; did you mean "deepnorm"?'],
  [["list", "norm", "--depth", "3"], "--depth: expected with the kind residual, got norm"],
  [
    ["plot", folder, "--plot", "loss"],
    'unknown plot "loss"; did you mean "loss-by-depth", "loss-curves" or "gan-losses"?',
  ],
  [["train", good, "model.residual=prenorm"], 'got "prenorm"; did you mean "pre-ln"?'],
  [["train", good, "model.residual=Post-Norm"], 'got "Post-Norm"; did you mean "post-ln"?'],
  [["train", good, "optimizer.lr=1"], 'unknown key; did you mean "train.optimizer.learningRate"?'],
  [["train", good, "engine=cuda"], 'did you mean "onnx"'],
  [["list", "reader", "tsv"], 'did you mean "manythings" (text, text) or "tatoeba" (id, text, id, text)?'],
  [["list", "residual", "--depth", "deep"], "--depth: expected layers a stack, 1 to 1000, such as 12"],
  [["status", folder], "expected an experiment's folder"],
  [["compare", join(folder, "none")], "got none"],
  [["run", "--manifest", folder, "--index", "0"], "manifest.jsonl"],
  [["train", good, "--out"], "Not enough arguments following: out"],
  [["sweep", good, "--jobs"], "Not enough arguments following: jobs"],
  [["plot", folder, "--format"], "Not enough arguments following: format"],
  [["bench", "step", "--shape"], "Not enough arguments following: shape"],
  [["bench", "depth", "--threads", "-1"], "--threads: expected a whole number, at least 1, got -1"],
  [["bench", "step", "--rounds", "0"], "--rounds: expected a whole number, at least 1, got 0"],
  [["bench", "decode", "--rounds", "0"], "--rounds: expected a whole number, at least 1, got 0"],
  [["bench", "decode", "--shape", "6x63"], "--shape: expected DEPTHxWIDTH with a width divisible by 4"],
  [["compare", "runs", "--translations", "train"], "translations"],
  [["bench", "step", "--steps", "0"], "--steps: expected a whole number, at least 1, got 0"],
])("the command line %j is refused with exit code 2", async (args, message) => {
  const { code, stderr } = await fathom(...args);
  expect(stderr).toContain(message);
  expect(code).toBe(2);
});

describe("a folder that is not the one", () => {
  const results = join(folder, "results");
  const experiments = ["first", "second"].map((name) => join(results, name));
  const run = join(experiments[0]!, "runs", "seed=1_0a");
  for (const dir of [run, join(experiments[1]!, "runs")]) mkdirSync(dir, { recursive: true });
  writeFileSync(join(run, "config.yaml"), "");

  test.each([
    [["status", results], `a folder of experiments; name one of them: ${experiments.join(", ")}\n`],
    [["report", join(experiments[0]!, "runs")], `got its runs alone; name the experiment: ${experiments[0]}\n`],
    [["plot", run], `got one of its runs; name the experiment: ${experiments[0]}\n`],
    [["resume", results], `a folder of experiments; name one of them: ${experiments.join(", ")};`],
    [["translate", experiments[0]!, "text"], `got that of an experiment; name one of its runs:\n${run}\n`],
    [["measure", join(experiments[0]!, "runs")], `name one of its runs:\n${run}\n`],
    [["resume", join(folder, "reslts", "frist")], `got none of that name; did you mean ${experiments[0]}?`],
    [["status", "secnd", "--out", results], `got none of that name; did you mean ${experiments[1]}?`],
    [["inspect", join(experiments[0]!, "runs", "seed=1_0b")], `did you mean ${run}?`],
    [["status", join(folder, "nothing-like-it")], "nothing-like-it: expected an experiment's folder"],
  ])("%j: what there is, and what may be meant", async (args, message) => {
    const { code, stderr } = await fathom(...args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});

test("a damaged vocabulary in the cache: exit code 2, the file named", async () => {
  const cache = mkdtempSync(join(tmpdir(), "fathom-cache-"));
  vi.stubEnv("FATHOM_CACHE", cache);
  try {
    expect((await fathom("corpus", good, "--quiet")).code).toBe(0);
    const name = readdirSync(join(cache, "vocabularies"))[0]!;
    const file = join(cache, "vocabularies", name);
    writeFileSync(file, readFileSync(file, "utf8").replace("<pad>", "<bad>"));
    // In a process of its own: this one remembers what it has read.
    const args = [join("bin", "fathom.js"), "train", good, "--out", join(folder, "cached")];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(stripVTControlCharacters(stderr)).toContain(`${file}: expected the cached file as it was written`);
    expect(status).toBe(2);
  } finally {
    vi.unstubAllEnvs();
  }
});

test.each(Object.values(verbs).map(({ name, positionals }) => ({ name, positionals })))(
  "$name takes --out, --quiet and --json",
  async ({ name, positionals }) => {
    const needed = Object.values(positionals).filter((p) => "demandOption" in p && p.demandOption);
    const names = needed.map((p) => ("choices" in p ? "step" : join(folder, "none")));
    // An option nobody knows stops the verb before it does anything; it must be the only one that is complained of.
    const required = name === "run" ? ["--manifest", folder, "--index", "0"] : [];
    const options = ["--out", "x", "--quiet", "--json", "--nonsense"];
    const { code, stderr } = await fathom(name, ...names, ...required, ...options);
    expect(stderr).toMatch(/Unknown argument: nonsense\n/);
    expect(code).toBe(2);
  },
);

test("help of every verb has a line on it and examples; hidden verbs are not listed", async () => {
  const { code, stdout } = await fathom("--help");
  expect(code).toBe(0);
  for (const verb of ["train", "sweep", "status", "compare", "list"]) {
    expect(stdout).toContain(`fathom ${verb}`);
    const help = await fathom(verb, "--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toContain("Examples:");
  }
  expect(stdout).not.toContain("fathom run");
});

test("list residual prints equations, constants at the depth asked for, papers and initial gains", async () => {
  const { stdout } = await fathom("list", "residual", "--depth", "24+6", "--json");
  const { residual } = JSON.parse(stdout) as { residual: { name: string; constants: unknown; gains: unknown }[] };
  const near = (value: number) => expect.closeTo(value, 4) as number;
  expect(residual.find(({ name }) => name === "deepnorm")).toMatchObject({
    equation: "x' = LN(alpha x + F(x))",
    paper: expect.stringContaining("DeepNet") as string,
    year: 2022,
    finalNorm: false,
    warmupExpected: true,
    constants: { encoder: { alpha: near(2.0053), beta: near(0.3514) }, decoder: { alpha: near(2.0598) } },
    gains: { encoder: { "self-attention/value": near(0.3514), "self-attention/query": 1 } },
  });
  const text = (await fathom("list", "residual", "--depth", "12")).stdout;
  const one = (await fathom("list", "residual", "keel", "--depth", "18+6")).stdout;
  expect(one).toContain("alpha 1, then 36");
  expect(one).not.toContain("deepnorm");
  for (const words of ["12 + 12 layers", "LN(alpha x + F(x))", "alpha 1.7609; beta 0.4002", "value 0.28868"])
    expect(text).toContain(words);
});

test("list names the members of every registry", async () => {
  const { stdout } = await fathom("list", "--json");
  const kinds = JSON.parse(stdout) as Record<string, { name: string; summary: string }[]>;
  expect(Object.keys(kinds)).toEqual(
    expect.arrayContaining(["residual", "norm", "probe", "corpus", "plot", "launcher"]),
  );
  for (const members of Object.values(kinds))
    for (const { name, summary } of members) expect([name, summary].every((text) => text.length > 0)).toBe(true);
  expect((await fathom("list", "norm")).stdout).toMatch(/layer-norm .*\n.*none /);
});
