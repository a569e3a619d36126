// What a trained transformer attends to while it translates: the weights of every layer and head for one pair of texts, as tables
// and as figures.
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { beginOf } from "./data/batches.ts";
import { EOS } from "./data/vocabulary.ts";
import type { Translator } from "./decode.ts";
import { assert } from "./errors.ts";
import { type AttentionMap, attentionSpec, type AttentionKind, kindOf } from "./plots/attention-map.ts";
import { pngOf, svgOf } from "./plots/picture.ts";
import { specText } from "./plots/render.ts";
import { ensureFolder, writeWhole } from "./runs/files.ts";
import { type OpenedTranslator, sourceIds } from "./translate.ts";
import type { HostTensor } from "./types.ts";

/** The attention of every layer while the network reads `source` and is given `target` token by token, as training does it.
 *  @param source ids with tag and end
 *  @param target ids from the begin on, without the end: row t is where the token after `target[t]` is chosen */
export async function attentionMaps(
  { engine, parameters, decoder }: Translator,
  source: readonly number[],
  target: readonly number[],
): Promise<AttentionMap[]> {
  const ids = (of: readonly number[]): HostTensor => {
    return { dtype: "int32", shape: [1, of.length], data: Int32Array.from(of) };
  };
  const sourceMask = {
    dtype: "float32",
    shape: [1, source.length],
    data: new Float32Array(source.length).fill(1),
  } as const;
  const tensors = { source: ids(source), sourceMask, target: ids(target) };
  const output = await engine.output(decoder.attention, parameters, { tensors, tokens: target.length });
  const maps: AttentionMap[] = [];
  let at = 0;
  const take = (kind: AttentionKind, layer: number, queries: number, keys: number): void => {
    for (let head = 0; head < decoder.heads; head++) {
      const rows = Array.from({ length: queries }, () => Array.from(output.subarray(at, (at += keys))));
      maps.push({ kind, layer, head, rows });
    }
  };
  const [S, T] = [source.length, target.length];
  for (let layer = 0; layer < decoder.encoderLayers; layer++) take("encoder-self-attention", layer, S, S);
  for (let layer = 0; layer < decoder.layers; layer++) {
    take("decoder-self-attention", layer, T, T);
    take("cross-attention", layer, T, S);
  }
  assert(at === output.length, `attention of ${output.length} numbers, of which ${at} were expected`);
  return maps;
}

/** Draws what the network attends to while it writes `ids`, a translation of `text` into `to`: of each kind of attention
 *  `<base>-cross-attention.vl.json`, `.svg`, `.png` and the numbers as `.csv` in `folder`; without `<base>-` where it is empty.
 *  Returns their paths. */
export async function drawAttention(
  opened: OpenedTranslator,
  text: string,
  to: string,
  { ids, isFinished }: { readonly ids: readonly number[]; readonly isFinished: boolean },
  { folder, base }: { readonly folder: string; readonly base: string },
): Promise<string[]> {
  const source = sourceIds(opened, text, to, "text");
  const written = isFinished ? [...ids, EOS] : ids;
  const target = [beginOf(to, opened), ...written.slice(0, -1)];
  const readable = (of: readonly number[]): string[] => of.map((id) => opened.vocabulary.readable(id));
  const pieces = { source: readable(source), given: readable(target), written: readable(written) };
  const maps = await attentionMaps(opened, source, target);
  ensureFolder(folder);
  const files: string[] = [];
  for (const kind of new Set(maps.map((map) => map.kind))) {
    const own = maps.filter((map) => map.kind === kind);
    const name = base ? `${base}-${kind}` : kind;
    const spec = attentionSpec(own, pieces);
    const svg = await svgOf(name, spec);
    for (const [ending, contents] of [
      ["vl.json", specText(spec)],
      ["svg", svg],
      ["png", pngOf(svg)],
      ["csv", attentionCsv(own, pieces)],
    ] as const) {
      const file = join(folder, `${name}.${ending}`);
      writeWhole(file, contents);
      files.push(file);
    }
  }
  return files;
}

/** A line a weight; layers, heads and positions count from 0. */
function attentionCsv(maps: readonly AttentionMap[], pieces: Parameters<typeof attentionSpec>[1]): string {
  const columns = ["attention", "layer", "head", "query", "queryPiece", "key", "keyPiece", "weight"];
  const lines = maps.flatMap(({ kind, layer, head, rows }) => {
    const { queries, keys } = kindOf(kind, pieces);
    return rows.flatMap((row, q) =>
      row.map((weight, k) => [kind, layer, head, q, queries.pieces[q]!, k, keys.pieces[k]!, weight].map(String)),
    );
  });
  return stringify([columns, ...lines]);
}
