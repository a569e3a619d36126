// Measures a trained network on demand: the run's configuration and checkpoint in, tables and figures out.
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { UserError } from "./errors.ts";
import * as instruments from "./instruments/index.ts";
import type { Instrument, Subject } from "./instruments/instrument.ts";
import { measurementSpec, measurementTitle } from "./plots/measurements.ts";
import { svgOf } from "./plots/picture.ts";
import { specText } from "./plots/render.ts";
import { lookup, members } from "./registry.ts";
import { loadData, prepare } from "./run.ts";
import { ensureFolder, writeWhole } from "./runs/files.ts";
import { readConfig } from "./runs/run-folder.ts";
import { thinned } from "./statistics.ts";
import { loadCheckpoint } from "./train/checkpoint.ts";
import type { Batch, Measurement } from "./types.ts";

/** What to measure. */
export interface MeasureOptions {
  /** Names of the registry; all where empty, less those that refuse the network. */
  readonly names: readonly string[];
  /** Updates done at the checkpoint to measure, 0 for the network as it started; the newest checkpoint where absent. */
  readonly step?: number;
  /** How many dev batches. */
  readonly batches: number;
  readonly onProgress?: (instrument: string, done: number, of: number) => void;
}

/** What an instrument has found and where it was written, or why it could not measure. */
export interface Measured {
  readonly instrument: string;
  readonly player: string;
  readonly title: string;
  readonly measurement: Measurement;
  readonly files: readonly string[];
}

export interface MeasureResult {
  readonly folder: string;
  readonly step: number;
  readonly batches: number;
  readonly tokens: number;
  readonly results: readonly Measured[];
  readonly refused: readonly { readonly instrument: string; readonly reason: string }[];
}

/** Measures the run in `runDir` and writes `<runDir>/measure/step-<step>/<instrument>.csv`, its figure beside it. An instrument
 *  that was named and refuses the network is a `UserError`; without names it is left out and said so. */
export async function measureRun(
  runDir: string,
  { names, step: wanted, batches: count, onProgress }: MeasureOptions,
): Promise<MeasureResult> {
  const chosen =
    names.length > 0
      ? names.map((name) => lookup<Instrument>("instrument", instruments, name))
      : [...members<Instrument>(instruments).values()];
  if (!Number.isInteger(count) || count < 1)
    throw new UserError(`--batches: expected a whole number, at least 1, got ${count}`);
  const config = readConfig(runDir);
  const checkpoint = checkpointAt(runDir, wanted);
  const { dataset } = await loadData(config);
  const { players, parameters, engine, seed } = await prepare(config, dataset);
  try {
    const step = checkpoint === undefined ? 0 : loadCheckpoint(checkpoint, parameters).step;
    const batches = devBatches(dataset.evaluation.dev, count);
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
    const folder = join(runDir, "measure", `step-${String(step).padStart(8, "0")}`);
    ensureFolder(folder);
    const context = { run: basename(runDir), step, batches: batches.length, tokens };
    const results: Measured[] = [];
    const refused: { instrument: string; reason: string }[] = [];
    for (const { name, measure } of chosen)
      for (const player of players) {
        const subject: Subject = {
          engine,
          player,
          parameters,
          batches,
          seed,
          masks: { encoder: "sourceMask", decoder: "labelWeights" },
          onProgress: (done, of) => onProgress?.(name, done, of),
        };
        try {
          const measurement = await measure(subject);
          const base = join(folder, players.length > 1 ? `${player.name}-${name}` : name);
          const spec = measurementSpec(measurement, context);
          const svg = await svgOf(name, spec);
          writeWhole(`${base}.csv`, csvOf(measurement));
          writeWhole(`${base}.vl.json`, specText(spec));
          writeWhole(`${base}.svg`, svg);
          const files = ["csv", "vl.json", "svg"].map((extension) => `${base}.${extension}`);
          const title = measurementTitle(measurement);
          results.push({ instrument: name, player: player.name, title, measurement, files });
        } catch (error) {
          if (!(error instanceof UserError) || names.length > 0) throw error;
          refused.push({ instrument: name, reason: error.message });
        }
      }
    return { folder, step, batches: batches.length, tokens, results, refused };
  } finally {
    await engine.dispose();
  }
}

/** The folder of the checkpoint at step `wanted`, or the newest; undefined where step 0 is asked for, which needs none. */
function checkpointAt(runDir: string, wanted: number | undefined): string | undefined {
  const folder = join(runDir, "checkpoints");
  const found = (existsSync(folder) ? readdirSync(folder) : [])
    .filter((name) => /^(best-)?step-\d{8}$/.test(name))
    .map((name) => ({ name, step: Number(name.slice(-8)) }))
    .sort((a, b) => a.step - b.step);
  const steps = [...new Set([0, ...found.map(({ step }) => step)])].join(", ");
  if (wanted === 0) return undefined;
  const chosen = wanted === undefined ? found.at(-1) : found.find(({ step }) => step === wanted);
  if (chosen) return join(folder, chosen.name);
  throw new UserError(
    wanted === undefined
      ? `${runDir}: expected a run with a checkpoint, got one without; --step 0 measures the network as it started`
      : `--step: expected a step with a checkpoint (${steps}), got ${wanted}`,
  );
}

/** `count` batches, evenly spread, since dev batches come direction by direction; all where there are fewer. */
const devBatches = (all: readonly Batch[], count: number): Batch[] =>
  (count === 1 ? [0] : thinned(all.length, count)).map((i) => all[i]!);

/** Rows as CSV, numbers that are not there as nothing. */
const csvOf = ({ rows }: Measurement): string =>
  stringify([...rows], { header: true, cast: { number: (value) => (Number.isNaN(value) ? "" : String(value)) } });
