// What `fathom verify` does: runs the checks of src/theory one after the other in one laboratory, and leaves their numbers,
// figures and a page.
import { rmSync } from "node:fs";
import { join } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { loadRegistries } from "./config/registries.ts";
import { resolver } from "./config/resolve.ts";
import type { RunConfig } from "./config/schema.ts";
import type { Engine } from "./engine/engine.ts";
import { interruptible } from "./engine/interruptible.ts";
import { createEngine } from "./engine/select.ts";
import { assert, messageOf, UserError } from "./errors.ts";
import { checkFigure } from "./plots/check-figure.ts";
import { csvOf } from "./plots/csv.ts";
import { pngOf, svgOf } from "./plots/picture.ts";
import { specText } from "./plots/render.ts";
import { lookup, members } from "./registry.ts";
import { verifyPage } from "./report/verify-page.ts";
import { loadData, transformerOptions, translationOf } from "./build.ts";
import { prepare } from "./prepare.ts";
import { environment } from "./runs/environment.ts";
import {
  discardVerifyFolder,
  figureExtensions,
  figuresFolder,
  keepChecks,
  prepareVerifyFolder,
  readChecks,
  verifyFolder,
  writeCheck,
  writeLists,
  type CheckRecord,
} from "./runs/verify-folder.ts";
import type { Parameter } from "./stage.ts";
import type { Check, Laboratory, Trained } from "./theory/check.ts";
import * as registry from "./theory/index.ts";
import { evaluateSplit, playerStep } from "./train/trainer.ts";
import type { Batch, Claim, Dataset, HostTensor } from "./types.ts";

/** What to verify, and who is told. */
export interface VerifyOptions {
  /** One check of the registry; all where absent. */
  readonly name?: string | undefined;
  /** The folder of all experiments: files go to `verify/` below it. */
  readonly out: string;
  readonly signal: AbortSignal;
  /** Told before the `index`-th (from 0) of `count` checks. */
  readonly onStart?: (check: string, index: number, count: number) => void;
  /** Told after it. */
  readonly onEnd?: (record: CheckRecord, index: number, count: number) => void;
}

/** What came of it. */
export interface Verification {
  /** The checks that were run now, in order. */
  readonly records: readonly CheckRecord[];
  /** Whether the signal ended it early: the checks in `records` are kept, the one under way left nothing. */
  readonly interrupted: boolean;
  /** The page over these checks and those of earlier calls; absent where there is none to show. */
  readonly report?: string;
}

/** Runs the checks. A check that throws counts as a claim that fails, with the reason, and the others still run. Files are
 *  written as each check ends, lists and page at the end. What earlier calls found stays beside it, unless all checks
 *  are run: then what no check of the registry found goes. Throws a `UserError` for a name that is not known. */
export async function verify({ name, out, signal, onStart, onEnd }: VerifyOptions): Promise<Verification> {
  const known = members<Check>(registry);
  const checks = name === undefined ? [...known.values()] : [lookup<Check>("check", registry, name)];
  const folder = verifyFolder(out);
  prepareVerifyFolder(folder);
  readChecks(folder); // what is damaged is better known now than in five minutes
  const facts = environment();
  const records: CheckRecord[] = [];
  const engine = await createEngine("onnx", { threads: 1 });
  try {
    const laboratory = makeLaboratory(engine, signal);
    for (const [index, check] of checks.entries()) {
      if (signal.aborted) break;
      onStart?.(check.name, index, checks.length);
      const began = performance.now();
      const { picture, ...finding } = await found(check, laboratory);
      if (signal.aborted) break;
      const record: CheckRecord = {
        check: check.name,
        summary: check.summary,
        source: check.source,
        conditions: check.conditions,
        ...finding,
        engine: engine.name,
        made: new Date().toISOString(),
        seconds: (performance.now() - began) / 1000,
        environment: facts,
      };
      await writePicture(folder, check.name, picture);
      writeCheck(folder, record);
      records.push(record);
      onEnd?.(record, index, checks.length);
    }
  } finally {
    await engine.dispose();
  }
  if (name === undefined && !signal.aborted) keepChecks(folder, new Set(known.keys()));
  const all = readChecks(folder);
  if (all.length === 0) {
    discardVerifyFolder(folder);
    return { records, interrupted: true };
  }
  writeLists(folder, all);
  const report = join(folder, "report.html");
  await writeFileAtomic(report, await verifyPage({ records: all, known: [...known.keys()] }));
  return { records, interrupted: signal.aborted, report };
}

/** A check's figure, drawn. */
interface Picture {
  readonly spec: ReturnType<typeof checkFigure>;
  readonly svg: string;
}

/** What a check found, and its figure drawn; of one that throws, or whose figure cannot be drawn, a claim that fails. */
async function found(
  check: Check,
  laboratory: Laboratory,
): Promise<Pick<CheckRecord, "claims" | "figure" | "reason"> & { readonly picture?: Picture }> {
  try {
    const { claims, figure } = await check.run(laboratory);
    assert(claims.length > 0, `the check ${check.name} makes no claim`);
    const spec = checkFigure(figure);
    return { claims, figure, picture: { spec, svg: await svgOf(check.name, spec) } };
  } catch (error) {
    const nothing = { predicted: NaN, measured: NaN, relativeError: NaN, tolerance: NaN };
    const claim: Claim = { name: check.name, statement: check.summary, ...nothing, verdict: "fails" };
    return { claims: [claim], reason: messageOf(error) };
  }
}

/** Writes a check's figure in three formats, and the table behind it where it has one; where there is none now, an earlier one
 *  goes. */
async function writePicture(folder: string, check: string, picture: Picture | undefined): Promise<void> {
  const base = join(figuresFolder(folder), check);
  if (!picture) {
    for (const extension of figureExtensions) rmSync(`${base}.${extension}`, { force: true });
    return;
  }
  await writeFileAtomic(`${base}.json`, specText(picture.spec));
  await writeFileAtomic(`${base}.svg`, picture.svg);
  await writeFileAtomic(`${base}.png`, Buffer.from(pngOf(picture.svg)));
  const table = csvOf(picture.spec);
  if (table === undefined) rmSync(`${base}.csv`, { force: true });
  else await writeFileAtomic(`${base}.csv`, table);
}

/** The laboratory on `engine`; once `signal` is aborted, whatever asks it to compute throws the signal's reason. */
export function makeLaboratory(engine: Engine, signal: AbortSignal): Laboratory {
  const trainings = new Map<string, Promise<Trained>>();
  return {
    engine: interruptible(engine, signal),
    async trained(options) {
      const { residual, depth, width, steps, seed } = options;
      const key = JSON.stringify([residual, depth, width, steps, seed]);
      let training = trainings.get(key);
      if (!training) trainings.set(key, (training = trainSmall(options, signal)));
      const trained = await training;
      // Checks may change parameters; the next to ask must not see that.
      return { ...trained, initial: copyOf(trained.initial), parameters: copyOf(trained.parameters) };
    },
  };
}

const copyOf = (parameters: ReadonlyMap<string, Parameter>): Map<string, Parameter> =>
  new Map(Array.from(parameters, ([path, parameter]) => [path, { ...parameter, data: parameter.data.slice() }]));

/** Trains a small translation transformer. One that diverges throws, since no claim is about it. */
async function trainSmall(options: Parameters<Laboratory["trained"]>[0], signal: AbortSignal): Promise<Trained> {
  const config = await smallConfig(options);
  const data = await loadData(config);
  const { dataset } = data;
  const { engine: fresh, ...prepared } = await prepare(config, data);
  const training = { ...prepared, engine: interruptible(fresh, signal) };
  const { players, parameters } = training;
  const player = players[0]!;
  try {
    const initial = copyOf(parameters);
    const { loss: before } = await evaluateSplit(training, "dev");
    for (let step = 0; step < options.steps; step++) {
      const { broken } = await playerStep(training, player, dataset.batchAt(step), step);
      if (broken) throw new Error(`${options.residual}, ${options.depth} layers, diverged: ${broken.reason}`);
    }
    const { loss: after } = await evaluateSplit(training, "dev");
    return {
      options: transformerOptions(translationOf(config, "verify"), dataset),
      player,
      parameters: new Map(parameters),
      initial,
      batch: fewSentences(dataset),
      loss: { before, after, unigram: dataset.unigramEntropy },
    };
  } finally {
    await fresh.dispose();
  }
}

/** The configuration of the laboratory's networks: one direction, few pieces, short sentences, so that training takes seconds. */
async function smallConfig({
  residual,
  depth,
  width,
  steps,
  seed,
}: Parameters<Laboratory["trained"]>[0]): Promise<RunConfig> {
  const heads = [4, 2, 1].find((count) => width % count === 0)!;
  const resolved = resolver(await loadRegistries()).resolve({
    name: "laboratory",
    seed,
    engine: "onnx",
    threads: 1,
    data: {
      corpus: "typescript-diagnostics",
      directions: ["en-de"],
      vocabulary: { kind: "bpe", size: 500 },
      maxLength: 24,
    },
    model: { kind: "transformer", residual, depth, width, heads },
    train: { steps, batch: { sentences: 16 }, optimizer: { kind: "adam", learningRate: 0.003 } },
    probes: { record: [] },
  });
  if (!resolved.ok) throw new UserError(resolved.problems.map(({ message }) => message).join("; "));
  return resolved.value;
}

/** Sentences in the batch that checks see: enough to be typical, few enough for checks that compute Jacobians of it. */
const sentences = 4;

/** The first sentences of the dev batch with most targets. */
function fewSentences({ evaluation }: Dataset): Batch {
  const fullest = evaluation.dev.reduce((most, batch) => (batch.tokens > most.tokens ? batch : most));
  const tensors = Object.fromEntries(
    Object.entries(fullest.tensors).map(([name, tensor]) => [name, firstRows(tensor, sentences)]),
  );
  // Labels have weight 1, padding 0.
  let tokens = 0;
  for (const weight of tensors["labelWeights"]!.data) tokens += weight;
  return { tensors, tokens, ...(fullest.label !== undefined && { label: fullest.label }) };
}

function firstRows({ dtype, shape, data }: HostTensor, count: number): HostTensor {
  const [rows = 1, ...rest] = shape;
  const kept = Math.min(rows, count);
  return { dtype, shape: [kept, ...rest], data: data.slice(0, (data.length / rows) * kept) };
}
