import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadRun, loadSweep } from "../../src/config/load.ts";
import { checkResolved, resolver } from "../../src/config/resolve.ts";
import { UserError } from "../../src/errors.ts";
import { minimal, names } from "./names.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-load-"));

function write(text: string): string {
  const file = join(folder, "c.yaml");
  writeFileSync(file, text);
  return file;
}

/** What a user reads, without the folder's name. */
function complaint(text: string, overrides: string[] = [], load: typeof loadRun | typeof loadSweep = loadRun): string {
  try {
    load(write(text), overrides, names);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message.replaceAll(`${folder}/`, "");
  }
  throw new Error("expected a complaint");
}

const replaced = (from: string, to: string): string => {
  expect(minimal).toContain(from);
  return minimal.replace(from, to);
};

test("defaults are filled in, and resolving a resolved configuration changes nothing", () => {
  const { config } = loadRun(write(minimal), [], names);
  expect(config.model).toEqual({
    kind: "transformer",
    depth: { encoder: 2, decoder: 2 },
    width: 16,
    heads: 2,
    feedForward: 64,
    residual: "pre-ln",
    norm: "layer-norm",
    finalNorm: true,
    activation: "relu",
    dropout: 0,
    tiedEmbeddings: "none",
  });
  expect(config.train.batch).toEqual({ sentences: 32 });
  expect(config.train.epochs).toBeNull();
  expect(config.probes).toMatchObject({ everySteps: 1, schedule: null });
  expect(config).toMatchObject({ seed: 1, engine: "auto", threads: 1 });
  const again = loadRun(write(JSON.stringify(config)), [], names);
  expect(again.config).toEqual(config);
});

test.each([
  ["unknown key", replaced("width", "widht"), 'c.yaml:7:3: model.widht: unknown key; did you mean "width"?'],
  [
    "key of another section",
    replaced("steps: 20", "steps: 20\n  learningRate: 1"),
    'unknown key; did you mean "train.optimizer.learningRate"?',
  ],
  ["wrong type", replaced("width: 16", "width: wide"), 'c.yaml:7:10: model.width: expected a number, got "wide"'],
  [
    "fraction where a whole number belongs",
    replaced("depth: 2", "depth: 2.5"),
    "c.yaml:6:10: model.depth: expected a whole number, got 2.5",
  ],
  [
    "no alternative of a union",
    replaced("depth: 2", "depth: deep"),
    'c.yaml:6:10: model.depth: expected layers a stack such as 6, or encoder+decoder such as 18+6, got "deep"',
  ],
  [
    "part of an alternative missing",
    replaced("depth: 2", "depth: {encoder: 2}"),
    "model.depth.decoder: expected a number, got nothing; add the key",
  ],
  [
    "direction without a list",
    replaced("[en-de]", "en-de"),
    'c.yaml:4:15: data.directions: expected a list or many-to-many, got "en-de"',
  ],
  [
    "missing key",
    replaced("  width: 16\n", ""),
    "c.yaml:5:1: model.width: expected a number, got nothing; add the key",
  ],
  ["missing section", replaced("train:\n  steps: 20\n", ""), "train: expected a mapping, got nothing; add the key"],
  ["out of range", replaced("depth: 2", "depth: 1001"), "c.yaml:6:10: model.depth: expected at most 1000, got 1001"],
  ["too small", replaced("depth: 2", "depth: 0"), "model.depth: expected at least 1, got 0"],
  [
    "unknown scheme",
    replaced("pre-ln", "preln"),
    'c.yaml:9:13: model.residual: expected one of post-ln, pre-ln, got "preln"; did you mean "pre-ln"?',
  ],
  [
    "unknown model",
    replaced("depth: 2", "depth: 2\n  kind: transfomer"),
    'model.kind: expected one of transformer, vae, gan, got "transfomer"; did you mean "transformer"?',
  ],
  [
    "option of another optimizer",
    replaced("steps: 20", "steps: 20\n  optimizer: {kind: sgd, beta1: 0.9}"),
    "c.yaml:12:26: train.optimizer.beta1: unknown key",
  ],
  [
    "unknown optimizer",
    replaced("steps: 20", "steps: 20\n  optimizer: {kind: adem}"),
    'train.optimizer.kind: expected one of adam, adamw, sgd, got "adem"; did you mean "adam"?',
  ],
  [
    "width not divisible by heads",
    replaced("heads: 2", "heads: 3"),
    "c.yaml:7:10: model.width: expected a multiple of model.heads (3), got 16",
  ],
  [
    "final norm against the scheme",
    replaced("pre-ln", "pre-ln\n  finalNorm: false"),
    "c.yaml:10:14: model.finalNorm: expected true, got false: model.residual: pre-ln needs a final norm on each stack",
  ],
  [
    "steps and epochs",
    replaced("steps: 20", "steps: 20\n  epochs: 1"),
    "c.yaml:12:11: train.epochs: expected either train.steps or train.epochs, got both; remove one",
  ],
  [
    "neither steps nor epochs",
    replaced("  steps: 20", "  clipNorm: 1"),
    "c.yaml:10:1: train: expected either train.steps or train.epochs, got neither; add one",
  ],
  [
    "batch of both kinds",
    replaced("steps: 20", "steps: 20\n  batch: {sentences: 2, tokens: 9}"),
    "expected either train.batch.sentences or train.batch.tokens, got both",
  ],
  [
    "warm-up as long as a cosine",
    replaced("steps: 20", "steps: 20\n  schedule: {kind: cosine, warmupSteps: 20}"),
    "train.schedule.warmupSteps: expected fewer than train.steps (20)",
  ],
  [
    "vocabulary smaller than its bytes",
    replaced("[en-de]", "[en-de]\n  vocabulary: {size: 200}"),
    "c.yaml:5:22: data.vocabulary.size: expected at least 300, got 200",
  ],
  ["too short segments", replaced("[en-de]", "[en-de]\n  maxLength: 4"), "data.maxLength: expected at least 8, got 4"],
  [
    "both probe schedules",
    `${minimal}probes: {everySteps: 2, schedule: logarithmic}\n`,
    "expected either probes.everySteps or probes.schedule, got both",
  ],
  [
    "unknown probe",
    `${minimal}probes: {record: [gradient-nrm]}\n`,
    "c.yaml:12:19: probes.record.0: expected one of activation-gradient",
  ],
  [
    "name that leaves its folder",
    replaced("name: tiny", "name: ../up"),
    'c.yaml:1:7: name: expected letters, digits, dots, hyphens and underscores (at most 64), got "../up"',
  ],
  ["duplicate key", `${minimal}name: again\n`, "c.yaml:12:1: a key is there twice; remove one"],
  ["broken YAML", replaced("[en-de]", "[en-de"), "c.yaml:5:1: "],
  ["empty file", "# nothing\n", "c.yaml: expected a mapping of configuration keys, got an empty file"],
])("%s is one clear error", (_name, text, message) => {
  expect(complaint(text)).toContain(message);
  expect(complaint(text).split("\n")).toHaveLength(1);
});

test("several errors come at once, at most ten", () => {
  const two = replaced("width", "widht").replace("steps: 20", "steps: many");
  expect(complaint(two).split("\n")).toHaveLength(2); // a misspelt key is one mistake, not an unknown and a missing one
  const many = minimal + Array.from({ length: 15 }, (_, i) => `extra${i}: 1\n`).join("");
  expect(complaint(many).split("\n")).toHaveLength(11);
  expect(complaint(many)).toContain("and 5 more");
});

test("overrides are typed by YAML and keep the derived defaults in step", () => {
  const { config } = loadRun(
    write(minimal),
    [
      "model.depth={encoder: 3, decoder: 1}",
      "model.width=32",
      "train.optimizer.learningRate=1e-2",
      "train.clipNorm=null",
    ],
    names,
  );
  expect(config.model).toMatchObject({ depth: { encoder: 3, decoder: 1 }, width: 32, feedForward: 128 });
  expect(config.train.optimizer).toMatchObject({ kind: "adam", learningRate: 0.01 });
});

test("the learning rate is 0.001 if not given, and 1, the factor of the paper, with noam", () => {
  const rate = (...overrides: string[]) =>
    loadRun(write(minimal), overrides, names).config.train.optimizer.learningRate;
  const noam = "train.schedule={kind: noam, warmupSteps: 400}";
  expect([rate(), rate(noam), rate(noam, "train.optimizer.learningRate=2")]).toEqual([0.001, 1, 2]);
  const { config } = loadRun(write(minimal), [noam], names);
  expect(resolver(names).resolve(config)).toEqual({ ok: true, value: config });
});

test.each([
  ["model.dept=3", 'override model.dept=3: unknown key; did you mean "model.depth"?'],
  ["depth=3", 'override depth=3: unknown key; did you mean "model.depth"?'],
  ["model.depth", "override model.depth: expected key=value"],
  ["train.steps=many", 'override train.steps=many: train.steps: expected a number, got "many"'],
  ["train.steps=[1", "override train.steps=[1: expected a YAML value"],
  [
    "model.depth.encoder=3",
    "override model.depth.encoder=3: model.depth.encoder: cannot be set, since model.depth is 2",
  ],
  ["model.heads=5", "c.yaml:7:10: model.width: expected a multiple of model.heads (5), got 16"],
])("override %s is refused by name", (override, message) => {
  expect(complaint(minimal, [override])).toContain(message);
});

test.each(["model.depth=4", "seed=2"])(
  "override %s of what the sweep varies is refused: it would change nothing",
  (override) => {
    const sweep = `${minimal}sweep:\n  method: grid\n  parameters:\n    model.depth: { values: [2, 6] }\n  seeds: [1, 2]\n`;
    const key = override.split("=")[0]!;
    expect(complaint(sweep, [override], loadSweep)).toBe(
      `override ${override}: expected a key that the sweep does not vary, got ${key}; change it in the sweep section`,
    );
    expect(() => loadRun(write(sweep), [override], names)).not.toThrow();
  },
);

test("model.depth may be written 18+6, as list takes it", () => {
  expect(loadRun(write(minimal), ["model.depth=18+6"], names).config.model.depth).toEqual({ encoder: 18, decoder: 6 });
  expect(complaint(minimal, ["model.depth=18+"])).toContain(
    "expected layers a stack such as 6, or encoder+decoder such as 18+6, got",
  );
});

test("a file that cannot be read, a folder, and a file too large are named", () => {
  const load = (file: string) => () => loadRun(file, [], names);
  expect(load(join(folder, "none.yaml"))).toThrow(
    "expected a configuration file that can be read: there is no such file",
  );
  expect(load(folder)).toThrow("it is a folder");
  expect(load(write(`# ${"x".repeat(1_000_001)}\n`))).toThrow("expected a configuration of at most 1000000 bytes");
});

test("a bomb of aliases is refused, not expanded", () => {
  const levels = Array.from({ length: 20 }, (_, i) => `l${i + 1}: &l${i + 1} [*l${i}, *l${i}, *l${i}]`);
  expect(complaint(`l0: &l0 [x]\n${levels.join("\n")}\n`)).toContain("alias");
});

test("the run of a file with a sweep leaves the sweep aside", () => {
  const text = `${minimal}sweep:\n  parameters:\n    model.depth: {values: [1, 2]}\n`;
  expect(loadRun(write(text), [], names)).toMatchObject({
    hasSweep: true,
    config: { model: { depth: { encoder: 2 } } },
  });
});

test("errors of a sweep point at its entries", () => {
  const sweep = (text: string) => complaint(`${minimal}sweep:\n${text}`, [], loadSweep);
  expect(sweep("  parameters:\n    model.dept: {values: [1]}\n")).toBe(
    'c.yaml:14:5: sweep.parameters.model.dept: unknown configuration key "model.dept"; did you mean "model.depth"?',
  );
  expect(sweep("  parameters:\n    model.width: {values: [16, 17]}\n")).toBe(
    "c.yaml:14:5: model.width: expected a multiple of model.heads (2), got 17; change model.width or model.heads (in the run model.width=17)",
  );
  expect(sweep("  parameters:\n    model.residual: {values: [preln]}\n")).toContain(
    'c.yaml:14:5: model.residual: expected one of post-ln, pre-ln, got "preln"',
  );
  expect(sweep("  methd: grid\n")).toContain('sweep.methd: unknown key; did you mean "method"?');
  expect(sweep("  seeds: [1, x]\n")).toContain('c.yaml:13:14: sweep.seeds.1: expected a number, got "x"');
});

test("probes.preset stands for a record and a rhythm; light if nothing is said", () => {
  const probesOf = (text: string): unknown => loadRun(write(minimal + text), [], names).config.probes;
  const light = ["gradient-norm", "activation-gradient", "activation-rms", "update-ratio"];
  expect(probesOf("")).toEqual({ everySteps: 1, schedule: null, record: light });
  expect(probesOf("probes: {preset: light}")).toEqual(probesOf(""));
  const full = { everySteps: 10, schedule: null, record: ["gradient-norm", "noise-scale"], batches: 4 };
  expect(probesOf("probes: {preset: full}")).toEqual(full);
  expect(probesOf("probes: {preset: full, everySteps: 3, batches: 8}")).toEqual({ ...full, everySteps: 3, batches: 8 });
  expect(probesOf(`probes: ${JSON.stringify(full)}`)).toEqual(full); // resolved before
  expect(probesOf("probes: {record: [noise-scale]}")).toEqual({ ...full, everySteps: 1, record: ["noise-scale"] });
});

test.each([
  [
    "a preset beside a record",
    "probes: {preset: light, record: [gradient-norm]}",
    "expected either probes.preset or probes.record, got both; remove one",
  ],
  ["an unknown preset", "probes: {preset: lite}", "light"],
  [
    "batches where nothing compares batches",
    "probes: {batches: 8}",
    "expected probes.batches only where probes.record has a probe that compares batches (noise-scale)",
  ],
  ["one batch, which cannot be compared", "probes: {preset: full, batches: 1}", "at least 2"],
])("%s is refused with its place", (_, text, message) => {
  const said = complaint(`${minimal}${text}\n`);
  expect(said).toContain("c.yaml:12:");
  expect(said).toContain(message);
});

test("a configuration that was resolved before and has lost its probes is told what is missing", () => {
  const { config } = loadRun(write(minimal), [], names);
  const { record, ...probes } = config.probes;
  expect(record).toHaveLength(4);
  const checked = checkResolved({ ...config, probes });
  expect(checked.ok).toBe(false);
  if (!checked.ok) expect(checked.problems[0]!.message).toContain("expected probes.record");
  expect(checkResolved(config)).toEqual({ ok: true, value: config });
});
