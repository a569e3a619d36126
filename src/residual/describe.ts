import type { Member } from "../registry.ts";
import { type Network, type Place, type ResidualScheme, type Stack, sublayersAt, trunkGains } from "./scheme.ts";

/** One number for a whole stack, or one for each layer, or for each sublayer from the first to the last. */
export type Values = number | readonly number[];

/** What a scheme is at a depth: what `fathom list residual --depth N` prints and `run.json` keeps. `S` are the stacks. */
export interface Description<S extends string = Stack> extends Member {
  readonly equation: string;
  readonly paper: string;
  readonly year: number;
  readonly remarks: string;
  readonly finalNorm: boolean;
  readonly warmupExpected: boolean;
  /** The paper's constants by symbol. */
  readonly constants: Readonly<Record<S, Readonly<Record<string, Values>>>>;
  /** Factors on the Xavier bound sqrt(6 / (fanIn + fanOut)) by matrix, e.g. `self-attention/query`; on the standard deviation
   *  1 / sqrt(width) of the stack's `embedding`; on Xavier's bound of the `output` projection, and of the `input` matrix of an
   *  MLP. Empty where matrices have unit
   *  norm instead. */
  readonly gains: Readonly<Record<S, Readonly<Record<string, Values>>>>;
}

/** Describes `scheme` in a network of these sizes: a transformer, or MLPs of residual blocks, where each stack's numbers are
 *  its own. */
export function describeScheme<S extends string>(scheme: ResidualScheme, network: Network<S>): Description<S> {
  const { name, summary, equation, paper, year, remarks = "", finalNorm, warmupExpected } = scheme;
  const perStack = <T>(of: (stack: S) => T): Record<S, T> =>
    Object.fromEntries((Object.keys(network.depth) as S[]).map((stack) => [stack, of(stack)])) as Record<S, T>;
  const constants = perStack((stack) => {
    const end: Place = { network, stack, layer: network.depth[stack], sublayer: "end" };
    const layers = [...layersAt(stack, network), ...(scheme.close ? [[end]] : [])];
    const found = layers.map((places) => places.map((place) => scheme.constants?.(place) ?? {}));
    const symbols = new Set(found.flat().flatMap((values) => Object.keys(values)));
    const valuesOf = (symbol: string): Values =>
      shortest(found.map((layer) => layer.flatMap((constants) => constants[symbol] ?? [])));
    return Object.fromEntries([...symbols].map((symbol) => [symbol, valuesOf(symbol)]));
  });
  const gains = perStack((stack) => {
    const found = new Map<string, number[]>();
    if (scheme.unitSphere) return {};
    for (const place of layersAt(stack, network).flat()) {
      const all = { ...trunkGains, ...scheme.gains?.(place) };
      const classes =
        place.sublayer === "feed-forward" ? (["in", "out"] as const) : (["query", "key", "value", "out"] as const);
      for (const weight of classes) {
        const key = `${place.sublayer}/${weight}`;
        found.set(key, [...(found.get(key) ?? []), all[weight]]);
      }
    }
    found.set(network.heads ? "embedding" : "input", [scheme.embeddingGain?.(stack, network) ?? 1]);
    if (network.heads && stack === "decoder") found.set("output", [scheme.outputGain ?? 1]);
    return Object.fromEntries(Array.from(found, ([key, values]) => [key, oneOrAll(values)]));
  });
  return { name, summary, equation, paper, year, remarks, finalNorm, warmupExpected, constants, gains };
}

/** The places of a stack, layer by layer. */
const layersAt = <S extends string>(stack: S, network: Network<S>): Place[][] =>
  Array.from({ length: network.depth[stack] }, (_, layer) =>
    sublayersAt({ network, stack }).map((sublayer): Place => ({ network, stack, layer, sublayer })),
  );

const oneOrAll = (values: readonly number[]): Values => (values.every((v) => v === values[0]) ? values[0]! : values);

/** One number where all places agree, one a layer where those of a layer do, else one a place. */
function shortest(layers: readonly (readonly number[])[]): Values {
  const agree = layers.every((layer) => layer.every((value) => value === layer[0]));
  return oneOrAll(agree ? layers.flatMap((layer) => layer.slice(0, 1)) : layers.flat());
}
