// One number a layer and step, from the many rows a layer leaves: the norm over all its parameters, or of the residual
// stream. Embeddings and output carry no layer number and stay apart: with them a ratio of first to last layer says more
// about the embedding's scale than about depth.

import type { LayerRow, Quantity, ReadingQuantity } from "../types.ts";
import type { RunData } from "./experiment.ts";
import { distinct, groupBy, mean, median } from "../statistics.ts";

/** One layer's values over the recorded steps, in order of steps. */
export interface LayerSeries {
  /** The stack; where there are several players, that of another with the player before it: `generator` is that player's own,
   *  `generator: discriminator` what its loss gives the stack of the other. */
  readonly stack: string;
  /** Counted from 0; -1 for what belongs to no layer. */
  readonly layer: number;
  readonly steps: readonly number[];
  /** L2 norms, or readings; non-finite where the run recorded such. */
  readonly values: readonly number[];
}

/** The order in which signal passes the stacks; others follow as they appear. */
const flow = ["embedding", "encoder", "latent", "decoder", "generator", "discriminator", "output"];

/** The parameter that stands for the whole of a layer, of quantities whose other rows are parts of it. */
export const wholeLayer = new Map<Quantity | ReadingQuantity, string>([
  ["activation", "stream"],
  ["activation-gradient", "stream"],
  ["expected-gradient", "all"],
  ["mean-gradient-norm", "all"],
]);

/** Whether a row counts towards its layer's norm of `quantity`: of the activation quantities the residual stream alone
 *  (branches are parts of it), of what several batches show the row of the whole layer, of the parameter quantities every
 *  parameter. */
export function counts(
  row: Pick<LayerRow, "quantity" | "component" | "parameter">,
  quantity: Quantity | ReadingQuantity,
): boolean {
  if (row.quantity !== quantity) return false;
  const parameter = wholeLayer.get(quantity);
  return parameter === undefined || (row.component === "layer" && row.parameter === parameter);
}

/** For every layer the norm of `quantity` over its rows, sqrt(sum l2^2), by stack (in order of flow) and layer.
 *  `numbered` leaves out embeddings, final norms and output; false gives those alone. */
export function layerSeries(run: RunData, quantity: Quantity, numbered = true): LayerSeries[] {
  // Figure after figure asks for the same of rows that may be millions.
  let known = knownSeries.get(run);
  if (!known) knownSeries.set(run, (known = new Map()));
  const key = `${quantity} ${numbered}`;
  let series = known.get(key);
  if (!series) known.set(key, (series = seriesOf(run, quantity, numbered)));
  return series;
}

const knownSeries = new WeakMap<RunData, Map<string, LayerSeries[]>>();

function seriesOf(run: RunData, quantity: Quantity, numbered: boolean): LayerSeries[] {
  const players = new Set(run.layers.map((row) => row.player));
  const squares = new Map<string, { stack: string; layer: number; byStep: Map<number, number> }>();
  for (const row of run.layers) {
    if ((row.layer !== "") !== numbered || !counts(row, quantity)) continue;
    const stack = stackName(row, players.size);
    const key = `${stack}/${row.layer}`;
    let entry = squares.get(key);
    if (!entry) squares.set(key, (entry = { stack, layer: row.layer === "" ? -1 : row.layer, byStep: new Map() }));
    entry.byStep.set(row.step, (entry.byStep.get(row.step) ?? 0) + row.l2 ** 2);
  }
  // Stacks of one name, of two players, stay apart and in the order in which they came.
  const order = distinct([...squares.values()].map(({ stack }) => stack));
  return [...squares.values()]
    .sort(
      (a, b) =>
        flowIndex(a.stack) - flowIndex(b.stack) || order.indexOf(a.stack) - order.indexOf(b.stack) || a.layer - b.layer,
    )
    .map(({ stack, layer, byStep }) => {
      const steps = [...byStep.keys()].sort((a, b) => a - b);
      return { stack, layer, steps, values: steps.map((step) => Math.sqrt(byStep.get(step)!)) };
    });
}

/** What a stack is called, in a run of so many players: see {@link LayerSeries}. */
export const stackName = ({ player, stack }: Pick<LayerRow, "player" | "stack">, players: number): string =>
  players > 1 && player !== stack ? `${player}: ${stack}` : stack;

/** The place of a stack in the order in which signal passes them. */
export function flowIndex(stack: string): number {
  const index = flow.indexOf(stack.split(": ").at(-1)!.split(" ")[0]!);
  return index < 0 ? flow.length : index;
}

/** `||update|| / ||parameter||` of every layer at every step that recorded both. */
export function updateRatioSeries(run: RunData): LayerSeries[] {
  const parameters = new Map(
    layerSeries(run, "parameter").map((series) => [`${series.stack}/${series.layer}`, series]),
  );
  return layerSeries(run, "update").flatMap((update) => {
    const parameter = parameters.get(`${update.stack}/${update.layer}`);
    if (!parameter) return [];
    const norms = new Map(parameter.steps.map((step, i) => [step, parameter.values[i]!]));
    const steps = update.steps.filter((step) => norms.has(step));
    const updates = new Map(update.steps.map((step, i) => [step, update.values[i]!]));
    return [{ ...update, steps, values: steps.map((step) => updates.get(step)! / norms.get(step)!) }];
  });
}

/** For every layer the readings of `quantity` at every step, those of its heads and sublayers put together by `combine`;
 *  `bySublayer` keeps sublayers apart, as stacks of their own: `decoder cross-attention`. */
export function readingSeries(
  run: RunData,
  quantity: ReadingQuantity,
  {
    combine = mean,
    bySublayer = false,
  }: { combine?: (values: readonly number[]) => number; bySublayer?: boolean } = {},
): LayerSeries[] {
  const rows = (run.readings ?? []).filter((row) => row.quantity === quantity && row.layer !== "");
  const players = new Set(rows.map((row) => row.player));
  const stackOf = ({ player, stack, component }: (typeof rows)[number]): string =>
    `${stackName({ player, stack }, players.size)}${bySublayer ? ` ${component}` : ""}`;
  const groups = [...groupBy(rows, (row) => `${stackOf(row)}/${row.layer}`).values()];
  return groups
    .map((same): LayerSeries => {
      const steps = [...groupBy(same, (row) => String(row.step)).values()].sort((a, b) => a[0]!.step - b[0]!.step);
      return {
        stack: stackOf(same[0]!),
        layer: Number(same[0]!.layer),
        steps: steps.map(([row]) => row!.step),
        values: steps.map((at) => combine(at.map(({ value }) => value))),
      };
    })
    .sort((a, b) => flowIndex(a.stack) - flowIndex(b.stack) || a.stack.localeCompare(b.stack) || a.layer - b.layer);
}

/** When a profile is taken: at the first recorded step, or as the median over the last tenth of them (20 at most). */
export type Moment = "first" | "end";

/** How many of `recorded` steps make the end. */
export const endCount = (recorded: number): number => Math.min(20, Math.max(1, Math.ceil(recorded / 10)));

/** A layer's value at a moment. The end leaves non-finite values out before it counts, so that of a diverged run it is
 *  its last finite steps; NaN where nothing is left. */
export function valueAt(series: LayerSeries, moment: Moment): number {
  if (moment === "first") return series.values[0] ?? NaN;
  const finite = series.values.filter(Number.isFinite);
  return median(finite.slice(-endCount(series.steps.length)));
}
