// Attention weights of one pair of texts as a figure: a square a weight, a panel a head, a row of panels a layer.
import type { TopLevelSpec } from "vega-lite";
import { round, thinned } from "../statistics.ts";
import { frame } from "./style.ts";

/** Whose attention, and to what. */
export type AttentionKind = "cross-attention" | "encoder-self-attention" | "decoder-self-attention";

/** The weights of one head of one layer: rows of queries over keys, each of which sums to 1. */
export interface AttentionMap {
  readonly kind: AttentionKind;
  /** From 0, as is `head`. */
  readonly layer: number;
  readonly head: number;
  readonly rows: readonly (readonly number[])[];
}

/** The pieces of a pair, readable: of the source, what the decoder is given, and what it writes there. */
export interface PairPieces {
  readonly source: readonly string[];
  readonly given: readonly string[];
  readonly written: readonly string[];
}

/** What stands at a side of a map: pieces, and what they are. */
interface Side {
  readonly pieces: readonly string[];
  readonly what: string;
}

/** The sides of a kind of map, and its name in a title. */
export function kindOf(
  kind: AttentionKind,
  { source, given, written }: PairPieces,
): { readonly name: string; readonly queries: Side; readonly keys: Side } {
  if (kind === "encoder-self-attention")
    return {
      name: "Self-attention of the encoder",
      queries: { pieces: source, what: "a piece of the source" },
      keys: { pieces: source, what: "the pieces of the source" },
    };
  const queries = { pieces: written, what: "a piece of the translation that is about to be written" };
  return kind === "cross-attention"
    ? { name: "Cross-attention", queries, keys: { pieces: source, what: "the pieces of the source" } }
    : { name: "Self-attention of the decoder", queries, keys: { pieces: given, what: "those that have been" } };
}

/** Squares in all panels together: what keeps the picture's file small enough to be opened. */
const squaresDrawn = 40_000;
/** Points of a square: as few as leave room for a line of text, more where a panel would be narrower than its header. */
const squareOf = (pieces: number): number => Math.max(11, Math.min(44, Math.round(110 / pieces)));

/** The specification of maps of one kind, at least one: all their heads, and as many layers, evenly spread, as there is room for. */
export function attentionSpec(maps: readonly AttentionMap[], pieces: PairPieces): TopLevelSpec {
  const { name, queries, keys } = kindOf(maps[0]!.kind, pieces);
  const layers = [...new Set(maps.map(({ layer }) => layer))];
  const squares = (maps.length / layers.length) * queries.pieces.length * keys.pieces.length;
  const drawn = new Set(thinned(layers.length, Math.max(1, Math.floor(squaresDrawn / squares))).map((i) => layers[i]!));
  const values = maps
    .filter(({ layer }) => drawn.has(layer))
    .flatMap(({ layer, head, rows }) =>
      rows.flatMap((row, query) =>
        row.map((weight, key) => ({ layer: layer + 1, head: head + 1, query, key, weight: round(weight, 3) })),
      ),
    );
  const side = (field: "query" | "key", { pieces }: Side): object => ({
    field,
    type: "ordinal",
    title: null,
    axis: {
      // The same piece may stand at several places: a place is a number, and its piece the label.
      labelExpr: `${JSON.stringify(pieces)}[datum.value]`,
      labelFontSize: 9,
      labelLimit: 90,
      labelOverlap: false,
      labelPadding: 3,
      ticks: false,
      domain: false,
      ...(field === "key" && { labelAngle: -90 }),
    },
  });
  const few = drawn.size < layers.length ? [`Of ${layers.length} layers ${drawn.size} are drawn, evenly spread.`] : [];
  const step = squareOf(Math.min(queries.pieces.length, keys.pieces.length));
  return {
    ...frame(
      `${name}, by layer (down) and head (right)`,
      [`A row of squares is ${queries.what}; it spreads a weight of 1 over ${keys.what}, from left to right.`, ...few],
      70,
    ),
    data: { values },
    facet: {
      row: { field: "layer", type: "ordinal", title: null, header: header("layer") },
      column: { field: "head", type: "ordinal", title: null, header: header("head") },
    },
    spacing: 12,
    spec: {
      width: { step },
      height: { step },
      mark: { type: "rect", stroke: "#888", strokeOpacity: 0.15, strokeWidth: 0.5 },
      encoding: {
        x: side("key", keys),
        y: side("query", queries),
        color: {
          field: "weight",
          type: "quantitative",
          title: "attention weight",
          scale: { domain: [0, 1], range: ["#f7fbff", "#6baed6", "#08306b"], interpolate: "lab" },
          legend: { orient: "top", direction: "horizontal", gradientLength: 200, values: [0, 0.5, 1] },
        },
      },
    },
  } as unknown as TopLevelSpec;
}

const header = (what: string): object => ({
  labelExpr: `'${what} ' + datum.value`,
  labelFontSize: 11,
  labelPadding: 4,
});
