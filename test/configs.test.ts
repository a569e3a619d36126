// Every configuration that ships must work: it names the schema, resolves, and trains two steps.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { fathom } from "./cli/capture.ts";

const out = mkdtempSync(join(tmpdir(), "fathom-configs-"));
afterAll(() => rmSync(out, { recursive: true }));
const files = readdirSync("configs", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".yaml"));

describe.each(files)("configs/%s", (file) => {
  const path = join("configs", file);

  test("names the schema in its first line, and says question, command and what to expect", () => {
    const text = readFileSync(path, "utf8");
    expect(text).toMatch(/^# yaml-language-server: \$schema=(\.\.\/)+schema\/experiment\.schema\.json\n/);
    for (const word of ["Question:", "Command:", "Expected:"]) expect(text).toContain(word);
  });

  test("trains two steps", async () => {
    // What a thousand layers do at two steps is known from a few; test/engine/depth.test.ts has the many.
    const shallow = readFileSync(path, "utf8").includes("depth: 500") ? ["model.depth=4"] : [];
    const text = readFileSync(path, "utf8");
    const inEpochs = /^ +epochs: \d/m.test(text) ? ["train.epochs=null"] : [];
    // Metrics of thousands of images have tests of their own.
    const unmeasured = /^ +kind: (vae|gan)$/m.test(text) ? ["metrics.final=[]", "samples.images=4"] : [];
    const short = ["train.steps=2", ...inEpochs, ...shallow, ...unmeasured];
    const { code, stderr } = await fathom("train", path, ...short, "--out", out, "--quiet");
    expect(stderr).not.toContain("fathom:");
    expect(code).toBe(0);
  });

  test("plans its sweep, where it has one", async () => {
    if (!/^sweep:/m.test(readFileSync(path, "utf8"))) return;
    const { code, stdout } = await fathom("sweep", path, "--plan", "--out", out, "--json");
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as unknown[]).length).toBeGreaterThan(1);
  });
});
