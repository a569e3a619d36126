// One position with keys and values from before must say what the whole network says on the whole prefix, at every position
// and in every residual scheme.
import { describe, expect, test } from "vitest";
import type { Translator } from "../../src/decode.ts";
import * as engines from "../../src/engine/index.ts";
import type { TransformerOptions } from "../../src/models/transformer.ts";
import type { Batch, HostTensor } from "../../src/types.ts";
import { build, relativeDifference, schemeNames, smallTransformer } from "../helpers.ts";
import { randomSources, translatorOf } from "./subjects.ts";

/** A relative difference of whole rows of log-probabilities: two orders of the same float32 sums differ by about 1e-6, and sums
 *  here have other lengths, 16 keys of which most are masked against as many as there are tokens. */
const bound = 1e-4;
const VOCABULARY = 20;
const CACHED = 8; // of which some stay empty
const LENGTHS = [6, 1, 4]; // of the sources
const TOKENS = 6; // of the targets

const int32 = (shape: readonly number[], data: Iterable<number>): HostTensor => ({
  dtype: "int32",
  shape,
  data: Int32Array.from(data),
});
const float32 = (shape: readonly number[], data: Iterable<number>): HostTensor => ({
  dtype: "float32",
  shape,
  data: Float32Array.from(data),
});

const rows = LENGTHS.length;
const longest = Math.max(...LENGTHS);
const sources = randomSources(LENGTHS, VOCABULARY);
const targets = randomSources(
  LENGTHS.map(() => TOKENS),
  VOCABULARY,
  2,
);
const source = int32(
  [rows, longest],
  sources.flatMap((ids) => Array.from({ length: longest }, (_, i) => ids[i] ?? 0)),
);
const sourceMask = float32(
  [rows, longest],
  sources.flatMap((ids) => Array.from({ length: longest }, (_, i) => Number(i < ids.length))),
);
const positionsOf = (t: number): HostTensor => int32([rows], new Array<number>(rows).fill(t));

async function run(
  { engine, parameters }: Translator,
  player: Translator["decoder"]["step"],
  tensors: Batch["tensors"],
): Promise<Float32Array> {
  return (await engine.output(player, parameters, { tensors, tokens: rows })).slice();
}

/** Log-probabilities after every prefix, by one position at a time. What the caches hold behind a row's own tokens is noise;
 *  where nothing is kept it is all they hold. */
async function stepwise(translator: Translator, keeps = true): Promise<Float32Array[]> {
  const { encode, step, layers, heads, headWidth, vocabulary } = translator.decoder;
  const memory = await run(translator, encode, { source, sourceMask });
  const size = rows * heads * CACHED * headWidth;
  const packed = new Float32Array(2 * layers * size).fill(7);
  const cache = Array.from({ length: 2 * layers }, (_, i) => packed.subarray(i * size, (i + 1) * size));
  const found: Float32Array[] = [];
  for (let t = 0; t < TOKENS; t++) {
    const output = await run(translator, step, {
      target: int32(
        [rows],
        targets.map((ids) => ids[t]!),
      ),
      position: positionsOf(t),
      sourceMask,
      cache: float32([2 * layers * rows, heads, CACHED, headWidth], packed),
      memory: float32([2 * layers * rows, heads, longest, headWidth], memory),
    });
    const width = output.length / rows;
    expect(width).toBe(vocabulary + 2 * layers * heads * headWidth);
    for (let row = 0; keeps && row < rows; row++)
      for (const [i, list] of cache.entries())
        for (let head = 0; head < heads; head++)
          for (let k = 0; k < headWidth; k++)
            list[((row * heads + head) * CACHED + t) * headWidth + k] =
              output[row * width + vocabulary + (i * heads + head) * headWidth + k]!;
    const scores = Array.from({ length: rows }, (_, row) =>
      Array.from(output.subarray(row * width, row * width + vocabulary)),
    );
    found.push(Float32Array.from(scores.flat()));
  }
  return found;
}

const whole = (translator: Translator, t: number): Promise<Float32Array> =>
  run(translator, translator.decoder.full, {
    source,
    sourceMask,
    target: int32([rows, TOKENS], targets.flat()),
    position: positionsOf(t),
  });

const cases: Record<string, Partial<TransformerOptions>> = {
  ...Object.fromEntries(schemeNames.map((residual) => [residual, { residual, depth: { encoder: 2, decoder: 3 } }])),
  "one decoder layer, embeddings all tied": { depth: { encoder: 1, decoder: 1 }, tiedEmbeddings: "all" },
  "target embedding tied, rms-norm, gelu": { tiedEmbeddings: "decoder", norm: "rms-norm", activation: "gelu" },
  "dropout and label smoothing, which only training has": { dropout: 0.3, labelSmoothing: 0.1 },
};

describe.each(Object.entries(cases))("%s", (_, overrides) => {
  test.each(["onnx", "cpu"] as const)(
    "on %s, position by position gives the log-probabilities of the whole prefix",
    async (name) => {
      const engine = await engines[name].create({ threads: 1 });
      const translator = translatorOf(engine, { vocabulary: VOCABULARY, ...overrides });
      const found = await stepwise(translator);
      for (const [t, scores] of found.entries()) {
        const wanted = await whole(translator, t);
        expect(wanted).toHaveLength(rows * VOCABULARY);
        expect(relativeDifference(scores, wanted), `position ${t}`).toBeLessThan(bound);
        // Rows are distributions, and prefixes matter.
        for (let row = 0; row < rows; row++) {
          const total = scores
            .subarray(row * VOCABULARY, (row + 1) * VOCABULARY)
            .reduce((sum, logarithm) => sum + Math.exp(logarithm), 0);
          expect(total).toBeCloseTo(1, 4);
        }
      }
      // What was kept matters, far beyond the bound: without it the same tokens at the same positions say something else.
      const forgetful = (await stepwise(translator, false)).at(-1)!;
      expect(relativeDifference(forgetful, found.at(-1)!)).toBeGreaterThan(10 * bound);
      await engine.dispose();
    },
  );
});

test("the whole prefix's log-probabilities are those of the loss that training reports", async () => {
  const engine = await engines.onnx.create({ threads: 1 });
  const translator = translatorOf(engine, { vocabulary: VOCABULARY });
  const { players } = build(smallTransformer({ vocabulary: VOCABULARY }));
  const labels = targets.map((ids) => [...ids.slice(1), 2]);
  const tensors = {
    source,
    sourceMask,
    target: int32([rows, TOKENS], targets.flat()),
    labels: int32([rows, TOKENS], labels.flat()),
    labelWeights: float32([rows, TOKENS], new Array<number>(rows * TOKENS).fill(1)),
  };
  const { loss } = await engine.evaluate(players[0]!, translator.parameters, { tensors, tokens: rows * TOKENS });
  let sum = 0;
  for (let t = 0; t < TOKENS; t++) {
    const scores = await whole(translator, t);
    labels.forEach((ids, row) => (sum -= scores[row * VOCABULARY + ids[t]!]!));
  }
  expect(sum / (rows * TOKENS)).toBeCloseTo(loss!, 5);
  await engine.dispose();
});
