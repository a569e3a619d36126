import { stream } from "../random.ts";
import type { Noise, Stage } from "../stage.ts";

/** Name of the random stream of a stage's noise: `dropout/encoder/00/self-attention`. */
export const noisePurpose = (stage: Stage, name: string, noise: Noise): string => `${noise.kind}/${stage.name}/${name}`;

/** Fills `out` with what a stage asked for at this step: every engine draws the same numbers. */
export function drawNoise(
  out: Float32Array,
  { seed, purpose, noise, step }: { seed: number; purpose: string; noise: Noise; step: number },
): void {
  const source = stream(seed, purpose);
  if (noise.kind === "dropout") source.dropout(out, noise.rate, step);
  else source.normal(out, step);
}
