// The server of `fathom ui` over an experiment that fathom has trained: every address, what it refuses, and whom.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { singleRun } from "../../src/config/sweep.ts";
import { csvOf } from "../../src/plots/csv.ts";
import { loadExperiment } from "../../src/plots/load.ts";
import { layerSeries } from "../../src/plots/layer-series.ts";
import { readExperiment } from "../../src/runs/experiment.ts";
import { gridPng, writeSamples } from "../../src/runs/samples.ts";
import { readMetrics } from "../../src/runs/tables.ts";
import type {
  Curves,
  ExperimentList,
  ExperimentView,
  Figure,
  FigureList,
  LayerWindows,
  RunRecordView,
  SampleList,
  Translations,
  Verification,
} from "../../src/ui/api.ts";
import { hostsOf, refusalOf } from "../../src/ui/guard.ts";
import { startServer } from "../../src/ui/server.ts";
import { fathom } from "../cli/capture.ts";
import { config } from "../runs/folder.ts";
import { leave, planned, plannedExperiment } from "../runs/invented.ts";
import { writeLargeExperiment } from "./large-experiment.ts";
import { asked, at, serve } from "./serving.ts";

const root = mkdtempSync(join(tmpdir(), "fathom-ui-"));
const out = join(root, "results");
const trained = join(out, "debug");
/** An experiment of two depths, trained; and another that is planned and half done, whose name is HTML. */
const odd = `<img src=x onerror=alert(1)> & "co"`;
let ids: string[] = [];

beforeAll(async () => {
  for (const depth of [1, 2])
    expect(
      (
        await fathom(
          "train",
          "configs/debug.yaml",
          `model.depth=${depth}`,
          "train.steps=6",
          "train.evaluateEverySteps=3",
          "--out",
          out,
          "--quiet",
        )
      ).code,
    ).toBe(0);
  writeFileSync(
    join(trained, "experiment.yaml"),
    "# yaml-language-server: x\n#\n# Question: does <b>depth</b> matter\n#   at all?\n# Command: fathom\nname: debug\n",
  );
  ids = readExperiment(trained).runs.map(({ row }) => row.id);
  const runs = [planned(1), planned(2), planned(1, 4)];
  const dir = plannedExperiment(runs);
  leave(dir, runs[0]!, 20, { status: "done", devLoss: 5, reason: "<script>alert(1)</script>" });
  leave(dir, runs[1]!, 10);
  symlinkSync(dir, join(out, "elsewhere"));
  cpSync(dir, join(out, odd), { recursive: true });
  mkdirSync(join(out, "no-experiment"));
  utimesSync(join(trained, "experiment.yaml"), new Date(), new Date(Date.now() + 3_600_000));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The run of depth 2, or 1. */
const run = (depth: number): string =>
  ids.find((id) => readFileSync(join(trained, "runs", id, "config.yaml"), "utf8").includes(`encoder: ${depth}\n`))!;

describe("what is there", () => {
  test("the experiments of a folder are listed, the one that changed last first; other folders are none", async () => {
    const server = await serve(out);
    const list = await server.ok<ExperimentList>("api/experiments");
    expect(list).toMatchObject({ folder: out, hasVerification: false });
    expect(list.experiments.map(({ name }) => name)).toEqual(["debug", odd, "elsewhere"]);
    expect(list.experiments[0]).toMatchObject({
      question: "Does <b>depth</b> matter at all?",
      kinds: ["transformer"],
      counts: { done: 2 },
    });
    expect(list.experiments[1]).toMatchObject({ question: "", counts: { done: 1, stale: 1, pending: 1 } });
    expect(list.experiments[2]!.damage).toMatch(/link to .* lies outside .* is not followed/);
  });

  test("one experiment may be opened alone, and is what there is", async () => {
    const server = await serve(trained);
    const { experiments } = await server.ok<ExperimentList>("api/experiments");
    expect(experiments.map(({ name }) => name)).toEqual(["debug"]);
    expect((await server.ok<ExperimentView>(at("debug"))).runs).toHaveLength(2);
  });

  test("an experiment has its runs as its folder has them", async () => {
    const server = await serve(out);
    const view = await server.ok<ExperimentView>(at("debug"));
    const experiment = readExperiment(trained);
    expect(view).toMatchObject({
      name: "debug",
      question: "Does <b>depth</b> matter at all?",
      varied: ["model.depth"],
      metrics: {
        train: expect.arrayContaining(["loss", "gradient-norm", "learning-rate"]) as unknown,
        dev: expect.arrayContaining(["loss", "loss/en-de"]) as unknown,
      },
      quantities: ["parameter-gradient", "activation-gradient", "activation", "update", "parameter"],
      notes: [],
    });
    expect(view.metrics.train[0]).toBe("loss");
    expect(view.shared).toMatchObject({ seed: 1, "model.residual": "pre-ln", "data.directions": '["en-de"]' });
    expect(view.shared).not.toHaveProperty("model.depth");
    for (const { row, finals } of experiment.runs) {
      const shown = view.runs.find(({ id }) => id === row.id)!;
      expect(shown).toMatchObject({
        kind: "transformer",
        status: "done",
        seed: 1,
        config: { "model.depth": row.config["model.depth"] },
        steps: 6,
        plannedSteps: 6,
        secondsLeft: 0,
        seconds: row.seconds,
        trainLoss: row.finalTrainLoss,
        devLoss: row.finalDevLoss,
        bestDevLoss: row.bestDevLoss,
        unigramEntropy: row.unigramEntropy,
        engine: row.engine,
        finals,
        hasSamples: false,
        hasTranslations: [],
      });
      expect(shown.secondsPerStep).toBeCloseTo(row.seconds / 6, 12);
    }
  });

  test("names and sentences travel as they are", async () => {
    const server = await serve(out);
    const view = await server.ok<ExperimentView>(at(odd));
    expect(view.name).toBe(odd);
    expect(view.runs.map(({ status, reason, steps, seed, config }) => [status, reason, steps, seed, config])).toEqual([
      ["done", "<script>alert(1)</script>", 20, 1, { "model.depth": 2, seed: 1 }],
      ["stale", "", 10, 2, { "model.depth": 2, seed: 2 }],
      ["pending", "", 0, 1, { "model.depth": 4, seed: 1 }],
    ]);
    expect(view.varied).toEqual(["model.depth", "seed"]);
    // As `fathom status` has it: 0.5 s a step; that of the others where a run has none yet.
    expect(
      view.runs.map(({ secondsPerStep, secondsLeft, plannedSteps }) => [secondsPerStep, secondsLeft, plannedSteps]),
    ).toEqual([
      [0.5, 0, 20],
      [0.5, 5, 20],
      [null, 10, 20],
    ]);
  });

  test("curves are those of the table, of all runs or of some", async () => {
    const server = await serve(out);
    const curves = await server.ok<Curves>(at("debug", "curves?split=train&metric=loss"));
    expect([curves.extent, curves.curves.map((curve) => curve.run)]).toEqual([[0, 5], ids]);
    for (const { run: id, steps, values, of } of curves.curves) {
      const rows = readMetrics(join(trained, "runs", id)).filter((row) => row.split === "train" && row.name === "loss");
      expect([steps, values, of]).toEqual([rows.map((row) => row.step), rows.map((row) => row.value), 6]);
    }
    const one = await server.ok<Curves>(at("debug", `curves?split=dev&metric=loss/en-de&runs=${run(2)}&from=4&to=99`));
    expect(one).toMatchObject({ split: "dev", metric: "loss/en-de", curves: [{ run: run(2), of: 1 }] });
    expect(one.extent![0]).toBeLessThan(4);
    expect(await server.ok<Curves>(at("debug", "curves?split=test&metric=none"))).toMatchObject({
      extent: null,
      curves: [],
    });
    // A run without a folder has none.
    expect((await server.ok<Curves>(at(odd, "curves?split=train&metric=loss"))).curves).toHaveLength(2);
  });

  test("layers are those of the figures", async () => {
    const server = await serve(out);
    const layers = await server.ok<LayerWindows>(
      at("debug", `layers?quantity=parameter-gradient&runs=${run(2)},${run(1)}&bins=3`),
    );
    expect(layers).toMatchObject({ quantity: "parameter-gradient", isLogarithmic: true });
    expect(layers.windows.map((window) => window.run)).toEqual([run(2), run(1)]);
    const [window] = layers.windows;
    expect(window).toMatchObject({
      of: 6,
      steps: [0, 3, 5],
      stacks: [
        { stack: "encoder", layers: [1, 2] },
        { stack: "decoder", layers: [1, 2] },
      ],
    });
    const data = loadExperiment(trained).data.runs.find(({ row }) => row.id === run(2))!;
    expect(window!.values).toEqual(
      layerSeries(data, "parameter-gradient").map(({ values }) =>
        [0, 3, 5].map((step) => Number(values[step]!.toPrecision(7))),
      ),
    );
  });

  test("an experiment without its events has the same curves and layers: from its tables", async () => {
    const folder = mkdtempSync(join(root, "large-"));
    const size = { runs: 6, layers: 8, steps: 400 };
    writeLargeExperiment(join(folder, "with"), size);
    writeLargeExperiment(join(folder, "without"), { ...size, keepsEvents: false });
    const server = await serve(folder);
    const view = await server.ok<ExperimentView>(at("without"));
    expect(view.runs.map(({ status, steps }) => [status, steps])).toEqual(Array(6).fill(["done", 400]));
    expect(view.quantities).toEqual(["activation-gradient"]);
    const ids = view.runs.map(({ id }) => id).join();
    for (const query of [
      "curves?split=train&metric=gradient-norm&points=20",
      `layers?quantity=activation-gradient&bins=30&from=7&to=333&runs=${ids}`,
    ])
      expect(await server.ok(at("without", query))).toEqual(await server.ok(at("with", query)));
    const { curves } = await server.ok<Curves>(at("without", "curves?split=train&metric=gradient-norm&points=20"));
    expect(curves.map(({ run, of }) => [run, of])).toEqual(view.runs.map(({ id }) => [id, 400]));
    for (const { steps } of curves) expect(steps.length).toBeLessThanOrEqual(42);
  });

  test("keys that differ with those that tell runs apart are among a run's, and shared by none", async () => {
    const folder = mkdtempSync(join(root, "implied-"));
    const runs = ["pre-ln", "post-ln"].map((residual) => singleRun(config(1, 2, residual)));
    cpSync(plannedExperiment([]), join(folder, "two"), { recursive: true });
    for (const one of runs) leave(join(folder, "two"), one, 2, { status: "done" });
    const server = await serve(folder);
    const view = await server.ok<ExperimentView>(at("two"));
    expect(view.varied).toEqual(["model.residual"]);
    expect(
      Object.fromEntries(view.runs.map((one) => [one.config["model.residual"], one.config["model.finalNorm"]])),
    ).toEqual({
      "pre-ln": true,
      "post-ln": false,
    });
    expect(view.shared).not.toHaveProperty("model.finalNorm");
  });

  test("a folder that is removed while it is shown is said to be gone", async () => {
    const folder = mkdtempSync(join(root, "gone-"));
    const server = await serve(folder);
    expect((await server.ok<ExperimentList>("api/experiments")).experiments).toEqual([]);
    rmSync(folder, { recursive: true });
    expect(await server.refused("api/experiments")).toEqual([
      404,
      expect.stringContaining("expected the folder that was opened"),
    ]);
  });

  test("figures are those of fathom plot", async () => {
    const server = await serve(out);
    const { figures } = await server.ok<FigureList>(at("debug", "figures"));
    expect(figures.map(({ name }) => name)).toEqual(expect.arrayContaining(["gradient-by-layer", "loss-curves"]));
    expect(figures.map(({ name }) => name)).not.toContain("elbo");
    const figure = await server.ok<Figure>(at("debug", "figures", "loss-curves"));
    expect(figure.title).not.toBe("");
    expect(figure.spec).toHaveProperty("$schema");
    expect(figure.csv).toBe(csvOf(figure.spec));
    expect(await server.refused(at("debug", "figures", "elbo"))).toEqual([422, expect.stringContaining("a VAE")]);
    expect((await server.refused(at("debug", "figures", "no-such")))[0]).toBe(404);
  });

  test("pictures, translations and the record of a run", async () => {
    const runDir = join(trained, "runs", run(1));
    const picture = gridPng({
      kind: "generated",
      step: 40,
      epoch: 2,
      rows: 1,
      columns: 2,
      height: 3,
      width: 4,
      images: new Float32Array(24).fill(0.5),
    });
    writeSamples(
      runDir,
      new Map<string, Uint8Array | string>([
        ["generated-step-00000040.png", picture],
        ["generated-step-00000002.png", "torn"],
        [
          "translations-test.jsonl",
          ["Öl", "wine", "<i>"]
            .map(
              (source, i) =>
                `${JSON.stringify({ direction: "en-de", id: i, source, reference: "r", translation: `t${i}` })}\n`,
            )
            .join(""),
        ],
      ]),
    );
    writeFileSync(join(runDir, "log.txt"), `${"x".repeat(70_000)}\nlast line\n`);
    const server = await serve(out);
    const { samples } = await server.ok<SampleList>(at("debug", "runs", run(1), "samples"));
    expect(samples).toEqual([
      { file: "generated-step-00000040.png", kind: "generated", step: 40, epoch: 2, width: 14, height: 7 },
    ]);
    const file = await fetch(new URL(at("debug", "runs", run(1), "samples", samples[0]!.file), server.url));
    expect([file.headers.get("content-type"), Buffer.from(await file.arrayBuffer())]).toEqual([
      "image/png",
      Buffer.from(picture),
    ]);
    expect((await server.refused(at("debug", "runs", run(1), "samples", "generated-step-00000002.png")))[0]).toBe(404);

    const translations = at("debug", "runs", run(1), "translations?split=test");
    expect(await server.ok<Translations>(`${translations}&from=1&count=1`)).toEqual({
      split: "test",
      of: 3,
      lines: [{ direction: "en-de", source: "wine", reference: "r", translation: "t1" }],
    });
    const found = await server.ok<Translations>(`${translations}&find=${encodeURIComponent("öL")}`);
    expect([found.of, found.lines.map(({ source }) => source)]).toEqual([1, ["Öl"]]);
    expect(await server.refused(at("debug", "runs", run(2), "translations"))).toEqual([
      404,
      expect.stringContaining("fathom evaluate"),
    ]);

    const record = await server.ok<RunRecordView>(at("debug", "runs", run(1), "record"));
    expect(record).toEqual({
      record: readFileSync(join(runDir, "run.json"), "utf8"),
      config: readFileSync(join(runDir, "config.yaml"), "utf8"),
      log: "last line\n",
    });
    const view = await server.ok<ExperimentView>(at("debug"));
    expect(view.runs.map(({ id, hasSamples, hasTranslations }) => [id, hasSamples, hasTranslations])).toEqual(
      ids.map((id) => (id === run(1) ? [id, true, ["test"]] : [id, false, []])),
    );
  });

  test("what fathom verify has found; a damaged check hides no other", async () => {
    const claim = {
      name: "a/b",
      statement: "s",
      predicted: 1,
      measured: "Infinity",
      relativeError: null,
      tolerance: 0.1,
      verdict: "fails",
    };
    const figure = {
      kind: "lines",
      title: "t",
      caption: "c",
      x: { title: "x" },
      y: { title: "y" },
      points: [
        { series: "s", x: 1, y: 2 },
        { series: "s", x: 2, y: null },
      ],
    };
    const folder = join(root, "with-checks");
    mkdirSync(join(folder, "verify", "checks"), { recursive: true });
    const write = (name: string, text: string): void => writeFileSync(join(folder, "verify", "checks", name), text);
    write(
      "a.json",
      JSON.stringify({
        check: "a",
        summary: "sum",
        source: "src",
        conditions: "",
        made: "2026-01-01",
        claims: [claim],
        figure,
      }),
    );
    write("b.json", "{");
    const server = await serve(folder);
    expect(await server.ok<ExperimentList>("api/experiments")).toMatchObject({
      experiments: [],
      hasVerification: true,
    });
    const { checks } = await server.ok<Verification>("api/verify");
    expect(checks).toMatchObject([
      { check: "a", summary: "sum", claims: [{ ...claim, measured: null }], made: "2026-01-01" },
      { check: "b", summary: expect.stringMatching(/^damaged: .*b\.json/) as unknown, claims: [], spec: null },
    ]);
    expect(checks[0]!.spec).toHaveProperty("$schema");
  });
});

describe("answers", () => {
  test("what has not changed is not sent again, and what has is", async () => {
    const server = await serve(out);
    const first = await server.get<ExperimentView>(at(odd));
    const etag = first.headers.get("etag")!;
    const again = await server.get(at(odd), { "If-None-Match": `"x", ${etag}` });
    expect([again.status, again.body, again.headers.get("etag")]).toEqual([304, undefined, etag]);
    const runDir = join(out, odd, "runs", first.body.runs[0]!.id);
    const record = readFileSync(join(runDir, "run.json"), "utf8");
    writeFileSync(join(runDir, "run.json"), record.replace("<script>", "<b>"));
    const changed = await server.get<ExperimentView>(at(odd), { "If-None-Match": etag });
    expect([changed.status, changed.body.runs[0]!.reason]).toEqual([200, "<b>alert(1)</script>"]);
    writeFileSync(join(runDir, "run.json"), record);
  });

  test("a large answer is packed for whoever unpacks it", async () => {
    const server = await serve(out);
    const path = `/${at("debug", "figures", "loss-curves")}`;
    const plain = await asked(server, path);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(plain.text.length).toBeGreaterThan(4096);
    const packed = await fetch(new URL(path, server.url), { headers: { "Accept-Encoding": "gzip" } });
    expect(packed.headers.get("content-encoding")).toBe("gzip"); // fetch has unpacked it
    expect(await packed.text()).toBe(plain.text);
  });

  test("HEAD says what GET would, without it", async () => {
    const server = await serve(out);
    for (const path of ["/", "/api/experiments", "/api/events", "/api/nothing"]) {
      const [head, get] = [
        await asked(server, path, { method: "HEAD" }),
        path === "/api/events" ? undefined : await asked(server, path),
      ];
      expect(head.text).toBe("");
      if (get) expect(head.status).toBe(get.status);
      else expect(head.headers["content-type"]).toBe("text/event-stream");
    }
  });

  test("every answer says what a page may do, and lets no other site read it", async () => {
    const server = await serve(out);
    for (const path of ["/", "/api/experiments", "/api/nothing", "/nothing"]) {
      const { headers } = await asked(server, path, { headers: { Origin: server.url.slice(0, -1) } });
      const policy = headers["content-security-policy"]!;
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self'");
      expect(policy).not.toContain("unsafe");
      expect(headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
      });
      expect(headers).not.toHaveProperty("access-control-allow-origin");
    }
  });
});

describe("refused", () => {
  test("names that are not there, and ways out of the folder", async () => {
    const secret = join(root, "secret.txt");
    writeFileSync(secret, "secret");
    const server = await serve(out);
    for (const path of [
      at("none"),
      at("no-experiment"),
      at("..", "curves?split=train&metric=loss"),
      at("../debug"),
      at("debug/../debug"),
      at("."),
      at("debug\0"),
      at("debug", "runs", "none", "record"),
      at("debug", "runs", encodeURIComponent("../.."), "record"),
      at("debug", "runs", run(1), "samples", encodeURIComponent("../config.yaml")),
      at("debug", "runs", run(1), "samples", encodeURIComponent("../../../../../secret.txt")),
      at("debug", "curves?split=train&metric=loss&runs=none"),
      at("debug", "nothing"),
      "api/nothing",
      "api",
    ]) {
      const { status, text } = await asked(server, `/${path}`);
      expect([path, status]).toEqual([path, 404]);
      expect((JSON.parse(text) as { error: string }).error).not.toBe("");
    }
    for (const path of [
      "/../../package.json",
      "/assets/../../../package.json",
      "/..%2f..%2fpackage.json",
      "/assets/%2e%2e/%2e%2e/%2e%2e/package.json",
      "/api/experiments/..%2f..%2fsecret.txt",
      "/api/experiments/%2e%2e/%2e%2e/secret.txt",
      "//secret.txt",
      "/%00",
      "/%ff%zz",
      "/assets",
    ]) {
      const { status, text } = await asked(server, path);
      expect([path, status >= 400 && status < 500]).toEqual([path, true]);
      expect(text).not.toContain("secret\n");
      expect(text).not.toContain('"name": "fathom"');
    }
  });

  test("links that lead out of the folder are not followed, those within it are", async () => {
    const place = mkdtempSync(join(root, "links-"));
    const runs = [planned(1), planned(2), planned(3), planned(4), planned(5)];
    const dir = plannedExperiment(runs);
    for (const one of runs) leave(dir, one, 2, { status: "done" });
    cpSync(dir, join(place, "own"), { recursive: true });
    symlinkSync(join(place, "own"), join(place, "within"));
    const outside = join(root, "outside.json");
    const own = (i: number, ...path: string[]): string => join(place, "own", "runs", runs[i]!.id, ...path);
    renameSync(own(0, "run.json"), outside);
    symlinkSync(outside, own(0, "run.json"));
    rmSync(own(1), { recursive: true });
    symlinkSync(join(dir, "runs", runs[1]!.id), own(1));
    mkdirSync(own(2, "samples"));
    const picture = gridPng({
      kind: "generated",
      step: 1,
      epoch: 1,
      rows: 1,
      columns: 1,
      height: 2,
      width: 2,
      images: new Float32Array(4),
    });
    writeFileSync(join(root, "outside.png"), picture);
    symlinkSync(join(root, "outside.png"), own(2, "samples", "generated-step-00000001.png"));
    symlinkSync(outside, own(3, "log.txt"));
    const server = await serve(place);
    for (const name of ["own", "within"]) {
      const view = await server.ok<ExperimentView>(at(name));
      expect(view.runs.map(({ status }) => status)).toEqual(["damaged", "damaged", "done", "damaged", "done"]);
      for (const i of [0, 1, 3]) expect(view.runs[i]!.reason).toMatch(/got a link to .*outside .* is not followed/);
      expect((await server.refused(at(name, "runs", runs[0]!.id, "record")))[0]).toBe(403);
      expect((await server.refused(at(name, "runs", runs[1]!.id, "record")))[0]).toBe(403);
      expect((await server.refused(at(name, "runs", runs[2]!.id, "samples")))[0]).toBe(403);
      expect((await server.refused(at(name, "runs", runs[3]!.id, "record")))[0]).toBe(403);
      expect((await server.ok<Curves>(at(name, "curves?split=train&metric=loss"))).curves).toHaveLength(2);
      const { leftOut } = await server.ok<FigureList>(at(name, "figures"));
      expect(leftOut.map(({ id }) => id)).toEqual([0, 1, 3].map((i) => runs[i]!.id));
    }
  });

  test("queries that make no sense, or ask for too much, with words that say what was expected", async () => {
    const server = await serve(out);
    const curves = "curves?split=train&metric=loss";
    const layers = `layers?quantity=activation&runs=${run(1)}`;
    for (const [path, words] of [
      ["curves?split=train", /^metric: expected a text/],
      ["curves?metric=loss", /^split: expected a text/],
      [`curves?split=train&metric=${"x".repeat(501)}`, /^metric: /],
      [`${curves}&points=0`, /^points: expected a whole number from 1 to 5000, got "0"/],
      [`${curves}&points=5001`, /^points: /],
      [`${curves}&points=1e3`, /^points: /],
      [`${curves}&from=-1`, /^from: /],
      [`${curves}&from=NaN`, /^from: /],
      [`${curves}&from=99999999999999999999`, /^from: /],
      [`${curves}&from=5&to=4`, /^from, to: expected steps in order/],
      [`${curves}&runs=`, /^runs: expected 1 to 2000 names/],
      [`${curves}&runs=${Array.from({ length: 2001 }, (_, i) => i).join(",")}`, /^runs: /],
      ["layers?quantity=activation", /^runs: /],
      [`${layers}&bins=1`, /^bins: /],
      [`layers?quantity=activation&bins=5000&runs=1,2,3,4,5,6,7,8,9`, /^runs, bins: /],
      [`runs/${run(1)}/translations?split=train`, /^split: expected dev or test/],
      [`runs/${run(1)}/translations?count=1001`, /^count: /],
      [`runs/${run(1)}/translations?find=${"x".repeat(501)}`, /^find: /],
    ] as const) {
      const [status, error] = await server.refused(at("debug", path));
      expect([path, status, error]).toEqual([path, 400, expect.stringMatching(words)]);
    }
    const long = await asked(server, `/${at("debug", curves)}&runs=${"x".repeat(300_000)}`);
    expect(long.status).toBe(431);
  });

  test("methods that change something", async () => {
    const server = await serve(out);
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const { status, headers } = await asked(server, "/api/experiments", { method });
      expect([method, status, headers["allow"]]).toEqual([method, 405, "GET, HEAD"]);
    }
  });

  test("another host's name for this machine, and pages of other sites", async () => {
    const server = await serve(out);
    const { port } = server;
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await asked(server, "/api/experiments", { headers })).status;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, "localhost", "LOCALHOST:9999"])
      expect([host, await status({ Host: host })]).toEqual([host, 200]);
    for (const host of [
      "evil.example",
      `evil.example:${port}`,
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "127.0.0.2",
      "[::2]",
    ])
      expect([host, await status({ Host: host })]).toEqual([host, 403]);
    // What no host is called is no request.
    for (const host of ["a b", "localhost@evil.example", "localhost/"])
      expect([400, 403]).toContain(await status({ Host: host }));
    for (const Origin of [`http://127.0.0.1:${port}`]) expect(await status({ Origin })).toBe(200);
    for (const Origin of [
      "https://evil.example",
      "null",
      `http://127.0.0.1:${port + 1}`,
      "file://",
      `http://localhost.evil.example:${port}`,
    ])
      expect([Origin, await status({ Origin })]).toEqual([Origin, 403]);
    expect(await status({ "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors" })).toBe(403);
    // Another port of this machine is another page.
    expect(await status({ "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors" })).toBe(403);
    expect(await status({ "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "no-cors" })).toBe(200);
    expect(await status({ "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors" })).toBe(200);
    expect(
      (await asked(server, "/", { headers: { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate" } })).status,
    ).not.toBe(403);
    const events = await asked(server, "/api/events", { headers: { Host: "evil.example" } });
    expect([events.status, JSON.parse(events.text)]).toEqual([
      403,
      { error: expect.stringContaining("expected a request to") },
    ]);
  });

  test("bound to all addresses it answers to this machine's own names as well", () => {
    const refused = (host: string): boolean =>
      refusalOf((name) => (name === "host" ? host : undefined), hostsOf("0.0.0.0")) !== undefined;
    expect(["localhost", "127.0.0.1:80", "[::1]:4040"].map(refused)).toEqual([false, false, false]);
    expect(["evil.example", "0.0.0.0.evil.example", ""].map(refused)).toEqual([true, true, true]);
    expect(
      refusalOf((name) => (name === "host" ? "node17.cluster:4040" : undefined), hostsOf("node17.cluster")),
    ).toBeUndefined();
  });
});

describe("starting", () => {
  test("a folder that is none, a port that is taken and a host that is not here are the user's to repair", async () => {
    await expect(startServer({ folder: join(root, "none") })).rejects.toThrow(
      /none: expected an experiment's folder or a folder of experiments, got none/,
    );
    const file = join(root, "file");
    writeFileSync(file, "");
    await expect(startServer({ folder: file })).rejects.toThrow(/got a file/);
    const server = await serve(out);
    await expect(startServer({ folder: out, port: server.port })).rejects.toThrow(
      /port \d+ is taken; choose another --port/,
    );
    await expect(startServer({ folder: out, port: 0, host: "203.0.113.7" })).rejects.toThrow(
      /expected to listen at 203\.0\.113\.7:0/,
    );
  });

  test("without --port it takes the next one that is free", async () => {
    const holder = createServer();
    const taken = await new Promise<boolean>((resolve) => {
      holder.once("error", () => resolve(false)).listen(4040, "127.0.0.1", () => resolve(true));
    });
    const server = await startServer({ folder: out });
    expect(server.port).toBeGreaterThan(4040);
    await server.close();
    if (taken) await new Promise((resolve) => holder.close(resolve));
  });

  test("without a built page it says what to run, and answers all the same", async () => {
    const server = await serve(out, { pageFolder: join(root, "no-page") });
    expect(server.hasPage).toBe(false);
    const { status, text, headers } = await asked(server, "/");
    expect([status, text]).toEqual([503, expect.stringContaining("npm run build")]);
    expect(headers["content-type"]).toMatch(/^text\/html/);
    await server.ok("api/experiments");
  });

  test("the page is sent as it was built: its address anew each time, assets once", async () => {
    const pageFolder = mkdtempSync(join(root, "page-"));
    mkdirSync(join(pageFolder, "assets"));
    writeFileSync(join(pageFolder, "index.html"), "<!doctype html><p>page");
    writeFileSync(join(pageFolder, "assets", "main-abc.js"), `//${"x".repeat(5000)}`);
    const server = await serve(out, { pageFolder });
    const page = await asked(server, "/");
    expect([page.status, page.text, page.headers["cache-control"]]).toEqual([
      200,
      "<!doctype html><p>page",
      "no-cache",
    ]);
    const asset = await asked(server, "/assets/main-abc.js", { headers: { "Accept-Encoding": "gzip" } });
    expect(asset.headers).toMatchObject({
      "cache-control": expect.stringContaining("immutable") as unknown,
      "content-encoding": "gzip",
    });
    expect(asset.headers["content-type"]).toMatch(/^text\/javascript/);
    expect((await asked(server, "/assets/none.js")).status).toBe(404);
  });
});

describe("fathom ui", () => {
  test("prints where it is, serves until it is interrupted, and leaves nothing behind", async () => {
    const running = fathom("ui", "debug", "--out", out, "--port", "0", "--json");
    await expect.poll(() => vi.mocked(console.log).mock.calls.length, { timeout: 30_000 }).toBe(1);
    const { url } = JSON.parse(String(vi.mocked(console.log).mock.calls[0]![0])) as { url: string };
    const list = (await (await fetch(new URL("api/experiments", url))).json()) as ExperimentList;
    expect(list.experiments.map(({ name }) => name)).toEqual(["debug"]);
    process.emit("SIGINT");
    const { code, stderr } = await running;
    expect(code).toBe(130);
    expect(stderr).not.toContain("whoever can reach");
    await expect(fetch(url)).rejects.toThrow();
    expect(process.listenerCount("SIGINT")).toBe(0);
  });

  test("says in words that it can be reached from elsewhere, and what ends it", async () => {
    const running = fathom("ui", out, "--port", "0", "--host", "0.0.0.0");
    await expect
      .poll(() => vi.mocked(console.error).mock.calls.flat().join(), { timeout: 30_000 })
      .toContain("whoever can reach this machine");
    process.emit("SIGINT");
    const { code, stdout } = await running;
    expect([code, stdout]).toEqual([130, expect.stringMatching(/ at http:\/\/localhost:\d+\/\nCtrl-C ends it\n$/)]);
  });

  test("bad arguments are refused with words", async () => {
    for (const [args, words] of [
      [["--port", "x"], /--port: expected a whole number from 0 to 65535/],
      [["--port", "70000"], /--port: /],
      [["nowhere"], /nowhere: expected an experiment's folder/],
    ] as const) {
      const { code, stderr } = await fathom("ui", ...args, "--out", out);
      expect([code, stderr]).toEqual([2, expect.stringMatching(words)]);
    }
  });
});
