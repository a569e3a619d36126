// `fathom report`: one HTML file that says what an experiment found.

import { exitCodes, findFolder, positional, print, verb } from "./verb.ts";

export const report = verb({
  usage: "report <dir>",
  summary: "one self-contained HTML file with tables, figures and provenance",
  positionals: { dir: positional.experiment },
  options: {},
  examples: [["fathom report results/quickstart", "writes results/quickstart/report.html"]],
  async run({ dir, out, quiet, json }) {
    const { writeReport } = await import("../report/report.ts");
    const file = await writeReport(findFolder(dir, out));
    print({ quiet, json }, file, () => file);
    return exitCodes.done;
  },
});
