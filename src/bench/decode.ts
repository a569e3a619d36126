// Greedy decoding with keys and values kept: beside PyTorch doing the same, and beside the whole network again for every token.

import { EOS } from "../data/vocabulary.ts";
import { translate, translateFully, type Translator } from "../decode.ts";
import { createEngine } from "../engine/select.ts";
import { assert } from "../errors.ts";
import { decoder } from "../models/decoding.ts";
import { transformer } from "../models/transformer.ts";
import { stream } from "../random.ts";
import { initialize } from "../train/initialize.ts";
import { type Cell, cellsOf, cellText, ofEach, pause } from "./cells.ts";
import { countParameters, networkOf, stepBatch } from "./network.ts";
import { runChild } from "./processes.ts";
import { runPeer, type Sample, stepCost, takeTurns } from "./turns.ts";
import {
  type Asked,
  counted,
  nameOf,
  type Range,
  rangeOf,
  rangeText,
  type Shape,
  shapeText,
  type Work,
} from "./work.ts";

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
  minutes: 0.2,
  async measure(asked) {
    const { rounds, steps } = asked;
    const cells = cellsOf(asked);
    const items = cells.flatMap(({ threads, ...network }) =>
      batches.map((sentences) => {
        const shape = `${shapeText(network)}, batch ${sentences}`;
        return { work: "decode", shape, threads, unit: "ms/token", network, sentences } as const;
      }),
    );
    const comparisons = await ofEach(asked, items, nameOf, ({ network, sentences, ...what }) => {
      const tokens = sentences * decodedTokens.target;
      const { depth, width } = network;
      const sampleOf = (timing: DecodingTiming): Sample => ({
        cost: stepCost(timing) / tokens,
        parameters: timing.parameters,
      });
      const { threads } = what;
      return takeTurns(
        what,
        asked,
        async () => {
          const counts = ["--threads", threads, "--steps", steps, "--sentences", sentences].map(String);
          return sampleOf(await runChild<DecodingTiming>(["--shape", `${depth}x${width}`, ...counts]));
        },
        async (peer) => {
          const counts = [depth, width, threads, steps, "--sentences", sentences].map(String);
          return sampleOf(await runPeer<DecodingTiming>(peer, ["torch_decode.py", ...counts]));
        },
      );
    });
    const bothWaysName = (cell: Cell): string => `decode ${cellText(cell)}, both ways`;
    const lines = (
      await ofEach(asked, cells, bothWaysName, (cell) => {
        asked.say(`${bothWaysName(cell)}: ${counted(rounds, "round")} ...`);
        return bothWays(cell, cell.threads, asked);
      })
    ).flat();
    const range = (of: Range, digits: number): string => rangeText(of, (value) => value.toFixed(digits));
    const rows = lines.map(({ sentences, beam, threads, incremental, full, ratio, ...shape }) => [
      ...[shapeText(shape), String(threads), String(sentences), String(beam)],
      ...[range(incremental, 0), range(full, 0), range(ratio, 1)],
    ]);
    const under =
      `vocabulary ${stepBatch.vocabulary}, ${decodedTokens.source} tokens a source, ${decodedTokens.target} a translation; incremental: keys ` +
      "and values are kept; full: the whole network on the whole prefix for every token; median (lowest-highest) of " +
      counted(rounds, "round");
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
function bothWays(
  { depth, width }: Shape,
  threads: number,
  { rounds, signal }: Pick<Asked, "rounds" | "signal">,
): Promise<DecodingComparison[]> {
  const shape = { depth, width };
  return translating(shape, threads, async (translator) => {
    const lines: DecodingComparison[] = [];
    for (const work of waysWork) {
      const times: [incremental: number, full: number][] = [];
      for (let round = -warmup; round < rounds; round++) {
        await pause(signal);
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
