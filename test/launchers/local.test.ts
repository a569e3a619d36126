import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Job, LaunchOptions, Outcome } from "../../src/launchers/launcher.ts";
import { local } from "../../src/launchers/local.ts";
import { launchOptions } from "./options.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-launch-"));

let count = 0;
/** A job that runs a line of JavaScript: in the file that its index names. */
function job(id: string, code: string, kind?: string): Job {
  const index = count++;
  writeFileSync(join(folder, `${index}.js`), code);
  return { id, index, hash: "", logFile: join(folder, `${id}.txt`), ...(kind !== undefined && { kind }) };
}

/** A program that does the jobs which it is started with and sent, as `fathom` does. */
const program = join(folder, "program.cjs");
writeFileSync(
  program,
  `const work = (args) => {
    const index = args[args.indexOf("--index") + 1];
    const code = require("fs").readFileSync(require("path").join(__dirname, index + ".js"), "utf8");
    if (eval(code) === "under way" || !code.startsWith("/* served */")) return;
    for (const stream of [process.stdout, process.stderr]) stream.write("\\0");
    process.send({ type: "free" });
    process.once("message", ({ args }) => work(args)).once("disconnect", () => process.exit());
  };
  work(process.argv);`,
);

const options = (more: Partial<LaunchOptions> = {}): LaunchOptions => launchOptions(local, more);

const launch = (jobs: readonly Job[], how: LaunchOptions): Promise<Outcome[]> =>
  local.launch({ experimentDir: folder, command: [program], jobs }, how);

const waitForInterrupt =
  "process.on('SIGINT', () => process.exit(130)); setInterval(() => {}, 1000); process.send({type:'progress',progress:{step:1}})";

test("progress and results arrive, output goes to the log, outcomes come in the order of the jobs", async () => {
  const steps: number[] = [];
  const outcomes = await launch(
    [
      job("a", "console.log('hello'); setTimeout(() => {}, 200); process.send({type:'progress',progress:{step:3}})"),
      job("b", "process.send({type:'result',status:'diverged',reason:'loss is NaN'})"),
    ],
    options({ onProgress: (_job, progress) => steps.push(progress.step) }),
  );
  expect(outcomes.map((o) => [o.job.id, o.status, o.reason])).toEqual([
    ["a", "done", ""],
    ["b", "diverged", "loss is NaN"],
  ]);
  expect(steps).toEqual([3]);
  expect(readFileSync(join(folder, "a.txt"), "utf8")).toBe("hello\n");
});

test("one crash never stops the others", async () => {
  const ended: string[] = [];
  const outcomes = await launch(
    [
      job("throws", "throw new Error('out of luck')"),
      job("killed", "process.kill(process.pid, 'SIGKILL')"),
      job("busy", "process.exit(75)"),
      job("fine", ""),
    ],
    options({ onEnd: (o) => ended.push(o.job.id) }),
  );
  expect(outcomes.map((o) => o.status)).toEqual(["failed", "failed", "busy", "done"]);
  expect(outcomes[0]!.reason).toBe(`ended with exit code 1; see ${join(folder, "throws.txt")}`);
  expect(outcomes[1]!.reason).toContain("ended by SIGKILL");
  expect(readFileSync(join(folder, "throws.txt"), "utf8")).toContain("out of luck");
  expect(ended.sort()).toEqual(["busy", "fine", "killed", "throws"]);
});

test("fail-fast interrupts what runs and starts nothing more", async () => {
  const outcomes = await launch(
    [job("long", waitForInterrupt), job("bad", "setTimeout(() => process.exit(1), 300)"), job("never", "")],
    options({ failFast: true }),
  );
  expect(outcomes.map((o) => o.status)).toEqual(["interrupted", "failed", "skipped"]);
});

test("an abort interrupts the jobs that run and waits for them", async () => {
  const controller = new AbortController();
  const outcomes = await launch(
    [job("one", waitForInterrupt), job("two", waitForInterrupt), job("three", "")],
    options({ signal: controller.signal, onProgress: () => controller.abort() }),
  );
  expect(outcomes.at(-1)!.status).toBe("skipped");
  expect(outcomes.slice(0, 2).map((o) => o.status)).not.toContain("done");
});

test("a job that the interrupt ends before it listens is interrupted, not failed; an interrupt from elsewhere is a failure", async () => {
  const deaf = "process.send({type:'progress',progress:{step:1}}); setInterval(() => {}, 1000)";
  const controller = new AbortController();
  const [outcome] = await launch(
    [job("deaf", deaf)],
    options({ signal: controller.signal, onProgress: () => controller.abort() }),
  );
  expect(outcome).toMatchObject({ status: "interrupted", code: null });
  const [alone] = await launch([job("shot", "process.kill(process.pid, 'SIGINT')")], options());
  expect(alone!.status).toBe("failed");
});

test("never more jobs at once than asked for", async () => {
  const log = join(folder, "concurrency.txt");
  writeFileSync(log, "");
  const code = `const fs = require('fs'); fs.appendFileSync(${JSON.stringify(log)}, '+'); setTimeout(() => fs.appendFileSync(${JSON.stringify(log)}, '-'), 60)`;
  await launch(
    [1, 2, 3, 4].map((i) => job(`c${i}`, code)),
    options({ jobs: 1 }),
  );
  expect(readFileSync(log, "utf8")).toBe("+-+-+-+-");
});

/** A job whose process is free after it, unless its code ends as under way. */
const served = (id: string, kind: string | undefined, code: string): Job =>
  job(id, `/* served */ console.log(process.pid + " is ${id}"); console.error("${id} too"); ${code}`, kind);
// Output and errors come in any order.
const processOf = (id: string): string => /^(\d+) is /m.exec(readFileSync(join(folder, `${id}.txt`), "utf8"))![1]!;

test("jobs of a kind follow each other in a process that is free, each with a log of its own", async () => {
  const outcomes = await launch(
    [
      served("k1", "a", "process.send({type:'result',status:'diverged',reason:'r1'})"),
      served("k2", "a", ""),
      served("k3", "b", "process.send({type:'result',status:'done',reason:''})"),
      served("k4", undefined, ""),
      served("k5", undefined, ""),
    ],
    options({ jobs: 1 }),
  );
  expect(outcomes.map((o) => [o.status, o.reason, o.code])).toEqual([
    ["diverged", "r1", 0],
    ["done", "", 0],
    ["done", "", 0],
    ["done", "", 0],
    ["done", "", 0],
  ]);
  for (const id of ["k1", "k2", "k3", "k4", "k5"])
    expect(
      readFileSync(join(folder, `${id}.txt`), "utf8")
        .split("\n")
        .sort(),
    ).toEqual(["", `${processOf(id)} is ${id}`, `${id} too`]);
  expect(processOf("k2")).toBe(processOf("k1"));
  expect(new Set(["k2", "k3", "k4", "k5"].map(processOf)).size).toBe(4);
});

test("a process that dies over a later job fails that one alone; the next has another process", async () => {
  const outcomes = await launch(
    [served("d1", "a", ""), served("d2", "a", "process.kill(process.pid, 'SIGKILL')"), served("d3", "a", "")],
    options({ jobs: 1 }),
  );
  expect(outcomes.map((o) => o.status)).toEqual(["done", "failed", "done"]);
  expect(outcomes[1]!.reason).toContain("ended by SIGKILL");
  expect(processOf("d2")).toBe(processOf("d1"));
  expect(processOf("d3")).not.toBe(processOf("d1"));
});

test("a process that is killed while it waits, before it has heard of the next job, costs that job nothing", async () => {
  const killed = served("w1", "a", "setTimeout(() => process.kill(process.pid, 'SIGKILL'), 100)");
  // This process hears of the death only after it has sent the second job.
  const outcomes = await launch([killed, served("w2", "a", "")], options({ jobs: 1, onEnd: () => pause(300) }));
  expect(outcomes.map((o) => o.status)).toEqual(["done", "done"]);
  expect(processOf("w2")).not.toBe(processOf("w1"));
});

/** Keeps this process busy, so that it does not yet know what has become of others. */
function pause(milliseconds: number): void {
  for (const end = Date.now() + milliseconds; Date.now() < end;);
}

test("a job that prints what ends an output is not over before it says so, and nothing it says is lost", async () => {
  const outcomes = await launch(
    [
      served("n1", "a", "for (const s of [process.stdout, process.stderr]) s.write('a\\0b\\0c\\0d')"),
      served("n2", "a", "process.send({type:'result',status:'diverged',reason:'it ran'})"),
    ],
    options({ jobs: 1 }),
  );
  expect(outcomes.map((o) => [o.status, o.reason])).toEqual([
    ["done", ""],
    ["diverged", "it ran"],
  ]);
  expect(readFileSync(join(folder, "n1.txt"), "utf8").match(/abcd/g)).toHaveLength(2);
});

test("a job has its log though it says nothing", async () => {
  await launch([job("silent", "")], options());
  expect(readFileSync(join(folder, "silent.txt"), "utf8")).toBe("");
});

test("an interrupt reaches a later job of a process, too", async () => {
  const controller = new AbortController();
  const outcomes = await launch(
    [served("i1", "a", ""), served("i2", "a", `${waitForInterrupt}; "under way"`), served("i3", "a", "")],
    options({ jobs: 1, signal: controller.signal, onProgress: () => controller.abort() }),
  );
  expect(outcomes.map((o) => o.status)).toEqual(["done", "interrupted", "skipped"]);
});

test("a process that cannot be started fails its job, and the next is tried", async () => {
  const { execPath } = process;
  process.execPath = join(folder, "no such program");
  try {
    const outcomes = await launch([job("s1", ""), job("s2", "")], options({ jobs: 1 }));
    expect(outcomes.map((o) => [o.status, o.code])).toEqual([
      ["failed", null],
      ["failed", null],
    ]);
    expect(outcomes[0]!.reason).toContain("ENOENT");
  } finally {
    process.execPath = execPath;
  }
});

test("a child learns that its parent was killed", async () => {
  // The child ends on disconnect, as `fathom run` does; the parent is killed and cannot say goodbye.
  const sign = join(folder, "orphan.txt");
  const child = `process.on('disconnect', () => { require('fs').writeFileSync(${JSON.stringify(sign)}, 'ended'); process.exit(); }); setInterval(() => {}, 1000); process.send('up')`;
  const parent = `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], detached: true }).on('message', () => console.log('up'))`;
  const process_ = spawn(process.execPath, ["-e", parent], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => process_.stdout.once("data", resolve));
  process_.kill("SIGKILL");
  await expect.poll(() => readFileSync(sign, { encoding: "utf8", flag: "a+" }), { timeout: 10_000 }).toBe("ended");
});
