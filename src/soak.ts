// What `fathom bench soak` does: networks of random sizes are built, trained for a few steps and dropped, one after the
// other in one process, while resident memory is watched. What a run leaves behind would add up here.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { loadRegistries } from "./config/registries.ts";
import { resolver } from "./config/resolve.ts";
import { isKind, type RunConfig } from "./config/schema.ts";
import { liveArrays } from "./engine/compile.ts";
import { assert, messageOf } from "./errors.ts";
import { prepare } from "./prepare.ts";
import { stream } from "./random.ts";
import { evaluateSplit, trainStep } from "./train/trainer.ts";
import { syntheticImages, syntheticTranslation } from "./synthetic.ts";

/** A network of the soak: its place in the sequence that the seed decides, and its configuration. */
export interface Trial {
  readonly index: number;
  readonly config: RunConfig;
  /** Of its images, or tokens of its sentences. */
  readonly size: number;
}

/** Memory after a trial, once the engine is disposed of and garbage is collected. */
export interface SoakSample {
  readonly seconds: number;
  readonly residentBytes: number;
  /** Largest seen between the steps of the trial. */
  readonly peakBytes: number;
  /** Arrays that TensorFlow.js holds, in all its backends. */
  readonly arrays: number;
}

/** What a soak found. */
export interface SoakReport {
  readonly seed: number;
  readonly trials: number;
  readonly steps: number;
  readonly seconds: number;
  /** Trials by model and engine: `transformer onnx`. */
  readonly counts: Readonly<Record<string, number>>;
  /** Resident memory before the first trial, at most, and after the last, bytes. */
  readonly startBytes: number;
  readonly maxBytes: number;
  readonly endBytes: number;
  /** Resident memory after trials: least-squares slope over all that come after the warm-up, bytes an hour. */
  readonly slopeBytesPerHour: number;
  /** Least resident memory after a trial in the second quarter of the time, and in the last: what is lost for good
   *  shows in the difference, whatever the trials' own sizes. */
  readonly floorBytes: { readonly early: number; readonly late: number };
  /** The same of the arrays that TensorFlow.js holds. */
  readonly arrays: { readonly early: number; readonly late: number };
  /** What went wrong, with the seed and the configuration that show it again; undefined where nothing did. */
  readonly failure?: string;
}

/** How far the floor of resident memory may rise between the second and the last quarter: a tenth, for the allocators' fragments,
 *  and 32 MiB, for what V8 keeps of code and heap. Everything above that counts as a leak. */
export const allowedRise = (early: number): number => 0.1 * early + 32 * 2 ** 20;
/** What no process of these small networks needs. */
const limitBytes = 3 * 2 ** 30;

/** A setting of glibc, which a process must be started with. Left alone, glibc raises the size from which on it gives freed memory back
 *  to the system, up to 32 MiB: one network of that size, and a gigabyte of what it has freed stays resident for others to use, which
 *  looks like a leak and hides one. Other systems know nothing of it. */
const mmapThreshold = { name: "MALLOC_MMAP_THRESHOLD_", bytes: 128 * 1024 } as const;

/** Whether this process was started so that what it frees goes back to the system. */
export const returnsFreedMemory = (): boolean =>
  process.platform !== "linux" || process.env[mmapThreshold.name] !== undefined;

/** Runs `fathom bench soak` with these arguments in a process that gives freed memory back; its exit code. */
export async function soakInChild(args: readonly string[]): Promise<number> {
  const program = fileURLToPath(new URL("../bin/fathom.js", import.meta.url));
  const env = { ...process.env, [mmapThreshold.name]: String(mmapThreshold.bytes) };
  const child = spawn(process.execPath, [program, "bench", "soak", ...args], { env, stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}

/** Runs trials for so many seconds, or so many of them where `trials` is given. Ends at the first failure: something thrown, a number
 *  that is not finite, or more than 3 GiB resident. At the end the floor of resident memory must not have risen, nor the number of
 *  TensorFlow.js's arrays. */
export async function soak(options: {
  readonly seed: number;
  readonly seconds: number;
  readonly trials?: number;
  /** Index of the first trial, to come back to one at once; 0 if not given. */
  readonly first?: number;
  /** Networks that are drawn; after them the same come again, so that a short soak has its largest behind it soon. */
  readonly distinct?: number;
  readonly onTrial?: (trial: Trial, sample: SoakSample) => void;
}): Promise<SoakReport> {
  const { seed, seconds: planned, trials = Infinity, first = 0, distinct = Infinity } = options;
  const drawTrial = await trialDrawer(seed);
  const samples: SoakSample[] = [];
  const counts: Record<string, number> = {};
  const startBytes = residentAfterCollection();
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  let [steps, maxBytes] = [0, startBytes];
  let failure: string | undefined;
  while (!failure && seconds() < planned && samples.length < trials) {
    const trial = drawTrial(first + (samples.length % distinct));
    const what = `${trial.config.model.kind} ${trial.config.engine}`;
    counts[what] = (counts[what] ?? 0) + 1;
    try {
      const { taken, peakBytes } = await runTrial(trial);
      steps += taken;
      const sample = {
        seconds: seconds(),
        residentBytes: residentAfterCollection(),
        peakBytes,
        arrays: liveArrays(),
      };
      samples.push(sample);
      maxBytes = Math.max(maxBytes, peakBytes);
      options.onTrial?.(trial, sample);
      if (peakBytes > limitBytes)
        failure = told(seed, trial, `${mebibytes(peakBytes)} MiB resident, more than ${mebibytes(limitBytes)}`);
    } catch (error) {
      failure = told(seed, trial, messageOf(error));
    }
  }
  const end = samples.at(-1)?.seconds ?? 0;
  const between = (from: number, to: number): SoakSample[] =>
    samples.filter((sample) => sample.seconds >= from * end && sample.seconds <= to * end);
  const [early, late] = [between(0.25, 0.5), between(0.75, 1)];
  const least = (some: readonly SoakSample[], key: "residentBytes" | "arrays"): number =>
    some.reduce((found, sample) => Math.min(found, sample[key]), Infinity);
  const floorBytes = { early: least(early, "residentBytes"), late: least(late, "residentBytes") };
  const arrays = { early: least(early, "arrays"), late: least(late, "arrays") };
  if (early.length === 0 || late.length === 0)
    failure ??= `seed ${seed}: too short to tell whether memory grows: ${samples.length} networks in ${Math.round(end)} s; give it more --minutes`;
  const rise = floorBytes.late - floorBytes.early;
  if (rise > allowedRise(floorBytes.early))
    failure ??= `seed ${seed}: resident memory rose by ${mebibytes(rise)} MiB, from ${mebibytes(floorBytes.early)}, over ${samples.length} trials`;
  if (arrays.late > arrays.early)
    failure ??= `seed ${seed}: TensorFlow.js held ${arrays.early} arrays early and ${arrays.late} late`;
  return {
    seed,
    trials: samples.length,
    steps,
    seconds: seconds(),
    counts,
    startBytes,
    maxBytes,
    endBytes: samples.at(-1)?.residentBytes ?? startBytes,
    slopeBytesPerHour: 3600 * slope(between(0.25, 1)),
    floorBytes,
    arrays,
    ...(failure !== undefined && { failure }),
  };
}

/** Whole MiB. */
export const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

const told = (seed: number, { index, config }: Trial, what: string): string =>
  `seed ${seed}, trial ${index}: ${what}\n${JSON.stringify(config)}`;

/** Builds a trial's network, takes its steps with all probes it asks for and one evaluation, and disposes of the engine. */
async function runTrial({ config, size }: Trial): Promise<{ taken: number; peakBytes: number }> {
  const dataset = isKind(config, "transformer")
    ? syntheticTranslation("sentences" in config.train.batch ? config.train.batch.sentences : 1, size, 300)
    : syntheticImages((config.train.batch as { images: number }).images, size);
  const training = await prepare(config, { dataset });
  let peakBytes = 0;
  try {
    for (let step = 0; step < training.steps; step++) {
      const { outcomes } = await trainStep(training, step);
      for (const { broken } of outcomes) assert(!broken, broken?.reason ?? "");
      peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
    }
    const { loss } = await evaluateSplit(training, "dev");
    assert(Number.isFinite(loss), `dev loss is ${loss}`);
    return { taken: training.steps, peakBytes: Math.max(peakBytes, process.memoryUsage.rss()) };
  } finally {
    await training.engine.dispose();
  }
}

/** The trials of a seed, by their index. */
export async function trialDrawer(seed: number): Promise<(index: number) => Trial> {
  const names = await loadRegistries();
  const { resolve } = resolver(names);
  return (index) => {
    const uniforms = stream(seed, "soak").uniform(new Float64Array(32), index);
    let next = 0;
    const among = <T>(choices: readonly T[]): T => choices[Math.floor(uniforms[next++]! * choices.length)]!;
    /** A whole number, low to high, its logarithm uniform. */
    const between = (low: number, high: number): number =>
      Math.min(high, Math.floor(low * ((high + 1) / low) ** uniforms[next++]!));
    const kind = among(["transformer", "transformer", "transformer", "vae", "gan", "dcgan"] as const);
    // The eager engines are slow: small networks, now and then.
    const engine = among([...new Array<string>(14).fill("onnx"), "wasm", "cpu"]);
    const isSmall = engine !== "onnx";
    const deep = isSmall ? 2 : 24;
    const rows = isSmall ? 2 : between(1, 32);
    const probes = {
      everySteps: 1,
      preset: among(names.presets).name,
    };
    // Small steps: a network that diverges is a result, and nothing that a soak is after.
    const train = {
      steps: among([2, 3, 4]),
      optimizer: { kind: among(["adam", "sgd"]), learningRate: 1e-5 },
      clipNorm: 1,
    };
    const common = { name: "soak", seed: index, engine, probes };
    const blocks = (): object => {
      const scheme = among(names.residual.filter(({ attentionOnly }) => !attentionOnly)).name;
      return { residual: scheme, width: 8 * between(1, 16), dropout: among([0, 0.1]) };
    };
    const size = kind === "transformer" ? between(4, isSmall ? 6 : 48) : kind === "dcgan" ? 28 : between(4, 28);
    let input: object;
    if (kind === "transformer") {
      const heads = among([1, 2, 4]);
      input = {
        ...common,
        data: { corpus: names.corpora[0]!.name, directions: ["en-de"], maxLength: Math.max(8, size) },
        model: {
          kind,
          depth: { encoder: between(1, deep), decoder: between(1, deep) },
          width: 8 * between(1, isSmall ? 1 : 16),
          heads,
          residual: among(names.residual).name,
          activation: among(["relu", "gelu"]),
          dropout: among([0, 0.1]),
          tiedEmbeddings: among(["none", "decoder", "all"]),
        },
        train: { ...train, batch: { sentences: rows }, labelSmoothing: among([0, 0.1]) },
      };
    } else {
      const data = { images: names.imageSets[0]!.name };
      const hidden = (): number[] => Array.from({ length: between(1, 4) }, () => between(8, isSmall ? 16 : 256));
      const isDeep = among([true, false]);
      const batch = { images: rows };
      if (kind === "vae") {
        const net = isDeep ? { depth: between(1, deep), ...blocks() } : { hidden: hidden() };
        input = { ...common, data, model: { kind, latent: between(1, 32), ...net }, train: { ...train, batch } };
      } else {
        const loss = among(["minimax", "non-saturating", "lsgan", "hinge", "wgan-gp"]);
        const shared = {
          kind: "gan",
          loss,
          latent: between(1, 64),
          ...(isDeep && kind === "gan" ? {} : { spectralNorm: among([true, false]) }),
        };
        const net =
          kind === "dcgan"
            ? { net: "dcgan", channels: isSmall ? 1 : between(1, 12) }
            : isDeep
              ? { net: "mlp", depth: between(1, deep), ...blocks() }
              : { net: "mlp", generator: { hidden: hidden() }, discriminator: { hidden: hidden() } };
        input = { ...common, data, model: { ...shared, ...net }, train: { ...train, batch } };
      }
    }
    const resolved = resolve(input);
    assert(resolved.ok, `a random configuration: ${JSON.stringify(resolved)} of ${JSON.stringify(input)}`);
    return { index, config: resolved.value, size };
  };
}

/** Least-squares slope of resident memory over time, bytes a second. */
function slope(samples: readonly SoakSample[]): number {
  const mean = (of: (sample: SoakSample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean(({ seconds }) => seconds), mean(({ residentBytes }) => residentBytes)];
  return (
    mean((sample) => (sample.seconds - x) * (sample.residentBytes - y)) / mean((sample) => (sample.seconds - x) ** 2)
  );
}

/** Resident memory of this process, after garbage has been collected: twice, since typed arrays are freed by finalizers. */
function residentAfterCollection(): number {
  collect ??= collector();
  collect();
  collect();
  return process.memoryUsage.rss();
}

let collect: (() => void) | undefined;

/** V8's own collector, which is there under a flag alone. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
