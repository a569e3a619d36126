// `fathom export`: what an experiment or a run recorded, as other tools read it.

import { setImmediate } from "node:timers/promises";
import { UserError } from "../errors.ts";
import { exitCodes, findFolder, positional, print, verb } from "./verb.ts";

const exportVerb = verb({
  usage: "export <dir>",
  summary: "runs as TensorBoard event files, Parquet tables, or lines for Weights & Biases",
  positionals: {
    dir: { ...positional.experiment, describe: "folder of an experiment (or its name below --out) or run" },
  },
  options: {
    format: {
      type: "string",
      requiresArg: true,
      describe: "of tensorboard, parquet, wandb, by commas",
    },
    to: { type: "string", requiresArg: true, describe: "a folder, in which each format gets one [DIR/export]" },
  },
  examples: [
    [
      "fathom export results/quickstart --format tensorboard",
      "then: tensorboard --logdir results/quickstart/export/tensorboard",
    ],
    ["fathom export results/quickstart --format parquet,wandb --to shared", "writes shared/parquet and shared/wandb"],
    ["fathom export results/quickstart/runs/<id> --format parquet", "one run; docs/export.md says how to open each"],
  ],
  async run({ dir, format, to, out, quiet, json }) {
    const { join } = await import("node:path");
    const { exportSource, parseExportFormats, writeExport } = await import("../export/write-export.ts");
    const { interruption } = await import("./run-one.ts");
    const { progressView } = await import("./progress.ts");
    const { members } = await import("../registry.ts");
    const known = await import("../export/index.ts");
    if (format === undefined)
      throw new UserError(`expected --format with one or more of ${[...members(known).keys()].join(", ")}, got none`);
    const formats = parseExportFormats(format);
    const folder = findFolder(dir, out);
    const source = exportSource(folder);
    const view = progressView(quiet || json);
    const { signal, dispose } = interruption();
    const written: string[] = [];
    try {
      for (const one of formats) {
        const files = await writeExport(
          source,
          one,
          join(to ?? join(folder, "export"), one.name),
          async (doing, done, all) => {
            await setImmediate(); // signals come between
            signal.throwIfAborted();
            view.update(one.name, {
              ...{ step: done, steps: all, doing },
              ...{ loss: NaN, gradientNorm: NaN, stepsPerSecond: NaN, secondsLeft: NaN },
            });
          },
        );
        written.push(...files);
        view.end(one.name, `${one.name}: ${files.length} files`);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      view.say("interrupted; what was being written is removed");
      return exitCodes.interrupted;
    } finally {
      view.stop();
      dispose();
    }
    print({ quiet, json }, written, () => written.join("\n"));
    return exitCodes.done;
  },
});

// The word is reserved, though not as the name of an export.
export { exportVerb as export };
