// Lines of JSON that `wandb.init` and `wandb.Run.log` take as they are, a file a run: first what the run is, then a line a step.

import { join } from "node:path";
import type { ExperimentRun } from "../runs/experiment.ts";
import type { ExportFormat } from "./format.ts";
import { openOutput } from "./output.ts";
import { finalValues, seriesSteps, startOf } from "./series.ts";

/** Lines between two looks at signals. */
const linesAtOnce = 256;

export const wandb: ExportFormat = {
  name: "wandb",
  summary: "lines of JSON, a file a run, that ten lines of Python give to Weights & Biases",
  async write({ experiment: { name, runs } }, folder, tick) {
    for (const [i, run] of runs.entries()) {
      await tick(run.row.id, i, runs.length);
      const start = startOf(run);
      const output = openOutput(join(folder, `${run.row.id}.jsonl`));
      const line = (value: unknown): void => output.write(Buffer.from(`${pythonJson(value)}\n`));
      try {
        line(headOf(name, run));
        let written = 0;
        for (const { step, seconds, values } of seriesSteps(run)) {
          line({ _step: step, _timestamp: start + seconds, ...Object.fromEntries(values) });
          if (++written % linesAtOnce === 0) await tick(run.row.id, i, runs.length);
        }
      } finally {
        output.close();
      }
    }
  },
};

/** Characters that W&B allows an id and a tag, and a group. */
const longestTag = 64;
const longestGroup = 128;

/** The arguments of `wandb.init`, and a summary. Runs of a group differ by their seed alone. */
function headOf(experiment: string, { row, config, finals }: ExperimentRun): Record<string, unknown> {
  const varied = Object.entries(row.config).map(([key, value]) => `${key.split(".").at(-1)}=${value}`);
  return {
    id: row.id.slice(-longestTag), // its end is the hash
    name: row.id,
    group: ([experiment, ...varied].join(" ") || experiment).slice(0, longestGroup),
    job_type: "train",
    tags: [experiment, row.status, ...varied].map((tag) => tag.slice(0, longestTag)),
    config,
    summary: {
      status: row.status,
      reason: row.reason,
      steps: row.steps,
      ...Object.fromEntries(finalValues({ row, finals })),
    },
  };
}

/** JSON as Python's `json` writes and reads it: with NaN, Infinity and -Infinity, which JSON itself does not have. */
export function pythonJson(value: unknown): string {
  if (typeof value === "number") return String(value); // by these names in both languages
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}: ${pythonJson(inner)}`).join(", ")}}`;
}
