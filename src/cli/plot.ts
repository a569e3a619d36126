// `fathom plot`: figures of an experiment as files.

import { exitCodes, findFolder, positional, print, verb } from "./verb.ts";

export const plot = verb({
  usage: "plot <dir>",
  summary: "figures of an experiment: Vega-Lite JSON, SVG, PNG",
  positionals: { dir: positional.experiment },
  options: {
    plot: {
      type: "string",
      array: true,
      nargs: 1,
      requiresArg: true,
      describe: "draw this one only (repeat for several); `fathom list plot` names them",
    },
    format: { type: "string", default: "json,svg,png", requiresArg: true, describe: "of json, svg, png, by commas" },
  },
  examples: [
    ["fathom plot results/quickstart", "all figures in all formats"],
    ["fathom plot results/quickstart --plot loss-curves --format svg", "one figure in one format"],
  ],
  async run({ dir, plot: plots, format, out, quiet, json }) {
    const { parseFormats, renderPlots } = await import("../plots/render.ts");
    const written = await renderPlots(findFolder(dir, out), {
      formats: parseFormats(format),
      ...(plots ? { plots } : {}),
      onSkip: (name, reason) => {
        if (!quiet && !json) console.error(`${name} left out: ${reason}`);
      },
    });
    print({ quiet, json }, written, () => written.join("\n"));
    return exitCodes.done;
  },
});
