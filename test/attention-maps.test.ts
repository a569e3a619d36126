// Attention maps are the network's own weights: distributions, blind to what comes later, the same on engines of other kernels.
import { describe, expect, test } from "vitest";
import { attentionMaps } from "../src/attention-maps.ts";
import * as engines from "../src/engine/index.ts";
import { attentionSpec, type PairPieces } from "../src/plots/attention-map.ts";
import { svgOf } from "../src/plots/picture.ts";
import { translatorOf } from "./decode/subjects.ts";
import { schemeNames } from "./helpers.ts";

const depth = { encoder: 2, decoder: 3 };
const source = [5, 9, 7, 6, 2];
const target = [1, 8, 4, 11];
const [S, T] = [source.length, target.length];
const shapes = {
  "encoder-self-attention": { layers: depth.encoder, queries: S, keys: S },
  "decoder-self-attention": { layers: depth.decoder, queries: T, keys: T },
  "cross-attention": { layers: depth.decoder, queries: T, keys: S },
} as const;

const mapsOn = async (name: "onnx" | "cpu", residual: string, of = target) => {
  const engine = await engines[name].create({ threads: 1 });
  const translator = translatorOf(engine, { residual, depth, dropout: 0.3 });
  const maps = await attentionMaps(translator, source, of);
  await engine.dispose();
  return { maps, heads: translator.decoder.heads };
};

describe.each(schemeNames)("%s", (residual) => {
  test("every layer and head has its map, whose rows sum to 1 and whose causal half is 0; onnx and cpu agree", async () => {
    const { maps, heads } = await mapsOn("onnx", residual);
    const { maps: onCpu } = await mapsOn("cpu", residual);
    expect(maps).toHaveLength(heads * (depth.encoder + 2 * depth.decoder));
    for (const [i, { kind, layer, head, rows }] of maps.entries()) {
      const { layers, queries, keys } = shapes[kind];
      expect(layer).toBeLessThan(layers);
      expect(rows.map((row) => row.length)).toEqual(new Array(queries).fill(keys));
      expect(onCpu[i]).toMatchObject({ kind, layer, head });
      for (const [q, row] of rows.entries()) {
        // Of at most 5 float32 numbers, each off by 6e-8 of itself.
        expect(Math.abs(row.reduce((sum, weight) => sum + weight, 0) - 1)).toBeLessThan(1e-6);
        for (const [k, weight] of row.entries()) {
          expect(weight).toBeGreaterThanOrEqual(0);
          if (kind === "decoder-self-attention" && k > q) expect(weight).toBe(0);
          // Sums in another order differ by about 1e-7 of a number; scores of up to 10 behind 5 layers make 1e-5 of that at most.
          expect(Math.abs(weight - onCpu[i]!.rows[q]![k]!)).toBeLessThan(1e-5);
        }
      }
    }
    // Layers and heads are told apart: no two maps of a kind are the same.
    for (const kind of Object.keys(shapes)) {
      const own = maps.filter((map) => map.kind === kind).map(({ rows }) => JSON.stringify(rows));
      expect(new Set(own).size).toBe(own.length);
    }
  });
});

test("what the decoder is given later changes no earlier row, what it is given earlier does", async () => {
  const rowsOf = async (of: number[], q: number) => {
    const { maps } = await mapsOn("onnx", "pre-ln", of);
    return maps.filter(({ kind }) => kind === "cross-attention").map(({ rows }) => rows[q]!);
  };
  const other = target.with(2, 12);
  expect(await rowsOf(other, 1)).toEqual(await rowsOf(target, 1));
  expect(await rowsOf(other, 2)).not.toEqual(await rowsOf(target, 2));
});

test("a figure has a square for every weight, the readable pieces at its sides, and says how many layers it leaves out", async () => {
  const pieces: PairPieces = { source: ["<fr>", "a", "a"], given: ["<s>", "x"], written: ["x", "</s>"] };
  const rows = [
    [0.5, 0.25, 0.25],
    [0, 0, 1],
  ];
  const few = attentionSpec([{ kind: "cross-attention", layer: 0, head: 0, rows }], pieces);
  expect((few as { data: { values: unknown[] } }).data.values).toContainEqual({
    layer: 1,
    head: 1,
    query: 1,
    key: 2,
    weight: 1,
  });
  const svg = await svgOf("attention", few);
  expect(svg.match(/>(?:&lt;fr&gt;|a|x|&lt;\/s&gt;)<\/text>/g)).toHaveLength(5);
  const long: PairPieces = {
    ...pieces,
    source: new Array<string>(200).fill("a"),
    written: new Array<string>(100).fill("x"),
  };
  const even = Array.from({ length: 100 }, () => new Array<number>(200).fill(1 / 200));
  const many = attentionSpec(
    [0, 1, 2, 3].map((layer) => ({ kind: "cross-attention", layer, head: 0, rows: even }) as const),
    long,
  );
  expect((many as { data: { values: unknown[] } }).data.values).toHaveLength(2 * 100 * 200);
  expect(JSON.stringify(many)).toContain("Of 4 layers 2 are drawn");
});
