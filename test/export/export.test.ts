// What `fathom export` writes, read by others: hyparquet, Python's json, and where Python has them TensorBoard and pyarrow.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { beforeAll, describe, expect, test } from "vitest";
import { record } from "../../src/export/tensorboard.ts";
import { pythonJson } from "../../src/export/wandb.ts";
import { runFolder } from "../../src/runs/run-folder.ts";
import { readLayers, readMetrics, readReadings } from "../../src/runs/tables.ts";
import { fathom } from "../cli/capture.ts";
import { scratch } from "../runs/folder.ts";
import { recordedExperiment, started } from "./recorded.ts";

/** A Python that can import these, with a line where there is none. */
function pythonWith(modules: string): string | undefined {
  const names = [process.env["FATHOM_TEST_PYTHON"], "python3"].filter((name) => name !== undefined);
  const found = names.find((name) => spawnSync(name, ["-c", `import ${modules}`]).status === 0);
  if (found === undefined)
    console.warn(`test/export/export.test.ts: python3 does not import ${modules} (pip install): a test is skipped`);
  return found;
}
const withTensorBoard = pythonWith("tensorboard");
const withArrow = pythonWith("pyarrow");
const withJson = pythonWith("json");

/** Standard output of Python. */
function python(name: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(name, args, { encoding: "utf8", maxBuffer: 2 ** 28 });
  expect(status, stderr).toBe(0);
  return stdout;
}

const { dir, ids } = recordedExperiment();
const begun = ids.slice(0, 2);
const exported = join(dir, "export");
let printed: string[];

beforeAll(async () => {
  const { code, stdout, stderr } = await fathom("export", dir, "--format", "tensorboard,parquet,wandb", "--json");
  expect(code, stderr).toBe(0);
  printed = JSON.parse(stdout) as string[];
});

test("every format gets a folder, --json lists its files, and nothing is left aside", () => {
  expect(readdirSync(exported).sort()).toEqual(["parquet", "tensorboard", "wandb"]);
  const within = (format: string): string[] =>
    readdirSync(join(exported, format), { recursive: true, encoding: "utf8" }).map((name) =>
      join(exported, format, name),
    );
  const files = ["tensorboard", "parquet", "wandb"].flatMap(within);
  expect(files).toEqual(expect.arrayContaining(printed));
  expect(printed).toContain(join(exported, "parquet/layers.parquet"));
  expect(printed.filter((file) => file.includes("tfevents"))).toHaveLength(begun.length);
  expect(printed.filter((file) => file.endsWith(".jsonl"))).toHaveLength(begun.length);
});

describe("parquet", () => {
  const read = async (name: string): Promise<Record<string, unknown>[]> =>
    parquetReadObjects({ file: await asyncBufferFromFile(join(exported, `parquet/${name}.parquet`)) });
  const depths = [2n, 3n];
  /** The rows of both runs as the table should have them. */
  const expected = (rowsOf: (runDir: string) => readonly object[]): object[] =>
    begun.flatMap((run, i) => rowsOf(runFolder(dir, run)).map((row) => ({ run, "model.depth": depths[i], ...row })));

  test("hyparquet reads back every row of the three tables, with values that are no numbers", async () => {
    const layers = expected((runDir) =>
      readLayers(runDir).map((row) => ({
        ...row,
        layer: row.layer === "" ? null : row.layer,
        count: BigInt(row.count),
      })),
    );
    expect(await read("layers")).toEqual(layers);
    expect(layers.some((row) => (row as { l2: number }).l2 === Infinity)).toBe(true);
    const metrics = expected((runDir) => readMetrics(runDir).map((row) => ({ ...row, tokens: BigInt(row.tokens) })));
    expect(await read("metrics")).toEqual(metrics);
    expect(metrics.some((row) => Number.isNaN((row as { value: number }).value))).toBe(true);
    expect(await read("readings")).toEqual(expected(readReadings));
  });

  test("runs have their final values, their start and their configuration; one that has not begun is left out", async () => {
    const rows = await read("runs");
    expect(rows.map(({ run, status }) => [run, status])).toEqual([
      [ids[0], "done"],
      [ids[1], "diverged"],
    ]);
    expect(rows[0]).toMatchObject({ "model.depth": 2n, steps: 3, finalDevLoss: 0.7, started: new Date(started) });
    expect(JSON.parse(rows[0]!["config"] as string)).toMatchObject({ model: { depth: { encoder: 2 } } });
  });

  test("columns have types: whole numbers, doubles, texts", async () => {
    const { schema } = await parquetMetadataAsync(await asyncBufferFromFile(join(exported, "parquet/layers.parquet")));
    const types = Object.fromEntries(schema.slice(1).map(({ name, type }) => [name, type]));
    expect(types).toMatchObject({ run: "BYTE_ARRAY", step: "INT32", layer: "INT32", l2: "DOUBLE", count: "INT64" });
  });

  test.skipIf(!withArrow)("pyarrow reads the same values, and texts as dictionaries", () => {
    const found = python(withArrow!, [
      "-c",
      "import sys, json, pyarrow.parquet as pq\n" +
        "file = pq.ParquetFile(sys.argv[1]); table = file.read()\n" +
        "column = file.metadata.row_group(0).column(table.schema.names.index('quantity'))\n" +
        "print(json.dumps([[str(x) for x in table['l2'].to_pylist()], table['layer'].to_pylist(), list(column.encodings)]))",
      join(exported, "parquet/layers.parquet"),
    ]);
    const [l2, layer, encodings] = JSON.parse(found) as [string[], (number | null)[], string[]];
    const rows = begun.flatMap((run) => readLayers(runFolder(dir, run)));
    expect(l2.map((text) => (text === "inf" ? Infinity : Number(text)))).toEqual(rows.map((row) => row.l2));
    expect(layer).toEqual(rows.map((row) => (row.layer === "" ? null : row.layer)));
    expect(encodings).toContain("RLE_DICTIONARY");
  });
});

describe("tensorboard", () => {
  test("records are framed by their length and masked checksums", () => {
    // CRC-32C of "123456789" is e3069283 (RFC 3720, B.4 has others); masked: turned right by 15 bits, plus a282ead8.
    const framed = Buffer.from(record(Buffer.from("123456789")));
    expect(framed.readBigUInt64LE(0)).toBe(9n);
    const mask = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
    expect(framed.readUInt32LE(12 + 9)).toBe(mask(0xe3069283));
  });

  test.skipIf(!withTensorBoard)(
    "TensorBoard reads the same steps and float32 values, its server shows runs, tags and HPARAMS",
    { timeout: 240_000 },
    () => {
      const script = fileURLToPath(new URL("./read_events.py", import.meta.url));
      const text = python(withTensorBoard!, [script, join(exported, "tensorboard")]);
      const found = JSON.parse(text.replace(/\b(NaN|-?Infinity)\b/g, '"$1"')) as {
        runs: Record<
          string,
          {
            scalars: Record<string, [step: number, wallTime: number, value: number | string][]>;
            images: Record<string, unknown[]>;
          }
        >;
        served: Record<string, Record<string, unknown>>;
        experiment: { hparamInfos: { name: string }[]; metricInfos: { name: { tag: string } }[] };
        groups: { hparams: Record<string, unknown>; sessions: { name: string; status: string }[] }[];
      };
      expect(Object.keys(found.runs)).toEqual([...begun].sort());
      for (const id of begun) {
        const { scalars, images } = found.runs[id]!;
        const runDir = runFolder(dir, id);
        const losses = readMetrics(runDir).filter(({ split, name }) => split === "train" && name === "loss");
        const start = Date.parse(started) / 1000;
        expect(scalars["loss/train"]!.map(([step, , value]) => [step, Number(value)])).toEqual(
          losses.map(({ step, value }) => [step, Math.fround(value)]),
        );
        // A double holds seconds since 1970 to some tenths of a microsecond.
        for (const [i, [, wallTime]] of scalars["loss/train"]!.entries())
          expect(wallTime).toBeCloseTo(start + losses[i]!.seconds, 5);
        const first = readLayers(runDir).filter(({ layer }) => layer === 1);
        expect(scalars["encoder.parameter-gradient/layer-01"]!.map(([step, , value]) => [step, Number(value)])).toEqual(
          first.map(({ step, l2 }) => [step, Math.fround(l2)]),
        );
        expect(scalars["encoder.attention-entropy.self-attention/layer-00"]).toHaveLength(3);
        expect(scalars["encoder.attention-entropy.self-attention/layer-00"]![0]![2]).toBe(0.75);
        expect(Object.keys(scalars)).toEqual(
          expect.arrayContaining(["gradient-norm/global", "loss/dev", "loss/dev/en-de"]),
        );
        expect(images["samples/generated"]).toEqual([[2, 3 * 7 + 2, 2 * 6 + 2, "PNG"]]);
        expect(Object.keys(found.served[id]!)).toEqual(expect.arrayContaining(Object.keys(scalars)));
      }
      expect(found.runs[begun[1]!]!.scalars["loss/train"]!.at(-1)![2]).toBe("NaN");
      expect(found.experiment.hparamInfos.map(({ name }) => name)).toEqual(["model.depth"]);
      expect(found.experiment.metricInfos.map(({ name }) => name.tag)).toContain("final/dev-loss");
      const sessions = found.groups.map(({ hparams, sessions: [one] }) => [
        hparams["model.depth"],
        one!.name,
        one!.status,
      ]);
      expect(sessions.sort()).toEqual([
        [2, ids[0], "STATUS_SUCCESS"],
        [3, ids[1], "STATUS_FAILURE"],
      ]);
    },
  );
});

describe("wandb", () => {
  test("numbers that JSON lacks have Python's names", () => {
    expect(pythonJson({ a: [NaN, Infinity, -Infinity, 0.1], "b/c": null, d: undefined })).toBe(
      '{"a": [NaN, Infinity, -Infinity, 0.1], "b/c": null}',
    );
  });

  test.skipIf(!withJson)("Python reads what the run is, then a line a step in order", () => {
    const file = join(exported, "wandb", `${begun[1]}.jsonl`);
    const [head, ...lines] = JSON.parse(
      python(withJson!, [
        "-c",
        "import sys, json\nrows = [json.loads(line) for line in open(sys.argv[1])]\n" +
          "print(json.dumps([{k: str(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]))",
        file,
      ]),
    ) as Record<string, unknown>[];
    expect(head).toMatchObject({ name: begun[1], job_type: "train", config: { model: { depth: { encoder: 3 } } } });
    expect(head!["group"]).toContain("depth=3");
    expect(lines.map((line) => line["_step"])).toEqual([0, 1, 2, 3]);
    expect(lines.map((line) => line["loss/train"])).toEqual(["0.333333333", "0.25", "nan", undefined]);
    expect(lines[3]!["loss/dev"]).toBe("1.7");
    expect(Number(lines[0]!["_timestamp"])).toBeCloseTo(Date.parse(started) / 1000 + 0.25, 5);
  });

  test("the program of docs/export.md gives them to wandb.init and wandb.Run.log", () => {
    const program = /```python\n(import json[^`]*wandb\.init[^`]*)```/.exec(
      readFileSync("docs/export.md", "utf8"),
    )?.[1];
    expect(program).toBeDefined();
    expect(program!.trim().split("\n").length).toBeLessThanOrEqual(13);
    if (!withJson) return;
    // Stands in for the package, whose real one needs an account or leaves a file of its own format.
    const folder = scratch();
    writeFileSync(
      join(folder, "wandb.py"),
      `import json
class Run:
    def __init__(self, **how): self.how, self.rows, self.summary = how, [], {}
    def log(self, row, step): self.rows.append([step, len(row)])
    def finish(self): print(json.dumps([self.how["name"], self.how["project"], self.rows, self.summary["status"]]))
def init(*, project, id, name, group, job_type, tags, config): return Run(project=project, name=name)
`,
    );
    writeFileSync(join(folder, "replay.py"), program!);
    const shown = python(withJson, [join(folder, "replay.py"), join(exported, "wandb", `${begun[0]}.jsonl`)]);
    const [name, , rows, status] = JSON.parse(shown) as [string, string, [number, number][], string];
    expect([name, status]).toEqual([begun[0], "done"]);
    expect(rows.map(([step]) => step)).toEqual([0, 1, 2, 3]);
  });
});

describe("the command", () => {
  test("a run's folder alone is exported with the keys that tell it from the others", async () => {
    const to = join(scratch(), "shared");
    const { code, stderr } = await fathom("export", runFolder(dir, ids[1]!), "--format", "parquet", "--to", to);
    expect(code, stderr).toBe(0);
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(join(to, "parquet/metrics.parquet")) });
    expect([...new Set(rows.map((row) => [row["run"], row["model.depth"]].join()))]).toEqual([`${ids[1]},3`]);
  });

  test("an earlier export is replaced whole; what is none is left alone", async () => {
    const to = scratch();
    mkdirSync(join(to, "wandb"));
    writeFileSync(join(to, "wandb/mine.txt"), "precious");
    const refused = await fathom("export", dir, "--format", "wandb", "--to", to);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("expected no such folder, or an earlier export as wandb");
    expect(readdirSync(to)).toEqual(["wandb"]);
    expect(readFileSync(join(to, "wandb/mine.txt"), "utf8")).toBe("precious");

    writeFileSync(join(exported, "wandb/gone.jsonl"), "of a run that is no longer there");
    expect((await fathom("export", dir, "--format", "wandb", "--quiet")).code).toBe(0);
    expect(existsSync(join(exported, "wandb/gone.jsonl"))).toBe(false);
    expect(readdirSync(exported).sort()).toEqual(["parquet", "tensorboard", "wandb"]);
  });

  test("--to that names a file is refused in a sentence, and the file stays", async () => {
    const to = join(scratch(), "taken.txt");
    writeFileSync(to, "precious");
    const { code, stderr } = await fathom("export", dir, "--format", "wandb", "--to", to);
    expect(code).toBe(2);
    expect(stderr).toMatch(/taken\.txt: expected a folder that can be written to, got .*; choose another with --to/);
    expect(readFileSync(to, "utf8")).toBe("precious");
  });

  test.each([
    [
      ["--format", "parket"],
      'unknown export format "parket"; did you mean "parquet"? Known: parquet, tensorboard, wandb',
    ],
    [[], "expected --format with one or more of parquet, tensorboard, wandb"],
  ])("%j: one error that lists the formats", async (options, message) => {
    const { code, stderr } = await fathom("export", dir, ...options);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  test("a damaged run is told, and leaves the earlier export as it was", async () => {
    const broken = recordedExperiment();
    expect((await fathom("export", broken.dir, "--format", "parquet", "--quiet")).code).toBe(0);
    const before = readFileSync(join(broken.dir, "export/parquet/layers.parquet"));
    writeFileSync(join(runFolder(broken.dir, broken.ids[1]!), "events.jsonl"), "{\n");
    const { code, stderr } = await fathom("export", broken.dir, "--format", "parquet");
    expect(code).toBe(2);
    expect(stderr).toContain("expected an event as the run wrote it");
    expect(readdirSync(join(broken.dir, "export"))).toEqual(["parquet"]);
    expect(readFileSync(join(broken.dir, "export/parquet/layers.parquet"))).toEqual(before);
  });
});
