import { parse } from "csv-parse/sync";
import { expect, test } from "vitest";
import { csvOf } from "../../src/plots/csv.ts";
import type { ExperimentData, RunData } from "../../src/plots/experiment.ts";
import { initAndOutcome } from "../../src/plots/init-and-outcome.ts";
import { latexFigure } from "../../src/plots/latex.ts";
import { svgOf } from "../../src/plots/picture.ts";
import { unmet } from "../../src/plots/plot.ts";
import { syntheticExperiment } from "./synthetic.ts";

interface Drawn {
  readonly panel: string;
  readonly name: string;
  readonly outcome: string;
  readonly gradient: string;
  readonly ratio: number | null;
  readonly value: number | null;
  readonly _at: number;
  readonly _value: number;
  readonly low: number | null;
  readonly high: number | null;
}
const drawn = (data: ExperimentData): Drawn[] =>
  (initAndOutcome.spec(data).data as unknown as { values: Drawn[] }).values;

const data = syntheticExperiment({ depths: [2, 3, 6, 12], steps: 20 });

/** The experiment with what became of each run as `lossOf` its first-step ratio in the encoder says. */
function withLosses(lossOf: (ratio: number) => number): ExperimentData {
  const ratioOf = ({ layers, row }: RunData): number => {
    const norm = (layer: number): number =>
      Math.hypot(
        ...layers
          .filter(
            (one) =>
              one.step === 0 && one.stack === "encoder" && one.layer === layer && one.quantity === "parameter-gradient",
          )
          .map(({ l2 }) => l2),
      );
    return norm(0) / norm(Number(row.config["model.depth"]) - 1);
  };
  return {
    ...data,
    runs: data.runs.map((run) => ({
      ...run,
      row: { ...run.row, status: "done", reason: "", finalDevLoss: lossOf(ratioOf(run)) },
    })),
  };
}

test("where the loss rises with the unevenness of the profile, the title says that they go together", () => {
  expect(initAndOutcome.title(withLosses((ratio) => 3 + Math.abs(Math.log10(ratio))))).toMatch(
    /goes with how training ends: rank correlation from .* to \+1\.00 \(encoder, parameter gradient\)$/,
  );
});

test("the sign of a slope does not matter, its size does", () => {
  const falling = withLosses((ratio) => 5 - Math.abs(Math.log10(ratio)) / 10);
  expect(initAndOutcome.title(falling)).toContain("rank correlation from −1.00 (encoder, parameter gradient)");
});

test("a mark is the median over seeds with its range, and what diverged stands above every loss", () => {
  const rows = drawn(data);
  const diverged = rows.filter(({ outcome }) => outcome === "diverged");
  expect(diverged).toEqual([]); // one of two seeds did: not most of them
  const all = {
    ...data,
    runs: data.runs.map((run) => ({
      ...run,
      row: run.row.config["model.depth"] === 6 ? { ...run.row, status: "diverged" as const } : run.row,
    })),
  };
  const cast = drawn(all);
  const highest = Math.max(...cast.filter(({ outcome }) => outcome !== "diverged").map(({ high }) => high!));
  const top = cast.filter(({ outcome }) => outcome === "diverged");
  expect(new Set(top.map(({ name }) => name))).toEqual(new Set(["post-ln, 6 layers", "pre-ln, 6 layers"]));
  for (const { _value, low } of top) {
    expect(_value).toBeGreaterThan(highest);
    expect(low).toBeNull();
  }
});

test("a configuration whose first layer gets no gradient at first is named, not drawn", () => {
  const silent = {
    ...data,
    runs: data.runs.map((run) =>
      run.row.config["model.depth"] === 3
        ? { ...run, layers: run.layers.map((row) => (row.layer === 0 ? { ...row, l2: 0 } : row)) }
        : run,
    ),
  };
  expect(drawn(silent).some(({ name }) => name.endsWith("3 layers"))).toBe(false);
  expect(JSON.stringify(initAndOutcome.spec(silent).title)).toContain("post-ln, 3 layers; pre-ln, 3 layers");
});

test("fewer than eight configurations that have ended say nothing, and the reason says how many there are", () => {
  expect(unmet(initAndOutcome, syntheticExperiment({ depths: [2, 6, 12] }))).toContain(
    "at least 8 configurations that have ended (schemes and depths), and here are 6",
  );
  expect(unmet(initAndOutcome, data)).toBeUndefined();
});

test("it is drawn without a warning", async () => {
  await expect(svgOf("init-and-outcome", initAndOutcome.spec(data))).resolves.toContain("<svg");
});

test("the notes count who does not learn by profile, and what is out of reach stands at the edge", () => {
  const far = {
    ...data,
    runs: data.runs.map((run) =>
      run.row.config["model.depth"] === 12
        ? { ...run, layers: run.layers.map((row) => (row.layer === 0 ? { ...row, l2: row.l2 * 1e6 } : row)) }
        : run,
    ),
  };
  const notes = JSON.stringify(initAndOutcome.spec(far).title);
  expect(notes).toMatch(/Do not learn, by first \/ last: encoder, parameter gradient: .* of .* above 2/);
  expect(notes).toContain("marks stand at the edge");
  expect(Math.max(...drawn(far).map(({ _at }) => _at))).toBe(100);
  expect(Math.max(...drawn(far).map(({ ratio }) => ratio!))).toBeGreaterThan(1e4);
});

/** `data` whose configurations of depth 12 diverged before they had a single finite gradient. */
const overflowed = {
  ...data,
  runs: data.runs.map((run) =>
    run.row.config["model.depth"] === 12
      ? {
          ...run,
          row: { ...run.row, status: "diverged" as const },
          layers: run.layers.map((row) => ({ ...row, l2: NaN })),
        }
      : run,
  ),
};

test("a gradient that overflows stands at the edge, counts as most uneven, and is not called absent", async () => {
  const deep = drawn(overflowed).filter(({ name }) => name.endsWith("12 layers"));
  expect(deep).toHaveLength(2 * 2 * 2); // schemes, stacks, quantities
  for (const one of deep)
    expect(one).toMatchObject({ gradient: "overflows", ratio: null, outcome: "diverged", _at: 100 });
  const notes = (initAndOutcome.spec(overflowed).title as { subtitle: string[] }).subtitle.join(" ");
  expect(notes).toContain("their gradient overflows at the first step: post-ln, 12 layers; pre-ln, 12 layers.");
  expect(notes).not.toContain("no gradient");
  // Infinitely uneven and worse than any loss: these pairs alone are in order, whatever the others are.
  const without = { ...overflowed, runs: overflowed.runs.filter(({ row }) => row.config["model.depth"] !== 12) };
  const highest = (of: ExperimentData): number =>
    Number(/to ([+−][\d.]+)/.exec(initAndOutcome.title(of))![1]!.replace("−", "-"));
  expect(highest(overflowed)).toBeGreaterThan(highest(without));
  await expect(svgOf("init-and-outcome", initAndOutcome.spec(overflowed))).resolves.toContain("<svg");
});

test("the table has no numbers that nobody measured: what diverged has no loss, and ratios are those recorded", () => {
  const rows = parse(csvOf(initAndOutcome.spec(overflowed))!, { columns: true }) as Record<string, string>[];
  const loss = "dev loss at the end (nats a target token)";
  const expected = drawn(overflowed).map(({ value }) => (value === null ? "" : String(value)));
  expect(rows.map((row) => row[loss])).toEqual(expected);
  for (const row of rows) expect(row[loss] === "").toBe(row["outcome"] === "diverged");
  expect(rows.filter((row) => row["gradient at the first step"] === "overflows")).toHaveLength(8);
  const ratios = drawn(data).map(({ ratio }) => ratio);
  const written = parse(csvOf(initAndOutcome.spec(data))!, { columns: true }) as Record<string, string>[];
  expect(written.map((row) => Number(row["gradient norm at the first step, first layer / last"]))).toEqual(ratios);
});

test("counts by panel are in the figure's notes and not in the caption of print", () => {
  const spec = initAndOutcome.spec(data);
  expect(JSON.stringify(spec.title)).toMatch(/Rank correlations.*Do not learn/);
  const float = latexFigure("init-and-outcome", spec, "How to read it.");
  expect(float).toContain("One mark a configuration");
  expect(float).not.toMatch(/Rank correlations|Do not learn/);
});
