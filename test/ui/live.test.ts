// What a page sees while runs train: changes are told as they happen, and answers have what was added.
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { openRecorder } from "../../src/runs/events.ts";
import { claim } from "../../src/runs/lease.ts";
import { freezePlan, planRuns } from "../../src/runs/manifest.ts";
import { createRunFolder, startRun, updateRun } from "../../src/runs/run-folder.ts";
import { writeTables } from "../../src/runs/tables.ts";
import type { Change, Curves, ExperimentView, Figure, FigureList, LayerWindows } from "../../src/ui/api.ts";
import type { Library } from "../../src/ui/library.ts";
import { openWatch } from "../../src/ui/watch.ts";
import { layerRows, loss } from "../runs/folder.ts";
import { leave, planned, plannedExperiment } from "../runs/invented.ts";
import { listen, type Listener } from "./listening.ts";
import { asked, at, serve, type Served } from "./serving.ts";

const root = mkdtempSync(join(tmpdir(), "fathom-ui-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const listeners: Listener[] = [];
afterEach(() => listeners.splice(0).forEach((listener) => listener.close()));

/** A folder with an experiment of two planned runs. */
function folder(): { out: string; dir: string; runs: ReturnType<typeof planned>[] } {
  const out = mkdtempSync(join(root, "results-"));
  const runs = [planned(1), planned(2)];
  const dir = join(out, "live");
  freezePlan(dir, planRuns(dir, runs));
  return { out, dir, runs };
}

/** Listens, once it is known how all stands. */
async function listening(server: Served): Promise<Listener> {
  const listener = await listen(server);
  listeners.push(listener);
  expect(await listener.next()).toEqual({ changed: [], gone: [], runs: {} });
  return listener;
}

test("a run that begins, trains and ends is told step by step, and curves and layers grow with it", async () => {
  const { out, dir, runs } = folder();
  const [run] = runs;
  const server = await serve(out);
  const listener = await listening(server);
  const status = async (): Promise<unknown[]> => {
    const view = await server.ok<ExperimentView>(at("live"));
    const { status, steps, trainLoss, devLoss, secondsLeft } = view.runs.find(({ id }) => id === run!.id)!;
    return [status, steps, trainLoss, devLoss, secondsLeft];
  };
  const curve = async (): Promise<unknown> =>
    (await server.ok<Curves>(at("live", "curves?split=train&metric=loss"))).curves.map(({ steps, values, of }) => [
      steps,
      values,
      of,
    ]);
  const layers = async (): Promise<unknown> =>
    (await server.ok<LayerWindows>(at("live", `layers?quantity=parameter-gradient&runs=${run!.id}`))).windows.map(
      ({ steps, values }) => [steps, values],
    );
  expect(await status()).toEqual(["pending", 0, null, null, null]);
  expect([await curve(), await layers()]).toEqual([[], []]);

  const runDir = createRunFolder(dir, run!.id);
  const lease = await claim(runDir);
  startRun(runDir, run!);
  const recorder = openRecorder(runDir);
  recorder.metrics([{ ...loss(0, 8), seconds: 0.5 }]);
  recorder.layers(0, layerRows(0));
  expect(await listener.next()).toEqual({ changed: ["live"], gone: [], runs: { live: [run!.id] } });
  expect(await status()).toEqual(["running", 1, 8, null, 9.5]);
  expect([await curve(), await layers()]).toEqual([[[[0], [8], 1]], [[[0], [[1.333333]]]]]);

  recorder.metrics([{ ...loss(1, NaN), seconds: 1 }]);
  recorder.metrics([{ ...loss(2, 7, "dev"), seconds: 1.5 }]);
  recorder.layers(1, layerRows(1));
  await listener.until(({ runs: of }) => of["live"]?.[0] === run!.id);
  expect(await status()).toEqual(["running", 2, null, 7, 18 * 0.75]);
  expect([await curve(), await layers()]).toEqual([[[[0, 1], [8, null], 2]], [[[0, 1], [[1.333333, 1.666667]]]]]);

  // Half a line is on its way.
  appendFileSync(join(runDir, "events.jsonl"), '{"type":"metrics","rows":[[2,');
  await listener.until(({ runs: of }) => of["live"]?.[0] === run!.id);
  expect((await status())[1]).toBe(2);
  recorder.close();

  // The run goes on from its first step: what was behind it is cut off, and comes anew.
  const resumed = openRecorder(runDir, { afterStep: 0 });
  for (const step of [1, 2, 3]) {
    resumed.metrics([{ ...loss(step, 6 - step), seconds: step }]);
    resumed.layers(step, layerRows(step));
  }
  resumed.close();
  await listener.until(({ runs: of }) => of["live"]?.[0] === run!.id);
  expect(await status()).toEqual(["running", 4, 3, null, 12]);
  expect(await curve()).toEqual([[[0, 1, 2, 3], [8, 5, 4, 3], 4]]);

  writeTables(runDir);
  updateRun(runDir, { status: "done", steps: 4 });
  await lease!.release();
  await expect.poll(async () => (await status())[0], { timeout: 10_000 }).toBe("done");
  expect(await listener.next()).toEqual({ changed: ["live"], gone: [], runs: { live: [run!.id] } });
  expect(await status()).toEqual(["done", 4, 3, null, 0]);
  expect(await curve()).toEqual([[[0, 1, 2, 3], [8, 5, 4, 3], 4]]);
});

test("figures follow what runs record", async () => {
  const { out, dir, runs } = folder();
  const server = await serve(out);
  const figures = async (): Promise<string[]> =>
    (await server.ok<FigureList>(at("live", "figures"))).figures.map(({ name }) => name);
  expect(await figures()).toEqual([]);
  leave(dir, runs[0]!, 3, { status: "done" });
  const first = await figures();
  expect(first).toContain("loss-curves");
  const spec = async (): Promise<string> =>
    JSON.stringify((await server.ok<Figure>(at("live", "figures", "loss-curves"))).spec);
  const before = await spec();
  expect(await spec()).toBe(before);
  leave(dir, runs[1]!, 5, { status: "done" });
  expect(await spec()).not.toBe(before);
});

test("experiments and runs that appear and go are changes", async () => {
  const { out, dir, runs } = folder();
  const server = await serve(out);
  const listener = await listening(server);
  // What is renamed is there, or gone, at once: no look falls into the middle of it.
  renameSync(plannedExperiment([planned(3)]), join(out, "<b>new"));
  expect(await listener.next()).toEqual({ changed: ["<b>new"], gone: [], runs: { "<b>new": [planned(3).id] } });
  const aside = plannedExperiment([]);
  renameSync(leave(aside, planned(9), 2, { status: "done" }), join(out, "moved"));
  mkdirSync(join(dir, "runs"));
  renameSync(join(out, "moved"), join(dir, "runs", planned(9).id));
  const [found] = (await listener.until(({ changed }) => changed.includes("live"))).slice(-1);
  expect(found).toEqual({ changed: ["live"], gone: [], runs: { live: [planned(9).id] } });
  expect((await server.ok<ExperimentView>(at("live"))).runs.map(({ id, status }) => [id, status])).toEqual([
    ...runs.map(({ id }) => [id, "pending"]),
    [planned(9).id, "done"],
  ]);
  renameSync(join(dir, "runs", planned(9).id), join(aside, "gone"));
  expect(await listener.next()).toEqual({ changed: ["live"], gone: [], runs: {} });
  renameSync(join(out, "<b>new"), join(aside, "new"));
  expect(await listener.next()).toEqual({ changed: [], gone: ["<b>new"], runs: {} });
  mkdirSync(join(out, "verify", "checks"), { recursive: true });
  writeFileSync(join(out, "verify", "checks", "a.json"), "{}");
  expect(await listener.next()).toEqual({ changed: ["verify"], gone: [], runs: {} });
});

test("a run whose holder falls silent is stale, though no file of it has changed", async () => {
  const { out, dir, runs } = folder();
  const runDir = leave(dir, runs[0]!, 3);
  // Held by another machine, silent for nearly as long as counts as dead.
  mkdirSync(join(runDir, "lease"));
  const beat = join(runDir, "lease", "000001.json");
  writeFileSync(beat, JSON.stringify({ host: "elsewhere", pid: 1, kernel: "another", beat: 7 }));
  const silent = (seconds: number): void => utimesSync(beat, new Date(), new Date(Date.now() - 1000 * seconds));
  silent(12);
  const server = await serve(out);
  const listener = await listening(server);
  const status = async (): Promise<string> => (await server.ok<ExperimentView>(at("live"))).runs[0]!.status;
  expect(await status()).toBe("running");
  const etag = (await server.get(at("live"))).headers.get("etag")!;
  const change = await listener.next(30);
  expect(change).toEqual({ changed: ["live"], gone: [], runs: { live: [runs[0]!.id] } });
  expect(await status()).toBe("stale");
  expect((await server.get(at("live"), { "If-None-Match": etag })).status).toBe(200);
  silent(0); // it was only slow
  expect(await listener.next()).toEqual(change);
  expect(await status()).toBe("running");
});

test("all who listen are told; one who comes later from then on", async () => {
  const { out, dir, runs } = folder();
  const server = await serve(out);
  const first = await listening(server);
  leave(dir, runs[0]!, 2);
  const change = await first.next();
  const second = await listening(server);
  leave(dir, runs[1]!, 2);
  const after = await second.next();
  expect(change.runs).toEqual({ live: [runs[0]!.id] });
  expect(after.runs).toEqual({ live: [runs[1]!.id] });
  expect(await first.next()).toEqual(after);
});

test("streams of changes are bounded, and one that is closed makes room", async () => {
  const { out } = folder();
  const server = await serve(out);
  for (let i = 0; i < 64; i++) listeners.push(await listen(server));
  const { status, text } = await asked(server, "/api/events");
  expect([status, JSON.parse(text)]).toEqual([503, { error: expect.stringContaining("at most 64 pages") as unknown }]);
  listeners[0]!.close();
  await expect
    .poll(
      async () => {
        const one = await fetch(new URL("api/events", server.url));
        await one.body?.cancel();
        return one.status;
      },
      { timeout: 10_000 },
    )
    .toBe(200);
});

test("files are looked at while somebody listens, and no longer; a look that fails is followed by the next", async () => {
  let looks = 0;
  let fails = false;
  const errors: unknown[] = [];
  const library = {
    standings: () => {
      looks++;
      return fails
        ? Promise.reject(new Error("gone"))
        : Promise.resolve({ experiments: [], verification: String(looks) });
    },
  } as unknown as Library;
  const watch = openWatch(library, (error) => errors.push(error));
  expect(looks).toBe(0);
  const changes: Change[] = [];
  const stop = watch.listen((change) => changes.push(change));
  await expect.poll(() => changes.length).toBe(1);
  fails = true;
  await expect.poll(() => errors.length, { timeout: 5000 }).toBe(1);
  fails = false;
  await expect.poll(() => changes.length, { timeout: 5000 }).toBe(2);
  expect(changes[1]).toEqual({ changed: ["verify"], gone: [], runs: {} });
  stop();
  const before = looks;
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(looks).toBe(before);
  watch.close();
});
