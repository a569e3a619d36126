import { expect, test } from "vitest";
import type { ExperimentData, RunData } from "../../src/plots/experiment.ts";
import { initAndOutcome } from "../../src/plots/init-and-outcome.ts";
import { svgOf } from "../../src/plots/picture.ts";
import { unmet } from "../../src/plots/plot.ts";
import { syntheticExperiment } from "./synthetic.ts";

interface Drawn {
  readonly panel: string;
  readonly name: string;
  readonly outcome: string;
  readonly ratio: number;
  readonly value: number;
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
  for (const { value, low } of top) {
    expect(value).toBeGreaterThan(highest);
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
  const { values } = initAndOutcome.spec(far).data as unknown as { values: { ratio: number; at: number }[] };
  expect(Math.max(...values.map(({ at }) => at))).toBe(100);
  expect(Math.max(...values.map(({ ratio }) => ratio))).toBeGreaterThan(1e4);
});
