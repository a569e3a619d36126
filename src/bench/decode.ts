// Greedy decoding with keys and values kept: beside PyTorch doing the same, and beside the whole network again for every token.

import { EOS } from "../data/vocabulary.ts";
import { translate, translateFully, type Translator } from "../decode.ts";
import { createEngine } from "../engine/select.ts";
import { assert } from "../errors.ts";
import { decoder } from "../models/decoding.ts";
import { transformer } from "../models/transformer.ts";
import { stream } from "../random.ts";
import { initialize } from "../train/initialize.ts";
import { countParameters, networkOf, stepBatch } from "./network.ts";
import { runChild } from "./processes.ts";
import { runPeer, stepCost, takeTurns } from "./turns.ts";
import { type Comparison, type Range, rangeOf, type Shape, shapeText, shapeWords, type Work } from "./work.ts";

/** Tokens of every translation, and of every source. */
export const decodedTokens = { source: 32, target: 64 } as const;
/** Sentences that are translated at once, greedily, beside peers. */
const batches = [1, 32];
/** What is decoded both ways, with and without what is kept. */
const waysWork = [1, 16].flatMap((sentences) => [1, 4].map((beam) => ({ sentences, beam })));
/** Decodings before those that are timed: the first compiles, and JavaScript is compiled by use. */
const warmup = 3;

/** Both ways of one size. */
export interface DecodingComparison extends Shape {
  readonly threads: number;
  /** Translated at once. */
  readonly sentences: number;
  readonly beam: number;
  /** Milliseconds of all of them, with keys and values kept. */
  readonly incremental: Range;
  /** The same by running the whole network on the whole prefix for every token. */
  readonly full: Range;
  /** full / incremental, round by round. */
  readonly ratio: Range;
}

export const decode: Work = {
  name: "decode",
  summary:
    `greedy decoding of ${decodedTokens.target} tokens with keys and values kept, by 1 and by 32 sentences, and how much faster that is than ` +
    "the whole network again for every token",
  comparesWith: ["torch"],
  target: () => 1,
  shapes: [{ depth: 6, width: 64 }],
  steps: 8,
  async measure(asked) {
    const { shapes, rounds, steps } = asked;
    const comparisons: Comparison[] = [];
    const lines: DecodingComparison[] = [];
    for (const threads of asked.threads)
      for (const shape of shapes) {
        for (const sentences of batches) {
          asked.say(`decode: ${shapeWords(shape)}, ${sentences} sentence(s), ${threads} thread(s) ...`);
          const tokens = sentences * decodedTokens.target;
          const size = `${shape.depth}x${shape.width}`;
          const text = `${shapeText(shape)}, batch ${sentences}`;
          comparisons.push(
            await takeTurns(
              { work: "decode", shape: text, threads, unit: "ms/token" },
              asked,
              async () => {
                const counts = ["--threads", threads, "--steps", steps, "--sentences", sentences].map(String);
                const timing = await runChild<DecodingTiming>(["--shape", size, ...counts]);
                return { cost: stepCost(timing) / tokens, parameters: timing.parameters };
              },
              async (peer) => {
                const counts = [shape.depth, shape.width, threads, steps, "--sentences", sentences].map(String);
                const timing = await runPeer<DecodingTiming>(peer, ["torch_decode.py", ...counts]);
                return { cost: stepCost(timing) / tokens, parameters: timing.parameters };
              },
            ),
          );
        }
        asked.say(`decode: ${shapeWords(shape)}, both ways, ${threads} thread(s) ...`);
        lines.push(...(await bothWays(shape, threads, rounds)));
      }
    const range = ({ median, min, max }: Range, digits: number): string =>
      `${median.toFixed(digits)} (${min.toFixed(digits)}-${max.toFixed(digits)})`;
    const rows = lines.map(({ sentences, beam, threads, incremental, full, ratio, ...shape }) => [
      ...[shapeText(shape), String(threads), String(sentences), String(beam)],
      ...[range(incremental, 0), range(full, 0), range(ratio, 1)],
    ]);
    const under =
      `vocabulary ${stepBatch.vocabulary}, ${decodedTokens.source} tokens a source, ${decodedTokens.target} a translation; incremental: keys ` +
      "and values are kept; full: the whole network on the whole prefix for every token; median (lowest-highest) of " +
      `${rounds} rounds`;
    const head = ["layers, width", "threads", "sentences", "beam", "incremental ms", "full ms", "full / incremental"];
    return { comparisons, own: { head, rows, under, data: { ...decodedTokens, lines } } };
  },
};

/** What a process measured of decodings. */
export interface DecodingTiming {
  /** Of all sentences, one number a decoding. */
  readonly milliseconds: readonly number[];
  readonly parameters: number;
}

/** Times greedy decoding in this process, after some that are not timed. */
export function timeDecoding(
  shape: Shape,
  { threads, steps, sentences }: { threads: number; steps: number; sentences: number },
): Promise<DecodingTiming> {
  return translating(shape, threads, async (translator) => {
    const milliseconds: number[] = [];
    for (let i = -warmup; i < steps; i++) {
      const took = await timed(translator, translate, { sentences, beam: 1 });
      if (i >= 0) milliseconds.push(took);
    }
    return { milliseconds, parameters: countParameters(translator) };
  });
}

/** Both ways in turns, in this process. */
function bothWays(shape: Shape, threads: number, rounds: number): Promise<DecodingComparison[]> {
  return translating(shape, threads, async (translator) => {
    const lines: DecodingComparison[] = [];
    for (const work of waysWork) {
      const times: [incremental: number, full: number][] = [];
      for (let round = -warmup; round < rounds; round++) {
        const pair: [number, number] = [
          await timed(translator, translate, work),
          await timed(translator, translateFully, work),
        ];
        if (round >= 0) times.push(pair);
      }
      lines.push({
        ...shape,
        threads,
        ...work,
        incremental: rangeOf(times.map(([incremental]) => incremental)),
        full: rangeOf(times.map(([, full]) => full)),
        ratio: rangeOf(times.map(([incremental, full]) => full / incremental)),
      });
    }
    return lines;
  });
}

/** Does something with a random network whose translations never end. */
async function translating<T>(shape: Shape, threads: number, work: (translator: Translator) => Promise<T>): Promise<T> {
  const options = networkOf(shape);
  const parameters = initialize(transformer(options), 1);
  parameters.get("output/projection/bias")!.data[EOS] = -1e4;
  const engine = await createEngine("onnx", { threads });
  try {
    return await work({ engine, parameters, decoder: decoder(options) });
  } finally {
    await engine.dispose();
  }
}

/** Milliseconds of one decoding of random sources. */
async function timed(
  translator: Translator,
  way: typeof translate,
  { sentences, beam }: { sentences: number; beam: number },
): Promise<number> {
  const draws = stream(1, "sources").uniform(new Float64Array(sentences * decodedTokens.source));
  const ids = Array.from(draws, (draw) => EOS + 1 + Math.floor(draw * (stepBatch.vocabulary - EOS - 1)));
  const sources = Array.from({ length: sentences }, (_, i) =>
    ids.slice(i * decodedTokens.source, (i + 1) * decodedTokens.source),
  );
  const search = { beam, maxLength: decodedTokens.target, lengthPenalty: 0, rows: sentences * beam };
  const began = performance.now();
  const found = await way(translator, sources, search);
  const took = performance.now() - began;
  assert(
    found.every(([best]) => best?.ids.length === decodedTokens.target),
    `translations have ${decodedTokens.target} tokens`,
  );
  return took;
}
