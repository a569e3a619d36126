// `graphs/` of a run: every compiled program as a file that ONNX viewers open, and `index.json`, which says what each
// is.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { CompiledProgram } from "../types.ts";
import { ensureFolder, isFile, writeWhole } from "./files.ts";

/** What `index.json` says of a file. */
export type GraphEntry = Omit<CompiledProgram, "model">;

/** Folder of the programs that a run keeps. */
export const graphsFolder = (runDir: string): string => join(runDir, "graphs");
const indexFile = (runDir: string): string => join(graphsFolder(runDir), "index.json");

/** Keeps programs of a run as `<stage>.<mode>.<direction>.<hash>.onnx`; those of an earlier attempt stay. */
export function graphKeeper(runDir: string): (program: CompiledProgram) => void {
  ensureFolder(graphsFolder(runDir));
  const index = new Map(Object.entries(readGraphs(runDir)));
  return ({ model, ...entry }) => {
    const hash = createHash("sha256").update(model).digest("hex").slice(0, 8);
    const file = [entry.stage.replace(/[^A-Za-z0-9.-]+/g, "-"), entry.mode, entry.direction, hash, "onnx"].join(".");
    writeWhole(join(graphsFolder(runDir), file), model);
    index.set(file, entry);
    const sorted = Object.fromEntries([...index].sort(([a], [b]) => (a < b ? -1 : 1)));
    writeWhole(indexFile(runDir), `${JSON.stringify(sorted, null, 2)}\n`);
  };
}

const endSchema = z.object({ name: z.string(), shape: z.array(z.number()), dtype: z.string() });
const indexSchema = z.record(
  z.string(),
  z.object({
    stage: z.string(),
    key: z.string(),
    mode: z.string(),
    direction: z.string(),
    taps: z.string(),
    provider: z.string(),
    inputs: z.array(endSchema),
    outputs: z.array(endSchema),
    nodes: z.record(z.string(), z.number()),
  }),
) satisfies z.ZodType<Record<string, GraphEntry>>;

/** What `index.json` of a run says, by file; nothing where the run keeps no graphs or the file was damaged. */
export function readGraphs(runDir: string): Readonly<Record<string, GraphEntry>> {
  if (!isFile(indexFile(runDir))) return {};
  try {
    return indexSchema.parse(JSON.parse(readFileSync(indexFile(runDir), "utf8")));
  } catch {
    return {};
  }
}
