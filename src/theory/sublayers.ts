// A transformer with its layers taken apart, for checks that speak of a sublayer's parts: the same network with the same
// parameters as a longer chain of stages. A layer's stage is built with a scheme whose `connect` does one part of one
// sublayer and lets the stream pass at the others, so that the code that runs is the models' own.
import * as tf from "@tensorflow/tfjs-core";
import { schemeOf } from "../models/residual-stream.ts";
import { transformer, type TransformerOptions } from "../models/transformer.ts";
import { type ResidualScheme, type Stack, type Sublayer, sublayersOf } from "../residual/scheme.ts";
import type { Stage } from "../stage.ts";

/** `sublayer`: all of it, as the scheme connects it. `residual`: z = x + F(x). `norm`: LayerNorm(z). `branch`: f = F(LayerNorm(x)). */
export type Part = "sublayer" | "residual" | "norm" | "branch";

const connections: Readonly<Record<Exclude<Part, "sublayer">, ResidualScheme["connect"]>> = {
  residual: (x, branch) => tf.add(x, branch(x)),
  norm: (x, _, { norm }) => norm(x),
  branch: (x, branch, { norm }) => branch(norm(x)),
};

/** A part of a sublayer as a link of the chain. */
export interface PartLink {
  readonly stage: Stage;
  readonly stack: Stack;
  readonly layer: number;
  readonly sublayer: Sublayer;
  readonly part: Part;
}

/** The parts of a stack's sublayers as links, from the bottom up; of post-LN in their order `["residual", "norm"]`. */
export function partLinks(options: TransformerOptions, stack: Stack, parts: readonly Part[]): PartLink[] {
  const stagesOf = (sublayer: Sublayer, part: Part): Stage[] =>
    transformer({ ...options, residual: variant(schemeOf(options), sublayer, part) })[0]!.stages.filter(
      (stage) => stage.stack === stack && stage.layer !== "",
    );
  const built = sublayersOf[stack].flatMap((sublayer) =>
    parts.map((part) => ({ sublayer, part, stages: stagesOf(sublayer, part) })),
  );
  return Array.from({ length: options.depth[stack] }, (_, layer) =>
    built.map(({ sublayer, part, stages }) => ({
      stack,
      layer,
      sublayer,
      part,
      stage: only(stages[layer]!, sublayer, part),
    })),
  ).flat();
}

/** The scheme that does one part of one sublayer. Its name is in the stages' keys. */
function variant(scheme: ResidualScheme, sublayer: Sublayer, part: Part): ResidualScheme {
  const connect = part === "sublayer" ? scheme.connect : connections[part];
  return {
    ...scheme,
    name: `${scheme.name}, ${part} of ${sublayer}`,
    connect: (x, branch, here) => (here.sublayer === sublayer ? connect(x, branch, here) : x),
  };
}

/** The stage without the parameters of what it leaves out. */
function only(stage: Stage, sublayer: Sublayer, part: Part): Stage {
  const prefixes = [
    ...(part === "norm" ? [] : [`${sublayer}/`]),
    ...(part === "residual" ? [] : [`norm/${sublayer}/`]),
  ];
  const isUsed = (path: string): boolean => prefixes.some((prefix) => path.startsWith(prefix));
  return {
    ...stage,
    name: `${stage.name}/${sublayer}/${part}`,
    parameters: Object.fromEntries(Object.entries(stage.parameters).filter(([path]) => isUsed(path))),
  };
}

/** A network's stages with those of the layers replaced by `parts`, in their order. */
export const takenApart = (
  options: TransformerOptions,
  parts: Readonly<Record<Stack, readonly PartLink[]>>,
): readonly Stage[] =>
  transformer(options)[0]!.stages.flatMap((stage): readonly Stage[] => {
    if (stage.layer === "") return [stage];
    return stage.layer === 0 ? parts[stage.stack as Stack].map((link) => link.stage) : [];
  });
