import { withoutDropout } from "../engine/linearize.ts";
import { UserError } from "../errors.ts";
import { stream } from "../random.ts";
import { type Player, sizeOf } from "../stage.ts";
import { mean, standardDeviation } from "../statistics.ts";
import type { CurvatureRow } from "../types.ts";
import { inner, norm, scale, signs } from "../vectors.ts";
import { displaced } from "./displacement.ts";
import type { Instrument, Subject } from "./instrument.ts";
import { ownParameters } from "./stacks.ts";

/** How hard to try, and how far a step of the finite difference goes. */
export interface HessianEffort {
  /** Length of a step in parts of ||theta||: along an eigenvector, which may be a few parameters' own affair, and along
   *  random signs, where all move a little and a longer one is as good. */
  readonly step: { readonly eigenvalue: number; readonly trace: number };
  readonly probes: number;
  /** A power iteration ends where the residual ||H v - value v|| is at most this part of |value| ... */
  readonly tolerance: number;
  /** ... or counts as found and has not fallen for so many iterations: what is left are the differences' own errors ... */
  readonly patience: number;
  /** ... or here. */
  readonly maxIterations: number;
  /** The largest network taken on, in parameters: every product is two gradients on every batch. */
  readonly largest: number;
}

export const usualHessianEffort: HessianEffort = {
  step: { eigenvalue: 1e-3, trace: 1e-2 },
  probes: 16,
  tolerance: 1e-2,
  patience: 10,
  maxIterations: 100,
  largest: 2_000_000,
};

type Product = (v: Float64Array<ArrayBuffer>, step: number) => Promise<Float64Array<ArrayBuffer>>;

interface Found {
  readonly row: Pick<CurvatureRow, "value" | "count" | "residual" | "disagreement">;
  readonly magnitude: number;
}

/** The largest residual at which an iterate counts as an eigenvector, and its sign as that of the eigenvalue largest in
 *  magnitude. H is symmetric, so an eigenvalue lies within that part of the value; and where two of opposite signs +-m still
 *  share v, in parts c and 1 - c of its square, value = (1 - 2c) m and residual = 2 sqrt(c (1 - c)) / (1 - 2c): at 0.1 the
 *  lesser part is below 0.3 %. */
const largestResidual = 0.1;

/** Number of parameters that `player` learns; a `UserError` where they are more than `largest`. */
function sizeUpTo(largest: number, player: Player): number {
  const size = [...ownParameters(player).values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  if (size > largest)
    throw new UserError(`expected a network of at most ${largest} parameters, got ${size}; measure a smaller network`);
  return size;
}

/** The Hessian H of the player's loss by the parameters it learns, on the batches, without dropout or label smoothing: its largest
 *  eigenvalue by power iteration, and its trace as the mean of z^T H z over vectors z of random signs (Hutchinson 1990).
 *  H v = (g(theta + h v) - g(theta - h v)) / 2h with the engine's gradients g: the error of that grows with h^2 through
 *  curvature and with 1 / h through rounding, and how far h and h/2 disagree shows its size. A ReLU's kinks that lie within a
 *  step count as curvature, as they do in a mean over much data; on little data they make the number uncertain. */
export async function hessianRows(
  subject: Subject,
  { step, probes, tolerance, patience, maxIterations, largest }: HessianEffort = usualHessianEffort,
): Promise<CurvatureRow[]> {
  const { player, seed, onProgress } = subject;
  const size = sizeUpTo(largest, player);
  const product = hessianProduct(subject);
  const work = 2 * maxIterations + probes;
  let done = 0;
  const times: Product = (v, step) => {
    onProgress?.(Math.min(++done, work), work);
    return product(v, step);
  };

  /** The eigenvalue of H + shift I that is largest in magnitude, less `shift`, and ||H v|| of the last iterate. */
  const eigenvalue = async (shift: number): Promise<Found> => {
    let v = stream(seed, "hessian/start").normal(new Float64Array(size));
    scale(v, 1 / norm(v));
    let lowest = { residual: Infinity, count: 0 };
    for (let count = 1; ; count++) {
      const moved = await times(v, step.eigenvalue);
      const value = inner(v, moved);
      const magnitude = norm(moved);
      const residual = magnitude === 0 ? 0 : norm(moved.map((x, i) => x - value * v[i]!)) / Math.abs(value);
      if (residual < lowest.residual) lowest = { residual, count };
      const isAtFloor = residual <= largestResidual && count - lowest.count >= patience;
      if (residual <= tolerance || isAtFloor || count === maxIterations || !Number.isFinite(magnitude)) {
        const half = inner(v, await times(v, step.eigenvalue / 2));
        return { row: { value, count, residual, disagreement: disagreementOf(half, value) }, magnitude };
      }
      for (let i = 0; i < size; i++) moved[i]! += shift * v[i]!;
      v = scale(moved, 1 / norm(moved));
    }
  };
  const rows: CurvatureRow[] = [];
  const nothing = { standardError: NaN, parameters: size };
  const first = await eigenvalue(0);
  // What is largest in magnitude may lie below 0, or two of opposite signs may hold each other up. With s added to all of them
  // the largest is the largest in magnitude too, wherever s is more than half the size of the lowest: then
  // top + s > |bottom + s| for every top above 0. s is ||H v||, which is below the largest magnitude, but never falls from one
  // iteration to the next and is near it at the end.
  const isFound = first.row.residual <= largestResidual;
  const isTop = isFound && first.row.value >= 0;
  const top = isTop || !Number.isFinite(first.magnitude) ? first : await eigenvalue(first.magnitude);
  rows.push({ quantity: "top-eigenvalue", ...top.row, ...nothing });
  if (isFound && !isTop) rows.push({ quantity: "bottom-eigenvalue", ...first.row, ...nothing });

  const [values, halves]: [number[], number[]] = [[], []];
  done = work - probes;
  for (let probe = 0; probe < probes; probe++) {
    const z = signs(stream(seed, "hessian/probe").uniform(new Float64Array(size), probe));
    const v = scale(z, 1 / Math.sqrt(size));
    halves.push(size * inner(v, await product(v, step.trace / 2)));
    values.push(size * inner(v, await times(v, step.trace)));
  }
  const value = mean(values);
  rows.push({
    quantity: "trace",
    value,
    standardError: standardDeviation(values) / Math.sqrt(probes),
    count: probes,
    residual: NaN,
    disagreement: disagreementOf(mean(halves), value),
    parameters: size,
  });
  return rows;
}

/** How far the value at half the step is from `value`, in parts of it. */
const disagreementOf = (half: number, value: number): number => (half === value ? 0 : Math.abs((half - value) / value));

/** v -> H v for v with norm 1, parameters one after another as the player lists them; steps are in parts of ||theta||. */
function hessianProduct({ engine, player, parameters, batches }: Subject): Product {
  const evaluated: Player = { ...player, stages: player.stages.map(withoutDropout) };
  const paths = [...ownParameters(player).keys()];
  const sizes = paths.map((path) => parameters.get(path)!.data.length);
  let size = 0;
  const starts = sizes.map((one) => (size += one) - one);
  const targets = batches.reduce((sum, { tokens }) => sum + tokens, 0);
  const length = norm(paths.map((path) => norm(parameters.get(path)!.data)));

  const addGradient = async (into: Float64Array, factor: number): Promise<void> => {
    for (const batch of batches) {
      const options = { step: 0, seed: 0, tapped: false };
      const { gradients } = await engine.differentiate(evaluated, parameters, batch, options);
      for (const [p, path] of paths.entries()) {
        const gradient = gradients.get(path)!;
        const weight = (factor * batch.tokens) / targets;
        for (let i = 0; i < gradient.length; i++) into[starts[p]! + i]! += weight * gradient[i]!;
      }
    }
  };
  return async (v, step) => {
    const h = step * length;
    const direction = new Map(paths.map((path, p) => [path, v.subarray(starts[p]!, starts[p]! + sizes[p]!)]));
    const result = new Float64Array(size);
    for (const sign of [1, -1])
      await displaced(parameters, [{ amount: sign * h, direction }], () => addGradient(result, sign / (2 * h)));
    return result;
  };
}

export const hessian: Instrument = {
  name: "hessian",
  summary: "curvature of the loss on a small model: the Hessian's top eigenvalue, and its trace",
  refuse: ({ player }) => void sizeUpTo(usualHessianEffort.largest, player),
  measure: async (subject) => ({ kind: "curvature", rows: await hessianRows(subject) }),
};
