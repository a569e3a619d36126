// A model is a list of stages. A stage is a pure function `(parameters, carry) -> carry` written in TensorFlow.js
// operations; the engine runs the stages up and differentiates them one by one on the way down:
// dL/dx_l = dL/dx_{l+1} . dx_{l+1}/dx_l. Nothing here runs; these are the words models and engines share.
import type { Tensor } from "@tensorflow/tfjs-core";

/** How a parameter starts. `gain` multiplies the Xavier bound sqrt(6 / (fanIn + fanOut)) (Glorot & Bengio 2010);
 *  `values` are those of all elements, row by row. */
export type Init =
  | { readonly kind: "xavier-uniform"; readonly gain: number }
  | { readonly kind: "normal"; readonly std: number }
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "values"; readonly values: readonly number[] }
  /** What the profiling pass reads at this tap of the same layer, see `Player.profile`; 1 until then. */
  | { readonly kind: "profiled"; readonly tap: string };

/** A parameter as a layer declares it, before it has a place in a network. */
export interface ParameterShape {
  readonly shape: readonly number[];
  readonly init: Init;
  /** Of a matrix whose vectors along this axis have Euclidean norm 1: set so at the start and after every update. */
  readonly unitNorm?: 0 | 1;
}

/** A parameter of a network. Its path is its name in checkpoints and tables, `stack/layer/component/parameter`:
 *  `encoder/03/self-attention/query/weight`, `encoder/norm/gain`, `embedding/source/weight`. */
export interface ParameterSpec extends ParameterShape {
  readonly path: string;
}

/** Random numbers a stage asks for. `dropout` gives 0 with probability `rate`, else 1 / (1 - rate). */
export type Noise = { readonly kind: "dropout"; readonly rate: number } | { readonly kind: "normal" };

/** Which of the two signals a tap stands on: the residual stream, or the branch that is added to it. */
export type TapPoint = "stream" | "branch";

/** What an engine lends a stage while it runs. */
export interface StageContext {
  /** False during evaluation: no dropout, no label smoothing. */
  readonly training: boolean;
  /** Marks a point whose activation, and whose gradient dL/dx, probes may read. Returns `x` unchanged; what comes
   *  after must use the returned tensor, or its share of the gradient is not seen. */
  tap(component: string, point: TapPoint, x: Tensor): Tensor;
  /** Offers what probes may ask for by `name`: a few numbers about the forward, a tensor [n] that no gradient comes from.
   *  `make` is called only where a probe asks. */
  reading(component: string, name: string, make: () => Tensor): void;
  /** Fresh random numbers from the stream `<kind>/<stage name>/<name>` at this step. */
  noise(name: string, shape: readonly number[], noise: Noise): Tensor;
  /** One of the stage's `constants`, as a scalar. */
  constant(name: string): Tensor;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** A number a stage is fed: the same at every step, or one that follows from the step (counted from 0). */
export type Constant = number | ((step: number) => number);

/** The number a constant is at a step. */
export const constantAt = (constant: Constant, step: number): number =>
  typeof constant === "number" ? constant : constant(step);

/** One link of the chain. Stages with equal `key` run the same code on the same shapes and share one compiled graph,
 *  so everything `apply` depends on, apart from its arguments, must be in the key. */
export interface Stage {
  /** Where it stands: `encoder/03`. */
  readonly name: string;
  readonly stack: string;
  /** From 0; empty where the stage is no layer of a stack. */
  readonly layer: number | "";
  readonly key: string;
  /** By the name `apply` uses, e.g. `self-attention/query/weight`. Two stages may share a parameter (same path). */
  readonly parameters: Readonly<Record<string, ParameterSpec>>;
  /** Carry entries it reads. What it does not return passes by unchanged. */
  readonly reads: readonly string[];
  /** Numbers that differ from stage to stage, such as a factor that depends on depth: fed to the shared graph, so they
   *  need not be in the key. */
  readonly constants?: Readonly<Record<string, Constant>>;
  /** Of a stage whose parameters are another player's: the gradient passes through it to what it reads, and none is taken of
   *  its parameters. */
  readonly frozen?: true;
  /** Of a stage some of whose parameters may have no effect on what it writes, as a bias on a gradient: their gradient is 0.
   *  Without it that is taken for a mistake. */
  readonly mayIgnoreParameters?: true;
  apply(parameters: Tensors, carry: Tensors, context: StageContext): Record<string, Tensor>;
}

/** The names of the parameters whose gradients a stage gives: all, or none if it is frozen. */
export const learntBy = ({ frozen, parameters }: Stage): string[] => (frozen ? [] : Object.keys(parameters));

/** A set of parameters with its own loss and optimizer: one for a transformer or a VAE, two for a GAN. */
export interface Player {
  readonly name: string;
  readonly stages: readonly Stage[];
  /** The network as it is run once on the first batch, before training, to measure what some parameters start at. */
  readonly profile?: readonly Stage[];
  /** Scalars in the last carry: `loss` is differentiated, the others are reported beside it. */
  readonly scalars: readonly string[];
  /** Those of the scalars that are averaged over a split at every evaluation beside `loss`. */
  readonly evaluated?: readonly string[];
  /** Updates of this player at every step, each on a batch of its own; 1 if not given. */
  readonly updates?: number;
  /** The entry of the last carry that counts as what the network says, F(x): for a transformer the decoder's stream as the
   *  output projection reads it. */
  readonly output?: string;
}

/** A parameter in memory; optimizers update `data` in place. */
export interface Parameter extends ParameterSpec {
  readonly data: Float32Array;
}

/** All parameters of a model by path. */
export type Parameters = ReadonlyMap<string, Parameter>;

/** The specs of all parameters of `players` by path, in the order of first use. */
export function parameterSpecs(players: readonly Player[]): Map<string, ParameterSpec> {
  const specs = new Map<string, ParameterSpec>();
  for (const { stages } of players)
    for (const { parameters } of stages) for (const spec of Object.values(parameters)) specs.set(spec.path, spec);
  return specs;
}

/** Number of elements of a shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, d) => product * d, 1);

/** Where a parameter belongs. */
export interface Place {
  readonly stack: string;
  /** From 0; empty where it belongs to no layer. */
  readonly layer: number | "";
  readonly component: string;
  readonly parameter: string;
}

/** Where a parameter belongs, read off its path `stack/[layer/]component/parameter`. */
export function placeOf(path: string): Place {
  let place = places.get(path);
  if (!place) places.set(path, (place = readPlace(path)));
  return place;
}

/** Paths are few, and asked for thousands of times a step. */
const places = new Map<string, Place>();

function readPlace(path: string): Place {
  const [stack = "", second = "", ...rest] = path.split("/");
  if (!/^\d+$/.test(second)) return { stack, layer: "", component: second, parameter: rest.join("/") };
  const [component = "", ...parameter] = rest;
  return { stack, layer: Number(second), component, parameter: parameter.join("/") };
}
