// How a residual scheme becomes stages: which parameters a layer has beside its sublayers', what constants it is fed, and
// how stream, branches and norms are wired. The scheme itself says only how one branch meets the stream.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { ActivationName } from "../nn/activations.ts";
import { attentionParameters, type InsideAttention } from "../nn/attention.ts";
import { withDropout } from "../nn/dropout.ts";
import { feedForward, feedForwardParameters, type InsideFeedForward } from "../nn/feed-forward.ts";
import * as norms from "../nn/norms/index.ts";
import type { Norm } from "../nn/norms/norm.ts";
import { type ParameterShapes, scope, under } from "../nn/parameters.ts";
import { angularDistance, branchShare, deadUnits } from "../nn/readings.ts";
import { lookup } from "../registry.ts";
import * as residual from "../residual/index.ts";
import {
  type Here,
  type Network,
  type Place,
  type ResidualScheme,
  type Sublayer,
  sublayersAt,
  trunkGains,
} from "../residual/scheme.ts";
import type { ParameterSpec, Stage, StageContext, Tensors } from "../stage.ts";

/** What decides how a layer is built: its network's sizes, the scheme, and what its sublayers are made of. */
export interface StreamOptions extends Network {
  /** A scheme by its name in the registry, or one of your own. */
  readonly residual: string | ResidualScheme;
  readonly norm: string;
  readonly activation: ActivationName;
  readonly dropout: number;
}

/** F of a sublayer: from its input, its parameters, and what the scheme puts within it. */
export type Transform = (x: Tensor, p: Tensors, inside: InsideAttention & InsideFeedForward) => Tensor;

/** The scheme that options name or are; a `UserError` that lists the known ones for an unknown name. */
export const schemeOf = ({ residual: scheme }: Pick<StreamOptions, "residual">): ResidualScheme =>
  typeof scheme === "string" ? lookup<ResidualScheme>("residual scheme", residual, scheme) : scheme;

const normOf = ({ norm }: StreamOptions): Norm => lookup<Norm>("norm", norms, norm);

/** The carry entry in which a scheme keeps `name` beside the stream. */
const besides = (stack: string, name: string): string => `${stack}/${name}`;

/** What the stage before a stack's first layer writes: the stream as the layers see it, and what the scheme remembers beside it. */
export function openStream(options: StreamOptions, stack: string, x: Tensor): Record<string, Tensor> {
  const written: Record<string, Tensor> = {};
  const remember = (name: string, x: Tensor): void => void (written[besides(stack, name)] = x);
  const { open } = schemeOf(options);
  const opened = open ? open(x, { remember }) : x;
  return { ...written, [stack]: opened };
}

/** A layer of a stack as a stage: its sublayers in their order, each a branch of the residual stream. A sublayer may `write`
 *  carry entries of its own. `variant` is what the stage's key calls sublayers other than those of training. */
export function layerStage(
  options: StreamOptions,
  stack: string,
  layer: number,
  reads: readonly string[],
  sublayers: (
    carry: Tensors,
    context: StageContext,
    write: (name: string, x: Tensor) => void,
  ) => Partial<Record<Sublayer, Transform>>,
  variant?: string,
): Stage {
  const scheme = schemeOf(options);
  const { heads, activation, dropout } = options;
  const places = sublayersAt({ network: options, stack }).map((sublayer) => ({
    network: options,
    stack,
    layer,
    sublayer,
  }));
  const shapes: ParameterShapes = Object.assign(
    {},
    ...places.map((place) => scope(place.sublayer, sublayerParameters(options, place))),
    ...places.map((place) => schemeParameters(options, place)),
  );
  const name = layerName(stack, layer);
  const kind = `${variant ? `${variant} of ` : ""}${stack} layer`;
  return {
    name,
    stack,
    layer,
    key: `${kind} ${JSON.stringify({ ...codeOf(options, places), heads, activation, dropout })}`,
    parameters: placed(name, shapes),
    reads: [...reads, ...recalled(scheme, places)],
    constants: Object.assign({}, ...places.map((place) => constantsOf(scheme, place))) as Record<string, number>,
    apply(p, carry, context) {
      const remembered: Record<string, Tensor> = {};
      const besideStream: Record<string, Tensor> = {};
      const transforms = sublayers(carry, context, (name, x) => void (besideStream[name] = x));
      const at = (place: Place, layerInput: Tensor): Here =>
        hereAt(options, place, p, carry, context, remembered, layerInput);
      const written = carry[stack]!;
      const layerInput = scheme.enter?.(written, at(places[0]!, written)) ?? written;
      let x = layerInput;
      for (const place of places) {
        const { sublayer } = place;
        const here = at(place, layerInput);
        const inside = scheme.inside?.(here) ?? {};
        const connected = scheme.connect(
          x,
          (x, after) => {
            const f = transforms[sublayer]!(x, under(p, sublayer), inside);
            return context.tap(sublayer, "branch", withDropout(after ? after(f) : f, sublayer, dropout, context));
          },
          here,
        );
        const stream = x;
        context.reading(sublayer, "branch-share", () =>
          branchShare(
            connected,
            scheme.connect(stream, (x) => tf.zerosLike(x), unseen(here)),
          ),
        );
        x = context.tap(sublayer, "stream", connected);
      }
      context.reading("layer", "angular-distance", () => angularDistance(layerInput, x));
      return { ...remembered, ...besideStream, [stack]: context.tap("layer", "stream", x) };
    },
  };
}

/** A stage that does part of a sublayer, ahead of the stream: what depends on `input` alone, as cross-attention's keys and
 *  values do on the encoder's output. `apply` gets the sublayer's parameters and what the scheme puts within it, which may use
 *  the scheme's norms, parameters and constants there; there is no stream to recall anything from, and `input` stands for
 *  what entered the layer, of which schemes may want the width. */
export function aheadStage(
  options: StreamOptions,
  at: { readonly stack: string; readonly layer: number; readonly sublayer: Sublayer },
  { input, variant }: { readonly input: string; readonly variant: string },
  apply: (input: Tensor, p: Tensors, inside: InsideAttention & InsideFeedForward) => Record<string, Tensor>,
): Stage {
  const { stack, layer, sublayer } = at;
  const scheme = schemeOf(options);
  const place: Place = { network: options, stack, layer, sublayer };
  const shapes = { ...scope(sublayer, sublayerParameters(options, place)), ...schemeParameters(options, place) };
  const prefix = layerName(stack, layer);
  const absent = (entry: string): never => {
    throw new Error(`residual scheme ${scheme.name}: ${sublayer} of ${prefix} asks for ${entry} ahead of the stream`);
  };
  return {
    name: `${prefix}/${sublayer}`,
    stack,
    layer,
    key: `${variant} of ${stack} ${JSON.stringify({ ...codeOf(options, [place]), sublayer, heads: options.heads })}`,
    parameters: placed(prefix, shapes),
    reads: [input],
    constants: constantsOf(scheme, place),
    apply(p, carry, context) {
      const here = hereAt(options, place, p, carry, context, {}, carry[input]!);
      const inside = scheme.inside?.({ ...here, recall: absent, remember: absent }) ?? {};
      return apply(carry[input]!, under(p, sublayer), inside);
    },
  };
}

/** `encoder/03` */
const layerName = (stack: string, layer: number): string => `${stack}/${String(layer).padStart(2, "0")}`;

/** The feed-forward sublayer with the parameters `p`, dropout on its hidden layer: [..., D] -> [..., D]. Offers `dead-units` as
 *  {@link offerDeadUnits} does. */
export function feedForwardBranch(
  { activation, dropout: rate, feedForward: hidden }: StreamOptions,
  x: Tensor,
  p: Tensors,
  context: StageContext,
  inside: InsideFeedForward,
): Tensor {
  const shape = [...x.shape.slice(0, -1), hidden];
  const dropout =
    context.training && rate ? context.noise("feed-forward/hidden", shape, { kind: "dropout", rate }) : undefined;
  const observe = (h: Tensor): void => offerDeadUnits("feed-forward", activation, h, context);
  return feedForward(x, p, { activation, dropout, inside, observe });
}

/** Offers `dead-units` of an activated hidden layer `h` [..., F] as a reading of `component`, where the activation is ReLU: units of
 *  the others pass gradient below 0 as well. */
export function offerDeadUnits(component: string, activation: ActivationName, h: Tensor, context: StageContext): void {
  if (activation === "relu") context.reading(component, "dead-units", () => deadUnits(h));
}

/** What follows a stack's last layer, where there is anything: the final norm, or what the scheme closes with. */
export function endStage(options: StreamOptions, stack: string): Stage[] {
  const scheme = schemeOf(options);
  if (!scheme.finalNorm && !scheme.close) return [];
  const place: Place = { network: options, stack, layer: options.depth[stack]!, sublayer: "end" };
  const stage: Stage = {
    name: `${stack}/norm`,
    stack,
    layer: "",
    key: `end ${JSON.stringify({ stack, ...codeOf(options, [place]) })}`,
    parameters: placed(stack, schemeParameters(options, place)),
    reads: [stack, ...recalled(scheme, [place])],
    constants: constantsOf(scheme, place),
    apply(p, carry, context) {
      const x = carry[stack]!;
      const here = hereAt(options, place, p, carry, context, {}, x);
      return { [stack]: context.tap("norm", "stream", scheme.close ? scheme.close(x, here) : here.norm(x)) };
    },
  };
  return [stage];
}

/** All that the code of a stage depends on through its scheme, for the stage's key. */
const codeOf = (options: StreamOptions, places: readonly Place[]) => ({
  residual: schemeOf(options).name,
  forms: places.map((place) => schemeOf(options).form?.(place) ?? ""),
  norm: options.norm,
});

function sublayerParameters(options: StreamOptions, place: Place): ParameterShapes {
  const scheme = schemeOf(options);
  const { width, feedForward } = options;
  const gains = { ...trunkGains, ...scheme.gains?.(place) };
  const shapes =
    place.sublayer === "feed-forward"
      ? feedForwardParameters(width, feedForward, gains)
      : attentionParameters(width, gains);
  return asSchemeHas(scheme, shapes, ["out/weight"]);
}

/** The parameters of linear maps as a scheme has them: without biases and with unit norms, where it says so. `writers` are
 *  the matrices that write the stream; all others read it. */
export function asSchemeHas(
  scheme: ResidualScheme,
  shapes: ParameterShapes,
  writers: readonly string[],
): ParameterShapes {
  const kept = scheme.unbiasedLinear ? withoutBias(shapes) : shapes;
  return scheme.unitSphere ? withUnitNorms(kept, writers) : kept;
}

/** A scheme's norms and other parameters at a place. */
function schemeParameters(options: StreamOptions, place: Place): ParameterShapes {
  const scheme = schemeOf(options);
  const norm = normOf(options);
  const ownNorm = place.sublayer === "end" ? (scheme.finalNorm ? [""] : []) : scheme.normless ? [] : [place.sublayer];
  const widths = scheme.norms?.(place) ?? Object.fromEntries(ownNorm.map((name) => [name, options.width]));
  const normShapes = Object.entries(widths).map(([name, width]) => {
    const shapes = norm.parameters(width);
    return scope(normPath(name), scheme.unbiasedNorms ? withoutBias(shapes) : shapes);
  });
  return Object.assign({}, ...normShapes, scheme.parameters?.(place)) as ParameterShapes;
}

const normPath = (name: string): string => (name ? `norm/${name}` : "norm");

const withoutBias = (shapes: ParameterShapes): ParameterShapes =>
  Object.fromEntries(Object.entries(shapes).filter(([path]) => path !== "bias" && !path.endsWith("/bias")));

/** Matrices with unit norm along the stream's width: the second axis of those that write the stream, the first of all others. */
const withUnitNorms = (shapes: ParameterShapes, writers: readonly string[]): ParameterShapes =>
  Object.fromEntries(
    Object.entries(shapes).map(([path, shape]) => [
      path,
      path.endsWith("/weight") ? { ...shape, unitNorm: writers.includes(path) ? 1 : 0 } : shape,
    ]),
  );

/** The constants of a place as the stage knows them: `self-attention/alpha`. */
const constantsOf = (scheme: ResidualScheme, place: Place): Record<string, number> =>
  Object.fromEntries(
    Object.entries(scheme.constants?.(place) ?? {}).map(([symbol, value]) => [`${place.sublayer}/${symbol}`, value]),
  );

const recalled = (scheme: ResidualScheme, places: readonly Place[]): string[] => [
  ...new Set(places.flatMap((place) => (scheme.recalls?.(place) ?? []).map((name) => besides(place.stack, name)))),
];

/** What a scheme has at hand at `place`; what it remembers goes into `remembered`. */
function hereAt(
  options: StreamOptions,
  place: Place,
  p: Tensors,
  carry: Tensors,
  context: StageContext,
  remembered: Record<string, Tensor>,
  layerInput: Tensor,
): Here {
  const { stack, sublayer } = place;
  const norm = normOf(options);
  return {
    stack,
    sublayer,
    form: schemeOf(options).form?.(place) ?? "",
    layerInput,
    norm: (x, name = sublayer === "end" ? "" : sublayer) => norm.apply(x, under(p, normPath(name))),
    parameter: (path) => p[path]!,
    constant: (symbol) => context.constant(`${sublayer}/${symbol}`),
    recall: (name) => remembered[besides(stack, name)] ?? carry[besides(stack, name)]!,
    remember: (name, x) => void (remembered[besides(stack, name)] = x),
    measure: (name, x) => context.tap(`${sublayer}/${name}`, "stream", x),
  };
}

/** The same place for a second look at it, which leaves nothing behind. */
const unseen = (here: Here): Here => ({ ...here, remember: () => {}, measure: (_, x) => x });

/** Gives the parameters of a layer their place: `weight` becomes `encoder/03/.../weight`. */
export function placed(prefix: string, shapes: ParameterShapes): Record<string, ParameterSpec> {
  return Object.fromEntries(
    Object.entries(shapes).map(([path, shape]) => [path, { ...shape, path: `${prefix}/${path}` }]),
  );
}
