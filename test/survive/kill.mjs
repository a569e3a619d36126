// Loaded with `--import`: the process kills itself with SIGKILL in the middle of a change of the file system, the `at`-th that
// FATHOM_TEST_KILL, `{"folder", "at", "matching"}`, asks for. It says which on standard error first.
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { failAt } from "./file-system.mjs";

const asked = process.env.FATHOM_TEST_KILL;
if (asked !== undefined && isMainThread) {
  const say = writeSync;
  const { folder, at, matching } = JSON.parse(asked);
  failAt({
    folder,
    at,
    matching: new RegExp(matching),
    halt(what) {
      say(2, `killed at ${what}\n`);
      process.kill(process.pid, "SIGKILL");
      for (;;); // the signal is on its way
    },
  });
}
