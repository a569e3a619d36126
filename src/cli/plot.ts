// `fathom plot`: figures of an experiment as files.

import { exitCodes, verb } from "./verb.ts";

export const plot = verb({
  usage: "plot <dir>",
  summary: "figures of an experiment: Vega-Lite JSON, SVG, PNG",
  positionals: { dir: { type: "string", demandOption: true, describe: "the experiment's folder: results/<name>" } },
  options: {
    plot: {
      type: "string",
      array: true,
      nargs: 1,
      requiresArg: true,
      describe: "draw this one only (repeat for several); `fathom list plot` names them",
    },
    format: { type: "string", default: "json,svg,png", requiresArg: true, describe: "of json, svg, png, by commas" },
    quiet: { type: "boolean", default: false, describe: "print errors only" },
    json: { type: "boolean", default: false, describe: "print the written paths as JSON" },
  },
  examples: [
    ["fathom plot results/quickstart", "all figures in all formats"],
    ["fathom plot results/quickstart --plot loss-curves --format svg", "one figure in one format"],
  ],
  async run({ dir, plot: plots, format, quiet, json }) {
    const { parseFormats, renderPlots } = await import("../plots/render.ts");
    const written = await renderPlots(dir, {
      formats: parseFormats(format),
      ...(plots ? { plots } : {}),
      onSkip: (name, reason) => {
        if (!quiet && !json) console.error(`${name} left out: ${reason}`);
      },
    });
    if (json) console.log(JSON.stringify(written));
    else if (!quiet) for (const file of written) console.log(file);
    return exitCodes.done;
  },
});
