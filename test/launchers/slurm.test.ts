// Launcher slurm on a real Slurm of one node (slurm-cluster.ts). Skipped where Debian's packages of it are missing; CI installs them.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "csv-parse/sync";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Job, LaunchOptions, Outcome, Work } from "../../src/launchers/launcher.ts";
import { slurm } from "../../src/launchers/slurm.ts";
import { fathom } from "../cli/capture.ts";
import { launchOptions } from "./options.ts";
import { hasSlurm, startCluster, type Cluster } from "./slurm-cluster.ts";

const options = (more: Partial<LaunchOptions> = {}): LaunchOptions => launchOptions(slurm, { jobs: 4, ...more });

describe("without a cluster", () => {
  const work: Work = { experimentDir: "/nowhere", command: [], jobs: [job("a", 0, "/nowhere")] };

  test("one clear error says that Slurm's programs are missing", async () => {
    const before = process.env["PATH"];
    process.env["PATH"] = "/nowhere";
    try {
      await expect(slurm.launch(work, options())).rejects.toThrow(
        "expected Slurm's scontrol on the PATH, got none; start the sweep where jobs are submitted",
      );
    } finally {
      process.env["PATH"] = before;
    }
  });

  test.each([
    ["runs-per-task", "0", '--option runs-per-task: expected a whole number of 1 or more, got "0"'],
    ["retries", "often", '--option retries: expected a whole number of 0 or more, got "often"'],
    ["sbatch", "--account=x other.sh", "each in one word and none that fathom sets itself, got other.sh"],
    ["sbatch", "--array=0-3", "got --array=0-3"],
    ["sbatch", "-o/tmp/x", "got -o/tmp/x"],
  ])("--option %s=%s is refused", async (name, value, message) => {
    await expect(slurm.launch(work, options({ settings: { [name]: value } }))).rejects.toThrow(message);
  });
});

/** A job in an experiment's folder, as `fathom sweep` hands it over. */
function job(id: string, index: number, experimentDir: string): Job {
  return { id, index, hash: "0123456789abcdef", logFile: join(experimentDir, "runs", id, "log.txt") };
}

/** A program in the place of fathom: of the run that it is given, does what the line of JavaScript in `<id>.js` says. There `attempt`
 *  counts from 1, `done()` writes a finished run and ends, `wait()` waits for a signal, `script` is the process of the task's script. */
const standIn = `
  const { appendFileSync, readdirSync, readFileSync, writeFileSync } = require("node:fs");
  const { join } = require("node:path");
  const of = (flag) => process.argv[process.argv.indexOf(flag) + 1];
  const runs = readFileSync(join(__dirname, "jobs.txt"), "utf8").split("\\n");
  for (const index of of("--index").split(",")) {
    const id = runs[index];
    const dir = join(__dirname, "runs", id);
    appendFileSync(join(dir, "attempts.txt"), "x");
    const attempt = readFileSync(join(dir, "attempts.txt"), "utf8").length;
    const done = () => {
      const record = JSON.parse(readFileSync(join(__dirname, "run.json"), "utf8"));
      writeFileSync(join(dir, "metrics.csv"), "step,tokens,seconds,split,name,value\\n");
      writeFileSync(join(dir, "layers.csv"), "step,player,stack,layer,component,parameter,quantity,l2,rms,max,count\\n");
      writeFileSync(join(dir, "run.json"), JSON.stringify({ ...record, id }));
      process.exit(0);
    };
    const wait = (then) => process.on("SIGUSR2", then) && setInterval(() => {}, 1000);
    const commandOf = (pid) => {
      try { return readFileSync("/proc/" + pid + "/cmdline", "utf8"); } catch { return ""; }
    };
    const job = "job" + process.env.SLURM_JOB_ID.padStart(5, "0") + "/slurm_script";
    const isScript = (command) => command.startsWith("/bin/bash") && command.includes(job);
    const script = Number(readdirSync("/proc").find((pid) => isScript(commandOf(pid))));
    eval(readFileSync(join(__dirname, id + ".js"), "utf8"));
  }`;

/** An experiment whose runs are lines of JavaScript. */
function scripted(lines: Readonly<Record<string, string>>): Work & { attempts(id: string): number } {
  const experimentDir = mkdtempSync(join(tmpdir(), "fathom-slurm-work-"));
  const within = (...names: string[]): string => join(experimentDir, ...names);
  writeFileSync(within("program.cjs"), standIn);
  writeFileSync(within("jobs.txt"), Object.keys(lines).join("\n"));
  writeFileSync(
    within("run.json"),
    JSON.stringify({
      ...{ experiment: "x", hash: "0123456789abcdef", status: "done", reason: "", seed: 1, engine: "cpu", steps: 1 },
      ...{ unigramEntropy: null, hashes: {}, attempts: 1, started: "", finished: "", residual: null, details: {} },
      ...{ versions: {}, git: null, machine: { cpu: "", cores: 1, memoryBytes: 1, platform: "" } },
    }),
  );
  const jobs = Object.entries(lines).map(([id, line], index) => {
    mkdirSync(within("runs", id), { recursive: true });
    writeFileSync(within(`${id}.js`), line);
    return job(id, index, experimentDir);
  });
  const attempts = (id: string): number =>
    existsSync(within("runs", id, "attempts.txt"))
      ? readFileSync(within("runs", id, "attempts.txt"), "utf8").length
      : 0;
  return { experimentDir, command: [within("program.cjs")], jobs, attempts };
}

/** Waits for something, a minute at most. */
async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + 60_000; !isSo(); await sleep(100))
    if (performance.now() > end) throw new Error(`waited for a minute: ${what}`);
}

const brief = (outcomes: readonly Outcome[]) => outcomes.map(({ job, status, code }) => [job.id, status, code]);
const slurmSays = (program: string, ...args: string[]): string =>
  spawnSync(program, args, { encoding: "utf8" }).stdout.trim();
const submissions = (experimentDir: string): string[] => readdirSync(join(experimentDir, "slurm"));

describe.skipIf(!hasSlurm)("on a cluster", () => {
  let cluster: Cluster;
  const before = process.env["SLURM_CONF"];
  beforeAll(async () => {
    cluster = await startCluster({ cpus: 6, maxArraySize: 2 });
    process.env["SLURM_CONF"] = cluster.conf;
  });
  afterAll(async () => {
    await cluster?.stop();
    if (before === undefined) delete process.env["SLURM_CONF"];
    else process.env["SLURM_CONF"] = before;
  });

  test("a sweep leaves what launcher local leaves, over several arrays and with several runs a task; a run that is pre-empted saves, is queued again and goes on to the same bytes", async () => {
    const out = mkdtempSync(join(tmpdir(), `fathom it's 100% "so" $HOME-`));
    const file = join(out, "c.yaml");
    const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
    writeFileSync(file, `${debug}sweep:\n  parameters:\n    train.steps: {values: [2, 3, 4, 5, 150]}\n`);
    const sweep = (to: string, ...more: string[]) =>
      fathom("sweep", file, "model.depth=1", "--out", join(out, to), "--quiet", ...more);
    const inFolder = (to: string, ...names: string[]): string => join(out, to, "debug", ...names);
    const text = (to: string, ...names: string[]): string => readFileSync(inFolder(to, ...names), "utf8");

    expect(await sweep("local", "--jobs", "2")).toMatchObject({ code: 0, stderr: "" });
    const ids = readdirSync(inFolder("local", "runs"));
    const long = ids.find((id) => id.includes("steps=150"))!;
    const events = inFolder("cluster", "runs", long, "events.jsonl");
    const [, swept] = await Promise.all([
      (async () => {
        await until("a few steps", () => existsSync(events) && readFileSync(events, "utf8").includes('"rows":[[4,'));
        slurmSays("sbatch", "--partition=urgent", "--ntasks=6", "--output=/dev/null", "--wrap=true");
      })(),
      sweep("cluster", "--launcher", "slurm", "--option", "runs-per-task=2", "--jobs", "4"),
    ]);
    expect(swept).toMatchObject({ code: 0, stderr: "" });

    const [submission, ...others] = submissions(inFolder("cluster"));
    expect(others).toEqual([]);
    const { arrays } = JSON.parse(text("cluster", "slurm", submission!, "submission.json")) as {
      arrays: readonly { tasks: number; sbatch: readonly string[] }[];
    };
    expect(arrays.map(({ tasks, sbatch }) => [tasks, sbatch[1]])).toEqual([
      [2, "--array=0-1%2"],
      [1, "--array=0-0%2"],
    ]);
    expect((JSON.parse(text("cluster", "runs", long, "run.json")) as { attempts: number }).attempts).toBe(2);
    expect(text("cluster", "runs", long, "log.txt")).toContain(": interrupted; the same command goes on with it\n");
    const withoutSeconds = (csv: string) =>
      (parse(csv, { columns: true }) as Record<string, string>[]).map((row) => ({ ...row, seconds: "" }));
    expect(withoutSeconds(text("cluster", "runs.csv"))).toEqual(withoutSeconds(text("local", "runs.csv")));
    for (const id of ids) {
      const ofBoth = (name: string) => ["cluster", "local"].map((to) => text(to, "runs", id, name)) as [string, string];
      const [layers, layersHere] = ofBoth("layers.csv");
      expect(layers === layersHere, id).toBe(true);
      const [metrics, metricsHere] = ofBoth("metrics.csv");
      expect(withoutSeconds(metrics)).toEqual(withoutSeconds(metricsHere));
      expect(text("cluster", "runs", id, "log.txt")).toContain(": done\n");
    }
  });

  test("exit code 2 is never retried, others as often as asked; what is busy or saved is queued again; what is killed is told", async () => {
    const work = scripted({
      refused: "process.exit(2)",
      crashes: "process.exit(1)",
      slips: "attempt === 1 ? process.exit(1) : done()",
      busy: "attempt === 1 ? process.exit(75) : done()",
      saves: "attempt === 1 ? wait(() => process.exit(130)) && process.kill(script, 'SIGUSR2') : done()",
      deaf: "attempt === 1 ? process.kill(script, 'SIGUSR2') && setInterval(() => {}, 1000) : done()",
      killed: "process.kill(script, 'SIGKILL')",
    });
    const said: string[] = [];
    const outcomes = await slurm.launch(work, options({ jobs: 7, say: (line) => said.push(line) }));
    expect(brief(outcomes)).toEqual([
      ["refused", "failed", 2],
      ["crashes", "failed", 1],
      ["slips", "done", 0],
      ["busy", "done", 0],
      ["saves", "done", 0],
      ["deaf", "done", 0], // it had not yet listened when the signal ended it
      ["killed", "failed", null],
    ]);
    expect(work.jobs.map(({ id }) => work.attempts(id))).toEqual([1, 2, 2, 2, 2, 2, 1]);
    expect(outcomes.at(-1)!.reason).toMatch(/^task \d+_0 ended without a word \(\w+\); see .*\/slurm\/.*_0\.out$/);
    expect(said.join("\n")).toMatch(/^7 tasks are in Slurm's queue; `squeue --jobs=\d+,\d+,\d+,\d+` shows them$/m);
    const log = outcomes[1]!.reason.replace(/.*see /, "");
    expect(readFileSync(log, "utf8")).toMatch(/restart 1 on .*: ends with exit code 1\n$/);
  });

  test("an abort takes out of the queue what waits, and lets what runs save; again goes on with all", async () => {
    const work = scripted({
      first: "attempt === 1 ? wait(() => setTimeout(() => process.exit(130), 1000)) : done()",
      second: "done()",
    });
    const controller = new AbortController();
    const launched = slurm.launch(work, options({ jobs: 1, signal: controller.signal }));
    await until("the first to run", () => work.attempts("first") === 1);
    controller.abort();
    expect(brief(await launched)).toEqual([
      ["first", "interrupted", 130],
      ["second", "skipped", null],
    ]);
    expect(slurmSays("squeue", "--noheader", "--format=%T").replaceAll("COMPLETING", "")).toBe("");
    expect(brief(await slurm.launch(work, options()))).toEqual([
      ["first", "done", 0],
      ["second", "done", 0],
    ]);
  });

  test("fail-fast stops what runs", async () => {
    const work = scripted({ waits: "wait(() => process.exit(130))", fails: "setTimeout(() => process.exit(2), 500)" });
    expect(brief(await slurm.launch(work, options({ failFast: true })))).toEqual([
      ["waits", "interrupted", 130],
      ["fails", "failed", 2],
    ]);
  });

  test("what is in the queue is not submitted again", async () => {
    const work = scripted({ one: "setTimeout(done, 6000)", two: "done()", three: "done()" });
    const some = { ...work, jobs: work.jobs.slice(0, 2) };
    const said: string[] = [];
    const first = slurm.launch(some, options({ jobs: 1 }));
    await until("the first to run", () => work.attempts("one") === 1);
    const second = slurm.launch(work, options({ say: (line) => said.push(line) }));
    expect(brief(await second)).toEqual([
      ["one", "done", 0],
      ["two", "done", 0],
      ["three", "done", 0],
    ]);
    expect(brief(await first)).toHaveLength(2);
    expect(work.jobs.map(({ id }) => work.attempts(id))).toEqual([1, 1, 1]);
    expect(said.join("\n")).toMatch(
      /^2 runs are in Slurm's queue since before, in array \d+; they are not submitted again\n1 tasks /,
    );
    expect(submissions(work.experimentDir)).toHaveLength(2);
  });

  test("what Slurm refuses is told in its words", async () => {
    const work = scripted({ one: "done()" });
    await expect(slurm.launch(work, options({ settings: { partition: "none'; echo" } }))).rejects.toThrow(
      /expected sbatch to take the job array, got: .*invalid partition specified: none'; echo/,
    );
  });
});
