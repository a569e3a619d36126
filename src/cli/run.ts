// `fathom run`: one run of a manifest. Launchers start it; it talks to a parent that has a channel open, and prints plain
// lines otherwise (a cluster's log).

import { TryAgainError } from "../errors.ts";
import { common, exitCodes, keepGraphs, print, verb } from "./verb.ts";
import { launchedVariable, type LauncherMessage, type MemoryNeed, type Order } from "../launchers/launcher.ts";
import type { ManifestEntry } from "../runs/manifest.ts";

export const run = verb({
  usage: "run",
  summary: "one run of a manifest, for launchers",
  hidden: true,
  positionals: {},
  options: {
    out: { ...common.out, describe: "of no use here: --manifest is the folder" },
    manifest: { type: "string", demandOption: true, requiresArg: true, describe: "the experiment's folder" },
    index: {
      type: "string",
      demandOption: true,
      requiresArg: true,
      describe: "the run's place in manifest.jsonl; several, such as 3,4,7, run one after the other",
    },
    until: { type: "number", requiresArg: true, describe: "the step at whose evaluation it waits to be told to go on" },
    hash: { type: "string", requiresArg: true, describe: "the hash it must have there, or theirs" },
    retry: { type: "boolean", default: false, describe: "of several: leave those alone that the user has to repair" },
    "keep-graphs": keepGraphs,
  },
  examples: [["fathom run --manifest results/quickstart --index 0", "its first run"]],
  async run({ manifest, index, hash, quiet, json, ...flags }) {
    const { manifestEntries } = await import("../runs/manifest.ts");
    const { runOne } = await import("../run-one.ts");
    const { interruption, resultLine } = await import("./run-one.ts");
    const { progressView } = await import("./progress.ts");
    const { nextOrder } = await import("./orders.ts");
    const entries = manifestEntries(manifest, index.split(","));
    const hashes = hash?.split(",") ?? entries.map((entry) => entry.hash);
    // Two sweeps that plan at once may each write the manifest: the later one decides.
    for (const [i, entry] of entries.entries())
      if (entry.hash !== hashes[i])
        throw new TryAgainError(
          `${manifest}: run ${entry.index} is another one than was planned (expected hash ${hashes[i]}, got ${entry.hash}): ` +
            `another sweep planned this experiment at the same time; sweep again`,
        );
    const { until, "keep-graphs": keepGraphs } = flags;
    if (entries.length > 1)
      return runSeveral(manifest, entries, { quiet, json, keepGraphs, until, retry: flags.retry });
    const entry = entries[0]!;
    // Other supervisors open channels too: ours says so.
    const isLaunched = process.env[launchedVariable] !== undefined;
    const view = progressView(isLaunched || quiet || json);
    // The parent may be gone by now, or go while a message is under way: the run's folder tells what it missed.
    const tell = (message: LauncherMessage): void => {
      if (isLaunched && process.connected) process.send!(message, undefined, undefined, () => {});
    };
    /** Waits for the launcher's word that there is room, or for the end. */
    const makeRoom = async ({ bytes, residentBytes }: MemoryNeed): Promise<void> => {
      const told = nextOrder("room", interrupt.signal);
      tell({ type: "memory", memory: { bytes, residentBytes } });
      if (process.connected && !interrupt.signal.aborted) await told;
    };
    const interrupt = interruption();
    const onOrder = ({ type }: Order): void => {
      if (type === "stop") interrupt.abort();
    };
    // A run must not outlive the sweep that started it: its channel closes however the parent ends.
    if (isLaunched) process.once("disconnect", interrupt.abort).on("message", onOrder);
    // It may have closed while this process started up.
    if (isLaunched && !process.connected) interrupt.abort();
    try {
      const result = await runOne(manifest, entry, {
        signal: interrupt.signal,
        afresh: false,
        keepGraphs,
        until,
        ...(isLaunched && { makeRoom, reuse: true }),
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
      process.off("disconnect", interrupt.abort).off("message", onOrder);
    }
  },
});

/** Several runs, in child processes, one after the other: one that crashes stops none of the others. */
async function runSeveral(
  manifest: string,
  entries: readonly ManifestEntry[],
  { retry, ...how }: { quiet: boolean; json: boolean; keepGraphs: boolean; until: number | undefined; retry: boolean },
): Promise<number> {
  const [{ launchEntries }, { exitCodeOf, shown }, { readRun, runFolder }, { local }, { interruption }] =
    await Promise.all([
      import("../launch.ts"),
      import("./launch.ts"),
      import("../runs/run-folder.ts"),
      import("../launchers/local.ts"),
      import("./run-one.ts"),
    ]);
  const { signal, dispose } = interruption();
  try {
    const given = { ...how, launcher: local, jobs: 1, settings: {}, failFast: false, signal };
    const isRefused = ({ id }: ManifestEntry): boolean => {
      const record = readRun(runFolder(manifest, id));
      return record?.status === "failed" && record.isRefused === true;
    };
    const refused = retry ? entries.filter(isRefused) : [];
    const outcomes = await launchEntries(
      manifest,
      entries.filter((entry) => !refused.includes(entry)),
      given,
      shown(how),
    );
    const before = refused.map(() => ({ status: "failed", code: exitCodes.userError }) as const);
    return exitCodeOf([...outcomes, ...before], signal.aborted);
  } finally {
    dispose();
  }
}
