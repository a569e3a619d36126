// The command line as its users run it, for tests that start processes.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

/** What runs the command line. */
export const bin = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));

/** The command line runs what `npm run build` made; `npm test` builds first, so this is for running the file alone. */
export function buildIfStale(): void {
  const root = dirname(dirname(bin));
  const newest = Math.max(
    ...readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).map(
      (file) => statSync(join(root, "src", file)).mtimeMs,
    ),
  );
  const built = join(root, "dist/.tsbuildinfo");
  if (existsSync(built) && statSync(built).mtimeMs > newest) return;
  const result = spawnSync("npm", ["run", "build"], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  expect(result.status, result.stdout).toBe(0);
}
