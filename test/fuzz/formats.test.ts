// Whatever bytes a file of ours has, its reader ends soon, with what stands there or with a `UserError`, and nothing else in
// the world has changed. `FATHOM_FUZZ_RUNS` says how many inputs a format gets, `FATHOM_FUZZ_SEED` which ones; readers of
// sentences have a test of the same kind in test/data/readers.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { UserError } from "../../src/errors.ts";
import { allFormats, type Format, inputsOf } from "./formats.ts";
import { watchdog, watching } from "./watchdog.ts";

const runs = Number(process.env.FATHOM_FUZZ_RUNS ?? 150);
const seed = Number(process.env.FATHOM_FUZZ_SEED ?? 1);

// Files lie two levels down, so that a path with `../..` would show.
const root = mkdtempSync(join(tmpdir(), "fathom-fuzz-"));
const folder = join(root, "a", "b");
const cache = join(root, "cache");
vi.stubEnv("FATHOM_CACHE", cache);
mkdirSync(folder, { recursive: true });
writeFileSync(join(root, "sentinel"), "untouched");
mkdirSync(join(root, "made"));
const formats = await allFormats(join(root, "made"), cache);

// An input takes milliseconds, and this process 300 MiB; a machine may be busy otherwise.
const guard = watchdog({ seconds: 60, bytes: 1.5 * 2 ** 30, where: root });
let inputs = 0;
afterAll(async () => {
  console.log(
    `fuzz: ${inputs} inputs with seed ${seed}, ${Math.round(guard.peakBytes() / 2 ** 20)} MiB resident at most, ` +
      `${Math.round(process.uptime())} s`,
  );
  await guard.stop();
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
});

type End = "value" | "refused";
async function endOf({ read }: Format, bytes: Uint8Array): Promise<End> {
  guard.next();
  inputs++;
  try {
    return (await read(bytes, folder)) === undefined ? "refused" : "value";
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    expect(error.message.length).toBeLessThan(25_000); // ten problems, each a line
    return "refused";
  }
}

describe.each(formats)("$name", (format) => {
  test("the examples are valid, or the mutations would be of nothing", async () => {
    for (const example of format.examples) expect(await endOf(format, example)).toBe("value");
  });

  test(
    "ends with what stands there or a UserError, and leaves everything else as it was",
    async () => {
      const exit = vi.spyOn(process, "exit").mockImplementation(() => {
        throw new Error("process.exit");
      });
      const prototype = Object.getOwnPropertyNames(Object.prototype);
      const outside = JSON.stringify([readdirSync(root), readdirSync(join(root, "a"))]);
      let refused = 0;
      const property = fc.asyncProperty(inputsOf(format), async (bytes) => {
        if ((await endOf(format, bytes)) === "refused") refused++;
        if ("polluted" in {}) throw new Error("Object.prototype was changed");
      });
      try {
        await fc.assert(property, { numRuns: Math.ceil(runs * format.share), seed });
      } finally {
        exit.mockRestore();
      }
      expect(refused).toBeGreaterThan(0); // or the mutations are too weak
      expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(prototype);
      expect(JSON.stringify([readdirSync(root), readdirSync(join(root, "a"))])).toBe(outside);
      expect(readFileSync(join(root, "sentinel"), "utf8")).toBe("untouched");
    },
    120_000 + 60 * runs, // milliseconds
  );
});

test.each([
  ["an input that never ends", "for (;;);", /^fuzz: no end after 1 s at input 1, which lies in here\n$/],
  [
    "memory that only grows",
    "const all = []; for (;;) all.push(Buffer.alloc(1e6, 1))",
    /^fuzz: \d+ bytes of memory at input 1,/,
  ],
])("%s ends the process, named", (_, does, message) => {
  const start = `
    const { Worker } = require("node:worker_threads");
    const shared = new SharedArrayBuffer(16);
    const limits = { shared, seconds: 1, bytes: 2 ** 28, where: "here" };
    new Worker(${JSON.stringify(watching)}, { eval: true, workerData: limits });
    setTimeout(() => { Atomics.add(new Int32Array(shared, 0, 1), 0, 1); ${does} }, 300);`;
  const { signal, stderr } = spawnSync(process.execPath, ["-e", start], { encoding: "utf8", timeout: 60_000 });
  expect(stderr).toMatch(message);
  expect(signal).toBe("SIGKILL");
});
