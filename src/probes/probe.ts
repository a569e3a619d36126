import type { Member } from "../registry.ts";
import { type Place, placeOf, type TapPoint } from "../stage.ts";
import { groupBy } from "../statistics.ts";
import type { LayerRow, Moments, Quantity, ReadingQuantity, ReadingRow } from "../types.ts";

/** Moments of the activation and of its gradient at one tap of a stage. */
export interface TapReading {
  readonly stack: string;
  readonly layer: number | "";
  readonly component: string;
  readonly point: TapPoint;
  readonly activation: Moments;
  readonly gradient: Moments;
}

/** The numbers a stage offered under `name`, see `StageContext.reading`: one, or one a head. */
export interface Reading {
  readonly stack: string;
  readonly layer: number | "";
  readonly component: string;
  readonly name: string;
  readonly values: readonly number[];
}

/** The gradients of K batches, the step's own and those of the steps after it, all at the parameters of this step. */
export interface GradientSample {
  /** K. */
  readonly batches: number;
  /** Targets a batch: their harmonic mean, since a batch's noise goes with 1 / targets. */
  readonly targets: number;
  /** By path: moments of the mean of the K gradients. */
  readonly mean: ReadonlyMap<string, Moments>;
  /** By path: moments of each of them. */
  readonly each: ReadonlyMap<string, readonly Moments[]>;
  /** By path: inner product of the step's own gradient with that of the batch after it. */
  readonly product: ReadonlyMap<string, number>;
}

/** What a step has to show: everything a probe may read, before clipping and, for updates, after the optimizer. */
export interface StepView {
  readonly step: number;
  readonly player: string;
  /** Moments of dL/d(parameter) by path. */
  readonly gradients: ReadonlyMap<string, Moments>;
  /** Empty unless a recording probe needs `taps`. */
  readonly taps: readonly TapReading[];
  /** Those that the recording probes name, from the bottom of the network up. */
  readonly readings: readonly Reading[];
  /** Moments of theta_{t+1} - theta_t, and of theta_t, by path. */
  readonly updates: ReadonlyMap<string, { readonly update: Moments; readonly parameter: Moments }>;
  /** Of F(x; theta_t) - F(x; theta_0) on the first dev batch; there where a recording probe needs `output`. */
  readonly outputChange?: Moments;
  /** Of theta_t - theta_0 by path; there where a recording probe needs `start`. */
  readonly distances?: ReadonlyMap<string, Moments>;
  /** There where a recording probe needs `batches`. */
  readonly sample?: GradientSample;
}

/** What costs extra work, and is only done for probes that read it: `taps`, reductions in every stage; `output`, a forward
 *  on the first dev batch; `start`, a copy of the initial parameters; `batches`, the gradients of K - 1 further batches. */
export type Need = "taps" | "output" | "start" | "batches";

/** One measured quantity, or a few that belong together: rows from a view of the step. */
export interface Probe extends Member {
  readonly needs: readonly Need[];
  /** Readings it wants from the stages, by name. */
  readonly reads?: readonly string[];
  /** Probes whose rows are among its own: recorded together, their rows come once. */
  readonly covers?: readonly string[];
  /** Rows of `layers.csv`. */
  rows?(view: StepView): LayerRow[];
  /** Rows of `readings.csv`. */
  numbers?(view: StepView): ReadingRow[];
}

/** The norm columns of a row: l2 = sqrt(sum x^2), rms = l2 / sqrt(count), max = max |x|. */
export function normColumns({ sumSquares, max, count }: Moments): Pick<LayerRow, "l2" | "rms" | "max" | "count"> {
  return { l2: Math.sqrt(sumSquares), rms: Math.sqrt(sumSquares / count), max, count };
}

/** A row of `layers.csv`. Written out: a deep model leaves thousands a step, and spreading objects costs more than all else. */
function rowOf(
  step: number,
  player: string,
  { stack, layer, component, parameter }: Place,
  quantity: Quantity,
  { sumSquares, max, count }: Moments,
): LayerRow {
  const [l2, rms] = [Math.sqrt(sumSquares), Math.sqrt(sumSquares / count)];
  return { step, player, stack, layer, component, parameter, quantity, l2, rms, max, count };
}

/** One row for every parameter with moments in `moments`. */
export function parameterRows(
  { step, player }: Pick<StepView, "step" | "player">,
  quantity: Quantity,
  moments: Iterable<readonly [path: string, Moments]>,
): LayerRow[] {
  return Array.from(moments, ([path, value]) => rowOf(step, player, placeOf(path), quantity, value));
}

/** One row for every tap. */
export function tapRows(
  { step, player, taps }: Pick<StepView, "step" | "player" | "taps">,
  quantity: Quantity,
  of: (tap: TapReading) => Moments,
): LayerRow[] {
  return taps.map((tap) => {
    const { stack, layer, component, point: parameter } = tap;
    return rowOf(step, player, { stack, layer, component, parameter }, quantity, of(tap));
  });
}

/** One row for every number that the stages offered under the name of the quantity; those of heads are numbered from 0. */
export function readingRows(
  { step, player, readings }: Pick<StepView, "step" | "player" | "readings">,
  quantity: ReadingQuantity,
  byHead = false,
): ReadingRow[] {
  return readings
    .filter(({ name }) => name === quantity)
    .flatMap(({ stack, layer, component, values }) =>
      values.map((value, i): ReadingRow => {
        const parameter = byHead ? `head-${i}` : "";
        return { step, player, stack, layer, component, parameter, quantity, value };
      }),
    );
}

/** A layer, or what belongs to none of them of a stack, with the paths of its parameters. */
export interface LayerGroup {
  readonly stack: string;
  readonly layer: number | "";
  /** `layer`; of what belongs to none its own, such as `norm`, or `all` where there are several. */
  readonly component: string;
  readonly paths: readonly string[];
}

/** Parameter paths by layer, in their order, and at last all together as stack `all`. */
export function byLayer(all: Iterable<string>): LayerGroup[] {
  const paths = [...all];
  const groups = groupBy(paths, (path) => `${placeOf(path).stack}/${placeOf(path).layer}`);
  const found = Array.from(groups.values(), (own): LayerGroup => {
    const { stack, layer, component } = placeOf(own[0]!);
    const isOne = own.every((path) => placeOf(path).component === component);
    return { stack, layer, component: layer !== "" ? "layer" : isOne ? component : "all", paths: own };
  });
  return [...found, { stack: "all", layer: "", component: "all", paths }];
}

/** The sum of `of` over paths. */
export const sumOver = (paths: readonly string[], of: (path: string) => number): number =>
  paths.reduce((sum, path) => sum + of(path), 0);
