// `fathom measure`: what is too costly for every step, measured of a run on demand.

import type { MeasureResult } from "../measure.ts";
import type { Measurement } from "../types.ts";
import { exitCodes, findRun, print, verb } from "./verb.ts";

export const measure = verb({
  usage: "measure <run> [instruments..]",
  summary: "Jacobians of layers and stacks, layers taken out, loss surface, Hessian of a trained run",
  positionals: {
    run: { type: "string", demandOption: true, describe: "the run's folder, or its path below --out" },
    instruments: {
      type: "string",
      array: true,
      default: [] as string[],
      describe: "these only; `fathom list instrument` names them",
    },
  },
  options: {
    step: {
      type: "number",
      requiresArg: true,
      describe: "measure the checkpoint after this many updates, 0 for the start; the newest if not given",
    },
    batches: { type: "number", default: 2, requiresArg: true, describe: "dev batches to measure on" },
  },
  examples: [
    ["fathom measure results/debug/runs/seed=1_8ef088d5", "everything, at the newest checkpoint"],
    ["fathom measure results/debug/runs/seed=1_8ef088d5 layer-jacobian --step 0", "one instrument, at initialisation"],
    ["fathom measure debug/runs/seed=1_8ef088d5 hessian loss-surface --batches 8", "two, on more data"],
  ],
  async run({ run, instruments, step, batches, out, quiet, json }) {
    const { measureRun } = await import("../measure.ts");
    const { table, figure } = await import("./table.ts");
    const { interruption } = await import("./run-one.ts");
    const say = (text: string): void => void (quiet || json || console.error(text));
    const interrupt = interruption();
    try {
      const result = await measureRun(findRun(run, out), {
        names: instruments,
        batches,
        signal: interrupt.signal,
        ...(step !== undefined && { step }),
        onProgress: progressLines(say),
      });
      for (const { instrument, reason } of result.refused) say(`${instrument} left out: ${reason}`);
      if (result.interrupted) {
        const kept = result.results.map(({ instrument }) => instrument);
        say(
          kept.length > 0
            ? `interrupted; kept in ${result.folder}: ${kept.join(", ")}`
            : "interrupted; nothing written",
        );
        return exitCodes.interrupted;
      }
      print({ quiet, json }, result, () => text(result, table, figure));
      return exitCodes.done;
    } finally {
      interrupt.dispose();
    }
  },
});

const secondsBetweenLines = 5;

/** A line when an instrument starts, every few seconds, and when it is done. */
function progressLines(say: (line: string) => void): (instrument: string, done: number, of: number) => void {
  let [current, last] = ["", -Infinity];
  return (instrument, done, of) => {
    const now = performance.now();
    if (instrument === current && done < of && now - last < secondsBetweenLines * 1000) return;
    [current, last] = [instrument, now];
    say(`${instrument}: ${done}/${of}`);
  };
}

const endings = { diverged: "diverged", failed: "failed", running: "is not finished" } as const;

type Cells = readonly (string | number)[];

/** For every instrument its finding, a table and where it was written. */
function text(
  { run, step, batches, tokens, results }: MeasureResult,
  table: (head: readonly string[], rows: readonly Cells[]) => string,
  figure: (value: number) => string,
): string {
  const parts = results.map(({ instrument, player, title, measurement, files }) => {
    const { head, rows } = tableOf(measurement, figure);
    const several = new Set(results.map((result) => result.player)).size > 1;
    const undrawn = files.length === 1 ? ["no figure: there is no finite number to draw"] : [];
    return [`${several ? `${player}: ` : ""}${instrument}: ${title}`, table(head, rows), ...files, ...undrawn].join(
      "\n",
    );
  });
  const on = `step ${step}, ${batches === 1 ? "1 dev batch" : `${batches} dev batches`} of ${tokens} target tokens`;
  const ended =
    run && run.status !== "done" ? `; the run ${endings[run.status]}${run.reason && `: ${run.reason}`}` : "";
  return [`${on}${batches === 1 ? "" : " in all"}${ended}`, ...parts].join("\n\n");
}

function tableOf(measurement: Measurement, figure: (value: number) => string): { head: string[]; rows: Cells[] } {
  const short = (value: number): string => (Number.isNaN(value) ? "-" : value.toPrecision(2));
  const place = ({ stack, layer }: { stack: string; layer: number | "" }): string =>
    layer === "" ? stack : `${stack}/${String(layer).padStart(2, "0")}`;
  switch (measurement.kind) {
    case "jacobian":
      return {
        head: ["place", "spectral norm", "iterations", "residual", "mean square", "± error"],
        rows: measurement.rows.map((row) => [
          place(row),
          figure(row.spectralNorm),
          row.iterations,
          short(row.residual),
          figure(row.meanSquare),
          short(row.meanSquareError),
        ]),
      };
    case "removal":
      return {
        head: ["layer taken out", "loss without", "change", "± error"],
        rows: measurement.rows.map((row) => [
          place(row),
          figure(row.lossWithout),
          figure(row.change),
          short(row.changeError),
        ]),
      };
    case "surface":
      return {
        head: ["alpha", "beta", "loss"],
        // The two axes through the parameters, ends and middle; the whole grid is in the file.
        rows: ["alpha", "beta"].flatMap((axis) => {
          const cut = measurement.rows.filter((row) => (axis === "alpha" ? row.beta : row.alpha) === 0);
          const middle = (cut.length - 1) / 2;
          return [0, Math.floor(middle / 2), middle, Math.ceil(1.5 * middle), cut.length - 1].map((i): Cells => {
            const { alpha, beta, loss } = cut[i]!;
            return [figure(alpha), figure(beta), figure(loss)];
          });
        }),
      };
    case "curvature":
      return {
        head: ["quantity", "value", "± error", "iterations or probes", "residual", "disagreement of h/2"],
        rows: measurement.rows.map((row) => [
          row.quantity,
          figure(row.value),
          figure(row.standardError),
          row.count,
          short(row.residual),
          short(row.disagreement),
        ]),
      };
  }
}
