// Checkpoints as others read them: every tensor of a run's checkpoints through the Python package `safetensors`.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { encodeSafetensors, readSafetensors } from "../../src/train/safetensors.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { scratch } from "../runs/folder.ts";
import { go, runOf, writeConfigs } from "./tiny.ts";

useTemporaryCache();
const script = fileURLToPath(new URL("./check.py", import.meta.url));
const isThere = spawnSync("python3", ["-c", "import safetensors, numpy"]).status === 0;
if (!isThere)
  console.warn(
    "test/survive/python.test.ts: skipped, since python3 does not import safetensors and numpy (pip install safetensors numpy)",
  );

interface Found {
  readonly metadata: Record<string, string> | null;
  readonly tensors: Record<string, { dtype: string; shape: number[]; sha256: string; sum: number }>;
}

/** What Python finds in files, by their path. */
function readByPython(files: readonly string[]): Record<string, Found> {
  const { status, stdout, stderr } = spawnSync("python3", [script, ...files], { encoding: "utf8" });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, Found>;
}

/** The same of what we read. */
function readByUs(file: string): Found {
  const { tensors, metadata } = readSafetensors(file);
  const entries = [...tensors].map(([name, { shape, data }]) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return [
      name,
      {
        dtype: data instanceof Float32Array ? "float32" : "int32",
        shape: [...shape],
        sha256: createHash("sha256").update(bytes).digest("hex"),
        sum: (data as Float32Array).reduce((sum, value) => sum + value, 0),
      },
    ] satisfies [string, Found["tensors"][string]];
  });
  return { metadata, tensors: Object.fromEntries(entries) };
}

test.skipIf(!isThere)(
  "Python's safetensors reads the weights and the optimizers' state of checkpoints: names, shapes, types and every bit",
  async () => {
    const folder = scratch();
    writeConfigs(folder);
    const files: string[] = [];
    for (const kind of ["transformer", "vae", "gan"]) {
      const { runDir } = await go(scratch(), await runOf(join(folder, `${kind}.yaml`)));
      const names = readdirSync(join(runDir, "checkpoints"), { recursive: true, encoding: "utf8" });
      files.push(...names.filter((name) => name.endsWith(".safetensors")).map((n) => join(runDir, "checkpoints", n)));
    }
    const odd = join(folder, "odd.safetensors");
    const tensors = new Map([
      ["größe/ids", { shape: [3], data: Int32Array.of(-1, 0, 2147483647) }],
      ["scalar", { shape: [], data: Float32Array.of(1e-45) }],
      ["empty", { shape: [0, 4], data: new Float32Array(0) }],
    ]);
    writeFileSync(odd, encodeSafetensors(tensors, { format: "fathom" }));
    files.push(odd);
    expect(files.length).toBeGreaterThanOrEqual(14); // two of each of two steps, and the weights of two best

    const found = readByPython(files);
    expect(Object.keys(found)).toEqual(files);
    for (const file of files) {
      const ours = readByUs(file);
      expect(Object.keys(found[file]!.tensors).length).toBeGreaterThan(0);
      for (const [name, { sum, ...exact }] of Object.entries(found[file]!.tensors)) {
        const { sum: ourSum, ...ourExact } = ours.tensors[name]!;
        expect(exact, `${file}: ${name}`).toEqual(ourExact);
        // numpy sums by pairs, we in order: float64, at most a few thousand elements below 1e3.
        expect(Math.abs(sum - ourSum), `${file}: ${name}`).toBeLessThanOrEqual(1e-9 * (1 + Math.abs(sum)));
      }
      expect(Object.keys(ours.tensors).sort()).toEqual(Object.keys(found[file]!.tensors).sort());
      expect(found[file]!.metadata ?? {}).toEqual(ours.metadata);
    }
  },
);
