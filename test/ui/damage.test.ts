// Folders that were damaged: what can be read is shown, what cannot with the reason, and nothing takes the server down.
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { singleRun, type PlannedRun } from "../../src/config/sweep.ts";
import type { Curves, ExperimentList, ExperimentView, Figure, FigureList, LayerWindows } from "../../src/ui/api.ts";
import type { jobs } from "../../src/ui/jobs.ts";
import { openThread } from "../../src/ui/thread.ts";
import { mutated } from "../fuzz/mutations.ts";
import { config } from "../runs/folder.ts";
import { leave, planned, plannedExperiment } from "../runs/invented.ts";
import { asked, at, serve } from "./serving.ts";

const root = mkdtempSync(join(tmpdir(), "fathom-ui-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** An experiment of runs that are done, in a folder of its own with a sound one beside it; `alone`: without a manifest. */
function damagedExperiment(
  count: number,
  damage: (runDirs: readonly string[], dir: string) => void,
  { alone = false, unfinished = false } = {},
): { out: string; ids: string[] } {
  const out = mkdtempSync(join(root, "results-"));
  const runs = Array.from({ length: count }, (_, i): PlannedRun => (alone ? singleRun(config(i + 1)) : planned(i + 1)));
  const from = plannedExperiment(alone ? [] : runs);
  for (const run of runs) leave(from, run, 3, unfinished ? {} : { status: "done", devLoss: 5 });
  cpSync(from, join(out, "broken"), { recursive: true });
  const sound = plannedExperiment([planned(1)]);
  leave(sound, planned(1), 2, { status: "done" });
  cpSync(sound, join(out, "sound"), { recursive: true });
  damage(
    runs.map(({ id }) => join(out, "broken", "runs", id)),
    join(out, "broken"),
  );
  return { out, ids: runs.map(({ id }) => id) };
}

/** What is shown of the runs of `broken`: how each stands, and why. And that the sound one beside it is whole. */
async function shown(out: string, ids: readonly string[]): Promise<[status: string, reason: string][]> {
  const server = await serve(out);
  const view = await server.ok<ExperimentView>(at("broken"));
  const list = await server.ok<ExperimentList>("api/experiments");
  expect((await server.ok<ExperimentView>(at("sound"))).runs.map(({ status }) => status)).toEqual(["done"]);
  expect(list.experiments.map(({ name }) => name).sort()).toEqual(["broken", "sound"]);
  const counts: Record<string, number> = {};
  for (const { status } of view.runs) counts[status] = (counts[status] ?? 0) + 1;
  expect(list.experiments.find(({ name }) => name === "broken")!.counts).toEqual(counts);
  expect(view.runs.map(({ id }) => id)).toEqual(expect.arrayContaining([...ids]));
  const { curves } = await server.ok<Curves>(at("broken", "curves?split=train&metric=loss"));
  for (const { id, status } of view.runs) if (status === "done") expect(curves.map(({ run }) => run)).toContain(id);
  return ids.map((id) => {
    const { status, reason } = view.runs.find((run) => run.id === id)!;
    return [status, reason];
  });
}

const damaged = (words: string | RegExp): unknown => ["damaged", expect.stringMatching(words)];
const whole = ["done", ""];

test("runs of a sweep: each says what is wrong with it, and hides no other", async () => {
  const { out, ids } = damagedExperiment(9, ([torn, other, config, missing, binary, foreign, row, cutOff]) => {
    truncateSync(join(torn!, "run.json"), 50);
    writeFileSync(join(other!, "run.json"), '{"id": 3}');
    writeFileSync(join(config!, "config.yaml"), "\0\u0001{[garbage: - -");
    rmSync(join(missing!, "layers.csv"));
    writeFileSync(join(binary!, "metrics.csv"), Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256)));
    writeFileSync(join(foreign!, "layers.csv"), "a,b\n1,2\n");
    const metrics = join(row!, "metrics.csv");
    writeFileSync(metrics, readFileSync(metrics, "utf8").replace(/^1,.*$/m, "1,20,zero,train,loss,7"));
    const cut = join(cutOff!, "metrics.csv");
    truncateSync(cut, statSync(cut).size - 3);
  });
  expect(await shown(out, ids)).toEqual([
    damaged(/run\.json: expected a run's record as it was written, got .*; restore it, or remove the folder/),
    damaged(/run\.json: .* got something else/),
    damaged(/config\.yaml: expected a run's configuration/),
    damaged(/layers\.csv: expected a table, since the run is done, got none; run it again/),
    damaged(/expected tables as the run wrote them, got others/),
    damaged(/expected tables as the run wrote them, got others/),
    damaged(/metrics\.csv: expected a table as the run wrote it, got the row/),
    damaged(/metrics\.csv: expected a table as the run wrote it, got a table that was cut off/),
    whole,
  ]);
  // Figures are made of the one that is whole, and say so.
  const server = await serve(out);
  const { figures, leftOut } = await server.ok<FigureList>(at("broken", "figures"));
  expect(leftOut.map(({ id }) => id)).toEqual(ids.slice(0, 8));
  expect(leftOut[3]!.reason).toMatch(/layers\.csv: expected a table/);
  expect(figures.map(({ name }) => name)).toContain("loss-curves");
  expect((await server.ok<Figure>(at("broken", "figures", "loss-curves"))).title).not.toBe("");
});

test("runs of fathom train, and folders that are none", async () => {
  const { out, ids } = damagedExperiment(
    4,
    ([garbage, gone, large], dir) => {
      writeFileSync(join(garbage!, "config.yaml"), "model: [");
      rmSync(join(gone!, "config.yaml"));
      writeFileSync(join(large!, "config.yaml"), `# ${"x".repeat(2_100_000)}\n`);
      mkdirSync(join(dir, "runs", "empty"));
      writeFileSync(join(dir, "runs", "a-file"), "");
      writeFileSync(join(dir, "runs", ".DS_Store"), "");
      symlinkSync("nowhere", join(dir, "runs", "dangling"));
    },
    { alone: true },
  );
  expect(await shown(out, ids)).toEqual([
    damaged(/config\.yaml: expected a run's configuration/),
    damaged(/expected the folder of a run, got one without config\.yaml/),
    damaged(/config\.yaml: .*2100003 bytes are more than any has/),
    whole,
  ]);
  const server = await serve(out);
  const { runs } = await server.ok<ExperimentView>(at("broken"));
  expect(runs.filter(({ id }) => !ids.includes(id)).map(({ id, status, reason }) => [id, status, reason])).toEqual([
    ["dangling", "damaged", expect.stringContaining("a link that leads nowhere")],
  ]);
});

test("events of runs that go on: a damaged line is told, a torn last one is not there yet", async () => {
  const { out, ids } = damagedExperiment(
    5,
    ([line, torn, binary, empty]) => {
      const file = join(line!, "events.jsonl");
      writeFileSync(
        file,
        readFileSync(file, "utf8").replace('{"type":"metrics","rows":[[1,', '{"type":"metrics","rows":[["1",'),
      );
      appendFileSync(join(torn!, "events.jsonl"), '{"type":"metrics","rows":[[3,40,2,"train","loss",');
      writeFileSync(join(binary!, "events.jsonl"), Buffer.alloc(10_000, "\0\n\xff", "latin1"));
      writeFileSync(join(empty!, "events.jsonl"), "");
    },
    { unfinished: true },
  );
  expect(await shown(out, ids)).toEqual([
    damaged(/events\.jsonl:2: expected an event as the run wrote it, got something else/),
    ["stale", ""],
    damaged(/events\.jsonl:1: expected an event/),
    ["stale", ""],
    ["stale", ""],
  ]);
  const server = await serve(out);
  const layers = (i: number): Promise<[number, string]> =>
    server.refused(at("broken", `layers?quantity=parameter-gradient&runs=${ids[i]}`));
  expect(await layers(2)).toEqual([422, expect.stringContaining("events.jsonl")]);
  const { windows } = await server.ok<LayerWindows>(
    at("broken", `layers?quantity=parameter-gradient&runs=${ids[2]},${ids[4]}`),
  );
  expect(windows.map(({ run }) => run)).toEqual([ids[4]]);
});

test.skipIf(process.platform === "win32")(
  "what is no file is not waited for, and what is too large is not read",
  async () => {
    const { out, ids } = damagedExperiment(5, ([pipe, folder, large, manyBytes]) => {
      rmSync(join(pipe!, "run.json"));
      execFileSync("mkfifo", [join(pipe!, "run.json")]);
      rmSync(join(folder!, "metrics.csv"));
      mkdirSync(join(folder!, "metrics.csv"));
      truncateSync(join(large!, "run.json"), 2 ** 24 + 1);
      truncateSync(join(manyBytes!, "metrics.csv"), 2 ** 30 + 1); // of which its disk holds nothing
    });
    expect(await shown(out, ids)).toEqual([
      damaged(/run\.json: expected a file or folder, got a pipe, socket or device; remove it/),
      damaged(/metrics\.csv: expected a table, since the run is done, got none/),
      damaged(/run\.json: expected a run's record of at most 16777216 bytes, got 16777217/),
      damaged(/metrics\.csv: expected at most 1073741824 bytes to show here, got 1073741825/),
      whole,
    ]);
  },
);

test("a thread that runs out of memory fails what it was asked, and the next is asked of another", async () => {
  const { out, ids } = damagedExperiment(1, () => {});
  const runs = [{ id: ids[0]!, dir: join(out, "broken", "runs", ids[0]!) }];
  const start = { root: out, mostBytes: { tables: 1e6, notes: 1e6 } };
  const small = openThread<typeof jobs>("reader", start, 4);
  try {
    for (let i = 0; i < 2; i++) {
      const asked = small.ask("facts", runs);
      await expect(asked).rejects.toThrow("expected what fits into memory, got more; ask for less");
    }
  } finally {
    await small.close();
  }
  const enough = openThread<typeof jobs>("reader", start, 512);
  try {
    expect(await enough.ask("facts", runs)).toMatchObject([{ id: ids[0], status: "done" }]);
  } finally {
    await enough.close();
  }
});

test("a manifest that was changed by hand: the runs in their folders are there, and a note says why no more", async () => {
  const { out, ids } = damagedExperiment(2, (_runDirs, dir) => {
    const file = join(dir, "manifest.jsonl");
    writeFileSync(file, readFileSync(file, "utf8").replace('"seed":2', '"seed":3'));
  });
  const server = await serve(out);
  const view = await server.ok<ExperimentView>(at("broken"));
  expect(view.notes).toEqual([expect.stringMatching(/manifest\.jsonl:2: .* does not match its hash/)]);
  expect(view.runs.map(({ id, status }) => [id, status])).toEqual([...ids].sort().map((id) => [id, "done"]));
  expect(await server.refused(at("broken", "figures"))).toEqual([422, expect.stringContaining("manifest.jsonl")]);
});

test("a manifest whose runs would lie elsewhere names none", async () => {
  const { out, ids } = damagedExperiment(1, (_runDirs, dir) => {
    const file = join(dir, "manifest.jsonl");
    writeFileSync(file, readFileSync(file, "utf8").replace(/"id":"[^"]*"/, '"id":"../../sound/runs/x"'));
  });
  const server = await serve(out);
  const view = await server.ok<ExperimentView>(at("broken"));
  expect(view.notes).toEqual([expect.stringContaining("is no run's name")]);
  expect(view.runs.map(({ id }) => id)).toEqual(ids);
  const list = await server.ok<ExperimentList>("api/experiments");
  expect(list.experiments.map(({ name, counts }) => [name, counts]).sort()).toEqual([
    ["broken", { done: 1 }],
    ["sound", { done: 1 }],
  ]);
});

test("experiments of which nothing can be read are told with the reason", async () => {
  const { out } = damagedExperiment(1, (_runDirs, dir) => {
    rmSync(join(dir, "runs"), { recursive: true });
    writeFileSync(join(dir, "manifest.jsonl"), "\0\0\0\n\xff");
    mkdirSync(join(dir, "..", "odd"));
    writeFileSync(join(dir, "..", "odd", "manifest.jsonl"), "");
    writeFileSync(join(dir, "..", "odd", "runs"), "a file");
    mkdirSync(join(dir, "..", "empty", "runs"), { recursive: true });
  });
  const server = await serve(out);
  const { experiments } = await server.ok<ExperimentList>("api/experiments");
  expect(experiments.map(({ name, counts, damage }) => [name, counts, damage]).sort()).toEqual([
    ["broken", {}, expect.stringMatching(/manifest\.jsonl: expected planned runs, got/)],
    ["empty", {}, undefined],
    ["odd", {}, expect.stringMatching(/./)],
    ["sound", { done: 1 }, undefined],
  ]);
  for (const { name } of experiments) expect((await server.get<ExperimentView>(at(name))).status).toBe(200);
});

test("whatever chance makes of a file, every address answers, and the runs that were not touched are whole", async () => {
  const { out, ids } = damagedExperiment(3, () => {});
  const server = await serve(out);
  const runDir = join(out, "broken", "runs", ids[0]!);
  const files = readdirSync(runDir).filter((name) => statSync(join(runDir, name)).isFile());
  expect(files).toEqual(
    expect.arrayContaining(["run.json", "config.yaml", "events.jsonl", "metrics.csv", "layers.csv"]),
  );
  const pieces = [
    "NaN",
    "Infinity",
    '"',
    ",",
    "\n",
    "{}",
    "[",
    "\0",
    "train,loss",
    "1e999",
    "-",
    '"values":[',
    '{"type":"layers","step":1,"header":7,"values":[]}\n',
  ];
  const originals = new Map(files.map((file) => [file, readFileSync(join(runDir, file))]));
  const change = fc
    .constantFrom(...files)
    .chain((file) => fc.tuple(fc.constant(file), mutated(originals.get(file)!, pieces), fc.boolean()));
  await fc.assert(
    fc.asyncProperty(change, async ([file, bytes, withoutEvents]) => {
      if (withoutEvents && file !== "events.jsonl") rmSync(join(runDir, "events.jsonl"));
      writeFileSync(join(runDir, file), bytes);
      try {
        const view = await server.ok<ExperimentView>(at("broken"));
        expect(view.runs.map(({ id }) => id)).toEqual(ids);
        expect(view.runs.slice(1).map(({ status }) => status)).toEqual(["done", "done"]);
        if (view.runs[0]!.status === "damaged") expect(view.runs[0]!.reason).not.toBe("");
        const { curves } = await server.ok<Curves>(at("broken", "curves?split=train&metric=loss"));
        expect(curves.map(({ run }) => run)).toEqual(expect.arrayContaining(ids.slice(1)));
        for (const path of [
          "api/experiments",
          at("broken", `layers?quantity=parameter-gradient&runs=${ids[0]}`),
          at("broken", "runs", ids[0]!, "record"),
          at("broken", "runs", ids[0]!, "samples"),
        ]) {
          const { status, text } = await asked(server, `/${path}`);
          expect([path, status, text.length > 2]).toEqual([path, status === 422 ? 422 : 200, true]);
        }
      } finally {
        for (const [name, original] of originals) writeFileSync(join(runDir, name), original);
      }
    }),
    { numRuns: 150 },
  );
});
