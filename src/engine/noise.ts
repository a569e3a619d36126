import { stream } from "../random.ts";
import type { Noise, Stage } from "../stage.ts";

/** Name of the random stream of a stage's noise: `dropout/encoder/00/self-attention`. */
export const noisePurpose = (stage: Stage, name: string, noise: Noise): string => `${noise.kind}/${stage.name}/${name}`;

/** What of a stage's noise is drawn when: every engine draws the same numbers for the same. */
interface Draw {
  readonly seed: number;
  readonly purpose: string;
  readonly noise: Noise;
  readonly step: number;
}

/** Fills `out` with what a stage asked for at this step. */
export function drawNoise(out: Float32Array, { seed, purpose, noise, step }: Draw): void {
  const source = stream(seed, purpose);
  if (noise.kind === "dropout") source.dropout(out, noise.rate, step);
  else source.normal(out, step);
}

/** `drawNoise` into arrays that nobody else writes to: what an array's memory holds already is not drawn again. The players of a
 *  game draw the same latent numbers one after the other. */
export function noiseKeeper(): typeof drawNoise {
  const held = new WeakMap<ArrayBufferLike, string>();
  return (out, draw) => {
    const { seed, purpose, noise, step } = draw;
    const what = JSON.stringify([seed, purpose, noise, step, out.byteOffset, out.length]);
    if (held.get(out.buffer) === what) return;
    drawNoise(out, draw);
    held.set(out.buffer, what);
  };
}
