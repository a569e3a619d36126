// `fathom train`: one run.

import { UserError } from "../errors.ts";
import { exitCodes, keepGraphs, positional, print, verb } from "./verb.ts";

export const train = verb({
  usage: "train <config> [overrides..]",
  summary: "one run; a sweep section is left aside",
  positionals: { config: positional.config, overrides: positional.overrides },
  options: {
    afresh: { type: "boolean", default: false, describe: "run again what is finished or begun" },
    "keep-graphs": keepGraphs,
    estimate: {
      type: "boolean",
      default: false,
      describe: "print memory and time, from a few steps, and write nothing",
    },
  },
  examples: [
    ["fathom train configs/debug.yaml", "a small run; the same command continues an interrupted one"],
    ["fathom train configs/debug.yaml model.depth=12 train.steps=50", "with other values"],
    ["fathom train results/debug/runs/<id>/config.yaml --out again", "repeat a run"],
    ["fathom train configs/debug.yaml --estimate", "what it will take: memory, time a step, time in all"],
  ],
  async run({ config: file, overrides, out, quiet, json, afresh, estimate, ...flags }) {
    const { loadRegistries } = await import("../config/registries.ts");
    const { loadRun } = await import("../config/load.ts");
    const { singleRun } = await import("../config/sweep.ts");
    const { experimentFolder, runOne } = await import("../run-one.ts");
    const { interruption, resultLine } = await import("./run-one.ts");
    const { progressView } = await import("./progress.ts");
    const { automatic } = await import("../engine/select.ts");
    const { versionsAndMachine } = await import("../runs/environment.ts");
    const { differences, originOf } = await import("../runs/origin.ts");
    const { readOrigin } = await import("../runs/run-folder.ts");

    const { config, hasSweep, text } = loadRun(file, overrides, await loadRegistries());
    const origin = readOrigin(file, text);
    const say = (text: string): void => void (quiet || json || console.error(text));
    if (hasSweep) say(`${file}: the sweep section is left aside; \`fathom sweep ${file}\` runs it`);
    if (estimate) {
      const { estimateRun } = await import("../estimate.ts");
      const { estimateText } = await import("./estimate-text.ts");
      const { memoryText } = await import("../report/cost-text.ts");
      const found = await estimateRun(config, ({ bytes }) =>
        say(`timing a few steps, beside ${memoryText(bytes)} of memory; nothing is written ...`),
      );
      if ("warning" in found) say(found.warning!);
      print({ quiet, json }, found, () => estimateText(found));
      if ("refusal" in found) throw new UserError(found.refusal);
      return exitCodes.done;
    }
    const run = singleRun(config);
    if (origin?.hash === run.hash) {
      const engine = config.engine === "auto" ? (await automatic()).name : "";
      const differing = differences(origin, originOf({ hash: run.hash, engine, ...versionsAndMachine() }));
      if (differing.length > 0)
        say(`${file}: its run was made with ${differing.join(", ")}: the last bits of the numbers may differ here`);
    }
    const view = progressView(quiet || json);
    const interrupt = interruption();
    try {
      const result = await runOne(experimentFolder(out, config.name), run, {
        signal: interrupt.signal,
        afresh,
        keepGraphs: flags["keep-graphs"],
        say,
        onProgress: (progress) => view.update(run.id, progress),
      });
      view.stop();
      if (result.finishedBefore)
        say(
          `this run is finished; --afresh runs it again${flags["keep-graphs"] ? ", and keeps its graphs" : ""}` +
            (origin?.hash === run.hash ? ", --out elsewhere beside it" : ""),
        );
      if (result.status === "interrupted") say("interrupted; the state is saved, the same command goes on from it");
      if (json) console.log(JSON.stringify(result));
      else if (!quiet) console.log(resultLine(result));
      return result.status === "interrupted" ? exitCodes.interrupted : exitCodes.done;
    } finally {
      view.stop();
      interrupt.dispose();
    }
  },
});
