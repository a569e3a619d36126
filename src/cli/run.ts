// `fathom run`: one run of a manifest. Launchers start it; it talks to a parent that has a channel open, and prints plain
// lines otherwise (a cluster's log).

import { common, exitCodes, keepGraphs, print, TryAgainError, verb } from "./verb.ts";
import { launchedVariable, type LauncherMessage } from "../launchers/launcher.ts";

export const run = verb({
  usage: "run",
  summary: "one run of a manifest, for launchers",
  hidden: true,
  positionals: {},
  options: {
    out: { ...common.out, describe: "of no use here: --manifest is the folder" },
    manifest: { type: "string", demandOption: true, requiresArg: true, describe: "the experiment's folder" },
    index: { type: "number", demandOption: true, requiresArg: true, describe: "the run's place in manifest.jsonl" },
    hash: { type: "string", requiresArg: true, describe: "the hash it must have there" },
    "keep-graphs": keepGraphs,
    memory: { type: "number", requiresArg: true, describe: "bytes it may have where others run beside it" },
  },
  examples: [["fathom run --manifest results/quickstart --index 0", "its first run"]],
  async run({ manifest, index, hash, quiet, json, ...flags }) {
    const { manifestEntry } = await import("../runs/manifest.ts");
    const { interruption, resultLine, runOne } = await import("./run-one.ts");
    const { progressView } = await import("./progress.ts");
    const entry = manifestEntry(manifest, index);
    // Two sweeps that plan at once may each write the manifest: the later one decides.
    if (hash !== undefined && entry.hash !== hash)
      throw new TryAgainError(
        `${manifest}: run ${index} is another one than was planned (expected hash ${hash}, got ${entry.hash}): ` +
          `another sweep planned this experiment at the same time; sweep again`,
      );
    // Other supervisors open channels too: ours says so.
    const isLaunched = process.env[launchedVariable] !== undefined;
    const view = progressView(isLaunched || quiet || json);
    // The parent may be gone by now, or go while a message is under way: the run's folder tells what it missed.
    const tell = (message: LauncherMessage): void => {
      if (isLaunched && process.connected) process.send!(message, undefined, undefined, () => {});
    };
    const interrupt = interruption();
    // A run must not outlive the sweep that started it: its channel closes however the parent ends.
    if (isLaunched) process.once("disconnect", interrupt.abort);
    try {
      const result = await runOne(manifest, entry, {
        signal: interrupt.signal,
        afresh: false,
        keepGraphs: flags["keep-graphs"],
        memoryShare: flags.memory,
        say: (line) => void (quiet || json || console.error(line)),
        onProgress: (progress) => {
          view.update(entry.id, progress);
          tell({ type: "progress", progress });
        },
      });
      tell({ type: "result", status: result.status, reason: result.reason });
      print({ quiet, json }, result, () => resultLine(result));
      return result.status === "interrupted" ? exitCodes.interrupted : exitCodes.done;
    } finally {
      view.stop();
      interrupt.dispose();
      process.off("disconnect", interrupt.abort);
    }
  },
});
