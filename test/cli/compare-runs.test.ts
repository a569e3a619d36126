// `fathom compare` on runs with given losses.
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import type { Comparison, Paired } from "../../src/cli/compare.ts";
import { singleRun } from "../../src/config/sweep.ts";
import { config } from "../runs/folder.ts";
import { leave, planned, plannedExperiment } from "../runs/invented.ts";
import { fathom } from "./capture.ts";

/** Dev losses of five seeds at the depths 2, 4 and 6: the first two those of test/paired.test.ts. */
const losses: Readonly<Record<number, readonly number[]>> = {
  2: [5.12, 5.31, 5.05, 5.44, 5.2],
  4: [5.01, 5.22, 5.07, 5.21, 5.02],
  6: [5.62, 5.8, 5.57, 5.91, 5.71],
};

function experiment(depths: readonly number[] = [2, 4, 6]): string {
  const runs = depths.flatMap((depth) => losses[depth]!.map((devLoss, i) => ({ run: planned(i + 1, depth), devLoss })));
  const dir = plannedExperiment(runs.map(({ run }) => run));
  for (const { run, devLoss } of runs) leave(dir, run, 20, { status: "done", devLoss });
  return dir;
}

const compare = async (...args: string[]): Promise<(Comparison & { paired: Paired | null })[]> =>
  JSON.parse((await fathom("compare", ...args, "--json")).stdout) as (Comparison & { paired: Paired | null })[];
const textOf = async (...args: string[]): Promise<string> =>
  stripVTControlCharacters((await fathom("compare", ...args)).stdout).trimEnd();

test("each configuration is compared with the first over the seeds that both have", async () => {
  const dir = experiment();
  const [first, second, third] = await compare(dir);
  expect(first).toMatchObject({ config: { "model.depth": 2 }, finalDevLoss: { n: 5 }, steps: [20, 20], paired: null });
  // SciPy 1.17.1: ttest_rel, confidence_interval.
  expect(second!.paired).toMatchObject({ metric: "finalDevLoss", pairs: 5 });
  expect(second!.paired!.difference).toBeCloseTo(-0.118, 10);
  expect(second!.paired!.p).toBeCloseTo(0.0503035231, 9);
  expect(second!.paired!.low).toBeCloseTo(-0.2362517925, 9);
  expect(second!.paired!.high).toBeCloseTo(0.0002517925, 9);
  // Of two the larger p stays, the smaller is doubled.
  expect(third!.paired!.p).toBeLessThan(1e-5);
  expect([second!.paired!.pCorrected, third!.paired!.pCorrected]).toEqual([second!.paired!.p, 2 * third!.paired!.p]);
  const text = await textOf(dir);
  expect(text).toMatch(/^model\.depth +pairs +difference +95 % interval +p +corrected p$/m);
  expect(text).toMatch(/^ +4 +5 +-0\.1180 +-0\.2363 to 0\.0002518 +0\.0503 +0\.0503$/m);
  expect(text).toMatch(/^ +6 +5 +\+0\.4980 +0\.\d+ to 0\.\d+ +<0\.0001 +<0\.0001$/m);
  expect(text).toMatch(
    /^finalDevLoss less that of model\.depth=2, .* paired t-test.* Holm's method over 2 comparisons$/m,
  );
});

test("--baseline with some of the keys: each is compared with the one that is like it in the others", async () => {
  const runs = ["pre-ln", "post-ln"].flatMap((residual, i) =>
    [2, 4].flatMap((depth) =>
      losses[depth]!.map((loss, k) => ({
        run: singleRun(config(k + 1, depth, residual)),
        devLoss: loss + i * (1 + k / 10),
      })),
    ),
  );
  const dir = plannedExperiment([]);
  for (const { run, devLoss } of runs) leave(dir, run, 20, { status: "done", devLoss });
  const compared = await compare(dir, "--baseline", "model.residual=pre-ln");
  const shown = compared.map(({ config: of, paired }) => [
    of["model.residual"],
    of["model.depth"],
    paired && Number(paired.difference.toFixed(6)),
    paired?.pairs ?? 0,
  ]);
  expect(shown.sort()).toEqual([
    ["post-ln", 2, 1.2, 5],
    ["post-ln", 4, 1.2, 5],
    ["pre-ln", 2, null, 0],
    ["pre-ln", 4, null, 0],
  ]);
  expect(await textOf(dir, "--baseline", "model.residual=pre-ln")).toMatch(
    /less that of model\.residual=pre-ln with the same values of all other keys, .* over 2 comparisons$/m,
  );
});

test("--baseline names the configuration that the others are compared with; none or several are refused with a list", async () => {
  const dir = experiment();
  const compared = await compare(dir, "--baseline", "model.depth=4");
  expect(compared.map(({ paired }) => paired && Number(paired.difference.toFixed(6)))).toEqual([0.118, null, 0.616]);
  const none = await fathom("compare", dir, "--baseline", "model.depth=5");
  expect([none.code, none.stderr]).toEqual([
    2,
    expect.stringContaining(
      "--baseline model.depth=5: expected key=value[,key=value] of one configuration, got none; choose among:",
    ),
  ]);
  expect(none.stderr).toContain("\n  model.depth=2\n  model.depth=4\n  model.depth=6\n");
  // Two experiments may have a configuration twice: then others are compared with that of their own.
  const other = experiment([4]);
  const apart = await compare(dir, other, "--baseline", "model.depth=4");
  expect(apart.map(({ paired }) => paired && Number(paired.difference.toFixed(6)))).toEqual([0.118, null, 0.616, null]);
  const both = await fathom("compare", experiment([4]), other, "--baseline", "model.depth=4");
  expect([both.code, both.stderr]).toEqual([
    2,
    expect.stringMatching(/got that of 2, like which no other is in all else; choose among:\n {2}experiment=/),
  ]);
  const name = /experiment=([\w-]+),model\.depth=4\n$/.exec(both.stderr.trimEnd() + "\n")![1]!;
  const named = await compare(dir, other, "--baseline", `experiment=${name},model.depth=4`);
  expect(named.map(({ experiment, paired }) => [experiment === name, paired?.pairs ?? null])).toEqual([
    [false, 5],
    [false, 5],
    [false, 5],
    [true, null],
  ]);
});

test("--metric chooses what is compared; an unknown one is refused with those there are", async () => {
  const dir = experiment([2, 4]);
  expect((await compare(dir, "--metric", "finalTrainLoss"))[1]!.paired).toMatchObject({
    metric: "finalTrainLoss",
    difference: 0,
    p: 1,
  });
  const { code, stderr } = await fathom("compare", dir, "--metric", "bestDevLos");
  expect([code, stderr]).toEqual([2, expect.stringContaining('did you mean "bestDevLoss"?')]);
  const translations = await fathom("compare", dir, "--translations", "test", "--metric", "bestDevLoss");
  expect([translations.code, translations.stderr]).toEqual([2, expect.stringContaining("expected without --baseline")]);
});

test("below two pairs there is nothing to test", async () => {
  const runs = [planned(1), planned(2), planned(2, 4), planned(3, 4)];
  const dir = plannedExperiment(runs);
  for (const run of runs) leave(dir, run, 20, { status: "done", devLoss: 6 - run.config.seed });
  expect((await compare(dir))[1]!.paired).toMatchObject({
    pairs: 1,
    difference: 0,
    low: null,
    p: null,
    pCorrected: null,
  });
  expect(await textOf(dir)).toMatch(/^ +4 +1 +0\.000 +- +- +-$/m);
});

test("diverged runs are named and in no mean and no pair", async () => {
  const runs = [planned(1), planned(2), planned(3), planned(1, 4), planned(2, 4), planned(3, 4)];
  const dir = plannedExperiment(runs);
  for (const run of runs.slice(0, 5)) leave(dir, run, 20, { status: "done", devLoss: run.config.seed });
  leave(dir, runs[5]!, 20, { status: "diverged", devLoss: 100 });
  const [, second] = await compare(dir);
  expect(second).toMatchObject({
    statuses: { done: 2, diverged: 1 },
    finalDevLoss: { mean: 1.5 },
    paired: { pairs: 2 },
  });
  expect(second!.diverged).toEqual([runs[5]!.id]);
  expect(await textOf(dir)).toContain(`diverged, and in no mean: ${runs[5]!.id}\n`);
});

test("losses of runs that ended at different steps are flagged", async () => {
  const runs = [planned(1), planned(1, 4)];
  const dir = plannedExperiment(runs);
  leave(dir, runs[0]!, 20, { status: "done", devLoss: 5 });
  leave(dir, runs[1]!, 20, { status: "done", devLoss: 5 });
  expect(await textOf(dir)).not.toContain("steps");
  leave(dir, runs[1]!, 4, { status: "done", devLoss: 6, reason: "stopped at step 4 by successive halving" });
  const text = await textOf(dir);
  expect(text).toContain(
    "runs ended at different steps, 1 of 2 configurations before step 20: their losses are not comparable",
  );
  expect(text).toMatch(/^model\.depth +runs +steps /);
  expect(text).toMatch(/^ +4 +1 done +4 /m);
});

test("an experiment without runs has nothing to compare, which is no error", async () => {
  const { code, stdout } = await fathom("compare", plannedExperiment([planned(1)]), "--json");
  expect([code, JSON.parse(stdout)]).toMatchObject([0, [{ statuses: { pending: 1 }, paired: null, steps: null }]]);
});
