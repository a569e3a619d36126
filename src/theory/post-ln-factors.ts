// Post-LN's x' = LayerNorm(x + F(x)) as two Jacobians a sublayer, and the ways to multiply them.
import { distance, inner } from "../vectors.ts";
import type { Laboratory } from "./check.ts";
import { jacobians } from "./error-signal.ts";
import { type Matrix, multiply, rowTimes } from "./matrix.ts";
import { type Sample, samples } from "./recorded.ts";
import { partLinks } from "./sublayers.ts";

/** The two factors of a sublayer, as explicit matrices. */
export interface Factors {
  /** dLayerNorm(z) / dz. */
  readonly norm: Matrix;
  /** 1 + dF(x) / dx, with "1" the identity. */
  readonly residual: Matrix;
}

/** A post-LN stack with the factors of all its sublayers, from the bottom up. */
export interface PostLnSample extends Sample {
  readonly factors: readonly Factors[];
}

/** The factors of post-LN networks trained from their initialisation, measured by the engine. */
export async function measurePostLn(laboratory: Laboratory): Promise<PostLnSample[]> {
  const found = await samples(laboratory, "post-ln", (options, stack) =>
    partLinks(options, stack, ["residual", "norm"]),
  );
  const measured: PostLnSample[] = [];
  for (const sample of found) {
    const { stack, links, carries } = sample.recorded;
    const matrices: Matrix[] = [];
    for (const [i, { stage }] of links.entries())
      matrices.push((await jacobians(laboratory.engine, [stage], sample.parameters, carries[i]!, stack))[0]!);
    const factors = matrices.flatMap((residual, i) => (i % 2 === 0 ? [{ residual, norm: matrices[i + 1]! }] : []));
    measured.push({ ...sample, factors });
  }
  return measured;
}

/** The error dE/dx_L (dx_L / dx_l0) at every l0 from 0, by the formula. */
export const errorsBy = (product: Product, { factors, recorded: { errors } }: PostLnSample): Float64Array[] =>
  product(factors).map((matrix) => rowTimes(errors.at(-1)!, matrix));

/** dE/dx_l0 as recorded, as each sublayer finds x: every other link of the chain is a LayerNorm. */
export const recordedErrors = ({ recorded: { errors } }: PostLnSample): Float64Array[] =>
  errors.filter((_, i) => i % 2 === 0).slice(0, -1);

/** How far errors are from those recorded, ||by formula - recorded|| / ||recorded||, at every l0 from 0. */
export function distancesFrom(sample: PostLnSample, errors: readonly Float64Array[]): number[] {
  const recorded = recordedErrors(sample);
  return errors.map((error, l0) => distance(error, recorded[l0]!));
}

/** dx_L / dx_l0 for every l0 from 0, by some formula from the factors of the sublayers. */
export type Product = (factors: readonly Factors[]) => Matrix[];

/** The chain rule: N_{L-1} R_{L-1} ... N_{l0} R_{l0}, a later sublayer on the left. */
export const chained: Product = (factors) => accumulate(factors.map(jacobianOf), (above, own) => multiply(above, own));

/** The product sign read from left to right: N_{l0} R_{l0} ... N_{L-1} R_{L-1}. */
export const ascending: Product = (factors) =>
  accumulate(factors.map(jacobianOf), (above, own) => multiply(own, above));

/** Norms and residuals apart, each in the right order: (N_{L-1} ... N_{l0}) (R_{L-1} ... R_{l0}). */
export const separated: Product = (factors) => {
  const norms = accumulate(
    factors.map(({ norm }) => norm),
    (above, own) => multiply(above, own),
  );
  const residuals = accumulate(
    factors.map(({ residual }) => residual),
    (above, own) => multiply(above, own),
  );
  return norms.map((norm, i) => multiply(norm, residuals[i]!));
};

const jacobianOf = ({ norm, residual }: Factors): Matrix => multiply(norm, residual);

/** What the matrices from the last down to each give, one more at a time. */
function accumulate(matrices: readonly Matrix[], join: (above: Matrix, own: Matrix) => Matrix): Matrix[] {
  const found: Matrix[] = [];
  let above: Matrix | undefined;
  for (const own of [...matrices].reverse()) found.unshift((above = above ? join(above, own) : own));
  return found;
}

/** Whether it is a trained encoder, of which there is one a seed: for claims that want one number a seed, at the bottom of the longest way that the error
 *  goes. */
export const isTrainedEncoder = ({ moment, recorded: { stack } }: PostLnSample): boolean =>
  moment === "trained" && stack === "encoder";

/** The part of `error` along `unit`, in units of it: <error, unit> / <unit, unit>. 1 for `unit` itself. */
export const along = (error: ArrayLike<number>, unit: ArrayLike<number>): number =>
  inner(error, unit) / inner(unit, unit);
