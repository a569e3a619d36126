// Small statistics for figures and tables. All take finite numbers unless said otherwise.

/** The median; NaN of nothing. */
export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** The median on a logarithmic scale, for norms and their ratios (0 or more): between the two middle values of an even number
 *  it takes their geometric mean, so that 0.7 and 0.001 give 0.03 and not 0.35, and 0.7 and 0 give 0. NaN of nothing. */
export function logMedian(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low, high] = [sorted[Math.floor(middle)]!, sorted[Math.ceil(middle)]!];
  return low === high ? low : Math.sqrt(low) * Math.sqrt(high);
}

/** The `q`-quantile by linear interpolation between order statistics; NaN of nothing. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

/** The arithmetic mean; NaN of nothing. */
export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The sample standard deviation (n - 1); NaN for fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return NaN;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** Mean and sample standard deviation of a value over runs. */
export interface Spread {
  /** NaN of nothing. */
  readonly mean: number;
  /** NaN for fewer than two values. */
  readonly sd: number;
  readonly n: number;
}

/** The spread of the finite values; the others (absent, diverged) are left out. */
export function spreadOf(values: readonly number[]): Spread {
  const finite = values.filter(Number.isFinite);
  return { mean: mean(finite), sd: standardDeviation(finite), n: finite.length };
}

/** Smallest and largest value, without spreading a long array over the call stack; [Infinity, -Infinity] of nothing. */
export function extent(values: readonly number[]): [low: number, high: number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** `value` to `digits` significant digits: figures need no more, and specifications stay small and equal across machines. */
export const round = (value: number, digits = 4): number => Number(value.toPrecision(digits));

/** Spearman's rank correlation of paired values: Pearson's of their ranks, ties sharing their mean rank; infinities rank as such. NaN for fewer
 *  than three pairs, or where one side is all the same. */
export function rankCorrelation(xs: readonly number[], ys: readonly number[]): number {
  if (xs.length < 3) return NaN;
  const [a, b] = [ranks(xs), ranks(ys)];
  const centre = (xs.length + 1) / 2;
  const product = (us: readonly number[], vs: readonly number[]): number =>
    us.reduce((sum, u, i) => sum + (u - centre) * (vs[i]! - centre), 0);
  return product(a, b) / Math.sqrt(product(a, a) * product(b, b));
}

/** Ranks from 1, ties sharing their mean. */
function ranks(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1);
}

/** At most `limit` of the indices 0 .. n-1, evenly spread, the first and the last among them. */
export function thinned(n: number, limit: number): number[] {
  if (n <= limit) return Array.from({ length: n }, (_, i) => i);
  return Array.from({ length: limit }, (_, i) => Math.round((i * (n - 1)) / (limit - 1)));
}

/** Centred moving mean over `2 radius + 1` neighbours (fewer at the ends); a window that holds a non-finite value is NaN. */
export function smoothed(values: readonly number[], radius: number): number[] {
  return values.map((_, i) => mean(values.slice(Math.max(0, i - radius), i + radius + 1)));
}

/** Centred running median of finite values over `2 radius + 1` neighbours (fewer at the ends): unlike a mean it keeps an
 *  edge where it is and does not see single outliers. */
export function runningMedian(values: readonly number[], radius: number): number[] {
  const sorted: number[] = []; // what the window holds, moved along value by value
  const enter = (value: number): void => void sorted.splice(placeOf(value, sorted), 0, value);
  values.slice(0, radius).forEach(enter);
  return values.map((_, i) => {
    if (i + radius < values.length) enter(values[i + radius]!);
    if (i > radius) sorted.splice(placeOf(values[i - radius - 1]!, sorted), 1);
    const middle = (sorted.length - 1) / 2;
    return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
  });
}

/** The index of the first of the `sorted` values that is not below `value`, by bisection. */
function placeOf(value: number, sorted: readonly number[]): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The distinct values, in order of first appearance. */
export const distinct = <T>(values: Iterable<T>): T[] => [...new Set(values)];

/** `items` in groups of equal `key`, in order of first appearance. (`Map.groupBy` is not in Node 20.) */
export function groupBy<T>(items: Iterable<T>, key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = key(item);
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return groups;
}
