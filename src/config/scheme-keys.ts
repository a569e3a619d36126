// The keys of a model whose layers are residual branches: scheme, norm and final norm, which must agree.

import { z } from "zod";
import type { Registries } from "./names.ts";
import { oneOf } from "./pieces.ts";

/** The keys `residual`, `norm` and `finalNorm`. */
export const schemeKeys = (names: Registries) => ({
  residual: oneOf(names.residual, "residual scheme"),
  norm: oneOf(
    names.norms,
    "normalisation; layer-norm if not given, or none with a residual scheme that has no norms",
  ).optional(),
  finalNorm: z.boolean().optional().describe("a norm at the end of each stack; follows from the residual scheme"),
});

interface SchemeChoice {
  readonly residual: string;
  readonly norm?: string | undefined;
  readonly finalNorm?: boolean | undefined;
}

/** Refuses a norm or a final norm that contradicts the scheme, naming both keys. */
export function checkScheme(model: SchemeChoice, names: Registries, context: z.RefinementCtx): void {
  const scheme = names.residual.find((s) => s.name === model.residual);
  if (scheme && model.norm !== undefined && (model.norm === "none") !== (scheme.normless ?? false))
    context.addIssue({
      code: "custom",
      path: ["norm"],
      message: scheme.normless
        ? `expected none, got ${model.norm}: model.residual: ${model.residual} has no place for a norm; ` +
          `leave model.norm out or choose another model.residual`
        : `expected a norm, got none: model.residual: ${model.residual} is built on norms; ` +
          `leave model.norm out or choose a model.residual without norms, such as no-norm`,
    });
  if (scheme && model.finalNorm !== undefined && model.finalNorm !== scheme.finalNorm)
    context.addIssue({
      code: "custom",
      path: ["finalNorm"],
      message:
        `expected ${scheme.finalNorm}, got ${model.finalNorm}: model.residual: ${model.residual} ` +
        `${scheme.finalNorm ? "needs a final norm on each stack" : "has no final norm"}; ` +
        `leave model.finalNorm out or choose another model.residual`,
    });
}

/** Norm and final norm as they follow from the scheme where they are not given. */
export function schemeDefaults(model: SchemeChoice, names: Registries): { norm: string; finalNorm: boolean } {
  const scheme = names.residual.find((s) => s.name === model.residual)!;
  return { norm: model.norm ?? (scheme.normless ? "none" : "layer-norm"), finalNorm: scheme.finalNorm };
}
