// `fathom status`: how far the runs of an experiment are.

import { groupBy } from "../statistics.ts";
import { common, exitCodes, verb } from "./verb.ts";

export const status = verb({
  usage: "status <dir>",
  summary: "how far the runs of an experiment are",
  positionals: { dir: { type: "string", demandOption: true, describe: "the experiment's folder" } },
  options: { json: common.json },
  examples: [["fathom status results/quickstart", "one line a run"]],
  async run({ dir, json }) {
    const { readExperiment } = await import("../runs/experiment.ts");
    const { figure, table } = await import("./table.ts");
    const { runs } = readExperiment(dir);
    if (json) {
      console.log(
        JSON.stringify(
          runs.map(({ row, plannedSteps }) => ({ ...row, plannedSteps })),
          null,
          2,
        ),
      );
      return exitCodes.done;
    }
    const rows = runs.map(({ row, plannedSteps }) => [
      row.id,
      row.status,
      `${row.steps}/${plannedSteps || "?"}`,
      figure(row.finalTrainLoss),
      figure(row.finalDevLoss),
      row.reason,
    ]);
    const counts = [...groupBy(runs, ({ row }) => row.status)].map(([s, r]) => `${r.length} ${s}`);
    console.log(table(["run", "status", "steps", "train loss", "dev loss", "reason"], rows));
    console.log(`\n${counts.join(", ") || "no runs yet"}`);
    return exitCodes.done;
  },
});
