// What is refused with which words: configurations made to fill memory or time, names and links that lead out of a folder,
// tensors that lie about their size. Each case of test/fuzz/formats.test.ts that deserves a name is here.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { create } from "tar";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { configHash } from "../../src/config/identity.ts";
import { loadRun, loadSweep } from "../../src/config/load.ts";
import type { RunConfig } from "../../src/config/schema.ts";
import { openFiles } from "../../src/data/files-corpus.ts";
import { fetchPackages, packageDirectories } from "../../src/data/packages.ts";
import { readVocabulary } from "../../src/data/vocabulary.ts";
import { UserError } from "../../src/errors.ts";
import { openRecorder, readEvents } from "../../src/runs/events.ts";
import { readExperiment } from "../../src/runs/experiment.ts";
import { readGraphs } from "../../src/runs/graphs.ts";
import { seemsHeld } from "../../src/runs/lease.ts";
import { manifestEntries, readManifest } from "../../src/runs/manifest.ts";
import { clearRun, createRunFolder, readConfig, runFolder } from "../../src/runs/run-folder.ts";
import { readLatent } from "../../src/runs/samples.ts";
import { readLayers, readMetrics } from "../../src/runs/tables.ts";
import { decodeSafetensors } from "../../src/train/safetensors.ts";
import { fathom } from "../cli/capture.ts";
import { minimal, names } from "../config/names.ts";
import { config, layerRows, loss } from "../runs/folder.ts";
import { bin, buildIfStale } from "../train/build.ts";

const root = mkdtempSync(join(tmpdir(), "fathom-refused-"));
let folder: string;
let count = 0;
beforeEach(() => {
  folder = join(root, String(count++));
  mkdirSync(folder);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The message of the `UserError` that something ends with, without the folder. */
async function refusal(does: () => unknown): Promise<string> {
  try {
    await does();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message.replaceAll(`${folder}/`, "");
  }
  throw new Error("nothing was refused");
}
const write = (name: string, content: string | Uint8Array): string => {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
};

describe("configurations", () => {
  const complaint = (text: string | Uint8Array): Promise<string> =>
    refusal(() => loadSweep(write("c.yaml", text), [], names));
  const nesting = (line: number, column: number): string =>
    `c.yaml:${line}:${column}: expected at most 100 levels of nesting, got more; write them flat`;
  const tag = (place: string, tag: string): string =>
    `c.yaml:${place}: expected a plain value, got the tag ${tag}; remove it (quotes make text of a value)`;
  const laughs = (levels: number): string =>
    Array.from({ length: levels }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(", ")}]\n`).join(
      "",
    );
  const long = `[${"1,".repeat(12_000)}]`;

  test.each<[name: string, text: string | Buffer, message: string]>([
    [
      "a bomb of aliases",
      `l0: &l0 [x]\n${laughs(9)}`,
      "c.yaml: Excessive alias count indicates a resource exhaustion attack; write the values out instead",
    ],
    [
      "aliases by the thousand, of which each is harmless",
      `x: [${Array.from({ length: 30_000 }, (_, i) => `&a${i} x, *a${i}`).join(",")}]`,
      "c.yaml:1:1294: expected at most 100 aliases (*name), got more; write the values out instead",
    ],
    [
      "a long list by many aliases",
      `a: &a ${long}\nb: [${Array(90).fill("*a").join(",")}]`,
      "c.yaml: expected at most 1000000 values once aliases are written out, got more; use fewer",
    ],
    [
      "a list that holds itself",
      "a: &a [1, *a]",
      "c.yaml:1:11: expected an alias of something else, got *a within &a itself; write the values out",
    ],
    [
      "a merge that holds itself",
      "a: &a {<<: *a}",
      "c.yaml:1:12: expected an alias of something else, got *a within &a itself; write the values out",
    ],
    [
      "an alias of nothing",
      "a: *b",
      "c.yaml: Unresolved alias (the anchor must be set before the alias): b; write the values out instead",
    ],
    ["a million lists within each other", "[".repeat(1_000_000), nesting(1, 102)],
    ["half a million lists by hyphens", "- ".repeat(500_000), nesting(1, 203)],
    ["mappings within each other", "{a: ".repeat(250_000), nesting(1, 405)],
    ["keys within each other", "? ".repeat(500_000), nesting(1, 203)],
    [
      "nesting by indentation",
      Array.from({ length: 1000 }, (_, i) => `${" ".repeat(i)}a:\n`).join(""),
      nesting(102, 102),
    ],
    ["a tag of JavaScript", `${minimal}x: !!js/function 'function () {}'`, tag("12:4", "!!js/function")],
    ["the same tag in full", "name: !<tag:yaml.org,2002:js/regexp> /x/", tag("1:7", "!<tag:yaml.org,2002:js/regexp>")],
    ["a tag of bytes", "name: !!binary aGk=", tag("1:7", "!!binary")],
    ["a tag of a time", "name: !!timestamp 2001-01-01", tag("1:7", "!!timestamp")],
    ["a tag of no meaning", minimal.replace("tiny", "!x tiny"), tag("1:7", "!x")],
    [
      "YAML 1.1, in which no means false",
      `%YAML 1.1\n---\n${minimal}`,
      "c.yaml:1:1: expected YAML 1.2, got a directive %YAML of another version; remove that line",
    ],
    ["a key twice", `${minimal}name: other\n`, "c.yaml:12:1: a key is there twice; remove one"],
    ["a key twice, once as text", "1: a\n'1': b", "c.yaml:2:1: a key is there twice; remove one"],
    ["a list as a key", "? [a, b]\n: c", "c.yaml:1:3: expected a key of text, got a list, a mapping or an alias"],
    [
      "a stream of documents",
      `${minimal}---\n${minimal}`,
      "c.yaml:12:1: expected one document, got another behind it; make a file of its own of what follows ---",
    ],
    ["a NUL byte", "name: a\0b", "c.yaml:1:8: expected text, got the control character U+0000; remove it"],
    [
      "bytes that are no UTF-8",
      Buffer.from("name: \xe9", "latin1"),
      "c.yaml: expected a configuration in UTF-8, got other bytes; save it as UTF-8",
    ],
    ["nothing", "", "c.yaml: expected a mapping of configuration keys, got an empty file"],
    [
      "more bytes than may be",
      `#${"x".repeat(1_000_000)}`,
      "c.yaml: expected a configuration of at most 1000000 bytes, got more; is it another file?",
    ],
    [
      "a grid of more runs than there are seconds",
      `${minimal}sweep:\n  parameters:\n${["model.width", "train.steps", "model.heads"].map((key) => `    ${key}: {values: [${Array.from({ length: 100 }, (_, i) => i + 1).join(",")}]}\n`).join("")}`,
      "c.yaml:12:1: sweep: expected at most 100000 runs, got 1000000; vary less, or use method: random",
    ],
  ])("%s", async (_name, text, message) => {
    expect(await complaint(text)).toBe(message);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "the key %s is unknown like any other",
    async (key) => {
      expect(await complaint(`${minimal}${key}: {polluted: 1}\n`)).toMatch(
        new RegExp(`^c\\.yaml:12:1: ${key}: unknown key`),
      );
      expect(await complaint(minimal.replace("steps: 20", `steps: 20\n  ${key}: {polluted: 1}`))).toContain(
        `train.${key}: unknown key`,
      );
      expect("polluted" in {}).toBe(false);
    },
  );

  test("a file of exactly as many bytes as may be is read", () => {
    const text = `${minimal}#`;
    const { config } = loadRun(write("c.yaml", text.padEnd(1_000_000, "x")), [], names);
    expect(config.name).toBe("tiny");
  });

  test("twenty thousand unknown keys are told of, ten of them with their places", async () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `k${i}:\n`).join("");
    const lines = (await complaint(`${minimal}${keys}`)).split("\n");
    expect(lines[0]).toMatch(/^c\.yaml:12:1: k0: unknown key/);
    expect(lines).toHaveLength(11);
    expect(lines.at(-1)).toBe("and 19990 more");
  });

  test("anchors that stand for little are read", () => {
    const text = `${minimal}sweep:\n  parameters:\n    model.depth: {values: &n [1, 2]}\n  seeds: *n\n`;
    expect(loadSweep(write("c.yaml", text), [], names).runs).toHaveLength(4);
  });

  test.each([
    ["train.steps=*a", "Unresolved alias (the anchor must be set before the alias): a; write the values out instead"],
    [`train.steps=${"[".repeat(1000)}`, "expected at most 100 levels of nesting, got more; write them flat"],
    [
      "train.steps=!!js/undefined 1",
      "expected a plain value, got the tag !!js/undefined; remove it (quotes make text of a value)",
    ],
  ])("the override %s", async (override, message) => {
    const said = await refusal(() => loadRun(write("c.yaml", minimal), [override], names));
    expect(said).toBe(
      `override ${override}: expected a YAML value, got ${override.slice("train.steps=".length)}: ${message}`,
    );
  });

  const characters = "expected letters, digits, dots, hyphens and underscores (at most 64)";
  const everywhere =
    "expected a name that every system gives to folders (none of con, prn, aux, nul, com1, lpt1 ..., no dot at the end)";
  test.each([
    ["../../x", `${characters}, got "../../x"`],
    ["/etc", `${characters}, got "/etc"`],
    ["C:\\x", `${characters}, got "C:\\\\x"`],
    [".", `${characters}, got "."`],
    ["..", `${characters}, got ".."`],
    ["a\0b", `${characters}, got "a\\u0000b"`],
    ["a\n", `${characters}, got "a\\n"`],
    ["CON", everywhere],
    ["nul.yaml", everywhere],
    ["lpt1", everywhere],
    ["a.", everywhere],
  ])("the name %j", async (name, message) => {
    expect(await complaint(minimal.replace("tiny", JSON.stringify(name)))).toBe(`c.yaml:1:7: name: ${message}`);
  });

  test("names that only begin like a device are taken", () => {
    for (const name of ["console", "com", "null", "auxiliary.1"])
      expect(loadRun(write("c.yaml", minimal.replace("tiny", `"${name}"`)), [], names).config.name).toBe(name);
  });

  test("a run's own configuration is held to the same", async () => {
    const damaged = (text: string): Promise<string> => {
      write("config.yaml", text);
      return refusal(() => readConfig(folder));
    };
    const repair = "; restore the file or remove the run's folder";
    const head = "config.yaml: expected a run's configuration as it was written: ";
    expect(await damaged("[".repeat(100_000))).toBe(
      `${head}expected at most 100 levels of nesting, got more; write them flat (line 1)${repair}`,
    );
    expect(await damaged("a: &a [*a]")).toContain("got *a within &a itself");
    expect(await damaged(`#${"x".repeat(2_000_000)}`)).toBe(`${head}2000001 bytes are more than any has${repair}`);
  });
});

describe("the command line refuses with code 2 and one line, and writes nothing:", () => {
  test.each([
    [
      "a name that leaves --out",
      (text: string) => text.replace(/^name: .*$/m, "name: ../../x"),
      "name: expected letters",
    ],
    [
      "a bomb of aliases",
      () =>
        `a: &a [x]\n${"bcdefghij".replace(
          /./g,
          (c) =>
            `${c}: &${c} [${Array(9)
              .fill(`*${String.fromCharCode(c.charCodeAt(0) - 1)}`)
              .join(",")}]\n`,
        )}`,
      "write the values out instead",
    ],
    ["deep nesting", () => "[".repeat(1_000_000), "100 levels"],
    ["a tag", (text: string) => `${text}\nx: !!js/function x`, "got the tag !!js/function"],
    ["another file altogether", () => "\x7fELF\0\0", "control character U+007F"],
  ])("%s", async (_name, changed, message) => {
    const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
    const file = write("c.yaml", changed(debug.replace(/^name: .*$/m, "name: debug")));
    for (const verb of ["train", "sweep"]) {
      const { code, stdout, stderr } = await fathom(verb, file, "--out", join(folder, "out"));
      expect(stderr).toContain(message);
      expect([code, stdout, stderr.trim().split("\n").length]).toEqual([2, "", 1]);
    }
    expect(readdirSync(folder)).toEqual(["c.yaml"]);
  });

  test("in a process of its own: no warning beside the line, and a heap of 64 MB is enough", () => {
    buildIfStale();
    const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
    for (const text of [
      "- ".repeat(500_000),
      `${debug}? [a, b]\n: !!binary x\n`,
      debug.replace(/^name: .*$/m, "name: ../x"),
    ]) {
      const args = ["--max-old-space-size=64", bin, "train", write("c.yaml", text), "--out", join(folder, "out")];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 });
      expect(stripVTControlCharacters(stderr)).toMatch(/^fathom: \S*c\.yaml:\d+:\d+: .*expected .*\n$/);
      expect([status, stdout]).toEqual([2, ""]);
    }
    expect(readdirSync(folder)).toEqual(["c.yaml"]);
  });

  test("a run of a manifest whose id leaves the folder", async () => {
    const entry = { index: 0, id: "../../x", hash: configHash(config()), varied: {}, config: config() };
    write("manifest.jsonl", `${JSON.stringify(entry)}\n`);
    for (const args of [
      ["run", "--manifest", folder, "--index", "0"],
      ["status", folder],
      ["report", folder],
    ]) {
      const { code, stderr } = await fathom(...args);
      expect(stderr).toContain('"../../x" is no run\'s name');
      expect(code).toBe(2);
    }
    expect(readdirSync(folder)).toEqual(["manifest.jsonl"]);
    expect(existsSync(join(root, "x"))).toBe(false);
  });
});

describe("a run's folder", () => {
  test.each(["..", ".", "", "../x", "a/b", "a\\b", "/etc", "a\0b", "-x", ".x", "C:x", "a".repeat(201)])(
    "%j is no run",
    async (id) => {
      expect(await refusal(() => runFolder(folder, id))).toBe(`${folder}: "${id}" is no run's name`);
    },
  );

  test.each([
    ["itself", ""],
    ["its checkpoints", "checkpoints"],
    ["its lease", "lease"],
    ["its record", "run.json"],
  ])("is not used where %s is a link: nothing behind it is written or removed", async (_name, part) => {
    const outside = join(folder, "outside");
    mkdirSync(join(outside, "step-00000001"), { recursive: true });
    writeFileSync(join(outside, "run.json.1"), "mine");
    const link = join(folder, "e", "runs", "seed=1_x", part);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(outside, link.replace(/\/$/, ""));
    expect(await refusal(() => createRunFolder(join(folder, "e"), "seed=1_x"))).toBe(
      `${join("e/runs/seed=1_x", part).replace(/\/$/, "")}: expected a run's own file or folder, got a link to another place, where ` +
        "this run would write and remove; remove the link, or choose another place for all with --out",
    );
    expect(readdirSync(outside).sort()).toEqual(["run.json.1", "step-00000001"]);
  });

  test("a run that starts afresh removes links within its folders, never what they name", () => {
    const outside = join(folder, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "kept"), "mine");
    const runDir = createRunFolder(join(folder, "e"), "seed=1_x");
    mkdirSync(join(runDir, "checkpoints"));
    symlinkSync(outside, join(runDir, "checkpoints", "step-00000001"));
    symlinkSync(outside, join(runDir, "samples"));
    clearRun(runDir);
    expect(readdirSync(runDir)).toEqual([]);
    expect(readdirSync(outside)).toEqual(["kept"]);
  });
});

describe("manifests", () => {
  const entry = (changes: object, changed: object = config()): void => {
    const hash = configHash(changed as RunConfig);
    write(
      "manifest.jsonl",
      JSON.stringify({ index: 0, id: "seed=1_x", hash, varied: {}, config: changed, ...changes }),
    );
  };
  const repair =
    "; restore the file, or remove it and sweep again: finished runs stay in runs/, and are found and not run again";

  test("an id that leaves the folder", async () => {
    entry({ id: "../../x" });
    expect(await refusal(() => readExperiment(folder))).toBe(`${folder}: "../../x" is no run's name`);
  });

  test.each([
    ["no mapping of what varies", { varied: { a: { b: 1 } } }, {}],
    ["a configuration without sections", {}, { data: 3 }],
  ])("%s", async (_name, changes, section) => {
    entry(changes, { ...config(), ...section });
    expect(await refusal(() => readManifest(folder))).toBe(
      `manifest.jsonl:1: expected a planned run as it was frozen, got something else${repair}`,
    );
  });

  test("a configuration whose hash fits and which is none is not run", async () => {
    entry({}, { ...config(), model: { kind: "transformer", width: "wide" } });
    expect(readManifest(folder)).toHaveLength(1);
    expect(await refusal(() => manifestEntries(folder, [0]))).toMatch(
      /^manifest\.jsonl:1: expected a planned run's configuration: model\./,
    );
  });

  test("a configuration of a hundred thousand levels", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    write(
      "manifest.jsonl",
      JSON.stringify({ index: 0, id: "x", hash: "x", varied: {}, config: { ...config(), extra: 0 } }).replace(
        '"extra":0',
        `"extra":${deep}`,
      ),
    );
    expect(await refusal(() => readManifest(folder))).toContain(
      "manifest.jsonl:1: expected a planned run as it was frozen",
    );
  });
});

describe("events", () => {
  test.each([
    ["rows that are no rows", '{"type":"layer-header","step":0,"header":1,"rows":[null]}'],
    ["a number that is a mapping", '{"type":"layers","step":0,"header":0,"values":[{"toString":1,"valueOf":1},1,1,1]}'],
    ["a metric without its parts", '{"type":"metrics","rows":[[]]}'],
    ["a header of a fraction", '{"type":"layer-header","step":0,"header":0.5,"rows":[]}'],
  ])("%s", async (_name, line) => {
    write("events.jsonl", `${line}\n`);
    for (const read of [() => [...readEvents(folder)], () => openRecorder(folder, { afterStep: 1 }).close()])
      if (!line.startsWith('{"type":"layers"') || read.toString().includes("readEvents"))
        expect(await refusal(read)).toMatch(
          /^events\.jsonl:1: expected an event as the run wrote it, got something else/,
        );
  });

  test("a header out of its turn, which would make the list of headers four billion long", async () => {
    write("events.jsonl", '{"type":"layer-header","step":0,"header":4294967294,"rows":[]}\n');
    expect(await refusal(() => openRecorder(folder, { afterStep: 1 }))).toMatch(
      /^events\.jsonl:1: expected an event as the run wrote it, got header 4294967294 out of its turn/,
    );
  });

  test("a file cut anywhere gives exactly the lines that are whole", () => {
    const recorder = openRecorder(folder);
    for (const step of [0, 1]) {
      recorder.metrics([loss(step, 8 - step)]);
      recorder.layers(step, layerRows(step));
    }
    recorder.close();
    const whole = readFileSync(join(folder, "events.jsonl"));
    const all = [...readEvents(folder)];
    for (let length = 0; length <= whole.length; length++) {
      write("events.jsonl", whole.subarray(0, length));
      const lines = whole.subarray(0, length).toString().split("\n").length - 1;
      expect([...readEvents(folder)]).toEqual(all.slice(0, lines));
    }
  });

  test("tables with other columns", async () => {
    write("metrics.csv", "step,value\n1,2\n");
    write("layers.csv", "__proto__,l2\n1,2\n");
    for (const read of [() => readMetrics(folder), () => readLayers(folder)])
      expect(await refusal(read)).toMatch(
        /^(metrics|layers)\.csv: expected a table as the run wrote it, got other columns; remove it/,
      );
  });
});

test("a piece's score in twenty thousand lists", async () => {
  const deep = "[".repeat(20_000) + "]".repeat(20_000);
  const json = `{"model":{"type":"Unigram","vocab":[["a",${deep}]]}}`;
  expect(await refusal(() => readVocabulary(json, "t"))).toBe(
    "t: expected a tokenizer.json written by fathom, got something nested instead of a piece and its score, a finite number; " +
      "delete it and run again",
  );
});

test("graphs, leases and points of others than fathom are passed over", () => {
  for (const index of ["null", "[]", '"x"', '{"a.onnx":null}', "{", `${"[".repeat(100_000)}`]) {
    write("graphs/index.json", index);
    expect(readGraphs(folder)).toEqual({});
  }
  for (const name of [`${"9".repeat(200)}.json`, "0000000001.json", "99999999999999999999.json"])
    write(`lease/${name}`, "{}");
  expect(seemsHeld(folder)).toBe(false);
  write("samples/latent.csv", 'mean_1,mean_2,label\n"1,2,3\n');
  expect(readLatent(folder)).toEqual([]);
});

describe("safetensors", () => {
  const file = (header: string, length: bigint, data = 0): Buffer => {
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(length);
    return Buffer.concat([head, Buffer.from(header), Buffer.alloc(data)]);
  };
  const of = (entries: object, data: number): Buffer => {
    const header = JSON.stringify(entries);
    return file(header, BigInt(header.length), data);
  };
  const tensor = (shape: number[], begin: number, end: number) => ({ dtype: "F32", shape, data_offsets: [begin, end] });
  test.each<[string, Buffer, string | RegExp]>([
    ["a header of 2^63 bytes", file("{}", 2n ** 63n), "its header would be 9223372036854776000 bytes long"],
    ["a header of 2^64 - 1 bytes", file("{}", 2n ** 64n - 1n), "its header would be"],
    ["a header of more than the file", file("{}", 3n), "its header is cut off"],
    ["a header of 99 MB that is not there", file("{}", 99_000_000n), "its header is cut off"],
    [
      "a header of 99 MB",
      file("{}", 99_000_000n, 99_000_000),
      "its header is 99000000 bytes long, where at most 8388608 are read",
    ],
    [
      "tensors that overlap",
      of({ a: tensor([2], 0, 8), b: tensor([2], 4, 12) }, 12),
      "tensor b overlaps the one before it",
    ],
    [
      "a gap between tensors",
      of({ a: tensor([1], 0, 4), b: tensor([1], 8, 12) }, 12),
      "tensor b leaves a gap behind the one before it",
    ],
    ["negative offsets", of({ a: tensor([1], -4, 0) }, 4), "its header is wrong: a.data_offsets.0"],
    ["offsets the wrong way round", of({ a: tensor([0], 4, 0) }, 4), /tensor a leaves a gap|tensor a of shape/],
    ["offsets beyond the file", of({ a: tensor([2 ** 51], 0, 2 ** 53) }, 4), /its header is wrong|is cut off/],
    [
      "a shape whose product is no exact number",
      of({ a: tensor([2 ** 32, 2 ** 32], 0, 4) }, 4),
      "tensor a of shape [4294967296, 4294967296] has 4 bytes",
    ],
    [
      "a shape whose product wraps to what is there",
      of({ a: tensor([2 ** 32, 2 ** 31, 2], 0, 0) }, 0),
      "tensor a of shape",
    ],
    ["bytes behind the last tensor", of({ a: tensor([1], 0, 4) }, 8), "4 bytes follow its last tensor"],
    ["a name twice", file('{"a":1,"a":2}', 13n), "its header has the key a twice"],
    ["a prototype", file('{"__proto__":1}', 15n), "its header has the key __proto__"],
  ])("%s", async (_name, bytes, message) => {
    const said = await refusal(() => decodeSafetensors(bytes, "t"));
    expect(said).toMatch(/^t: expected a safetensors file, but .*; the file is damaged or of another kind$/);
    if (typeof message === "string") expect(said).toContain(`, but ${message}`);
    else expect(said).toMatch(message);
    expect("polluted" in {}).toBe(false);
  });
});

describe("what is fetched", () => {
  const cache = join(root, "cache");
  beforeEach(() => void vi.stubEnv("FATHOM_CACHE", cache));
  afterAll(() => void vi.unstubAllEnvs());

  /** A package as it was pinned, which holds what `make` leaves in its folder. */
  async function pinned(name: string, make: (package_: string) => void, prefix?: string) {
    const packing = join(folder, "packing");
    mkdirSync(join(packing, "package", "texts"), { recursive: true });
    writeFileSync(join(packing, "package", "package.json"), "{}");
    make(join(packing, "package"));
    const file = join(folder, "p.tgz");
    await create({ file, cwd: packing, gzip: true, preservePaths: true, ...(prefix && { prefix }) }, ["package"]);
    const bytes = readFileSync(file);
    const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
    const send = (_: unknown, into: string): Promise<void> =>
      Promise.resolve(writeFileSync(join(into, `${name}-1.0.0.tgz`), bytes));
    return { pin: { name, version: "1.0.0", integrity, keep: "texts/" }, send };
  }

  test("a link in a package is not unpacked, so that nothing is read or written by it", async () => {
    const { pin, send } = await pinned("linked", (dir) => {
      writeFileSync(join(dir, "texts", "a"), "a");
      symlinkSync("/etc", join(dir, "texts", "link"));
    });
    const [directory] = await packageDirectories([pin], send);
    expect(readdirSync(join(directory!, "texts"))).toEqual(["a"]);
  });

  test("paths that leave the package's folder are not unpacked", async () => {
    const { pin, send } = await pinned("leaving", () => {}, "package/texts/../../../..");
    await packageDirectories([pin], send).catch(() => {});
    expect(readdirSync(cache)).toEqual(["packages"]);
    expect(readdirSync(join(cache, "packages")).filter((name) => !/^(linked|leaving)@1\.0\.0$/.test(name))).toEqual([]);
  });

  test("a package that is another one, such as a bomb, is not unpacked at all", async () => {
    const { pin, send } = await pinned("bomb", (dir) =>
      writeFileSync(join(dir, "texts", "zeros"), Buffer.alloc(2 ** 24)),
    );
    const other = { ...pin, integrity: `sha512-${"A".repeat(86)}==` };
    expect(await refusal(() => fetchPackages([other], send))).toMatch(
      /^bomb@1\.0\.0: expected a package with integrity/,
    );
    expect(existsSync(join(cache, "packages", "bomb@1.0.0"))).toBe(false);
  });

  test("a prepared corpus with a line that is no segment is refused before anybody relies on it", async () => {
    const rows = ["a tree\tein Baum", "the old house\tdas alte Haus", "seven birds\tsieben Vögel"];
    const [train, dev, test] = rows.map((row, i) => write(`${i}.tsv`, row));
    const corpus = {
      reader: "manythings",
      files: [train!],
      languages: ["en", "de"],
      dev: [dev!],
      test: [test!],
      maxRatio: 4,
    };
    await openFiles(corpus);
    const place = join(cache, "corpora");
    const prepared = join(place, readdirSync(place)[0]!);
    const whole = readFileSync(prepared, "utf8");
    for (const line of ["null", "3", "[]", '["train","x",1,2]', '["other","x","a","b"]', '["train","x","a"]']) {
      writeFileSync(prepared, `${line}\n${whole}`);
      const read = async (): Promise<void> => {
        for await (const { text } of (await openFiles(corpus)).segments())
          expect(Object.values(text).join("")).not.toBe("");
      };
      expect(await refusal(read)).toMatch(
        /expected a prepared corpus as it was written, got content that does not fit its SHA-256/,
      );
    }
  });
});
