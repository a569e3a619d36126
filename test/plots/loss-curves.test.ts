import { expect, test } from "vitest";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import { lossCurves } from "../../src/plots/loss-curves.ts";
import { syntheticExperiment } from "./synthetic.ts";

const data = syntheticExperiment({ schemes: ["pre-ln", "deepnorm", "peri-ln"], depths: [2, 3], seeds: [1] });

/** The upper end of the vertical axis. */
function topOf(of: ExperimentData): number {
  const { spec } = lossCurves.spec(of) as unknown as {
    spec: { layer: { encoding: { y: { scale: { domain: [number, number] } } } }[] };
  };
  return spec.layer[0]!.encoding.y.scale.domain[1];
}

test("one configuration that starts by orders of magnitude higher does not flatten the others, and is told", () => {
  const high = {
    ...data,
    runs: data.runs.map((run) =>
      run.row.config["model.residual"] === "peri-ln" && run.row.config["model.depth"] === 3
        ? { ...run, metrics: run.metrics.map((row) => ({ ...row, value: 1e12 * row.value })) }
        : run,
    ),
  };
  // The highest start of the others is theirs alone.
  expect(topOf(high)).toBeCloseTo(topOf(data), 0);
  expect(JSON.stringify(lossCurves.spec(high).title)).toMatch(/\d+ values above the axis not drawn/);
});

test("starts that differ by less are all on the axis", () => {
  const runs = data.runs.map((run) =>
    run.row.config["model.depth"] === 3
      ? { ...run, metrics: run.metrics.map((row) => ({ ...row, value: 3 * row.value })) }
      : run,
  );
  expect(topOf({ ...data, runs })).toBeGreaterThan(3 * 8);
});
