// Writes one training step out in full, so that any other framework can repeat it and check it.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "./errors.ts";
import { loadData } from "./build.ts";
import { accumulateOf, prepare } from "./prepare.ts";
import { writeWhole } from "./runs/files.ts";
import { readConfig, readRun } from "./runs/run-folder.ts";
import { findCheckpoint, loadCheckpoint } from "./train/checkpoint.ts";
import { encodeSafetensors, type StoredTensor } from "./train/safetensors.ts";
import { trainStep } from "./train/trainer.ts";

/** Repeats the run in `runDir` up to step `step` (from its newest checkpoint that is not later, else from the start) and
 *  writes the weights before that step, its batch, its random numbers, its loss and every gradient to
 *  `<runDir>/inspect/step-<step>/`. Returns that folder. Throws a `UserError` for a step the run does not have. */
export async function inspectStep(runDir: string, step: number): Promise<string> {
  const config = readConfig(runDir);
  const accumulate = accumulateOf(config);
  if (accumulate > 1)
    throw new UserError(
      `${runDir}: expected a run whose steps see one batch, which can be written out, got one with train.accumulate: ${accumulate}; ` +
        `train with train.accumulate: 1 and batches as many times as large`,
    );
  const data = await loadData(config);
  const { dataset } = data;
  const training = await prepare(config, data, { recompute: false }); // its noise is written, all of it
  const { players, parameters, optimizers, engine, steps, seed } = training;
  try {
    if (!Number.isInteger(step) || step < 0 || step >= steps)
      throw new UserError(`--step: expected a step of this run, 0 to ${steps - 1}, got ${step}`);
    const checkpoint = findCheckpoint(runDir, "step", step);
    const start = checkpoint ? loadCheckpoint(checkpoint, parameters, optimizers).step : 0;
    for (let s = start; s < step; s++) {
      const { outcomes } = await trainStep({ ...training, probes: [] }, s);
      for (const { broken } of outcomes)
        if (broken)
          throw new UserError(`--step: expected a step before the run diverged, got ${step}; ${broken.reason}`);
    }

    engine.residence?.leave(); // what the steps have moved on the device
    const folder = join(runDir, "inspect", `step-${String(step).padStart(8, "0")}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const write = (name: string, tensors: ReadonlyMap<string, StoredTensor>): void =>
      writeFileSync(join(folder, `${name}.safetensors`), encodeSafetensors(tensors));
    const batch = dataset.batchAt(step);
    write("weights", parameters);
    write("batch", new Map(Object.entries(batch.tensors) as [string, StoredTensor][]));
    const results = [];
    for (const player of players) {
      const prefix = players.length > 1 ? `${player.name}-` : "";
      const options = { step, seed, tapped: true };
      const { scalars, gradients, noises, taps } = await engine.differentiate(player, parameters, batch, options);
      const shaped = Array.from(
        gradients,
        ([path, data]) => [path, { shape: parameters.get(path)!.shape, data }] as const,
      );
      write(`${prefix}gradients`, new Map(shaped));
      write(`${prefix}noise`, noises);
      results.push({ player: player.name, scalars, taps });
    }
    // Last, since its presence says that the folder is whole.
    writeWhole(
      join(folder, "step.json"),
      `${JSON.stringify({ step, tokens: batch.tokens, config, run: readRun(runDir)?.id, engine: engine.facts(), players: results }, null, 2)}\n`,
    );
    return folder;
  } finally {
    await engine.dispose();
  }
}
