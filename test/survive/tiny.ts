// The smallest runs of each kind of model, for tests that begin them many times.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadRun } from "../../src/config/load.ts";
import { loadRegistries } from "../../src/config/registries.ts";
import { singleRun } from "../../src/config/sweep.ts";
import { runOne, type RunResult } from "../../src/run-one.ts";
import { formatImageSet, IDX_NAMES } from "../../src/data/image-set.ts";
import { stream } from "../../src/random.ts";
import type { RunIdentity } from "../../src/runs/run-folder.ts";
import { tables } from "../train/run-folder.ts";

// Checkpoints, evaluations and probes at different steps; dropout draws from random streams, Adam has state.
const common = `seed: 1
engine: cpu
train:
  steps: 5
  optimizer: { kind: adam, learningRate: 0.003 }
  schedule: { kind: constant }
  checkpointEverySteps: 2
  evaluateEverySteps: 3
`;

/** Writes the configurations `transformer.yaml`, `vae.yaml` and `gan.yaml` into a folder, and the images they need. */
export function writeConfigs(folder: string): void {
  const images = join(folder, "images");
  mkdirSync(images);
  const part = (count: number): { images: Uint8Array; labels: Uint8Array } => ({
    images: Uint8Array.from(stream(1, "test pixels").uniform(new Float64Array(64 * count)), (u) => 256 * u),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 10),
  });
  const set = formatImageSet({ name: "tiny", height: 8, width: 8, train: part(40), test: part(10) });
  for (const [role, bytes] of Object.entries(set))
    writeFileSync(join(images, IDX_NAMES[role as keyof typeof IDX_NAMES]), bytes);
  const ofImages = `data: {images: ${JSON.stringify(images)}, validation: 8}
metrics: {evaluation: [], final: []}
samples: {epochs: [0]}
`;
  const batch = (text: string): string => common.replace("train:\n", `train:\n  batch: ${text}\n`);
  writeFileSync(
    join(folder, "transformer.yaml"),
    `name: transformer
data:
  corpus: typescript-diagnostics
  directions: [en-de]
  vocabulary: { kind: bpe, size: 300 }
  maxLength: 12
model: { kind: transformer, depth: 1, width: 8, heads: 1, residual: pre-ln, dropout: 0.1 }
probes: { everySteps: 2, record: [gradient-norm, update-ratio, gradient-coherence] }
${batch("{ sentences: 2 }")}`,
  );
  writeFileSync(
    join(folder, "vae.yaml"),
    `name: vae
model: { kind: vae, latent: 2, hidden: [4] }
${ofImages}${batch("{ images: 4 }")}`,
  );
  writeFileSync(
    join(folder, "gan.yaml"),
    `name: gan
model: {kind: gan, net: mlp, loss: minimax, latent: 4, generator: {hidden: [8]}, discriminator: {hidden: [8]}}
${ofImages}${batch("{ images: 4 }")}`,
  );
}

/** The run of a configuration file. */
export const runOf = async (file: string, ...overrides: string[]): Promise<RunIdentity> =>
  singleRun(loadRun(file, overrides, await loadRegistries()).config);

/** Begins a run, or goes on with it, as `fathom train` does. `lines` takes what it says. A dead process's lease, whose ten
 *  seconds of silence others test, goes first. */
export async function go(experiment: string, run: RunIdentity, lines: string[] = []): Promise<RunResult> {
  rmSync(join(experiment, "runs", run.id, "lease"), { recursive: true, force: true });
  return runOne(experiment, run, {
    signal: new AbortController().signal,
    afresh: false,
    keepGraphs: false,
    onProgress: () => {},
    say: (line) => void lines.push(line),
  });
}

/** What a finished run must have the same bits of, however often it was interrupted: the final weights and the optimizers' state,
 *  and the tables but for the seconds of metrics.csv, which are wall-clock time. */
export function results(runDir: string): Record<string, string> {
  const checkpoints = join(runDir, "checkpoints");
  const kept = readdirSync(checkpoints).sort();
  const tensors = kept.flatMap((name) =>
    readdirSync(join(checkpoints, name))
      .filter((file) => file.endsWith(".safetensors"))
      .map((file) => [`${name}/${file}`, readFileSync(join(checkpoints, name, file), "latin1")]),
  );
  return { kept: kept.join(" "), ...Object.fromEntries(tensors), ...tables(runDir) };
}
