// Straight lines through measurements.
import { assert } from "../errors.ts";
import { mean } from "../statistics.ts";

/** The slope of the least-squares line through the points (x_i, y_i): sum (x - mean x) (y - mean y) / sum (x - mean x)^2. */
export function slope(x: readonly number[], y: readonly number[]): number {
  assert(x.length === y.length && x.length > 1, `a line through ${x.length} and ${y.length} numbers`);
  const [centreX, centreY] = [mean(x), mean(y)];
  const covariance = x.reduce((sum, value, i) => sum + (value - centreX) * (y[i]! - centreY), 0);
  return covariance / x.reduce((sum, value) => sum + (value - centreX) ** 2, 0);
}

/** The exponent p of the power law y = c x^p nearest to the points: the slope of log y against log x. */
export const exponent = (x: readonly number[], y: readonly number[]): number => slope(x.map(Math.log), y.map(Math.log));
