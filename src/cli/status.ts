// `fathom status`: how far the runs of an experiment are.

import { groupBy } from "../statistics.ts";
import { exitCodes, findFolder, positional, print, verb } from "./verb.ts";

export const status = verb({
  usage: "status <dir>",
  summary: "how far the runs of an experiment are",
  positionals: { dir: positional.experiment },
  options: {},
  examples: [["fathom status results/quickstart", "one line a run"]],
  async run({ dir, out, quiet, json }) {
    const { readExperiment } = await import("../runs/experiment.ts");
    const { figure, table } = await import("./table.ts");
    const { runs } = readExperiment(findFolder(dir, out));
    const lines = runs.map(({ row, plannedSteps }) => ({ ...row, plannedSteps }));
    print({ quiet, json }, lines, () => {
      const rows = lines.map((row) => [
        row.id,
        row.status,
        `${row.steps}/${row.plannedSteps || "?"}`,
        figure(row.finalTrainLoss),
        figure(row.finalDevLoss),
        row.reason,
      ]);
      const counts = [...groupBy(lines, (row) => row.status)].map(([s, r]) => `${r.length} ${s}`);
      const head = ["run", "status", "steps", "train loss", "dev loss", "reason"];
      return `${table(head, rows)}\n\n${counts.join(", ") || "no runs yet"}`;
    });
    return exitCodes.done;
  },
});
