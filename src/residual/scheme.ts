import type { Tensor } from "@tensorflow/tfjs-core";
import type { InsideAttention } from "../nn/attention.ts";
import type { InsideFeedForward } from "../nn/feed-forward.ts";
import type { ParameterShapes } from "../nn/parameters.ts";
import type { Member } from "../registry.ts";

/** The sizes of a network that a scheme's constants may depend on: a transformer's, or those of a stack of residual MLP blocks,
 *  each of them one feed-forward sublayer. Such a stack counts as a network of its own, whatever else its model has. */
export interface Network<S extends string = string> {
  /** Layers of each stack, in the order in which signal passes them: N and M of a transformer, the blocks of an MLP. */
  readonly depth: Readonly<Record<S, number>>;
  readonly width: number;
  /** 0 in a network without attention. */
  readonly heads: number;
  readonly feedForward: number;
}

/** The stacks of a transformer. */
export type Stack = "encoder" | "decoder";

/** The sublayers of each stack of a transformer, in their order. */
export const sublayersOf = {
  encoder: ["self-attention", "feed-forward"],
  decoder: ["self-attention", "cross-attention", "feed-forward"],
} as const;

/** The stacks of a transformer, in the order in which signal passes them. */
export const stacks: readonly Stack[] = ["encoder", "decoder"];

export type Sublayer = (typeof sublayersOf)["decoder"][number];

/** Where a sublayer stands. `end` is what follows a stack's last layer; its `layer` is the number of layers. */
export interface Place {
  readonly network: Network;
  /** One of a transformer, or any name of an MLP's, such as `generator`. */
  readonly stack: string;
  /** From 0. */
  readonly layer: number;
  readonly sublayer: Sublayer | "end";
}

/** Matrices of a sublayer that start with a gain of their own: attention has query, key, value and out, feed-forward in
 *  and out. */
export type WeightClass = "query" | "key" | "value" | "out" | "in";
export type Gains = Readonly<Partial<Record<WeightClass, number>>>;

/** F with its dropout. `after` stands between F and the dropout: schemes that normalise the branch's output do it there. */
export type Branch = (x: Tensor, after?: (f: Tensor) => Tensor) => Tensor;

/** What a scheme has at hand at a place. */
export interface Here {
  readonly stack: string;
  readonly sublayer: Sublayer | "end";
  /** What the scheme's `form` says of this place. */
  readonly form: string;
  /** The stream as it entered this layer. */
  readonly layerInput: Tensor;
  /** One of the norms that `norms` lists; by default the one named after the sublayer. */
  norm(x: Tensor, name?: string): Tensor;
  /** One of the scheme's own parameters. */
  parameter(path: string): Tensor;
  /** One of its constants at this place, as a scalar. */
  constant(symbol: string): Tensor;
  /** A tensor that an earlier place of this stack has remembered. */
  recall(name: string): Tensor;
  /** Gives `x` to later places of this stack, beside the stream. */
  remember(name: string, x: Tensor): void;
  /** A tap on a scalar: what the profiling pass reads as `<sublayer>/<name>`. */
  measure(name: string, x: Tensor): Tensor;
}

/** How a sublayer's branch F meets the residual stream x, and what that asks of the rest of the network. Layers of one
 *  `form` share a graph, so `connect` and its like may depend on the place through `form`, constants and parameters. */
export interface ResidualScheme extends Member {
  /** The residual equation of one sublayer, as printed by `fathom list residual`. */
  readonly equation: string;
  readonly paper: string;
  readonly year: number;
  /** What is not as published here, or could not be confirmed; in sentences. */
  readonly remarks?: string;
  /** Whether each stack ends in a norm of its own: true where the stream itself is never normalised. */
  readonly finalNorm: boolean;
  /** False where the paper or its code trains without learning-rate warm-up. */
  readonly warmupExpected: boolean;
  /** True where no norm of the user's choice has a place, so that `model.norm` can only be none. */
  readonly normless?: true;
  /** True where the norms have no bias. */
  readonly unbiasedNorms?: true;
  /** True where linear maps have no bias vectors. */
  readonly unbiasedLinear?: true;
  /** True where all matrices keep unit norm along the axis of the stream's width: columns of those that read the stream,
   *  rows of those that write it, the embedding's rows. Each logit then has a learned factor of its own, stored as
   *  1 / sqrt(D) for 1. */
  readonly unitSphere?: true;
  /** True where nothing of the scheme is left in a stack of residual MLP blocks, whose layers are one feed-forward sublayer
   *  each; `remarks` says why. */
  readonly attentionOnly?: true;
  /** The paper's constants at a place, by their symbols: those of the equation and those of the initialisation. */
  constants?(place: Place): Readonly<Record<string, number>>;
  /** Factors on the Xavier bound of the sublayer's matrices; `trunkGains` for what is not given. */
  gains?(place: Place): Gains;
  /** Factor on the standard deviation of a stack's embeddings, and on the Xavier bound of an MLP's first matrix, which stands in
   *  their place. */
  embeddingGain?(stack: string, network: Network): number;
  /** Factor on the Xavier bound of the output projection; 1 if not given. A tied one starts as the embedding. */
  readonly outputGain?: number;
  /** Widths of the norms at a place by name; by default one of the stream's width, named after the sublayer. */
  norms?(place: Place): Readonly<Record<string, number>>;
  /** The scheme's own parameters by path within the layer, e.g. `self-attention/alpha`; places of one layer may share. */
  parameters?(place: Place): ParameterShapes;
  /** Places with different words run different code; all of a stack the same if not given. */
  form?(place: Place): string;
  /** Names that this place recalls of those that places before it, in other layers, remember. */
  recalls?(place: Place): readonly string[];
  /** The stream as the layers see it, from the embedding; it may `remember`. */
  open?(x: Tensor, here: Pick<Here, "remember">): Tensor;
  /** What a layer's first sublayer reads, from what the layer before it wrote. */
  enter?(x: Tensor, here: Here): Tensor;
  /** x' from the stream x and the branch F. */
  connect(x: Tensor, branch: Branch, here: Here): Tensor;
  /** What leaves a stack, where that is more than the final norm. */
  close?(x: Tensor, here: Here): Tensor;
  /** The scheme of a pass before training that measures what `profiled` parameters start at. */
  readonly profiling?: ResidualScheme;
  /** What happens within a sublayer. */
  inside?(here: Here): InsideAttention & InsideFeedForward;
}

/** Where a scheme says nothing of its own: Xavier with q, k and v at 1 / sqrt 2, the bound of one [D, 3D] matrix rather than
 *  of three, as fairseq and PyTorch's MultiheadAttention start them. */
export const trunkGains: Readonly<Record<WeightClass, number>> = {
  query: Math.SQRT1_2,
  key: Math.SQRT1_2,
  value: Math.SQRT1_2,
  out: 1,
  in: 1,
};

/** Where in which network: what of a place tells the sizes of its stack. */
type InStack = Pick<Place, "network" | "stack">;

/** The sublayers of the layers of a stack, in their order. */
export const sublayersAt = ({ network, stack }: InStack): readonly Sublayer[] =>
  network.heads ? sublayersOf[stack as Stack] : ["feed-forward"];

/** Whether a place is a layer's first sublayer. */
export const isFirst = (place: Place): boolean => place.sublayer === sublayersAt(place)[0];

/** Layers of the stack of `place`. */
export const layersOf = ({ network, stack }: InStack): number => network.depth[stack]!;

/** Residual sublayers of the stack of `place`: 2N and 3M in a transformer, L of an MLP of L blocks. */
export const branchesOf = (place: InStack): number => layersOf(place) * sublayersAt(place).length;

/** N and M of a transformer; nothing for an MLP, whose stack is none of two. */
export const encoderDecoder = ({ depth, heads }: Network): { N: number; M: number } | undefined =>
  heads ? { N: depth["encoder"]!, M: depth["decoder"]! } : undefined;

/** Layers of the stack of `place` as papers count them, a layer of an encoder having two residual sublayers: L / 2 of an MLP
 *  of L blocks, so that its constants are those of an encoder alone with as many sublayers. */
export const transformerLayersOf = (place: InStack): number =>
  place.network.heads ? layersOf(place) : branchesOf(place) / 2;

/** The number of a sublayer within its stack, from 0. */
export const indexOf = (place: Place): number => {
  const sublayers: readonly string[] = sublayersAt(place);
  return place.layer * sublayers.length + sublayers.indexOf(place.sublayer);
};
