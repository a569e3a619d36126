// Runs are killed with -9 at random, and so is the sweep itself: afterwards its tables are those of an undisturbed one, bit for bit,
// times and attempts aside. RUNS, KILLS and SWEEP_KILLS in the environment make it larger: 200, 50 and 3 is what fathom promises.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { expect, test } from "vitest";
import { stream } from "../../src/random.ts";
import { seemsHeld } from "../../src/runs/lease.ts";

const count = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const [runs, kills, sweepKills] = [count("RUNS", 8), count("KILLS", 4), count("SWEEP_KILLS", 1)];

const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");

/** A sweep of tiny runs of two depths in a folder of its own, as a process. */
function sweepIn(out: string): { experiment: string; start(): ChildProcess } {
  const file = join(out, "c.yaml");
  const seeds = Array.from({ length: Math.ceil(runs / 2) }, (_, i) => i + 1);
  writeFileSync(file, `${debug}sweep:\n  parameters:\n    model.depth: {values: [1, 2]}\n  seeds: [${seeds.join()}]\n`);
  const args = [program, "sweep", file, "train.steps=60", "--out", out, "--jobs", "2", "--quiet"];
  return {
    experiment: join(out, "debug"),
    start: () => spawn(process.execPath, args, { stdio: ["ignore", "ignore", "ignore"] }),
  };
}

/** What a sweep leaves, times and attempts aside. */
function tablesOf(experiment: string): Record<string, unknown> {
  const rows = (file: string, without: readonly string[]): unknown[] =>
    (parse(readFileSync(file, "utf8"), { columns: true }) as Record<string, string>[]).map((row) =>
      Object.fromEntries(Object.entries(row).filter(([column]) => !without.includes(column))),
    );
  const folders = readdirSync(join(experiment, "runs")).sort();
  return {
    runs: rows(join(experiment, "runs.csv"), ["seconds"]),
    ...Object.fromEntries(
      folders.map((id) => [
        id,
        [
          rows(join(experiment, "runs", id, "metrics.csv"), ["seconds"]),
          readFileSync(join(experiment, "runs", id, "layers.csv"), "utf8"),
        ],
      ]),
    ),
  };
}

/** Process ids of those that work on runs now. */
function workers(experiment: string): number[] {
  const dir = join(experiment, "runs");
  return (existsSync(dir) ? readdirSync(dir) : []).flatMap((id) => {
    const leases = join(dir, id, "lease");
    const last = existsSync(leases) ? readdirSync(leases).sort().at(-1) : undefined;
    if (last === undefined || !seemsHeld(join(dir, id))) return [];
    try {
      return [(JSON.parse(readFileSync(join(leases, last), "utf8")) as { pid: number }).pid];
    } catch {
      return []; // it is being written
    }
  });
}

test(
  `${kills} of the workers of ${runs} runs and ${sweepKills} of the sweeps are killed, and the tables are those of an undisturbed sweep`,
  { timeout: 1000 * (120 + 4 * runs) },
  async () => {
    const temporary = (): string => mkdtempSync(join(tmpdir(), "fathom-kills-"));
    const [calm, hit] = [sweepIn(temporary()), sweepIn(temporary())];
    expect(await once(calm.start(), "exit")).toEqual([0, null]);

    const draws = stream(7, "kills");
    let drawn = 0;
    const random = (): number => draws.uniform(new Float64Array(1), drawn++)[0]!;
    let [worker, sweep] = [0, 0];
    for (;;) {
      const process_ = hit.start();
      const ended = once(process_, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
      while (process_.exitCode === null && process_.signalCode === null && worker + sweep < kills + sweepKills) {
        await Promise.race([sleep(200 + 1000 * random()), ended]);
        const living = workers(hit.experiment);
        const due = (sweep + 1) * (kills / (sweepKills + 1));
        if (sweep < sweepKills && worker >= due) sweep += Number(process_.kill("SIGKILL"));
        else if (worker < kills && living.length > 0)
          try {
            process.kill(living[Math.floor(random() * living.length)]!, "SIGKILL");
            worker++;
          } catch {
            // It has just ended by itself.
          }
      }
      const [code] = await ended;
      if (code === 0) break;
      expect([1, 75, null]).toContain(code); // a run was killed; another process was not quite gone; the sweep was killed
    }
    expect([worker, sweep]).toEqual([kills, sweepKills]);
    expect(tablesOf(hit.experiment)).toEqual(tablesOf(calm.experiment));
  },
);
