// Published findings hold together: what figures' tables say of seeds is what the tables of runs have.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { describe, expect, test } from "vitest";

const folder = fileURLToPath(new URL("../results/findings", import.meta.url));
type Row = Readonly<Record<string, string>>;
const rows = (...path: string[]): Row[] => parse(readFileSync(join(folder, ...path), "utf8"), { columns: true });
const configs = fileURLToPath(new URL("../configs/findings", import.meta.url));

describe.each(readdirSync(folder))("%s", (name) => {
  const runs = rows(name, "runs.csv");

  test("is of a configuration of that name, and all its runs have ended, at least three seeds each", () => {
    expect(readFileSync(join(configs, `${name}.yaml`), "utf8")).toMatch(new RegExp(`^name: ${name}$`, "m"));
    expect(
      [...new Set(runs.map(({ status }) => status))].filter((status) => !/^(done|diverged)$/.test(status!)),
    ).toEqual([]);
    const seeds = new Map<string, number>();
    for (const { id } of runs) {
      const configuration = id!.replace(/_seed=.*/, "");
      seeds.set(configuration, (seeds.get(configuration) ?? 0) + 1);
    }
    expect(Math.min(...seeds.values())).toBeGreaterThanOrEqual(3);
  });

  test.skipIf(!existsSync(join(folder, name, "init-and-outcome.csv")))(
    "the figure's table counts the runs that there are",
    () => {
      const marks = rows(name, "init-and-outcome.csv");
      expect(marks.length).toBeGreaterThan(0);
      for (const { configuration, seeds, outcome } of marks) {
        const [, scheme, warmUp, layers] = /^([\w-]+)(?: · (.*))?, (\d+ layers)$/.exec(configuration!)!;
        const own = runs.filter(
          (run) =>
            run["model.residual"] === scheme &&
            `${run["model.depth"]} layers` === layers &&
            (warmUp === undefined || `warmup steps ${run["train.schedule.warmupSteps"]}` === warmUp),
        );
        const done = own.filter(({ status }) => status === "done").length;
        expect([configuration, own.length >= 3, Number(seeds)]).toEqual([configuration, true, done]);
        if (outcome === "diverged") expect(done).toBeLessThan(own.length);
      }
    },
  );

  test.skipIf(!existsSync(join(folder, name, "limits.csv")))("each run has its limit", () => {
    expect(rows(name, "limits.csv")).toHaveLength(runs.length);
  });
});
