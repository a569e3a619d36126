import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";

/** Sets `FATHOM_CACHE` to an empty folder, which it returns, until the tests around it are done. */
export function useTemporaryCache(): string {
  const before = process.env.FATHOM_CACHE;
  const folder = mkdtempSync(path.join(tmpdir(), "fathom-cache-"));
  process.env.FATHOM_CACHE = folder;
  afterAll(() => {
    if (before === undefined) delete process.env.FATHOM_CACHE;
    else process.env.FATHOM_CACHE = before;
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}
