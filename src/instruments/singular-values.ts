// Singular values of Jacobians that are there as products alone.
import { carryAfter, type Linearization, linearize } from "../engine/linearize.ts";
import { stream } from "../random.ts";
import type { Stage } from "../stage.ts";
import { mean, standardDeviation } from "../statistics.ts";
import type { Batch, HostTensor, JacobianRow } from "../types.ts";
import { norm, scale, signs } from "../vectors.ts";
import type { Subject } from "./instrument.ts";

export type Carry = Readonly<Record<string, HostTensor>>;

/** How hard to try. */
export interface Effort {
  /** Random vectors for the mean square. */
  readonly probes: number;
  /** The power iteration ends where one more changes the norm by less than this part of it ... */
  readonly tolerance: number;
  /** ... or here. */
  readonly maxIterations: number;
}

/** A Jacobian restricted to some coordinates, those with mask 1: P J P. */
interface Block {
  readonly jacobian: Linearization;
  readonly mask: Float32Array;
  /** Number of ones in the mask. */
  readonly size: number;
}

export const usualEffort: Effort = { probes: 16, tolerance: 1e-5, maxIterations: 200 };

/** The singular values of the stretch `stages` of the stream `entry`, linearized at the carry of every batch. Sentences and
 *  batches do not mix, so that the Jacobian of all is block-diagonal: its norm is the largest of the blocks'.
 *  Mean square: for z of independent signs E ||J z||^2 = ||J||_F^2 (Hutchinson 1990). */
export async function singularValues(
  { engine, parameters, seed, batches, masks }: Subject,
  stages: readonly Stage[],
  carries: readonly Carry[],
  entry: string,
  { probes, tolerance, maxIterations }: Effort,
): Promise<Omit<JacobianRow, "stack" | "layer">> {
  const blocks = carries.map((carry, i): Block => {
    const mask = maskOf(carry[entry]!, batches[i]!, masks?.[entry]);
    const jacobian = linearize(engine, stages, parameters, carry, entry);
    return { jacobian, mask, size: mask.reduce((sum, one) => sum + one, 0) };
  });
  const purpose = `jacobian/${stages[0]!.name}`;

  const norms = [];
  for (const [i, block] of blocks.entries()) {
    const start = stream(seed, `${purpose}/start`).normal(new Float32Array(block.jacobian.size), i);
    norms.push(await spectralNorm(block, start, tolerance, maxIterations));
  }
  // Of a block whose norm is unknown nobody knows that another's is larger.
  const unknown = norms.find((one) => Number.isNaN(one.spectralNorm));
  const largest = unknown ?? norms.reduce((best, one) => (one.spectralNorm > best.spectralNorm ? one : best));

  const size = blocks.reduce((sum, block) => sum + block.size, 0);
  const squares: number[] = [];
  for (let probe = 0; probe < probes; probe++) {
    let square = 0;
    for (const [i, { jacobian, mask }] of blocks.entries()) {
      const z = signs(stream(seed, `${purpose}/probe ${i}`).uniform(new Float32Array(jacobian.size), probe));
      square += norm(masked(await jacobian.jvp(masked(z, mask)), mask)) ** 2;
    }
    squares.push(square / size);
  }
  const meanSquareError = standardDeviation(squares) / Math.sqrt(probes);
  return { ...largest, meanSquare: mean(squares), meanSquareError, probes, size };
}

/** Power iteration on P J^T P J P from `start`: ||J v|| of unit vectors v never falls and never passes the norm. It ends at once
 *  where J v is not finite; then the norm is what ||J v|| is, NaN or infinite, and the residual NaN. */
async function spectralNorm(
  { jacobian, mask }: Block,
  start: Float32Array,
  tolerance: number,
  maxIterations: number,
): Promise<Pick<JacobianRow, "spectralNorm" | "iterations" | "residual">> {
  let v = masked(start, mask);
  scale(v, 1 / norm(v));
  let before = 0;
  for (let iteration = 1; ; iteration++) {
    const moved = masked(await jacobian.jvp(v), mask);
    const found = norm(moved);
    if (found === 0) return { spectralNorm: 0, iterations: iteration, residual: 0 };
    if (!Number.isFinite(found)) return { spectralNorm: found, iterations: iteration, residual: NaN };
    // J^T (J v / s) / s, which is v where v is a singular vector: scaled by parts, since s^2 may leave float32's range.
    const next = scale(masked(await jacobian.vjp(scale(moved, 1 / found)), mask), 1 / found);
    if (Math.abs(found - before) <= tolerance * found || iteration === maxIterations)
      return { spectralNorm: found, iterations: iteration, residual: norm(next.map((x, i) => x - v[i]!)) };
    before = found;
    v = scale(next, 1 / norm(next));
  }
}

/** `x` with zeros where the mask has them, in place. */
function masked(x: Float32Array, mask: Float32Array): Float32Array {
  for (let i = 0; i < x.length; i++) x[i]! *= mask[i]!;
  return x;
}

/** The mask [B, T] of a batch on a stream [..., B, T, D]; ones where there is no mask. */
function maskOf({ shape, data }: HostTensor, { tensors }: Batch, name: string | undefined): Float32Array {
  const given = name === undefined ? undefined : tensors[name];
  if (!given) return new Float32Array(data.length).fill(1);
  const width = shape.at(-1)!;
  const positions = given.data.length;
  return Float32Array.from(data, (_, i) => (given.data[Math.floor(i / width) % positions]! > 0 ? 1 : 0));
}

/** The carries before `stages[index]`, one a batch. */
export function advance({ engine, parameters }: Subject, stages: readonly Stage[], carries: readonly Carry[]) {
  return inTurn(carries, (carry) => carryAfter(engine, stages, parameters, carry));
}

/** An engine does one thing at a time. */
async function inTurn<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await run(item));
  return results;
}
