// Parts of tables as they are drawn: a curve of at most so many bins, a map of layers by at most so many steps.

import { flowIndex, stackName } from "../plots/layer-series.ts";
import { thinned } from "../statistics.ts";
import type { Curve, LayerWindow, StackView } from "./api.ts";
import { firstFrom } from "./column.ts";
import { numberOf, type LayerColumn, type LayerTable, type QuantityTable } from "./layer-table.ts";
import type { MetricTable, Series } from "./metric-table.ts";
import { brief, finite } from "./numbers.ts";

/** Steps from and to which is shown, both included. */
export interface StepWindow {
  readonly from: number;
  readonly to: number;
}

/** The first and the last step of a series. */
export function extentOf({ steps: { data, length } }: Series): [number, number] | undefined {
  return length === 0 ? undefined : [data[0]!, data[length - 1]!];
}

/** The series of a metric; undefined where the run has none. */
export const seriesOf = (table: MetricTable, split: string, metric: string): Series | undefined =>
  table.series.get(`${split},${metric}`);

/** A run's curve: where there are more values than two a bin, in each of `points` bins of the window's steps the smallest and the largest, and
 *  the first that is not finite, which tells of divergence; and those at the ends of the window. */
export function curveOf(run: string, { steps, values }: Series, { from, to }: StepWindow, points: number): Curve {
  const first = firstFrom(steps, from);
  const end = firstFrom(steps, to + 1);
  const of = end - first;
  const picked: number[] = [];
  if (of <= 2 * points) for (let i = first; i < end; i++) picked.push(i);
  else {
    const start = steps.data[first]!;
    const width = (steps.data[end - 1]! - start + 1) / points;
    for (let i = first; i < end;) {
      const bin = Math.floor((steps.data[i]! - start) / width);
      let [low, high, odd] = [-1, -1, -1];
      for (; i < end && Math.floor((steps.data[i]! - start) / width) === bin; i++) {
        const value = values.data[i]!;
        if (!Number.isFinite(value)) {
          if (odd < 0) odd = i;
          continue;
        }
        if (low < 0 || value < values.data[low]!) low = i;
        if (high < 0 || value > values.data[high]!) high = i;
      }
      for (const index of [...new Set([low, high, odd])].sort((a, b) => a - b)) if (index >= 0) picked.push(index);
    }
    // The ends of the window are where a curve is seen to begin and end.
    if (picked[0] !== first) picked.unshift(first);
    if (picked.at(-1) !== end - 1) picked.push(end - 1);
  }
  return { run, steps: picked.map((i) => steps.data[i]!), values: picked.map((i) => finite(values.data[i]!)), of };
}

/** One quantity of a run by layer and step; undefined where the run has not recorded it. */
export function layerWindowOf(
  run: string,
  table: LayerTable,
  quantity: string,
  { from, to }: StepWindow,
  bins: number,
): LayerWindow | undefined {
  const of = table.quantities.get(quantity);
  if (!of || of.steps.length === 0) return undefined;
  const all = [...of.layers.values()].map((layer) => ({ layer, stack: nameOf(layer, table.players.size) }));
  const names = [...new Set(all.map(({ stack }) => stack))].sort((a, b) => flowIndex(a) - flowIndex(b));
  const layersOf = (name: string): LayerColumn[] =>
    all
      .filter(({ stack }) => stack === name)
      .map(({ layer }) => layer)
      .sort((a, b) => a.layer - b.layer);
  const stacks: StackView[] = names.map((stack) => ({ stack, layers: layersOf(stack).map(({ layer }) => layer + 1) }));
  const recorded = placesIn(of, from, to);
  const places = thinned(recorded.length, bins).map((i) => recorded[i]!);
  return {
    run,
    stacks,
    steps: places.map((place) => of.steps.data[place]!),
    of: recorded.length,
    values: names.flatMap((name) =>
      layersOf(name).map((layer) => places.map((place) => brief(numberOf(of, layer, place)))),
    ),
  };
}

/** The places of a window's steps, in their order. */
function placesIn({ steps, places }: QuantityTable, from: number, to: number): number[] {
  if (!places) {
    const first = firstFrom(steps, from);
    return Array.from({ length: firstFrom(steps, to + 1) - first }, (_, i) => first + i);
  }
  return Array.from({ length: steps.length }, (_, i) => i)
    .filter((i) => steps.data[i]! >= from && steps.data[i]! <= to)
    .sort((a, b) => steps.data[a]! - steps.data[b]!);
}

/** A stack's name: where there are several players, that of another's with the player before it; a sublayer's with it behind. */
function nameOf(layer: LayerColumn, players: number): string {
  const name = stackName(layer, players);
  return layer.sublayer === "" ? name : `${name} ${layer.sublayer}`;
}
