import { expect, test } from "vitest";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import { lossByDepth } from "../../src/plots/loss-by-depth.ts";
import { svgOf } from "../../src/plots/picture.ts";
import { unmet } from "../../src/plots/plot.ts";
import { unigramMargin } from "../../src/plots/verdict.ts";
import { syntheticExperiment } from "./synthetic.ts";

interface Drawn {
  readonly series: string;
  readonly depth: number;
  readonly value: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly seeds: number;
  readonly diverged: number;
}
const drawn = (data: ExperimentData): Drawn[] => (lossByDepth.spec(data).data as unknown as { values: Drawn[] }).values;

const data = syntheticExperiment();

test("the title says up to which depth each scheme learns more than the line", () => {
  // One of the two seeds of post-ln at 6 diverges, and at 12 it stays at the line, as the rows are made.
  expect(lossByDepth.title(data)).toBe(
    "What ends more than 0.1 nats below the unigram line, by depth: post-ln up to depth 2, not at 6, 12; pre-ln at every depth",
  );
});

test("schemes of which the same can be said share a sentence", () => {
  const alike = syntheticExperiment({ schemes: ["pre-ln", "peri-ln"] });
  expect(lossByDepth.title(alike)).toBe(
    "What ends more than 0.1 nats below the unigram line, by depth: pre-ln, peri-ln at every depth",
  );
});

test("depths that a scheme has no run of that ended are claimed by nobody", () => {
  const of = (isThere: (scheme: unknown, depth: number) => boolean): string =>
    lossByDepth.title({
      ...data,
      runs: data.runs.map((run) => {
        const { "model.residual": scheme, "model.depth": depth } = run.row.config;
        return isThere(scheme, Number(depth)) ? run : { ...run, row: { ...run.row, status: "running" as const } };
      }),
    });
  expect(of((scheme, depth) => scheme === "post-ln" || depth < 12)).toContain("; pre-ln at depth 2, 6");
  expect(of((scheme, depth) => scheme === "pre-ln" || depth !== 6)).toContain("post-ln up to depth 2, not at 12;");
  expect(of((scheme, depth) => scheme === "pre-ln" || depth === 12)).toContain("post-ln not at 12;");
});

test("title, notes and caption say how far below the line counts", () => {
  const { subtitle } = lossByDepth.spec(data).title as { subtitle: string[] };
  for (const text of [lossByDepth.title(data), subtitle.join(" "), lossByDepth.caption])
    expect(text.toLowerCase()).toContain(`more than ${unigramMargin} nats below`);
});

test("a mark is the median over the seeds that finished, between the smallest and the largest; diverged ones are counted", () => {
  const losses = data.runs
    .filter(({ row }) => row.config["model.residual"] === "pre-ln" && row.config["model.depth"] === 6)
    .map(({ row }) => row.finalDevLoss);
  const [row] = drawn(data).filter(({ series, depth }) => series === "pre-ln" && depth === 6);
  expect(row).toMatchObject({ low: Math.min(...losses), high: Math.max(...losses), seeds: 2, diverged: 0 });
  const [broken] = drawn(data).filter(({ series, depth }) => series === "post-ln" && depth === 6);
  expect(broken).toMatchObject({ seeds: 1, diverged: 1 });
});

test("where every seed has diverged there is a cross and no mark", async () => {
  const gone = {
    ...data,
    runs: data.runs.map((run) => ({ ...run, row: { ...run.row, status: "diverged" as const } })),
  };
  expect(drawn(gone).every(({ value, diverged }) => value === null && diverged === 2)).toBe(true);
  await expect(svgOf("loss-by-depth", lossByDepth.spec(gone))).resolves.toContain("<svg");
});

test("it needs depths that vary", () => {
  expect(unmet(lossByDepth, syntheticExperiment({ depths: [6] }))).toBe("it needs a sweep that varies model.depth");
});
