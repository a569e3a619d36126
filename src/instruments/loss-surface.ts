import { stream } from "../random.ts";
import type { Parameter } from "../stage.ts";
import type { SurfaceRow } from "../types.ts";
import { displaced } from "./displacement.ts";
import type { Instrument, Subject } from "./instrument.ts";
import { batchLosses, weighted } from "./loss.ts";
import { ownParameters } from "./stacks.ts";

/** The grid: `points` a side, an odd number so that theta itself is one of them, from -radius to radius. */
export interface Grid {
  readonly points: number;
  readonly radius: number;
}

/** A slice of the loss around theta: f(alpha, beta) = L(theta + alpha d1 + beta d2), d1 and d2 random with the norm of every
 *  filter that of theta's (Li et al. 2018, section 4): at 1 every neuron has moved as far as it is long. theta is what the
 *  player learns, another player's parameters stay where they are. */
export async function lossSurfaceRows(
  subject: Subject,
  { points, radius }: Grid = { points: 21, radius: 1 },
): Promise<SurfaceRow[]> {
  const { player, parameters, seed, onProgress } = subject;
  const paths = [...ownParameters(player).keys()];
  const directions = [1, 2].map(
    (which) => new Map(paths.map((path) => [path, filterNormalized(parameters.get(path)!, seed, which)])),
  );
  const places = Array.from({ length: points }, (_, i) => (points === 1 ? 0 : radius * ((2 * i) / (points - 1) - 1)));
  const rows: SurfaceRow[] = [];
  for (const beta of places)
    for (const alpha of places) {
      const moves = [alpha, beta].map((amount, i) => ({ amount, direction: directions[i]! }));
      const loss = weighted(subject, await displaced(parameters, moves, () => batchLosses(subject, player)));
      rows.push({ alpha, beta, loss });
      onProgress?.(rows.length, points * points);
    }
  return rows;
}

/** A random direction for one parameter. A filter is a neuron's incoming weights, a column of a matrix [in, out]; it gets the
 *  norm of theta's column. Biases and gains, which are vectors, stay where they are. */
export function filterNormalized({ path, shape, data }: Parameter, seed: number, which: number): Float64Array {
  const direction = new Float64Array(data.length);
  if (shape.length < 2) return direction;
  stream(seed, `loss-surface/${path}`).normal(direction, which);
  const columns = shape.at(-1)!;
  for (let column = 0; column < columns; column++) {
    let [own, theirs] = [0, 0];
    for (let i = column; i < data.length; i += columns) {
      own += direction[i]! ** 2;
      theirs += data[i]! ** 2;
    }
    for (let i = column; i < data.length; i += columns) direction[i]! *= Math.sqrt(theirs / own);
  }
  return direction;
}

export const lossSurface: Instrument = {
  name: "loss-surface",
  summary: "a slice of the loss around the parameters, along two random filter-normalised directions",
  measure: async (subject) => ({ kind: "surface", rows: await lossSurfaceRows(subject) }),
};
