// What the schemas of a configuration are built from.

import { z } from "zod";
import type { Member } from "../registry.ts";

/** `{kind: name}` of a discriminated union, described by the table it comes from. */
export const kind = <N extends string>(table: readonly { name: string; summary: string }[], name: N) =>
  z.literal(name).describe(table.find((m) => m.name === name)!.summary);

/** A whole number from 1 on. */
export const positive = (describe: string, max = 1e9) => z.int().min(1).max(max).describe(describe);
/** A number from 0 on, below 1. */
export const fraction = (describe: string) => z.number().min(0).lt(1).describe(describe);
/** A positive number. */
export const rate = (describe: string) => z.number().positive().max(1e6).describe(describe);
/** One of the names of a registry. */
export const oneOf = (members: readonly Member[], describe: string) =>
  z
    .enum(members.map((m) => m.name))
    .describe(`${describe}: ${members.map((m) => `${m.name} (${m.summary})`).join("; ")}`);
/** Whether no value is there twice. */
export const unique = (values: readonly unknown[]): boolean => new Set(values).size === values.length;

/** Exactly one of two optional keys: the issue for none or both, naming both by their full path. */
export function exactlyOne(
  context: z.RefinementCtx,
  at: string,
  keys: readonly [string, string],
  values: readonly unknown[],
): void {
  const given = values.filter((v) => v !== undefined && v !== null).length;
  if (given === 1) return;
  const [a, b] = keys.map((k) => `${at}.${k}`);
  context.addIssue({
    code: "custom",
    // Both are there: point at the second. None is there: point at their parent.
    path: given === 2 ? [keys[1]] : [],
    message: `expected either ${a} or ${b}, got ${given === 2 ? `both; remove one (an override: ${a}=null or ${b}=null)` : `neither; add one`}`,
  });
}

/** Layers of two stacks: a number for each, `{first: 18, second: 6}`, or `18+6` for the same. */
export const depthOf = <A extends string, B extends string>(first: A, second: B) => {
  const layers = (stack: string) => positive(`layers of the ${stack}`, 1000);
  type Depth = Record<A | B, number>;
  const both = (a: number, b: number) => ({ [first]: a, [second]: b }) as Depth;
  return z
    .union([
      positive("layers of each stack", 1000).transform((n) => both(n, n)),
      z.strictObject({ [first]: layers(first), [second]: layers(second) }).transform((depth) => depth as Depth),
      z
        .string()
        .regex(
          /^([1-9]\d{0,2}|1000)\+([1-9]\d{0,2}|1000)$/,
          `expected layers a stack such as 6, or ${first}+${second} such as 18+6`,
        )
        .transform((text) => both(...(text.split("+").map(Number) as [number, number]))),
    ])
    .describe(`layers of each stack, or {${first}: 18, ${second}: 6}, or 18+6 for the same; 1 to 1000`);
};
