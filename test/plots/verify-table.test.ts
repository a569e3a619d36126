// What `fathom verify` leaves of a figure that has no numbers: no table, and none of an earlier call.
import { existsSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { type Check, claim } from "../../src/theory/check.ts";
import { verify } from "../../src/verify.ts";

/** Whether the figure of the stub check has a number; a test changes it. */
const stub = vi.hoisted(() => ({ hasNumber: true }));

vi.mock("../../src/theory/index.ts", () => ({
  one: {
    name: "one",
    summary: "one is one",
    source: "arithmetic",
    conditions: "always",
    run: () =>
      Promise.resolve({
        claims: [claim({ name: "one", statement: "It is one.", predicted: 1, measured: 1, tolerance: 0.1 })],
        figure: {
          kind: "lines",
          title: "One",
          caption: "How to read it.",
          x: { title: "x" },
          y: { title: "y" },
          points: [{ series: "a", x: 1, y: stub.hasNumber ? 1 : NaN, seed: 1 }],
        },
      }),
  } satisfies Check,
}));

test("a figure without numbers has no table, and that of an earlier call goes", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-verify-"));
  const written = async (): Promise<string[]> => {
    const { records } = await verify({ out, signal: new AbortController().signal });
    expect(records[0]!.reason).toBeUndefined();
    return readdirSync(join(out, "verify/plots")).sort();
  };
  expect(await written()).toEqual(["one.csv", "one.json", "one.png", "one.svg"]);
  stub.hasNumber = false;
  expect(await written()).toEqual(["one.json", "one.png", "one.svg"]);
  expect(existsSync(join(out, "verify/report.html"))).toBe(true);
});
