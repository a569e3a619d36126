// What is shown of runs that are launched together.
import { expect, test, vi } from "vitest";
import { shown } from "../../src/cli/launch.ts";
import type { Outcome } from "../../src/launchers/launcher.ts";

const outcome = (id: string, status: Outcome["status"]): Outcome => ({
  job: { id, index: 0, hash: "", kind: "", logFile: "" },
  status,
  reason: "not started",
  code: null,
});

test("runs that an interruption kept from starting are one line, those that it stopped have a line each", () => {
  let said = "";
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((text) => ((said += String(text)), true));
  try {
    const watch = shown({ quiet: false, json: false });
    watch.end(outcome("a", "interrupted"), "a: interrupted", "");
    for (const id of ["b", "c", "d"]) watch.end(outcome(id, "skipped"), `${id}: skipped: not started`, "");
    watch.stop();
  } finally {
    spy.mockRestore();
  }
  expect(said).toBe("a: interrupted\n3 runs were not started\n");
});
