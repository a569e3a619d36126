// The README's commands must run as they stand. Those that take minutes are planned or asked for their help instead.
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { fathom } from "./cli/capture.ts";

const readme = readFileSync("README.md", "utf8");
const blocks = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language, text]) => ({
  language,
  text: text!,
}));
const shell = blocks.filter(({ language }) => language === "sh").flatMap(({ text }) => text.trim().split("\n"));
const commands = shell.map((line) => line.replace(/\s+#.*$/, "")).filter((line) => line.startsWith("npx fathom "));

const folder = mkdtempSync(join(tmpdir(), "fathom-readme-"));
symlinkSync(resolve("configs"), join(folder, "configs"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the README opens with one picture and the two commands", () => {
  const top = readme.slice(0, readme.indexOf("## "));
  expect([...top.matchAll(/!\[/g)].length).toBe(1);
  expect(shell.slice(0, 2).map((line) => line.replace(/\s+#.*$/, ""))).toEqual([
    "npm ci && npx fathom sweep configs/quickstart.yaml",
    "npm ci && npm test",
  ]);
});

test("the README is short, and leads to the pages that say more", () => {
  expect(readme.split("\n").length).toBeLessThan(200);
  for (const page of ["docs/tutorial.md", "docs/reference/config.md", "docs/mathematics.md", "CONTRIBUTING.md"])
    expect(readme).toContain(`](${page})`);
});

test("every command of the README runs, in its order", { timeout: 240_000 }, async () => {
  expect(commands.length).toBeGreaterThan(10);
  for (const command of commands) {
    const args = command.split(" ").slice(2);
    if (["bench", "export", "resume", "ui"].includes(args[0]!)) args.push("--help");
    // Those of images train for minutes; .ci/run has short ones.
    if (args.some((arg) => arg.includes("<id>"))) args.push("--help");
    if (args[1]?.startsWith("configs/baselines/")) args.push(args[0] === "sweep" ? "--plan" : "--help");
    if (args.join() === "verify") args.push("hyper-connections-start"); // all of it is .ci/run's
    // The id ends in a hash of the configuration: it must be the one the README shows.
    if (args[0] === "inspect" || args[0] === "measure")
      expect(readdirSync(join(folder, "results/debug/runs"))).toContain(args[1]!.split("/").at(-1));
    const run = promisify(execFile)(process.execPath, [resolve("bin/fathom.js"), ...args], { cwd: folder });
    await expect(run, command).resolves.toBeDefined();
  }
});

test("the README's configuration resolves", async () => {
  const text = blocks.find(({ language }) => language === "yaml")!.text;
  const file = join(folder, "my-question.yaml");
  writeFileSync(file, text);
  expect((parse(text) as { name: string }).name).toBe("my-question");
  const { code, stdout } = await fathom("sweep", file, "--plan", "--out", folder, "--json");
  expect(code).toBe(0);
  expect((JSON.parse(stdout) as unknown[]).length).toBe(24);
});
