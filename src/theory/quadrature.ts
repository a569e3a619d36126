// Integrals over the real line in float64. The trapezoidal rule on equal steps converges exponentially for analytic
// functions that fall off as a Gaussian does (Trefethen & Weideman 2014, SIAM Review 56): a step h leaves exp(-2 pi d / h), d
// the distance of the nearest singularity from the real line.
import { assert } from "../errors.ts";

/** How far from the mean, in standard deviations: exp(-12^2 / 2) is 5e-32. */
const reach = 12;
/** In standard deviations: a function without singularities within 0.2 of them is integrated to exp(-40). */
const step = 1 / 32;

/** The integral of f from `low` to `high`, at whose ends f is 0 to rounding, in steps of at most `step`. */
export function integral(f: (x: number) => number, low: number, high: number, step: number): number {
  assert(high > low && step > 0, `an integral from ${low} to ${high} in steps of ${step}`);
  const count = Math.ceil((high - low) / step);
  const h = (high - low) / count;
  let sum = 0;
  for (let i = 0; i <= count; i++) sum += f(low + i * h);
  return h * sum;
}

/** Nodes t_i and weights w_i with E[f(t)] = sum_i w_i f(t_i) for t ~ N(0, 1): for functions that are computed for all nodes
 *  at once. */
export function normalNodes(): { readonly nodes: Float64Array; readonly weights: Float64Array } {
  const count = 2 * Math.round(reach / step) + 1;
  const nodes = Float64Array.from({ length: count }, (_, i) => i * step - reach);
  return { nodes, weights: nodes.map((t) => (step * Math.exp(-(t * t) / 2)) / Math.sqrt(2 * Math.PI)) };
}

const standard = normalNodes();

/** E[f(x)] for x ~ N(mean, variance). */
export function normalExpectation(f: (x: number) => number, mean: number, variance: number): number {
  const deviation = Math.sqrt(variance);
  let sum = 0;
  for (let i = 0; i < standard.nodes.length; i++)
    sum += standard.weights[i]! * f(mean + deviation * standard.nodes[i]!);
  return sum;
}
