// The window of steps that is asked for, and the axis of steps.

import type { Axis } from "./axes.ts";

/** First and last step; undefined where it is all. */
export interface StepsAsked {
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** The window that an address' `from` and `to` mean: in order, and within whole numbers. What is no step asks for nothing. */
export function stepsAsked(state: Readonly<Record<string, string | undefined>>): StepsAsked {
  const [from, to] = [stepOf(state["from"]), stepOf(state["to"])];
  return from !== undefined && to !== undefined && from > to ? { from: to, to: from } : { from, to };
}

function stepOf(text: string | undefined): number | undefined {
  const value = Number(text);
  if (text === undefined || text.trim() === "" || !Number.isFinite(value) || value < 0) return undefined;
  return Math.min(Number.MAX_SAFE_INTEGER, Math.round(value));
}

/** The axis of steps: the window asked for, within what there is. */
export function stepAxis({ from, to }: StepsAsked, extent: readonly [number, number] | null): Axis {
  const [least, most] = extent ?? [0, Infinity];
  const within = (step: number): number => Math.min(most, Math.max(least, step));
  const [first, last] = [within(from ?? least), within(to ?? extent?.[1] ?? 1)];
  return { domain: [first, last > first ? last : first + 1], isLog: false };
}
