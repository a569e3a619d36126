// An epoch of a training of images, as its configuration says, beside the same in PyTorch.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadData } from "../build.ts";
import { loadRun } from "../config/load.ts";
import { loadRegistries } from "../config/registries.ts";
import { isKind, type RunConfig } from "../config/schema.ts";
import { loadImageSet } from "../data/images.ts";
import { assert } from "../errors.ts";
import { prepare } from "../prepare.ts";
import { openRecorder } from "../runs/events.ts";
import { mean } from "../statistics.ts";
import { trainStep } from "../train/trainer.ts";
import { ofEach } from "./cells.ts";
import { countParameters } from "./network.ts";
import { inFolder, runChild } from "./processes.ts";
import { runPeer, type Sample, takeTurns } from "./turns.ts";
import { type Asked, type Comparison, type Work, withThreads } from "./work.ts";

/** The trainings: the configuration, and the same in PyTorch. */
export const epochs = {
  "vae-epoch": { config: "vae-mnist.yaml", overrides: [], peer: "torch_vae.py" },
  "gan-epoch": { config: "gan-losses.yaml", overrides: ["model.loss=non-saturating"], peer: "torch_gan.py" },
} as const;
export type EpochName = keyof typeof epochs;

/** Steps before those that are timed, on all sides: networks compiled, memory touched, caches filled. */
const warmup = 20;

/** What a work of this kind is. */
export const epochWork = (name: EpochName, what: string): Work => ({
  name,
  summary:
    `an epoch of ${what} (configs/baselines/${epochs[name].config}), scaled from the mean of some steps: batches drawn, Adam, gradient norm ` +
    "of every parameter at every step; fathom's probes as its configuration has them; no evaluation",
  comparesWith: ["torch", "torch-fused", "torch-compile"],
  target: () => 0.8,
  steps: 200,
  minutes: 0.1,
  async measure(asked) {
    const comparisons = await ofEach(
      asked,
      asked.threads,
      (threads) => withThreads(name, threads),
      (threads) => compareEpoch(name, { ...asked, threads }),
    );
    return { comparisons };
  },
});

async function loadEpoch(what: EpochName, threads: number): Promise<RunConfig> {
  const file = fileURLToPath(new URL(`../../configs/baselines/${epochs[what].config}`, import.meta.url));
  return loadRun(file, [...epochs[what].overrides, "engine=onnx", `threads=${threads}`], await loadRegistries()).config;
}

/** What a process measured of the steps of an epoch. */
export interface EpochTiming {
  /** One number a step. */
  readonly milliseconds: readonly number[];
  readonly parameters: number;
}

/** Times training steps of this process as the configuration says: batches drawn, every player's update, gradient norms at every
 *  step, and its probes at the steps it names, written to a file. Evaluations and checkpoints are left out. */
export async function timeEpoch(what: EpochName, threads: number, steps: number): Promise<EpochTiming> {
  const config = await loadEpoch(what, threads);
  const training = await prepare(config, await loadData(config));
  try {
    return await inFolder(async (folder) => {
      const recorder = openRecorder(folder);
      try {
        const milliseconds: number[] = [];
        for (let step = 0; step < warmup + steps; step++) {
          const began = performance.now();
          for (const { layers, readings } of (await trainStep(training, step)).outcomes) {
            recorder.layers(step, layers);
            recorder.readings(step, readings);
          }
          milliseconds.push(performance.now() - began);
        }
        return { milliseconds: milliseconds.slice(warmup), parameters: countParameters(training) };
      } finally {
        recorder.close();
      }
    });
  } finally {
    await training.engine.dispose();
  }
}

/** What a peer of an epoch is told, as JSON: a file of grey values 0-255, its images of so many pixels, and how the network is
 *  built and trained; `steps` are timed after `warmup`. */
interface Told {
  readonly images: string;
  readonly pixels: number;
  readonly batch: number;
  readonly adam: {
    readonly learningRate: number;
    readonly beta1: number;
    readonly beta2: number;
    readonly epsilon: number;
  };
  readonly threads: number;
  readonly warmup: number;
  readonly steps: number;
  readonly latent: number;
  /** Widths of the hidden layers: of a VAE's encoder, or of a GAN's two networks. */
  readonly hidden?: readonly number[] | undefined;
  readonly generator?: readonly number[] | undefined;
  readonly discriminator?: readonly number[] | undefined;
}

/** Compares an epoch with its peers; all sides are scaled from the mean of as many steps. */
export async function compareEpoch(
  what: EpochName,
  asked: { threads: number } & Omit<Asked, "shapes" | "threads">,
): Promise<Comparison> {
  const { threads, steps } = asked;
  const config = await loadEpoch(what, threads);
  assert(!isKind(config, "transformer"), `${what}: a configuration with images`);
  const { set, facts, dataset } = (await loadData(config)).images!;
  const { stepsPerEpoch } = dataset;
  return inFolder(async (folder) => {
    const images = join(folder, "images");
    const { train } = await loadImageSet(config.data.images);
    const pixels = set.height * set.width;
    writeFileSync(images, train.images.subarray(0, facts.counts.train * pixels));
    const { optimizer, batch } = config.train;
    assert(
      optimizer.kind === "adam" && config.train.clipNorm === null,
      `${what}: the peers have Adam, and no clipping`,
    );
    const shared = { images, pixels, batch: batch.images, adam: optimizer, threads, warmup, steps };
    const { latent } = config.model;
    const told: Told = isKind(config, "vae")
      ? { ...shared, latent, hidden: config.model.hidden }
      : {
          ...shared,
          latent,
          generator: config.model.generator.hidden,
          discriminator: config.model.discriminator.hidden,
        };
    const sampleOf = ({ milliseconds, parameters }: EpochTiming): Sample => ({
      cost: (mean(milliseconds) / 1000) * stepsPerEpoch,
      parameters,
    });
    const counts = ["--threads", String(threads), "--steps", String(steps)];
    return takeTurns(
      { work: what, shape: `${stepsPerEpoch} steps, from ${steps}`, threads, unit: "s/epoch" },
      asked,
      async () => sampleOf(await runChild<EpochTiming>(["--epoch", what, ...counts])),
      async (peer) =>
        sampleOf(await runPeer<EpochTiming>(peer, [epochs[what].peer, JSON.stringify({ ...told, mode: peer.mode })])),
    );
  });
}
