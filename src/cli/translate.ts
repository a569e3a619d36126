// `fathom translate`: texts through a trained transformer.

import type { Translation } from "../translate.ts";
import { exitCodes, findRun, unusedOut, verb } from "./verb.ts";

/** Lines of stdin that are translated together: enough to fill a batch, few enough to see something soon. */
const LINES = 64;

export const translate = verb({
  usage: "translate <run> [text..]",
  summary: "texts through a trained transformer; lines of stdin where none is given",
  positionals: {
    run: { type: "string", demandOption: true, describe: "a run's folder, or its path below results" },
    text: { type: "string", array: true, describe: "texts, each an argument of its own" },
  },
  options: {
    out: unusedOut,
    to: { type: "string", requiresArg: true, describe: "the language; may be left out where the run knows one alone" },
    beam: { type: "number", default: 5, requiresArg: true, describe: "hypotheses kept of a text; 1 is greedy" },
    nbest: { type: "number", default: 1, requiresArg: true, describe: "translations of a text, with their scores" },
    "length-penalty": {
      type: "number",
      default: 0.6,
      requiresArg: true,
      describe: "alpha of Wu et al. 2016: 0 compares plain probabilities, more favours longer ones",
    },
    attention: {
      type: "string",
      requiresArg: true,
      describe:
        "a folder for figures and tables of what every layer and head attends to while it writes the translation",
    },
    reference: {
      type: "string",
      requiresArg: true,
      describe: "with --attention: the translation that the network is shown to write, instead of its own",
    },
    step: {
      type: "number",
      requiresArg: true,
      describe:
        "of the checkpoint; if not given, the average of the last ones where the run has made one (train.averageCheckpoints), else the best",
    },
  },
  examples: [
    ["fathom translate results/translate/runs/<id> \"Cannot find module '{0}'.\" --to fr", "one text"],
    ["fathom translate results/translate/runs/<id> --to de < messages.txt", "a line of output for every line"],
    ['fathom translate results/translate/runs/<id> "Type expected." --to fr --nbest 3', "the three best, with scores"],
    ['fathom translate results/translate/runs/<id> "Type expected." --to fr --attention maps', "and what it looks at"],
  ],
  async run({ run, text = [], to, beam, nbest, step, attention, reference, quiet, json, ...flags }) {
    const { UserError } = await import("../errors.ts");
    const { openTranslator, referenceOf, targetOf, translateTexts } = await import("../translate.ts");
    const { interruption } = await import("./run-one.ts");
    for (const [name, value] of [
      ["beam", beam],
      ["nbest", nbest],
    ] as const)
      if (!Number.isInteger(value) || value < 1)
        throw new UserError(`--${name}: expected a whole number, at least 1, got ${value}`);
    if (text.length === 0 && process.stdin.isTTY)
      throw new UserError("expected a text, or lines on stdin, got neither; see fathom translate --help");
    if (attention !== undefined && text.length === 0)
      throw new UserError("--attention: expected a text as an argument, got none; lines of stdin are not drawn");
    if (reference !== undefined && (attention === undefined || text.length !== 1))
      throw new UserError("--reference: expected --attention and one text, of which it is the translation");
    const lengthPenalty = flags["length-penalty"];
    const interrupt = interruption();
    const runDir = findRun(run, "results");
    try {
      const opened = await openTranslator(runDir, { step, signal: interrupt.signal });
      try {
        const target = targetOf(opened, to);
        const options = { beam: Math.max(beam, nbest), nbest, lengthPenalty };
        const draw = async (texts: readonly string[], translations: readonly Translation[]): Promise<void> => {
          const { drawAttention } = await import("../attention-maps.ts");
          const given = reference === undefined ? undefined : referenceOf(opened, reference);
          for (const [i, text] of texts.entries()) {
            const base = texts.length > 1 ? `text-${i + 1}` : "";
            const written = given ?? translations[i]!;
            const files = await drawAttention(opened, text, target, written, { folder: attention!, base });
            if (!quiet) for (const file of files) console.error(file);
          }
        };
        /** Of lines blank ones stay blank, so that translations stand where their sources do. */
        const show = async (
          texts: readonly string[],
          where: (i: number) => string,
          blank: "refuse" | "keep" = "refuse",
        ): Promise<void> => {
          const asked = [...texts.keys()].filter((i) => blank === "refuse" || texts[i]!.trim() !== "");
          const found: Translation[][] = texts.map(() => []);
          const translated = await translateTexts(
            opened,
            asked.map((i) => texts[i]!),
            target,
            options,
            (i) => where(asked[i]!),
          );
          for (const [i, at] of asked.entries()) found[at] = translated[i]!;
          if (attention !== undefined)
            await draw(
              texts,
              found.map(([best]) => best!),
            );
          for (const [i, translations] of found.entries()) {
            if (json) console.log(JSON.stringify({ source: texts[i], to: target, translations }));
            else if (!quiet && translations.length === 0) console.log("");
            else if (!quiet)
              for (const { text, score, isFinished } of translations)
                console.log(
                  nbest > 1 ? `${score.toFixed(4)}\t${oneLine(text)}${isFinished ? "" : "\t(cut)"}` : oneLine(text),
                );
          }
        };
        if (text.length > 0) await show(text, (i) => `text ${i + 1}`);
        else
          for await (const { lines, first } of batchesOf(linesOf(process.stdin)))
            await show(lines, (i) => `stdin:${first + i}`, "keep");
        return exitCodes.done;
      } finally {
        await opened.dispose();
      }
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      return exitCodes.interrupted;
    } finally {
      interrupt.dispose();
    }
  },
});

/** Line breaks would make two lines of one translation. */
const oneLine = (text: string): string => text.replaceAll("\n", "\\n");

async function linesOf(input: NodeJS.ReadableStream): Promise<AsyncIterable<string>> {
  const { createInterface } = await import("node:readline");
  return createInterface({ input, crlfDelay: Infinity });
}

/** Lines in batches, each with the number of its first line. */
async function* batchesOf(lines: Promise<AsyncIterable<string>>): AsyncGenerator<{ lines: string[]; first: number }> {
  let [batch, first]: [string[], number] = [[], 1];
  for await (const line of await lines) {
    batch.push(line);
    if (batch.length < LINES) continue;
    yield { lines: batch, first };
    first += batch.length;
    batch = [];
  }
  if (batch.length > 0) yield { lines: batch, first };
}
