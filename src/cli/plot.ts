// `fathom plot`: figures of an experiment as files.

import { exitCodes, findFolder, positional, print, verb } from "./verb.ts";

export const plot = verb({
  usage: "plot <dir>",
  summary: "figures of an experiment: Vega-Lite JSON, SVG, PNG, the numbers as CSV, PDF and LaTeX",
  positionals: { dir: positional.experiment },
  options: {
    plot: {
      type: "string",
      array: true,
      nargs: 1,
      requiresArg: true,
      describe: "draw this one only (repeat for several); `fathom list plot` names them",
    },
    format: {
      type: "string",
      requiresArg: true,
      describe:
        "of json, svg, png, csv, pdf, tex, by commas; json,svg,png,csv if not given, for a paper pdf,tex,svg,csv",
    },
    style: {
      type: "string",
      default: "screen",
      requiresArg: true,
      describe:
        "screen; dark for slides, into plots/dark; paper for one column of a paper, 3.35 inches, into plots/paper",
    },
  },
  examples: [
    ["fathom plot results/quickstart", "all figures in all formats"],
    ["fathom plot results/quickstart --plot loss-curves --format svg", "one figure in one format"],
    ["fathom plot results/quickstart --style paper", "all figures one column wide, each with a LaTeX float"],
  ],
  async run({ dir, plot: plots, format, style, out, quiet, json }) {
    const [{ parseFormats, renderPlots }, { parseStyle }] = await Promise.all([
      import("../plots/render.ts"),
      import("../plots/styles.ts"),
    ]);
    const written = await renderPlots(findFolder(dir, out), {
      style: parseStyle(style),
      ...(format !== undefined && { formats: parseFormats(format) }),
      ...(plots ? { plots } : {}),
      onSkip: (name, reason) => {
        if (!quiet && !json) console.error(`${name} left out: ${reason}`);
      },
    });
    print({ quiet, json }, written, () => written.join("\n"));
    return exitCodes.done;
  },
});
