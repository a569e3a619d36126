// `fathom report`: one HTML file that says what an experiment found.

import { exitCodes, verb } from "./verb.ts";

export const report = verb({
  usage: "report <dir>",
  summary: "one self-contained HTML file with tables, figures and provenance",
  positionals: { dir: { type: "string", demandOption: true, describe: "the experiment's folder: results/<name>" } },
  options: {
    quiet: { type: "boolean", default: false, describe: "print errors only" },
    json: { type: "boolean", default: false, describe: "print the path as JSON" },
  },
  examples: [["fathom report results/quickstart", "writes results/quickstart/report.html"]],
  async run({ dir, quiet, json }) {
    const { writeReport } = await import("../report/report.ts");
    const file = await writeReport(dir);
    if (json) console.log(JSON.stringify(file));
    else if (!quiet) console.log(file);
    return exitCodes.done;
  },
});
