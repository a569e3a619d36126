// What `fathom verify` has found, to read: one check after the other, so that a damaged one hides no other.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { messageOf } from "../errors.ts";
import { checkFigure } from "../plots/check-figure.ts";
import { verifyFolder } from "../runs/verify-folder.ts";
import type { CheckFigure, Claim } from "../types.ts";
import type { Verification } from "./api.ts";
import { linkOut, lstatOf } from "./place.ts";

/** Bytes of a check at most. */
const mostBytes = 2 ** 24;

/** A number as `jsonText` (src/runs/verify-folder.ts) writes it. */
const number = z.union([z.number(), z.literal("Infinity"), z.literal("-Infinity"), z.null()]);
const toNumber = (value: z.infer<typeof number>): number => (value === null ? NaN : Number(value));

const record = z.object({
  check: z.string(),
  summary: z.string(),
  source: z.string(),
  made: z.string(),
  reason: z.string().optional(),
  claims: z.array(
    z.looseObject({
      name: z.string(),
      statement: z.string(),
      predicted: number,
      measured: number,
      relativeError: number,
      tolerance: number,
      verdict: z.enum(["holds", "corrected", "fails"]),
    }),
  ),
  figure: z
    .looseObject({
      kind: z.enum(["lines", "bars"]),
      title: z.string(),
      caption: z.string(),
      points: z.array(z.looseObject({ series: z.string(), x: number, y: number })),
    })
    .optional(),
});

/** The folder of checks of a folder of experiments. */
const recordsFolder = (root: string): string => join(verifyFolder(root), "checks");

/** Whether there is something `fathom verify` has found. */
export const hasVerification = (root: string): boolean => recordFiles(root).length > 0;

/** The state of what it found: differs where a check was made again. */
export const verificationKey = (root: string): string =>
  recordFiles(root)
    .map((file) => {
      const stats = lstatOf(file);
      return `${file} ${stats?.ino} ${stats?.size} ${stats?.mtimeMs}`;
    })
    .join("/");

function recordFiles(root: string): string[] {
  const folder = recordsFolder(root);
  if (linkOut(root, [verifyFolder(root), folder]) !== undefined) return [];
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

/** What checks have found. A check whose file cannot be read has no claims, and says so in its summary. */
export function verificationOf(root: string): Verification {
  return {
    checks: recordFiles(root).map((file) => {
      try {
        const out = linkOut(root, [file]);
        if (out !== undefined) throw new Error(out);
        const size = Number(lstatOf(file)?.size ?? 0);
        if (size > mostBytes) throw new Error(`${size} bytes, more than any has`);
        const { check, summary, source, made, claims, figure } = record.parse(JSON.parse(readFileSync(file, "utf8")));
        return { check, summary, source, made, claims: claims.map(shownClaim), spec: figure ? specOf(figure) : null };
      } catch (error) {
        const reason = error instanceof z.ZodError ? z.prettifyError(error).replaceAll("\n", " ") : messageOf(error);
        return {
          check: file.slice(recordsFolder(root).length + 1, -".json".length),
          summary: `damaged: expected what a check found, got ${reason}; remove ${file} and run the check again`,
          source: "",
          claims: [],
          spec: null,
          made: "",
        };
      }
    }),
  };
}

/** A claim as it travels: a number that is none, or infinite, is null in JSON. */
const shownClaim = (claim: z.infer<typeof record>["claims"][number]): Claim =>
  Object.fromEntries(
    Object.entries(claim).map(([key, value]) => [key, value === "Infinity" || value === "-Infinity" ? null : value]),
  ) as unknown as Claim;

function specOf(figure: NonNullable<z.infer<typeof record>["figure"]>) {
  const points = figure.points.map((point) => ({ ...point, x: toNumber(point.x), y: toNumber(point.y) }));
  return checkFigure({ ...figure, points } as unknown as CheckFigure);
}
