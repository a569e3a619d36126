// The launcher `queue` with a real Redis and real workers, all of them processes that are killed as machines die. Needs redis-server
// and redis-cli, and the optional peers bullmq and ioredis, here or where NODE_PATH says; skipped without.

import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { redisAddress, type Redis } from "../../src/launchers/redis.ts";
import { receiveRun, RefusedUpload, sendRun } from "../../src/launchers/upload.ts";
import type { RunRecord } from "../../src/runs/run-folder.ts";

const folder = mkdtempSync(join(tmpdir(), "fathom-queue-"));
const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));

describe("an address", () => {
  test("says where Redis is; the environment says it too, and the password alone", () => {
    const environment = { FATHOM_QUEUE: "rediss://me@lab-3/2", FATHOM_QUEUE_PASSWORD: "hush" };
    expect(redisAddress("", environment)).toEqual({
      shown: "rediss://me@lab-3:6379/2",
      options: { host: "lab-3", port: 6379, db: 2, username: "me", password: "hush", tls: {} },
    });
    expect(redisAddress("redis://[::1]:7000", environment).options).toEqual({
      host: "::1",
      port: 7000,
      db: 0,
      password: "hush",
    });
    expect(redisAddress("", {}).shown).toBe("redis://127.0.0.1:6379");
  });

  test.each([
    "redis://:pass@word@lab-3",
    "redis://me:p%40ss@lab-3:1",
    "redis://me:pass@lab-3:99999",
    "redis://lab-3?password=pass",
    "me:pass@lab-3",
    "http://lab-3",
    "redis://lab-3/jobs",
  ])("%s is refused, and no password of it repeated", (given) => {
    const refused = (): unknown => redisAddress(given, {});
    expect(refused).toThrow(UserError);
    expect(refused).not.toThrow(/pass@|p%40ss|=pass/);
  });
});

describe("an upload", () => {
  /** As much of Redis as an upload needs. */
  const store = () => {
    const fields = new Map<string, Buffer>();
    const redis = {
      hset: (_: string, field: string, value: Buffer | string) =>
        Promise.resolve(void fields.set(field, Buffer.from(value as string))),
      hstrlen: (_: string, field: string) => Promise.resolve(fields.get(field)?.length ?? 0),
      hgetBuffer: (_: string, field: string) => Promise.resolve(fields.get(field) ?? null),
      expire: () => Promise.resolve(1),
    } as unknown as Redis;
    return { fields, redis };
  };
  const sha256 = (bytes: string | Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const run = join(folder, "sent");
  beforeAll(() => {
    mkdirSync(join(run, "checkpoints", "step-00000002"), { recursive: true });
    mkdirSync(join(run, "lease"));
    for (const [name, text] of [
      ["run.json", "{}"],
      ["layers.csv", "x".repeat(2 ** 20 + 3)],
      ["readings.csv", ""],
      ["checkpoints/step-00000002/state.json", "{}"],
      ["lease/000001.json", "ours"],
      ["notes.sh", "not a run's"],
    ] as const)
      writeFileSync(join(run, name), text);
  });

  test("arrives as it was sent, without what is no run's or its machine's own", async () => {
    const { redis } = store();
    const target = join(folder, "arrived");
    await receiveRun(redis, await sendRun(redis, "k", run, false), target);
    const files = readdirSync(target, { recursive: true, encoding: "utf8", withFileTypes: true }).filter((f) =>
      f.isFile(),
    );
    expect(files.map((f) => f.name).sort()).toEqual(["layers.csv", "readings.csv", "run.json", "state.json"]);
    expect(readFileSync(join(target, "layers.csv"), "utf8")).toBe(readFileSync(join(run, "layers.csv"), "utf8"));
  });

  /** What is made of a list, sent with the right sum of the list. */
  const withList = async (change: (list: Record<string, unknown>[]) => unknown): Promise<unknown> => {
    const { redis, fields } = store();
    await sendRun(redis, "k", run, true);
    const list = JSON.stringify(change(JSON.parse(fields.get("list")!.toString()) as Record<string, unknown>[]));
    fields.set("list", Buffer.from(list));
    return receiveRun(redis, { key: "k", sha256: sha256(list) }, mkdtempSync(join(folder, "refused-")));
  };
  test.each([
    "../run.json",
    "/tmp/run.json",
    "checkpoints/../../x",
    "lease/000002.json",
    "samples/.hidden.png",
    "run.sh",
  ])("that wants to write %s is refused", async (path) => {
    await expect(withList((list) => [...list.slice(1), { ...list[0], path }])).rejects.toThrow(RefusedUpload);
    expect(existsSync(join(folder, "run.json"))).toBe(false);
  });
  test("that holds a file twice, too much, or other keys is refused", async () => {
    await expect(withList((list) => [...list, list[0]])).rejects.toThrow("twice");
    await expect(withList((list) => [{ ...list[0], bytes: 2 ** 31 }])).rejects.toThrow(RefusedUpload);
    await expect(withList((list) => list.map((file) => ({ ...file, bytes: 2 ** 30 })))).rejects.toThrow("bytes");
    await expect(withList((list) => [{ ...list[0], mode: 0o777 }])).rejects.toThrow(RefusedUpload);
  });

  test.each([
    ["changed", (fields: Map<string, Buffer>) => fields.get("0/0")!.write("y", 3)],
    ["missing", (fields: Map<string, Buffer>) => fields.delete("0/1")],
    ["longer", (fields: Map<string, Buffer>) => fields.set("0/1", Buffer.alloc(2 ** 21))],
    ["empty", (fields: Map<string, Buffer>) => fields.set("0/0", Buffer.alloc(0))],
    ["missing its list", (fields: Map<string, Buffer>) => fields.delete("list")],
  ])("of which a piece is %s is refused", async (_, tamper) => {
    const { redis, fields } = store();
    const upload = await sendRun(redis, "k", run, true);
    tamper(fields);
    await expect(receiveRun(redis, upload, mkdtempSync(join(folder, "refused-")))).rejects.toThrow(RefusedUpload);
  });
});

const isInstalled = (() => {
  const { resolve } = createRequire(import.meta.url);
  try {
    return [resolve("bullmq"), resolve("ioredis")].length > 0;
  } catch {
    return false;
  }
})();
const hasRedis = ["redis-server", "redis-cli"].every((name) => spawnSync(name, ["--version"]).status === 0);
const missing = [...(isInstalled ? [] : ["bullmq and ioredis"]), ...(hasRedis ? [] : ["redis-server"])].join(", ");
if (missing) console.warn(`skipped: the queue was not tried, there is no ${missing}`);

/** All processes that are to be gone at the end. */
const processes = new Set<ChildProcess>();
afterAll(() => processes.forEach((process) => process.kill("SIGKILL")));

interface Redisd {
  readonly port: number;
  readonly url: string;
  cli(...args: string[]): string;
  /** Ends it as a machine does that loses power, and starts it again `seconds` later. */
  restart(seconds: number): Promise<void>;
}

/** A Redis of its own, which keeps what it was told. */
async function startRedis(name: string, password = ""): Promise<Redisd> {
  const dir = join(folder, name);
  mkdirSync(dir);
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
  // The password in a file: it is looked for in all other files, and in what is printed.
  const config = join(folder, `${name}.conf`);
  writeFileSync(
    config,
    `bind 127.0.0.1\nport ${port}\ndir ${dir}\nappendonly yes\nsave ""\n${password && `requirepass ${password}\n`}`,
  );
  const cli = (...args: string[]): string =>
    execFileSync("redis-cli", ["-p", String(port), ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"], // it is asked before Redis is there
      env: { ...process.env, ...(password && { REDISCLI_AUTH: password }) },
    }).trim();
  const start = async (): Promise<ChildProcess> => {
    const child = spawn("redis-server", [config], { stdio: "ignore" });
    processes.add(child);
    await eventually(() => {
      try {
        return cli("PING") === "PONG";
      } catch {
        return false;
      }
    }, "Redis answers");
    return child;
  };
  let server = await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    cli,
    async restart(seconds) {
      server.kill("SIGKILL");
      await sleep(1000 * seconds);
      server = await start();
    },
  };
}

async function eventually(isSo: () => boolean, what: string, seconds = 90): Promise<void> {
  for (const end = performance.now() + 1000 * seconds; !isSo(); await sleep(50))
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
}

interface Running {
  readonly child: ChildProcess;
  /** What it has printed so far, stdout and stderr. */
  text(): string;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

/** `fathom <args>` as a process. */
function fathom(redis: Redisd | string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, FATHOM_QUEUE: typeof redis === "string" ? redis : redis.url, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  processes.add(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (more: string) => (text += stripVTControlCharacters(more)));
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once("close", (code, signal) => resolve(code ?? signal)),
  );
  return { child, text: () => text, ended };
}

const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
/** A configuration file with these values varied. */
function configFile(name: string, sweep: string): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, `${debug}sweep:\n${sweep}`);
  return file;
}
const short = ["model.depth=1", "train.steps=2"];
/** A few seconds each, with a checkpoint every tenth of one. */
const long = [
  "model.depth=1",
  "train.steps=600",
  "train.checkpointEverySteps=25",
  "train.evaluateEverySteps=200",
  "probes.everySteps=100",
];
const sweep = (file: string, overrides: readonly string[], out: string): string[] => [
  ...["sweep", file, ...overrides, "--out", out, "--launcher", "queue"],
];
const worker = (out: string, ...args: string[]): string[] => ["worker", "--jobs", "1", "--out", out, ...args];

/** The runs of an experiment by the order of their ids. */
const runDirs = (out: string): string[] => {
  const runs = join(out, "debug", "runs");
  return existsSync(runs)
    ? readdirSync(runs)
        .sort()
        .map((id) => join(runs, id))
    : [];
};
const recordOf = (runDir: string): RunRecord => JSON.parse(readFileSync(join(runDir, "run.json"), "utf8")) as RunRecord;
/** The statuses of the runs that were begun. */
const statuses = (out: string): string[] =>
  runDirs(out)
    .filter((dir) => existsSync(join(dir, "run.json")))
    .map((dir) => recordOf(dir).status);
/** Whether a run has saved something, and works on. */
const isUnderWay = (runDir: string | undefined): boolean =>
  runDir !== undefined &&
  existsSync(join(runDir, "checkpoints")) &&
  readdirSync(join(runDir, "checkpoints")).length > 1;
const leases = (runDir: string): string[] => readdirSync(join(runDir, "lease"));

/** What runs have measured, and the table of the experiment: all but the times. */
function tables(out: string): Record<string, string> {
  const without = (file: string, column: string): string => {
    const rows = readFileSync(file, "utf8")
      .split("\n")
      .map((line) => line.split(","));
    const at = rows[0]!.indexOf(column);
    return rows.map((row) => row.filter((_, i) => i !== at).join(",")).join("\n");
  };
  const read: Record<string, string> = { "runs.csv": without(join(out, "debug", "runs.csv"), "seconds") };
  for (const dir of runDirs(out))
    for (const name of ["layers.csv", "metrics.csv"])
      if (existsSync(join(dir, name))) read[`${dir.slice(out.length)}/${name}`] = without(join(dir, name), "seconds");
  return read;
}

/** The same sweep on this machine alone, to compare with. */
async function locally(file: string, overrides: readonly string[]): Promise<Record<string, string>> {
  const out = mkdtempSync(join(folder, "local-"));
  await fathom("", ["sweep", file, ...overrides, "--out", out, "--jobs", "2"]).ended;
  return tables(out);
}

/** Keys of jobs and uploads: nothing is left of what was collected. */
const leftovers = (redis: Redisd): string[] =>
  redis
    .cli("KEYS", "*")
    .split("\n")
    .filter((key) => /fathom:(upload|stop|held|result):|:[0-9a-f]{16}-/.test(key));

// At once: they wait most of the time, for what has gone to be missed.
describe.skipIf(missing !== "").concurrent("the queue", { timeout: 240_000 }, () => {
  const twoSeeds = configFile("two", "  seeds: [1, 2]\n");
  const oneSeed = configFile("one", "  seeds: [1]\n");
  let expected: Record<string, string>;
  const expectedOf = (seed: number): Record<string, string> =>
    Object.fromEntries(Object.entries(expected).filter(([name]) => name.includes(`seed=${seed}_`)));
  beforeAll(async () => {
    expected = await locally(twoSeeds, long);
  });

  test("gives the tables that one machine gives, from a shared folder and through Redis, and tells no password", async () => {
    const password = "correct-horse-7261";
    const redis = await startRedis("alike", password);
    const env = { FATHOM_QUEUE_PASSWORD: password };
    // The second vocabulary is larger than the corpus allows, which shows only in the run itself.
    const file = configFile("alike", "  seeds: [1]\n  parameters:\n    data.vocabulary.size: {values: [500, 99000]}\n");
    const place = join(folder, "alike-files");
    const out = join(place, "out");
    const workers = [
      fathom(redis, worker(join(place, "w1")), env),
      fathom(redis, worker(join(place, "w2"), "--apart"), env),
    ];
    await eventually(() => workers.every((one) => one.text().includes("takes runs")), "workers are there");
    const ours = fathom(redis, sweep(file, short, out), env);
    const theirs = await locally(file, short);
    expect(await ours.ended).toBe(2); // the one kind of failure is the user's
    expect(tables(out)).toEqual(theirs);
    expect(theirs["runs.csv"]).toContain("data.vocabulary.size: expected at most");
    expect(leftovers(redis)).toEqual([]);
    // Each of the two was made once, and both workers had a part.
    const begun = workers.map((one) => one.text().match(/: begins in /g)?.length ?? 0);
    expect(begun).toEqual([1, 1]);

    const wrong = fathom(redis, sweep(file, short, out), { FATHOM_QUEUE_PASSWORD: "wrong-battery-1" });
    expect(await wrong.ended).toBe(2);
    expect(wrong.text()).toContain("FATHOM_QUEUE_PASSWORD");
    const inUrl = fathom(`redis://:${password}@127.0.0.1:${redis.port}`, ["worker"]);
    expect(await inUrl.ended).toBe(2);
    expect(inUrl.text()).toContain("FATHOM_QUEUE_PASSWORD");
    for (const one of workers) one.child.kill("SIGINT");
    expect(await Promise.all(workers.map((one) => one.ended))).toEqual([130, 130]);
    const printed = [ours, wrong, inUrl, ...workers].map((one) => one.text()).join("\n");
    expect(printed).not.toMatch(/correct-horse|wrong-battery/);
    for (const dir of [place, join(folder, "alike")])
      expect(spawnSync("grep", ["-rlE", "correct-horse|wrong-battery", dir], { encoding: "utf8" }).stdout).toBe("");
  });

  test("a run whose worker is killed with -9 goes on where it was, at another worker, to the same numbers", async () => {
    const redis = await startRedis("killed");
    const out = join(folder, "killed-out");
    const first = fathom(redis, worker(join(folder, "killed-w1")));
    const ours = fathom(redis, sweep(oneSeed, long, out));
    await eventually(() => isUnderWay(runDirs(out)[0]), "the run is under way");
    first.child.kill("SIGKILL");
    expect(await first.ended).toBe("SIGKILL");
    const second = fathom(redis, worker(join(folder, "killed-w2")));
    expect(await ours.ended).toBe(0);
    expect(recordOf(runDirs(out)[0]!)).toMatchObject({ status: "done", attempts: 2 });
    expect(tables(out)).toMatchObject(expectedOf(1));
    expect(second.text().match(/: begins in /g)).toHaveLength(1);
    expect(leftovers(redis)).toEqual([]);
  });

  test("a Redis that is killed and comes back finds all as it was: nothing is lost, and nothing made twice", async () => {
    const redis = await startRedis("restarted");
    const out = join(folder, "restarted-out");
    const workers = [
      fathom(redis, worker(join(folder, "restarted-w1"))),
      fathom(redis, worker(join(folder, "restarted-w2"), "--apart")),
    ];
    const ours = fathom(redis, sweep(twoSeeds, long, out));
    await eventually(() => workers.every((one) => one.text().includes(": begins in ")), "both runs are under way");
    await redis.restart(2);
    expect(await ours.ended).toBe(0);
    expect(ours.text()).toMatch(/connection lost[^]*connected again/);
    expect(tables(out)).toEqual(expected);
    expect(runDirs(out).map((dir) => recordOf(dir).attempts)).toEqual([1, 1]);
    for (const one of workers) expect(one.text().match(/: begins in /g)).toHaveLength(1);
    expect(leftovers(redis)).toEqual([]);
  });

  test("a job that is delivered twice is one run: the second worker leaves it to the first, and hands on what that has found", async () => {
    const redis = await startRedis("twice");
    const out = join(folder, "twice-out");
    const first = fathom(redis, worker(join(folder, "twice-w1")));
    const ours = fathom(redis, sweep(oneSeed, [...long, "train.steps=1500"], out));
    await eventually(() => isUnderWay(runDirs(out)[0]), "the run is under way");
    const [runDir] = runDirs(out) as [string];
    const { pid } = JSON.parse(readFileSync(join(runDir, "lease", "000001.json"), "utf8")) as { pid: number };
    // Apart: the run's lease would not keep it off.
    const second = fathom(redis, worker(join(folder, "twice-w2"), "--apart"));
    await eventually(() => second.text().includes("takes runs"), "the second worker is there");
    // As if the first were gone: its lock expires, and the job is given away two looks of a worker later. The run has to outlast that.
    const [lock] = redis.cli("KEYS", "bull:fathom:*:lock").split("\n") as [string];
    expect(redis.cli("DEL", lock)).toBe("1");
    const deliveries = (): number => Number(redis.cli("HGET", lock.replace(/:lock$/, ""), "ats"));
    for (const end = performance.now() + 60_000; deliveries() < 2 && performance.now() < end;) {
      process.kill(pid, "SIGSTOP");
      await sleep(3000);
      process.kill(pid, "SIGCONT"); // and a beat of its lease, before it counts as left
      await sleep(700);
    }
    expect(deliveries()).toBeGreaterThan(1);
    expect(recordOf(runDir).status).toBe("running");
    expect(await ours.ended).toBe(0);
    expect(recordOf(runDir)).toMatchObject({ status: "done", attempts: 1 });
    expect(leases(runDir)).toEqual(["000001.json"]);
    expect(`${first.text()}${second.text()}`.match(/: begins in /g)).toHaveLength(1);
    expect(leftovers(redis)).toEqual([]);
  });

  test("a sweep that was killed collects what has waited for it; what was tampered with is refused, and sent again", async () => {
    const redis = await startRedis("waited");
    const out = join(folder, "waited-out");
    const ours = fathom(redis, sweep(twoSeeds, long, out));
    await eventually(() => ours.text().includes("2 runs are in the queue"), "the runs are in the queue");
    ours.child.kill("SIGKILL");
    const theirs = fathom(redis, worker(join(folder, "waited-w"), "--apart"));
    await eventually(() => redis.cli("ZCARD", "bull:fathom:completed") === "2", "both runs wait");
    expect(statuses(out)).toEqual([]);
    const [victim] = redis.cli("KEYS", "fathom:upload:*").split("\n") as [string];
    redis.cli("HSET", victim, "0/0", "tampered with");
    const again = fathom(redis, sweep(twoSeeds, long, out));
    expect(await again.ended).toBe(0);
    expect(again.text().match(/was refused: /g)).toHaveLength(1);
    expect(tables(out)).toEqual(expected);
    // Sent again, not made again.
    expect(theirs.text().match(/: begins in /g)).toHaveLength(2);
    expect(runDirs(out).map((dir) => recordOf(dir).attempts)).toEqual([1, 1]);
    expect(readdirSync(join(out, "debug")).filter((name) => name.startsWith("received-"))).toEqual([]);
    expect(leftovers(redis)).toEqual([]);
  });

  test("Ctrl-C of the sweep takes its runs out of the queue, Ctrl-C of a worker gives them back; both go on where they were", async () => {
    const redis = await startRedis("stopped");
    const out = join(folder, "stopped-out");
    const first = fathom(redis, worker(join(folder, "stopped-w1")));
    const ours = fathom(redis, sweep(twoSeeds, long, out));
    await eventually(() => runDirs(out).some(isUnderWay), "a run is under way");
    ours.child.kill("SIGINT");
    expect(await ours.ended).toBe(130);
    expect(ours.text()).toMatch(/: interrupted/);
    expect(ours.text()).toMatch(/^1 run was not started$/m);
    expect(statuses(out)).toEqual(["running"]);
    expect(leftovers(redis).filter((key) => !key.startsWith("fathom:stop:"))).toEqual([]);

    const again = fathom(redis, sweep(twoSeeds, long, out));
    await eventually(() => (first.text().match(/: begins in /g)?.length ?? 0) > 1, "it is taken up again");
    first.child.kill("SIGINT");
    expect(await first.ended).toBe(130);
    expect(first.text()).toContain("saved, and given back");
    fathom(redis, worker(join(folder, "stopped-w2")));
    expect(await again.ended).toBe(0);
    expect(tables(out)).toEqual(expected);
    expect(leftovers(redis)).toEqual([]);
  });

  test("no Redis is one error that says what to do", async () => {
    const nobody = fathom("redis://127.0.0.1:1", ["worker", "--out", join(folder, "nobody")]);
    expect(await nobody.ended).toBe(2);
    expect(nobody.text()).toMatch(
      /^fathom: queue redis:\/\/127\.0\.0\.1:1: expected a Redis server that answers.*ECONNREFUSED/,
    );
  });
});
