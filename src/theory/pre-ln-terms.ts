// Pre-LN's x' = x + f(x), f(x) = F(LayerNorm(x)), as the terms of the telescoped sum x_L = x_l0 + sum_l f(x_l).
import { distance } from "../vectors.ts";
import type { Laboratory } from "./check.ts";
import { jacobians } from "./error-signal.ts";
import { add, identity, type Matrix, rowTimes } from "./matrix.ts";
import { type Sample, samples } from "./recorded.ts";
import { partLinks } from "./sublayers.ts";

/** A pre-LN stack with the terms of its sum. */
export interface PreLnSample extends Sample {
  /** `terms[l][l0]` = df(x_l) / dx_l0, for l0 from 0 to l: through all sublayers between and the branch of l. */
  readonly terms: readonly (readonly Matrix[])[];
}

/** The terms of pre-LN networks trained from their initialisation, measured by the engine, none from the other. x_L is the
 *  stream at a stack's top, below the final norm. */
export async function measurePreLn(laboratory: Laboratory): Promise<PreLnSample[]> {
  const { engine } = laboratory;
  const found = await samples(laboratory, "pre-ln", (options, stack) => partLinks(options, stack, ["sublayer"]));
  const measured: PreLnSample[] = [];
  for (const sample of found) {
    const { stack, links, carries } = sample.recorded;
    const terms: (readonly Matrix[])[] = [];
    for (const [l, branch] of partLinks(sample.options, stack, ["branch"]).entries()) {
      const stages = [...links.slice(0, l), branch].map(({ stage }) => stage);
      terms.push(await jacobians(engine, stages, sample.parameters, carries[0]!, stack));
    }
    measured.push({ ...sample, terms });
  }
  return measured;
}

/** dx_L / dx_l0 for every l0 from 0, by some formula from the terms. */
export type Sum = (terms: PreLnSample["terms"]) => Matrix[];

/** 1 + sum_{l >= l0} df(x_l) / dx_l0. */
export const telescoped: Sum = (terms) =>
  terms.map((_, l0) => terms.slice(l0).reduce((sum, term) => add(sum, term[l0]!), identity(terms[l0]![l0]!.size)));

/** 1 + sum_{l >= l0} df(x_l) / dx_l: the same with each branch's own Jacobian in the place of that through all below it. */
export const local: Sum = (terms) =>
  terms.map((_, l0) => terms.slice(l0).reduce((sum, term) => add(sum, term.at(-1)!), identity(terms[l0]![l0]!.size)));

/** The error dE/dx_L (dx_L / dx_l0) at every l0 from 0, by the formula. */
export const errorsBySum = (sum: Sum, { terms, recorded: { errors } }: PreLnSample): Float64Array[] =>
  sum(terms).map((matrix) => rowTimes(errors.at(-1)!, matrix));

/** How far errors are from those recorded, ||by formula - recorded|| / ||recorded||, at every l0 from 0. */
export const sumDistances = ({ recorded }: PreLnSample, errors: readonly Float64Array[]): number[] =>
  errors.map((error, l0) => distance(error, recorded.errors[l0]!));
