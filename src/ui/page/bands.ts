// Curves and profiles of several runs as one line: the median, in a band from the lowest to the highest.

import { extent, logMedian, median } from "../../statistics.ts";
import type { Curve, LayerWindow } from "../api.ts";
import { thinned } from "./axes.ts";

/** A line with its band, place by place. */
export interface Band {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly low: readonly number[];
  readonly high: readonly number[];
}

/** The band over curves. Where the server sent every value the places are the recorded steps; where it sent the smallest and the largest of
 *  each bin of steps, a curve counts in a bin with the middle of these, and the band holds both. Values on a logarithmic axis have
 *  their median and middle on it. */
export function bandOf(all: readonly Curve[], isLog: boolean): Band {
  // A run that ended before the window has nothing to say in it.
  const curves = all.filter(({ steps }) => steps.length > 0);
  const isWhole = curves.every(({ of, steps }) => of === steps.length);
  return isWhole ? atSteps(curves, isLog) : inBins(curves, isLog);
}

function atSteps(curves: readonly Curve[], isLog: boolean): Band {
  const byStep = new Map<number, number[]>();
  for (const { steps, values } of curves)
    for (const [i, step] of steps.entries()) {
      const value = values[i] ?? NaN;
      const found = byStep.get(step);
      if (found) found.push(value);
      else byStep.set(step, [value]);
    }
  const x = [...byStep.keys()].sort((a, b) => a - b);
  return summary(
    x,
    x.map((step) => byStep.get(step)!.map((value) => [value, value, value] as const)),
    isLog,
  );
}

type Triple = readonly [low: number, middle: number, high: number];

function inBins(curves: readonly Curve[], isLog: boolean): Band {
  const [from, to] = extent(curves.flatMap(({ steps }) => [steps[0]!, steps.at(-1)!]));
  // Two of the server's bins each, so that the smallest and the largest of one count together.
  const bins = Math.max(20, Math.floor(Math.max(...curves.map(({ steps }) => steps.length)) / 4));
  const size = Math.max(1, (to - from + 1) / bins);
  const places: { steps: number; n: number; values: Triple[] }[] = [];
  for (const { steps, values } of curves) {
    const parts: { low: number; high: number; steps: number; n: number }[] = [];
    for (const [i, step] of steps.entries()) {
      const value = values[i];
      if (value === null || value === undefined) continue;
      const part = (parts[Math.floor((step - from) / size)] ??= { low: Infinity, high: -Infinity, steps: 0, n: 0 });
      part.low = Math.min(part.low, value);
      part.high = Math.max(part.high, value);
      part.steps += step;
      part.n += 1;
    }
    parts.forEach((part, bin) => {
      const place = (places[bin] ??= { steps: 0, n: 0, values: [] });
      place.steps += part.steps;
      place.n += part.n;
      const middle = isLog && part.low > 0 ? Math.sqrt(part.low * part.high) : (part.low + part.high) / 2;
      place.values.push([part.low, middle, part.high]);
    });
  }
  const filled = places.filter((place) => place !== undefined);
  return summary(
    filled.map(({ steps, n }) => steps / n),
    filled.map(({ values }) => values),
    isLog,
  );
}

function summary(x: readonly number[], places: readonly (readonly Triple[])[], isLog: boolean): Band {
  const y: number[] = [];
  const low: number[] = [];
  const high: number[] = [];
  for (const values of places) {
    const finite = values.filter(([, middle]) => Number.isFinite(middle));
    const middles = finite.map(([, middle]) => middle);
    const [least, most] = extent(finite.flatMap(([from, , to]) => [from, to]));
    y.push(isLog && middles.every((value) => value >= 0) ? logMedian(middles) : median(middles));
    low.push(finite.length > 0 ? least : NaN);
    high.push(finite.length > 0 ? most : NaN);
  }
  return { x, y, low, high };
}

/** The values of a curve, NaN where there is none. */
export const numbersOf = (values: readonly (number | null)[]): number[] => values.map((value) => value ?? NaN);

/** The column of a window whose step is nearest to `step`. */
export function columnAt({ steps }: LayerWindow, step: number): number {
  let best = 0;
  for (let i = 1; i < steps.length; i++) if (Math.abs(steps[i]! - step) < Math.abs(steps[best]! - step)) best = i;
  return best;
}

/** A stack's profile at a step: its layers and their values in one window. */
export function profileOf(window: LayerWindow, stack: string, column: number): { x: readonly number[]; y: number[] } {
  let first = 0;
  for (const one of window.stacks) {
    if (one.stack === stack)
      return { x: one.layers, y: one.layers.map((_, i) => window.values[first + i]?.[column] ?? NaN) };
    first += one.layers.length;
  }
  return { x: [], y: [] };
}

/** A stack's profile at a step over several windows, one a seed: median, lowest and highest by layer. */
export function profileBand(windows: readonly LayerWindow[], stack: string, step: number, isLog: boolean): Band {
  const profiles = windows.map((window) => profileOf(window, stack, columnAt(window, step)));
  const x = [...new Set(profiles.flatMap(({ x: layers }) => layers))].sort((a, b) => a - b);
  const values = x.map((layer) =>
    profiles.flatMap(({ x: layers, y }): Triple[] => {
      const value = y[layers.indexOf(layer)];
      return value === undefined ? [] : [[value, value, value]];
    }),
  );
  return summary(x, values, isLog);
}

const samples = new WeakMap<LayerWindow, number[]>();

/** Some values of a window, its smallest and largest among them: what the axis of many windows is made of. */
export function sampleOf(window: LayerWindow): number[] {
  const known = samples.get(window);
  if (known) return known;
  const finite = Float64Array.from(window.values.flatMap((row) => row.filter((value) => value !== null)));
  const made = thinned(finite.sort(), 200);
  samples.set(window, made);
  return made;
}
