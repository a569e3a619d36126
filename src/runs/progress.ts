// How far a run is, as the end of its events tells: for whoever watches runs that other processes make.

import { closeSync, openSync } from "node:fs";
import { z } from "zod";
import type { Progress } from "../types.ts";
import { endsOf, eventsFile } from "./files.ts";
import { readRun } from "./run-folder.ts";

/** How far a run is, and after how many seconds of training. */
export interface LastProgress extends Progress {
  readonly seconds: number;
}

/** What a run's last training step left, from the last lines of its events alone, be there gigabytes before them; of several players
 *  that step last. Rate and time left are means over the whole run, NaN where unknown. Undefined before the first step, and where
 *  nothing whole is found. */
export function lastProgress(runDir: string): LastProgress | undefined {
  const steps = readRun(runDir)?.steps;
  const rows = steps === undefined ? undefined : lastTrainRows(eventsFile(runDir));
  if (steps === undefined || !rows) return undefined;
  const value = (name: string): number =>
    rows.find((row) => row[4] === name || row[4].endsWith(`/${name}`))?.[5] ?? NaN;
  const [before, , seconds] = rows[0]!;
  const step = before + 1;
  const stepsPerSecond = seconds > 0 ? step / seconds : NaN;
  const secondsLeft = steps > 0 ? Math.max(0, steps - step) / stepsPerSecond : NaN;
  return {
    step,
    steps,
    loss: value("loss"),
    gradientNorm: value("gradient-norm"),
    stepsPerSecond,
    secondsLeft,
    seconds,
  };
}

/** A number, or one that JSON has no number for. */
const number = z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"]).transform(Number)]);

const trainEvent = z.object({
  type: z.literal("metrics"),
  rows: z.array(z.tuple([z.number(), z.number(), number, z.literal("train"), z.string(), number])).min(1),
});

type TrainRows = z.infer<typeof trainEvent>["rows"];

function lastTrainRows(file: string): TrainRows | undefined {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return undefined; // not begun
  }
  try {
    for (const { bytes, isWhole } of endsOf(fd)) {
      const lines = bytes
        .toString("utf8")
        .split("\n")
        .slice(isWhole ? 0 : 1, -1); // those that are whole
      const found = lines.findLast((line) => line.startsWith('{"type":"metrics"') && trainRows(line));
      if (found !== undefined) return trainRows(found);
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}

function trainRows(line: string): TrainRows | undefined {
  try {
    return trainEvent.safeParse(JSON.parse(line)).data?.rows;
  } catch {
    return undefined; // whoever reads the whole file says what is damaged
  }
}
