// Run folders for tests.

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolver } from "../../src/config/resolve.ts";
import { isKind, type TransformerConfig } from "../../src/config/schema.ts";
import type { LayerRow, MetricRow } from "../../src/types.ts";
import { names } from "../config/names.ts";

/** A fresh folder of the system's. */
export const scratch = (): string => mkdtempSync(join(tmpdir(), "fathom-runs-"));

/** A small resolved configuration. */
export function config(seed = 1, depth = 2, residual = "pre-ln"): TransformerConfig {
  const resolved = resolver(names).resolve({
    name: "tiny",
    seed,
    data: { corpus: "typescript-diagnostics", directions: ["en-de"] },
    model: { depth, width: 16, heads: 2, residual },
    train: { steps: 20 },
  });
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  if (!isKind(resolved.value, "transformer")) throw new Error("expected a transformer");
  return resolved.value;
}

export const loss = (step: number, value: number, split: MetricRow["split"] = "train"): MetricRow => ({
  step,
  tokens: 10 * (step + 1),
  seconds: 0.5 * step,
  split,
  name: "loss",
  value,
});

/** Rows of two tensors: values that differ from step to step. */
export const layerRows = (step: number): LayerRow[] =>
  [0, 1].map((layer) => ({
    step,
    player: "model",
    stack: "encoder",
    layer: layer === 0 ? "" : layer,
    component: "feed-forward",
    parameter: "inner/weight",
    quantity: "parameter-gradient",
    l2: (step + 1) / 3 + layer,
    rms: ((step + 1) / 3 + layer) / 4,
    max: 0.1 + step,
    count: 16,
  }));
