// Measures a trained network on demand: the run's configuration and checkpoint in, tables and figures out.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { interruptible } from "./engine/interruptible.ts";
import { UserError } from "./errors.ts";
import * as instruments from "./instruments/index.ts";
import type { Instrument, Subject } from "./instruments/instrument.ts";
import { measurementSpec, measurementTitle } from "./plots/measurements.ts";
import { svgOf } from "./plots/picture.ts";
import { specText } from "./plots/render.ts";
import { lookup, members } from "./registry.ts";
import { loadData } from "./build.ts";
import { prepare } from "./prepare.ts";
import { discardEmpty, ensureFolder, writeWhole } from "./runs/files.ts";
import { readConfig, readRun, type RunRecord } from "./runs/run-folder.ts";
import { distinct, thinned } from "./statistics.ts";
import { checkpointsOf, loadCheckpoint } from "./train/checkpoint.ts";
import type { Batch, Measurement } from "./types.ts";

/** What to measure. */
export interface MeasureOptions {
  /** Names of the registry; all where empty, less those that refuse the network. */
  readonly names: readonly string[];
  /** Updates done at the checkpoint to measure, 0 for the network as it started; the newest checkpoint where absent. */
  readonly step?: number;
  /** How many dev batches. */
  readonly batches: number;
  /** Once aborted, the instrument under way ends and leaves nothing. */
  readonly signal: AbortSignal;
  readonly onProgress?: (instrument: string, done: number, of: number) => void;
}

/** What an instrument has found and where it was written: table, and figure where there is a finite number to draw. */
export interface Measured {
  readonly instrument: string;
  readonly player: string;
  readonly title: string;
  readonly measurement: Measurement;
  readonly files: readonly string[];
}

export interface MeasureResult {
  readonly folder: string;
  /** How the run ended, and of one that diverged or failed why; absent where the run does not say. */
  readonly run?: Pick<RunRecord, "status" | "reason">;
  readonly step: number;
  readonly batches: number;
  readonly tokens: number;
  readonly results: readonly Measured[];
  /** Instruments that refuse this network, and why. */
  readonly refused: readonly { readonly instrument: string; readonly reason: string }[];
  /** Whether the signal ended it early: `results` are then those of the instruments that were done. */
  readonly interrupted: boolean;
}

/** Measures the run in `runDir` and writes `<runDir>/measure/step-<step>/<instrument>.csv`, its figure beside it, as each
 *  instrument ends. An instrument that was named and refuses the network is a `UserError` before anything is written; without
 *  names it is left out and said so. */
export async function measureRun(
  runDir: string,
  { names, step: wanted, batches: count, signal, onProgress }: MeasureOptions,
): Promise<MeasureResult> {
  const chosen =
    names.length > 0
      ? distinct(names).map((name) => lookup<Instrument>("instrument", instruments, name))
      : [...members<Instrument>(instruments).values()];
  if (!Number.isInteger(count) || count < 1)
    throw new UserError(`--batches: expected a whole number, at least 1, got ${count}`);
  refuseOtherFolders(runDir);
  const config = readConfig(runDir);
  const checkpoint = checkpointAt(runDir, wanted);
  const data = await loadData(config);
  const { dataset } = data;
  const { players, parameters, engine: fresh, seed } = await prepare(config, data);
  const engine = interruptible(fresh, signal);
  try {
    const step = checkpoint === undefined ? 0 : loadCheckpoint(checkpoint, parameters).step;
    const batches = devBatches(dataset.evaluation.dev, count);
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
    const folder = join(runDir, "measure", `step-${String(step).padStart(8, "0")}`);
    const context = { run: basename(runDir), step, batches: batches.length, tokens };
    const results: Measured[] = [];
    const refused: { instrument: string; reason: string }[] = [];
    const suited: { instrument: Instrument; subject: Subject }[] = [];
    for (const instrument of chosen)
      for (const player of players) {
        const { name } = instrument;
        const subject: Subject = {
          engine,
          player,
          parameters,
          batches,
          seed,
          masks: { encoder: "sourceMask", decoder: "labelWeights" },
          onProgress: (done, of) => onProgress?.(name, done, of),
        };
        if (signal.aborted) break;
        try {
          await instrument.refuse?.(subject);
          suited.push({ instrument, subject });
        } catch (error) {
          if (signal.aborted) break;
          if (!(error instanceof UserError)) throw error;
          const { message: reason } = error;
          if (names.length > 0) throw new UserError(`${name}: ${reason}`, { cause: error });
          // Two players of a kind are refused alike.
          if (!refused.some((other) => other.instrument === name && other.reason === reason))
            refused.push({ instrument: name, reason });
        }
      }
    ensureFolder(folder, "what is measured of a run is kept in its folder");
    for (const { instrument, subject } of suited) {
      if (signal.aborted) break;
      const { name } = instrument;
      const player = subject.player.name;
      try {
        const measurement = await instrument.measure(subject);
        const base = join(folder, players.length > 1 ? `${player}-${name}` : name);
        const spec = measurementSpec(measurement, context);
        const files = await writeFiles(base, name, measurement, spec);
        results.push({ instrument: name, player, title: measurementTitle(measurement), measurement, files });
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
    if (results.length === 0) discardEmpty(folder, dirname(folder));
    const record = readRun(runDir);
    return {
      folder,
      ...(record && { run: { status: record.status, reason: record.reason } }),
      ...{ step, batches: batches.length, tokens, results, refused, interrupted: signal.aborted },
    };
  } finally {
    await engine.dispose();
  }
}

/** Writes table and figure, and says where; a figure of an earlier call goes where there is none now. */
async function writeFiles(
  base: string,
  name: string,
  measurement: Measurement,
  spec: ReturnType<typeof measurementSpec>,
): Promise<string[]> {
  const [csv, json, svg] = ["csv", "vl.json", "svg"].map((extension) => `${base}.${extension}`) as [
    string,
    string,
    string,
  ];
  // Drawn before anything is written: table and figure are of one measurement.
  const picture = spec && (await svgOf(name, spec));
  writeWhole(csv, csvOf(measurement));
  if (!spec || !picture) {
    for (const file of [json, svg]) rmSync(file, { force: true });
    return [csv];
  }
  writeWhole(json, specText(spec));
  writeWhole(svg, picture);
  return [csv, json, svg];
}

/** A `UserError` where there is no such folder, or it is an experiment's: then with the runs to choose from. */
function refuseOtherFolders(runDir: string): void {
  if (!existsSync(runDir)) throw new UserError(`${runDir}: expected the folder of a run, got no folder of that name`);
  if (existsSync(join(runDir, "config.yaml")) || !existsSync(join(runDir, "runs"))) return;
  const runs = readdirSync(join(runDir, "runs")).sort();
  const shown = runs.slice(0, 3).map((run) => join(runDir, "runs", run));
  const more = runs.length > shown.length ? `, and ${runs.length - shown.length} more` : "";
  const choice = runs.length === 0 ? "it has no runs yet" : `its runs: ${shown.join(", ")}${more}`;
  throw new UserError(`${runDir}: expected the folder of a run, got that of an experiment; ${choice}`);
}

/** The folder of the checkpoint at step `wanted`, or the newest; undefined where step 0 is asked for, which needs none. */
function checkpointAt(runDir: string, wanted: number | undefined): string | undefined {
  const found = checkpointsOf(runDir);
  const steps = [...new Set([0, ...found.map(({ step }) => step)])].join(", ");
  if (wanted === 0) return undefined;
  const chosen = wanted === undefined ? found.at(-1) : found.find(({ step }) => step === wanted);
  if (chosen) return chosen.folder;
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
