// A set of tiny images as a folder, and runs on it, for tests of what is said of models of images.
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadRegistries } from "../src/config/registries.ts";
import { resolver, type Resolved } from "../src/config/resolve.ts";
import type { RunConfig } from "../src/config/schema.ts";
import { singleRun } from "../src/config/sweep.ts";
import { formatImageSet, IDX_NAMES } from "../src/data/image-set.ts";
import { stream } from "../src/random.ts";
import { executeRun } from "../src/run.ts";
import { createRunFolder, startRun } from "../src/runs/run-folder.ts";
import type { Outcome } from "../src/train/trainer.ts";
import type { Progress } from "../src/types.ts";

export const vae = { kind: "vae", latent: 2, hidden: [6] };
export const gan = { kind: "gan", net: "mlp", latent: 3, generator: { hidden: [6] }, discriminator: { hidden: [6] } };

/** 40 training images of 4 x 4 and 12 test images, as a folder: 8 batches of 4 an epoch when 8 are held out. */
export function dotsFolder(folder: string): string {
  mkdirSync(folder);
  const part = (count: number) => ({
    images: Uint8Array.from(stream(1, `images ${count}`).uniform(new Float64Array(16 * count)), (v) => 255 * v),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 3),
  });
  const files = formatImageSet({ name: "dots", height: 4, width: 4, train: part(40), test: part(12) });
  for (const [role, bytes] of Object.entries(files))
    writeFileSync(join(folder, IDX_NAMES[role as keyof typeof IDX_NAMES]), bytes);
  return folder;
}

/** Sections of a configuration, over those of 20 steps and no metrics. */
export interface DotsOptions {
  readonly data?: object;
  readonly samples?: object;
  readonly train?: object;
  readonly metrics?: object;
}

export async function dotsConfig(
  images: string,
  model: object,
  options: DotsOptions = {},
): Promise<Resolved<RunConfig>> {
  return resolver(await loadRegistries()).resolve({
    name: "dots",
    engine: "cpu",
    data: { images, binarization: "threshold", validation: 8, ...options.data },
    model,
    train: { steps: 20, batch: { images: 4 }, checkpointEverySteps: 5, ...options.train },
    samples: { epochs: [0, 1, 2], images: 5, ...options.samples },
    metrics: { evaluation: [], final: [], ...options.metrics },
  });
}

/** An empty run folder below `root`. */
export async function dotsRun(
  root: string,
  model: object,
  options: DotsOptions & { readonly images: string },
): Promise<{ runDir: string; go(stopWhen?: (progress: Progress) => boolean): Promise<Outcome> }> {
  const resolved = await dotsConfig(options.images, model, options);
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  const config = resolved.value;
  const run = singleRun(config);
  const runDir = createRunFolder(mkdtempSync(join(root, "run-")), run.id);
  startRun(runDir, run);
  return {
    runDir,
    /** Trains from the start or goes on. */
    go(stopWhen = () => false) {
      const controller = new AbortController();
      const onProgress = (progress: Progress): void => {
        if (stopWhen(progress)) controller.abort(new Error("interrupted"));
      };
      return executeRun(config, runDir, { signal: controller.signal, onProgress });
    },
  };
}
