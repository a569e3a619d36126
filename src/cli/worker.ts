// `fathom worker`: works on the runs of sweeps with `--launcher queue`, on any machine that reaches their Redis.

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../errors.ts";
import { common, exitCodes, print, verb } from "./verb.ts";

export const worker = verb({
  usage: "worker",
  summary: "work on the runs of sweeps that were started with --launcher queue, until Ctrl-C",
  positionals: {},
  options: {
    out: { ...common.out, describe: "runs whose sweep's folder is not on this machine are made in queue/ below this" },
    queue: {
      type: "string",
      default: "",
      defaultDescription: "FATHOM_QUEUE, else redis://127.0.0.1:6379",
      requiresArg: true,
      describe: "redis://[user@]host[:port][/database], or rediss://; its password is FATHOM_QUEUE_PASSWORD",
    },
    jobs: {
      type: "number",
      default: availableParallelism(),
      defaultDescription: "one a core",
      requiresArg: true,
      describe: "runs at once",
    },
    apart: {
      type: "boolean",
      default: false,
      describe: "make runs below --out and send them through Redis even where the sweep's folder is on this machine",
    },
  },
  examples: [
    ["fathom worker --queue redis://lab-3:6379", "as many runs at once as this machine has cores"],
    ["fathom worker --queue rediss://me@lab-3 --jobs 2", "two at once, through TLS"],
    ["fathom sweep c.yaml --launcher queue --queue redis://lab-3:6379", "puts runs in the queue"],
  ],
  async run({ queue, jobs, apart, out, quiet, json }) {
    if (!Number.isInteger(jobs) || jobs < 1) throw new UserError(`expected --jobs 1 or more, got ${jobs}`);
    const { redisAddress } = await import("../launchers/redis.ts");
    const { workOn } = await import("../launchers/queue-worker.ts");
    const { interruption } = await import("./run-one.ts");
    const { progressView } = await import("./progress.ts");
    const address = redisAddress(queue);
    // The runs' processes have no use for it.
    delete process.env["FATHOM_QUEUE_PASSWORD"];
    const view = progressView(quiet || json);
    const ended: Record<string, number> = {};
    const { signal, dispose } = interruption();
    try {
      await workOn(address, {
        jobs,
        outDir: join(out, "queue"),
        apart,
        program: fileURLToPath(new URL("../../bin/fathom.js", import.meta.url)),
        signal,
        say: (line) => view.say(line),
        onProgress: (id, progress) => view.update(id, progress),
        onEnd(id, { status, reason }) {
          ended[status] = (ended[status] ?? 0) + 1;
          const line = `${id}: ${status}${reason ? `: ${reason}` : ""}`;
          // Errors are what --quiet does not silence.
          if (status === "failed" && (quiet || json)) console.error(`fathom: ${line}`);
          view.end(id, line);
        },
      });
    } finally {
      view.stop();
      dispose();
    }
    const counts = Object.entries(ended).map(([status, count]) => `${count} ${status}`);
    print({ quiet, json }, ended, () => `runs: ${counts.join(", ") || "none"}`);
    // Where Redis was just coming back BullMQ leaves a timer behind, which must not keep this process.
    setTimeout(() => process.exit(exitCodes.interrupted), 1000).unref();
    return exitCodes.interrupted;
  },
});
