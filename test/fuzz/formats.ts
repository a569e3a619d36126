// What fathom reads beside sentences, each with valid files, what means something in them, and a reading that is held against
// another one. Readings give `undefined` where they pass a damaged file over, as some do by their contract.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { create } from "tar";
import { stringify } from "yaml";
import { canonicalJson, configHash, runId } from "../../src/config/identity.ts";
import { loadRun, loadSweep } from "../../src/config/load.ts";
import type { RunConfig } from "../../src/config/schema.ts";
import { parseYaml } from "../../src/config/yaml.ts";
import { sha256 } from "../../src/data/cache.ts";
import { type FilesCorpus, openFiles } from "../../src/data/files-corpus.ts";
import { formatIdx, parseIdx, readIdx } from "../../src/data/idx.ts";
import { fetchPackages } from "../../src/data/packages.ts";
import { readVocabulary, trainTokenizer, wordCounter } from "../../src/data/vocabulary.ts";
import { UserError } from "../../src/errors.ts";
import { openRecorder, readEvents } from "../../src/runs/events.ts";
import { readExperiment, statusOf } from "../../src/runs/experiment.ts";
import { readGraphs } from "../../src/runs/graphs.ts";
import { seemsHeld } from "../../src/runs/lease.ts";
import { manifestEntries, readManifest } from "../../src/runs/manifest.ts";
import { originLine } from "../../src/runs/origin.ts";
import { readConfig, readRun, startRun } from "../../src/runs/run-folder.ts";
import { gridPng, latentCsv, readLatent, readSamples } from "../../src/runs/samples.ts";
import { readLayers, readMetrics, readReadings, writeTables } from "../../src/runs/tables.ts";
import { readChecks } from "../../src/runs/verify-folder.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "../../src/train/safetensors.ts";
import { config, layerRows, loss } from "../runs/folder.ts";
import { minimal, names } from "../config/names.ts";
import { altered, mutated } from "./mutations.ts";

/** A kind of file and how it is read. */
export interface Format {
  readonly name: string;
  /** Valid files. */
  readonly examples: readonly Buffer[];
  /** What means something in them. */
  readonly pieces: readonly string[];
  /** Inputs for one of a cheap format: expensive readings get fewer. */
  readonly share: number;
  /** Other inputs than mutated examples, such as those whose hashes fit. */
  readonly others?: fc.Arbitrary<Uint8Array>;
  /** Reads the bytes, with `folder` for files of its own; throws what the reader throws, and an `Error` where what is read is not
   *  what another reading gives. */
  read(bytes: Uint8Array, folder: string): unknown;
}

function same(a: unknown, b: unknown, what: string): void {
  if (!isDeepStrictEqual(a, b)) throw new Error(`read otherwise: ${what}`);
}

/** What may stand anywhere in JSON, YAML or CSV. */
const hostile = [
  ..."__proto__|constructor|toString|null|true|1e999|-1|-0|0.5|9007199254740993|4294967295|2147483648|NaN|Infinity".split(
    "|",
  ),
  ...'"__proto__":{"polluted":1},|"constructor":|{"toString":1,"valueOf":1}|[]|{}|[|]|{|}|,|:|"|\\|\n|\r\n|\0|\\u0000|\\ud800|../../x'.split(
    "|",
  ),
  "[".repeat(300),
  '{"a":'.repeat(300),
  `[[${"[".repeat(5000)}${"]".repeat(5000)}]]`,
  "a".repeat(5000),
];

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** A file of this content in the folder. */
function put(bytes: Uint8Array, ...place: string[]): string {
  const file = join(...place);
  writeFileSync(file, bytes);
  return file;
}

const sweep = `${minimal}sweep:
  parameters:
    model.depth: {values: &depths [1, 2]}
    train.optimizer.learningRate: {values: [0.1, 1e-3]}
  seeds: *depths
`;
const yamlPieces = [
  ...hostile,
  ..."&a |*a|*depths|&depths |<<: *depths|!!js/function |!!binary |!x |---\n|...\n|%YAML 1.1\n|? |- |  |# |'|| \n|> \n|~|\t|.inf".split(
    "|",
  ),
  ..."model: |train:\n  |sweep:\n  |values: |seeds: [1, 2]\n|name: ../x\n|method: random|list: []|kind: vae|runs: 1e9|min: 0|max: 1".split(
    "|",
  ),
  "- ".repeat(300),
  "a: ".repeat(300),
];

const yaml: Format = {
  name: "YAML",
  examples: [Buffer.from(minimal), Buffer.from(sweep), Buffer.from(stringify(config()))],
  pieces: yamlPieces,
  share: 1,
  read(bytes) {
    const parsed = parseYaml(text(bytes));
    if (!parsed.ok) throw new UserError(parsed.problems[0]!.message);
    const again = parseYaml(stringify(parsed.data, { aliasDuplicateObjects: false }));
    same(again.ok && again.data, parsed.data, "YAML written and read again");
    return parsed.data;
  },
};

const configuration: Format = {
  name: "configurations",
  examples: [Buffer.from(minimal), Buffer.from(sweep)],
  pieces: yamlPieces,
  share: 0.1,
  read(bytes, folder) {
    const file = put(bytes, folder, "c.yaml");
    const { runs, name } = loadSweep(file, [], names);
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw new Error(`a name that may leave its folder: ${name}`);
    const again = loadRun(put(Buffer.from(stringify(runs[0]!.config)), folder, "again.yaml"), [], names);
    same(canonicalJson(again.config), canonicalJson(runs[0]!.config), "a resolved configuration");
    return runs;
  },
};

const environment = { versions: { node: "20" }, machine: { cpu: "x", cores: 1, memoryBytes: 1, platform: "linux" } };
const runConfiguration: Format = {
  name: "configurations of runs",
  examples: [
    Buffer.from(
      `# a run\n${originLine({ hash: configHash(config()), engine: "onnx", versions: environment.versions, cpu: "x", platform: "linux" })}\n` +
        stringify(config()),
    ),
    Buffer.from(stringify(config())),
  ],
  pieces: yamlPieces,
  share: 0.1,
  read(bytes, folder) {
    put(bytes, folder, "config.yaml");
    return readConfig(folder);
  },
};

const tensors = new Map<string, StoredTensor>([
  ["z/weight", { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, NaN, -Infinity, 1e-45) }],
  ["a/ids", { shape: [3], data: Int32Array.of(-1, 0, 2147483647) }],
  ["scalar", { shape: [], data: Float32Array.of(7) }],
  ["empty", { shape: [0, 4], data: new Float32Array(0) }],
]);
/** A header of any entries, with a length that fits it, and some bytes behind it. */
const headers = fc
  .tuple(
    fc.dictionary(
      fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom("__metadata__", "constructor")),
      fc.oneof(
        fc.record({
          dtype: fc.constantFrom("F32", "I32", "F64", "f32"),
          shape: fc.array(fc.oneof(fc.integer({ min: -1, max: 4 }), fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 53)), {
            maxLength: 4,
          }),
          data_offsets: fc.array(
            fc.oneof(
              fc.integer({ min: -1, max: 6 }).map((n) => 4 * n),
              fc.maxSafeInteger(),
            ),
            {
              maxLength: 3,
            },
          ),
        }),
        fc.jsonValue(),
      ),
      { maxKeys: 3 },
    ),
    fc.integer({ min: 0, max: 6 }),
  )
  .map(([header, words]) => {
    const bytes = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.length));
    return Buffer.concat([length, bytes, Buffer.alloc(4 * words, 1)]);
  });

const safetensors: Format = {
  name: "safetensors",
  examples: [Buffer.from(encodeSafetensors(tensors, { format: "fathom" })), Buffer.from(encodeSafetensors(new Map()))],
  pieces: [
    ...hostile,
    ..."F32|I32|F64|[0,4]|[4,0]|[0,9007199254740992]|[65536,65536,65536]|\x08\0\0\0\0\0\0\0".split("|"),
  ],
  share: 1,
  others: headers,
  read(bytes) {
    const { tensors, metadata } = decodeSafetensors(bytes, "t.safetensors");
    // Read strictly: what the header says, at the offsets that it says.
    const copy = Buffer.from(bytes);
    const end = 8 + Number(copy.readBigUInt64LE(0));
    const header = JSON.parse(copy.toString("utf8", 8, end)) as Record<
      string,
      { shape: number[]; data_offsets: number[] }
    >;
    same(metadata, header["__metadata__"] ?? {}, "metadata");
    same(
      [...tensors.keys()].sort(),
      Object.keys(header)
        .filter((name) => name !== "__metadata__")
        .sort(),
      "names",
    );
    let total = end;
    for (const [name, { shape, data }] of tensors) {
      const [from, to] = header[name]!.data_offsets as [number, number];
      same(shape, header[name]!.shape, `shape of ${name}`);
      same(Buffer.from(data.buffer), copy.subarray(end + from, end + to), `bytes of ${name}`);
      total += data.byteLength;
    }
    same(total, bytes.length, "bytes in all");
    same(
      decodeSafetensors(encodeSafetensors(tensors, metadata), "again").tensors.size,
      tensors.size,
      "what is written again",
    );
    return tensors;
  },
};

/** The files of a run with two steps, a note and a reading. */
function recorded(folder: string): Record<string, Buffer> {
  const recorder = openRecorder(folder);
  for (const step of [0, 1, 2]) {
    recorder.metrics([loss(step, step === 1 ? NaN : 8 - step), loss(step, 7, "test")]);
    recorder.layers(step, layerRows(step));
    recorder.readings(step, [{ ...layerRows(step)[0]!, quantity: "branch-share", value: step / 7 } as never]);
    recorder.note({ step, checkpoint: step });
  }
  recorder.close();
  writeTables(folder);
  const files = Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
  for (const name of Object.keys(files)) rmSync(join(folder, name));
  return files;
}

function formatsOfRuns(folder: string): Format[] {
  const files = recorded(folder);
  const eventPieces = [
    ...hostile,
    ...'{"type":"metrics","rows":[[]]}\n|{"type":"layers","step":1,"header":0,"values":[|"header":4294967294|"header":-1|"step":1e999'.split(
      "|",
    ),
    '{"type":"reading-header","step":0,"header":1,"rows":[null]}\n',
    '{"type":"layers","step":0,"header":0,"values":[{"toString":1},{"valueOf":1},1,1]}\n',
  ];
  const events: Format = {
    name: "events",
    examples: [files["events.jsonl"]!],
    pieces: eventPieces,
    share: 1,
    others: altered(files["events.jsonl"]!, true),
    read(bytes, folder) {
      put(bytes, folder, "events.jsonl");
      for (const table of ["metrics.csv", "layers.csv", "readings.csv"]) rmSync(join(folder, table), { force: true });
      const all: unknown[] = [];
      let refusal: unknown;
      try {
        for (const event of readEvents(folder)) all.push(event);
      } catch (error) {
        refusal = error;
      }
      // Strictly the whole lines, up to the first damaged one.
      const lines = text(bytes).split("\n").slice(0, -1);
      if (refusal === undefined) same(all.length, lines.length, "the number of events");
      // What is nested thousands of levels deep cannot be compared, nor anything as long.
      for (const [i, event] of all.entries())
        if (lines[i]!.length < 5000) same(event, JSON.parse(lines[i]!), "an event");
      // Writing syncs, which takes ten times as long as reading.
      const writes = [() => writeTables(folder), () => openRecorder(folder, { afterStep: 1 }).close()];
      const reads = [() => readMetrics(folder), () => readLayers(folder), () => readReadings(folder)];
      for (const attempt of bytes.length % 8 === 0 ? [...reads, ...writes] : reads)
        try {
          attempt();
        } catch (error) {
          refusal ??= error;
          if (!(error instanceof UserError)) throw error;
        }
      if (refusal !== undefined) throw refusal;
      return all;
    },
  };
  const tables: Format = {
    name: "tables",
    examples: [files["metrics.csv"]!, files["layers.csv"]!, files["readings.csv"]!],
    pieces: [...hostile, '"', '""', ",,,", "step,tokens,seconds,split,name,value\n"],
    share: 0.5,
    read(bytes, folder) {
      rmSync(join(folder, "events.jsonl"), { force: true });
      const kind = bytes[5] === 0x74 ? "metrics" : text(bytes.subarray(0, 200)).includes("l2") ? "layers" : "readings";
      for (const name of ["metrics", "layers", "readings"]) rmSync(join(folder, `${name}.csv`), { force: true });
      put(bytes, folder, `${kind}.csv`);
      const rows =
        kind === "metrics" ? readMetrics(folder) : kind === "layers" ? readLayers(folder) : readReadings(folder);
      for (const row of rows)
        if (Object.values(row).includes(undefined as never)) throw new Error("a row without a value");
      return rows;
    },
  };
  return [events, tables];
}

const entryOf = (config: RunConfig, index = 0) => {
  const varied = { "model.depth": 2, "model.residual": "pre-ln" };
  return { index, id: runId(varied, config), hash: configHash(config), varied, config };
};
const manifest: Format = {
  name: "manifests",
  examples: [Buffer.from(`${JSON.stringify(entryOf(config(1)))}\n${JSON.stringify(entryOf(config(2), 1))}\n`)],
  pieces: hostile,
  share: 0.1,
  // Damage whose hash fits all the same, as that of an author with too much time.
  others: fc
    .tuple(
      fc.constantFrom("", "name", "seed", "engine", "data", "model", "train", "probes"),
      fc.jsonValue(),
      fc.oneof(fc.constant(undefined), fc.string(), fc.constantFrom("../../x", "/etc", "a\0b", "a".repeat(300), "con")),
      fc.oneof(fc.constant({}), fc.jsonValue()),
    )
    .map(([key, value, id, varied]) => {
      const changed = (key === "" ? config() : { ...config(), [key]: value }) as RunConfig;
      const entry = { ...entryOf(config()), ...(id !== undefined && { id }), varied, config: changed };
      return json({ ...entry, hash: configHash(changed) });
    }),
  read(bytes, folder) {
    put(bytes, folder, "manifest.jsonl");
    const entries = readManifest(folder);
    const lines = text(bytes).replace(/\n$/, "").split("\n");
    same(
      entries,
      lines.map((line) => JSON.parse(line) as unknown),
      "entries",
    );
    for (const { dir } of readExperiment(folder).runs)
      if (join(dir, "..") !== join(folder, "runs")) throw new Error(`a run that leaves its folder: ${dir}`);
    if (entries.length > 0) manifestEntries(folder, [entries.length - 1]);
    return entries;
  },
};

function runRecord(folder: string): Format {
  startRun(folder, { id: "seed=1_x", hash: "0", config: config() });
  const example = readFileSync(join(folder, "run.json"));
  return {
    name: "run.json",
    examples: [example],
    pieces: hostile,
    share: 0.5,
    others: altered(example),
    read(bytes, folder) {
      put(bytes, folder, "run.json");
      const record = readRun(folder);
      if (!["done", "diverged", "failed", "running", "stale", "pending"].includes(statusOf(folder)))
        throw new Error("an unknown status");
      return record;
    },
  };
}

const vocabularies: Format = (() => {
  const counter = wordCounter();
  const sample = "the quick brown fox jumps over the lazy dog, 42 times; größer als 漢字 🙂";
  for (let i = 0; i < 3; i++) counter.add(sample);
  const example = (kind: "bpe" | "unigram") => Buffer.from(trainTokenizer(counter.counts, { kind, size: 270 }, ["de"]));
  return {
    name: "tokenizer.json",
    examples: [example("bpe"), example("unigram")],
    pieces: [...hostile, ...'"<pad>"|"Ġ t"|"a b c"|["a",-1]|["a",[[1]]]|"merges":|"vocab":|"type":"BPE"'.split("|")],
    share: 0.2,
    others: fc.oneof(altered(example("bpe")), altered(example("unigram"))),
    read(bytes) {
      const read = readVocabulary(text(bytes), "tokenizer.json");
      for (const one of [sample, "<pad>\0\u{10ffff}", ""]) same(read.decode(read.encode(one)), one, "a text");
      return read;
    },
  };
})();

const rows = [
  "a tree\tein Baum",
  "the old house\tdas alte Haus",
  "seven birds\tsieben Vögel",
  "rain falls\tRegen fällt",
];
async function preparedCorpus(folder: string, cache: string): Promise<Format> {
  const [train, dev, test] = [rows.slice(0, 2), rows.slice(2, 3), rows.slice(3)].map((own, i) =>
    put(Buffer.from(own.join("\n")), folder, `${i}.tsv`),
  );
  const corpus: FilesCorpus = {
    reader: "manythings",
    files: [train!],
    languages: ["en", "de"],
    dev: [dev!],
    test: [test!],
    maxRatio: 4,
  };
  const read = async (): Promise<unknown[]> => {
    const all: unknown[] = [];
    for await (const segment of (await openFiles(corpus)).segments()) all.push(segment);
    return all;
  };
  const original = await read();
  const place = join(cache, "corpora");
  const prepared = join(
    place,
    readdirSync(place).find((name) => name.startsWith("manythings-"))!,
  );
  const example = readFileSync(prepared);
  const lines = example.toString().trimEnd().split("\n");
  const trailer = JSON.parse(lines.pop()!) as object;
  return {
    name: "prepared corpora",
    examples: [example],
    pieces: [...hostile, '["train",', '["other","x","a","b"]\n', "null\n", "[]\n"],
    share: 0.2,
    // Another line in the middle, and the hash of all.
    others: fc.oneof(fc.json(), fc.constantFrom(...hostile)).map((line) => {
      const changed = [...lines, line.replaceAll("\n", " ")].map((one) => `${one}\n`).join("");
      return Buffer.from(`${changed}${JSON.stringify({ ...trailer, sha256: sha256(changed) })}\n`);
    }),
    async read(bytes) {
      writeFileSync(prepared, bytes);
      try {
        const all = await read();
        same(all, original, "a corpus whose hash fits");
        return all;
      } finally {
        writeFileSync(prepared, example);
      }
    },
  };
}

const images: Format = {
  name: "IDX",
  examples: [Buffer.from(formatIdx({ shape: [3, 2, 2], data: Uint8Array.from({ length: 12 }, (_, i) => i) }))],
  pieces: ["\0\0\x08\x03", "\0\0\0\0", "\xff\xff\xff\xff"],
  share: 1,
  async read(bytes, folder) {
    const plain = parseIdx(bytes, 3, "x");
    same(Buffer.from(formatIdx(plain)), Buffer.from(bytes), "bytes written again");
    same(Buffer.from((await readIdx(put(gzipSync(bytes), folder, "x.gz"), 3)).data), Buffer.from(plain.data), "packed");
    return plain;
  },
};

const end = { name: "x", shape: [1], dtype: "float32" };
const graphsExample = json({
  "a.onnx": {
    stage: "a",
    key: "k",
    mode: "m",
    direction: "d",
    taps: "none",
    provider: "cpu",
    inputs: [end],
    outputs: [end],
    nodes: { Add: 1 },
  },
});
const graphs: Format = {
  name: "graphs/index.json",
  examples: [graphsExample],
  others: altered(graphsExample),
  pieces: hostile,
  share: 0.5,
  read(bytes, folder) {
    mkdirSync(join(folder, "graphs"), { recursive: true });
    put(bytes, folder, "graphs", "index.json");
    const entries = Object.entries(readGraphs(folder));
    for (const [, { inputs, nodes }] of entries)
      same([inputs.length >= 0, Object.keys(nodes).length >= 0], [true, true], "an entry");
    return entries.length > 0 ? entries : undefined;
  },
};

const facts = { kind: "generated", step: 1, epoch: 0, rows: 1, columns: 2, height: 2, width: 2 } as const;
const samples: Format = {
  name: "samples",
  examples: [Buffer.from(gridPng({ ...facts, images: Float32Array.of(0, 1, 0.5, 2, NaN, -1, 0.1, 0.2) }))],
  pieces: ["IDAT", "IEND", "iCCP", "zTXt", "\xff\xff\xff\xff", "\0\0\0\0", "Comment\0{}"],
  share: 0.5,
  read(bytes, folder) {
    mkdirSync(join(folder, "samples"), { recursive: true });
    put(bytes, folder, "samples", "generated-step-00000001.png");
    return readSamples(folder)[0];
  },
};
const latent: Format = {
  name: "latent.csv",
  examples: [Buffer.from(latentCsv([{ x: 1, y: -2, label: "3" }]))],
  pieces: [...hostile, '"', '""', ",,"],
  share: 0.5,
  read(bytes, folder) {
    mkdirSync(join(folder, "samples"), { recursive: true });
    put(bytes, folder, "samples", "latent.csv");
    return readLatent(folder)[0];
  },
};

const checksExample = json({
  check: "c",
  summary: "s",
  source: "t",
  conditions: "u",
  made: "v",
  claims: [{ name: "n", verdict: "confirmed", predicted: 1, measured: null }],
  engine: "cpu",
  seconds: 1,
  environment: { ...environment, git: null },
});
const checks: Format = {
  name: "records of checks",
  examples: [checksExample],
  others: altered(checksExample),
  pieces: hostile,
  share: 0.5,
  read(bytes, folder) {
    mkdirSync(join(folder, "checks"), { recursive: true });
    put(bytes, folder, "checks", "c.json");
    return readChecks(folder);
  },
};

/** Names of files as they may lie in a lease's folder, a line each, with something in them. */
const leases: Format = {
  name: "leases",
  examples: [Buffer.from('000001.json {"beat":1}\n000002.json {"beat":3}')],
  pieces: [
    "\n",
    "000003.json x\n",
    "9".repeat(400),
    "99999999999999999999.json x\n",
    "0000000002.json x\n",
    "-1.json x\n",
    '"released":true',
  ],
  share: 0.3,
  read(bytes, folder) {
    const place = join(folder, "lease");
    rmSync(place, { recursive: true, force: true });
    mkdirSync(place);
    for (const line of text(bytes).split("\n").slice(0, 20)) {
      const [, name, content = ""] = /^([0-9a-z.-]{1,200}) (.*)/.exec(line) ?? [];
      if (name !== undefined && !/^\.+$/.test(name)) put(Buffer.from(content), place, name);
    }
    return seemsHeld(folder) || undefined;
  },
};

async function tarballs(folder: string): Promise<Format> {
  const root = join(folder, "packing");
  mkdirSync(join(root, "package"), { recursive: true });
  put(json({ name: "fuzzed", version: "1.0.0" }), root, "package", "package.json");
  const file = join(root, "example.tgz");
  await create({ file, cwd: root, gzip: true }, ["package"]);
  const example = readFileSync(file);
  const integrity = `sha512-${createHash("sha512").update(example).digest("base64")}`;
  return {
    name: "tarballs",
    examples: [example],
    pieces: ["../../x", "/etc/x", "\0", "package/"],
    share: 0.1,
    async read(bytes) {
      const send = (_: unknown, into: string): Promise<void> =>
        Promise.resolve(writeFileSync(join(into, "fuzzed-1.0.0.tgz"), bytes));
      await fetchPackages([{ name: "fuzzed", version: "1.0.0", integrity }], send);
      same(Buffer.from(bytes), example, "a package");
      return bytes;
    },
  };
}

/** All formats. `folder` is for what they are made of, `cache` is where fathom caches. */
export async function allFormats(folder: string, cache: string): Promise<Format[]> {
  return [
    yaml,
    configuration,
    runConfiguration,
    safetensors,
    ...formatsOfRuns(folder),
    manifest,
    runRecord(folder),
    vocabularies,
    await preparedCorpus(folder, cache),
    images,
    graphs,
    samples,
    latent,
    checks,
    leases,
    await tarballs(folder),
  ];
}

/** Inputs of a format: mutated examples, packed into one arbitrary with the others and any bytes. */
export const inputsOf = ({ examples, pieces, others }: Format): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    ...examples.map((example) => ({ arbitrary: mutated(example, pieces), weight: Math.ceil(6 / examples.length) })),
    { arbitrary: fc.uint8Array({ maxLength: 200 }), weight: 1 },
    ...(others ? [{ arbitrary: others, weight: 3 }] : []),
  );
