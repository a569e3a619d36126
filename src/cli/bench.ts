// `fathom bench`: speed, as ratios to PyTorch measured in the same call, how time and memory grow with depth, what probes
// cost, what decoding gains from keys and values that are kept, and whether memory stays bounded.

import type { Range, StepComparison } from "../bench.ts";
import { UserError } from "../errors.ts";
import { exitCodes, print, unusedOut, verb } from "./verb.ts";

export const bench = verb({
  usage: "bench <what>",
  summary:
    "speed: a training step beside PyTorch's (step), an epoch of the VAE and of the GAN (vae-epoch, gan-epoch), time and memory " +
    "against depth (depth), what probes cost (probes), decoding token by token beside decoding anew (decode); whether memory stays bounded over many networks (soak)",
  positionals: {
    what: {
      type: "string",
      choices: ["step", "vae-epoch", "gan-epoch", "depth", "probes", "decode", "soak", "child"] as const,
      demandOption: true,
    },
  },
  options: {
    shape: { type: "string", array: true, requiresArg: true, describe: "only these: DEPTHxWIDTH, e.g. 6x64" },
    threads: { type: "number", default: 1, requiresArg: true, describe: "threads of both sides" },
    rounds: { type: "number", default: 3, requiresArg: true, describe: "times each side is measured, in turns" },
    steps: { type: "number", requiresArg: true, describe: "timed steps a round: 8, and 200 of an epoch, if not given" },
    minutes: {
      type: "number",
      default: 30,
      requiresArg: true,
      describe: "of soak: how long networks are built and dropped",
    },
    seed: { type: "number", default: 1, requiresArg: true, describe: "of soak: which networks" },
    first: {
      type: "number",
      default: 0,
      requiresArg: true,
      describe: "of soak: number of the first network, to come back to one that failed",
    },
    warmup: { type: "number", default: 3, requiresArg: true, hidden: true },
    epoch: { choices: ["vae-epoch", "gan-epoch"] as const, requiresArg: true, hidden: true },
    python: { type: "string", requiresArg: true, describe: "a Python with PyTorch; python3 if not given" },
    out: unusedOut,
  },
  examples: [
    ["fathom bench step", "five shapes, ratio to PyTorch eager where a Python with torch is found"],
    ["fathom bench step --shape 6x64 --rounds 5", "one shape, more carefully"],
    ["fathom bench vae-epoch --rounds 5", "an epoch of configs/baselines/vae-mnist.yaml, ratio to PyTorch eager"],
    ["fathom bench probes --rounds 20", "a step with the presets light, standard and full beside one without probes"],
    ["fathom bench decode --rounds 9", "64 tokens with kept keys and values, beside the whole prefix for every token"],
    [
      "fathom bench soak --minutes 10 --seed 2",
      "networks of random sizes, one after the other; exit code 1 if memory grows",
    ],
    ["fathom bench depth", "6, 50, 100 and 200 layers a stack: compile time, time a step, peak memory"],
  ],
  async run({ what, shape, threads, rounds, steps: given, minutes, seed, first, warmup, epoch, python, quiet, json }) {
    if (what === "soak") return runSoak({ minutes, seed, first, quiet, json });
    const {
      compareDecoding,
      compareEpoch,
      compareStep,
      conditions,
      decodedTokens,
      decodingShapes,
      depthShapes,
      findTorch,
      stepShapes,
      timeEpoch,
      timeInChild,
      timeProbes,
      timeSteps,
    } = await import("../bench.ts");
    const { median } = await import("../statistics.ts");
    const { table } = await import("./table.ts");
    const shapes = shape?.map(parseShape);
    const isEpoch = what === "vae-epoch" || what === "gan-epoch";
    if (isEpoch && shapes)
      throw new UserError(
        `--shape: expected none with ${what}, whose network is that of its configuration; leave it out`,
      );
    const steps = given ?? (isEpoch ? 200 : 8);
    for (const [name, count, least] of [
      ["threads", threads, 1],
      ["rounds", rounds, 1],
      ["steps", steps, 1],
      ["warmup", warmup, 0],
    ] as const)
      if (!Number.isInteger(count) || count < least)
        throw new UserError(`--${name}: expected a whole number, at least ${least}, got ${count}`);
    if (what === "child" && epoch) {
      console.log(JSON.stringify(await timeEpoch(epoch, threads, steps)));
      return exitCodes.done;
    }
    if (what === "child") {
      if (shapes?.length !== 1)
        throw new UserError("bench child: expected one --shape; it is what `bench step` starts");
      console.log(JSON.stringify(await timeSteps(shapes[0]!, threads, steps, warmup)));
      return exitCodes.done;
    }
    const say = (text: string): void => void (quiet || json || console.error(text));
    const sayIfBusy = ({ loadBefore }: { readonly loadBefore: number }): void =>
      void (loadBefore > 0.5 && say(`the machine is busy (load ${loadBefore.toFixed(1)}): ratios will scatter`));
    if (what === "depth") {
      const facts = conditions(threads, 1, null);
      const lines = [];
      for (const s of shapes ?? depthShapes) {
        say(`timing ${s.depth}+${s.depth} layers, width ${s.width} ...`);
        const { milliseconds, ...timing } = await timeInChild(s, threads, 5, 1);
        lines.push({ ...s, ...timing, step: median(milliseconds) });
      }
      const perLayer = lines[0]!.step / lines[0]!.depth;
      const rows = lines.map(({ depth, width, step, compileMilliseconds, firstStepMilliseconds, peakMemory }) => [
        `${depth}+${depth}, ${width}`,
        step.toFixed(0),
        (step / depth / perLayer).toFixed(2),
        compileMilliseconds.toFixed(0),
        firstStepMilliseconds.toFixed(0),
        (peakMemory / 2 ** 20).toFixed(0),
      ]);
      const head = ["layers, width", "ms/step", "ms a layer, relative", "compile ms", "first step ms", "peak MiB"];
      print({ quiet, json }, { ...facts, lines }, () => table(head, rows));
      return exitCodes.done;
    }
    if (what === "probes") {
      const { extent } = await import("../statistics.ts");
      const { presets } = await import("../probes/presets.ts");
      const presetRhythms = presets.map(({ name, everySteps }) => `${name} ${everySteps}`).join(", ");
      const facts = conditions(threads, rounds, null);
      sayIfBusy(facts);
      const lines = [];
      for (const s of shapes ?? stepShapes) {
        say(`timing ${s.depth}+${s.depth} layers, width ${s.width} ...`);
        lines.push({ ...s, ...(await timeProbes(s, threads, rounds, warmup)) });
      }
      const names = Object.keys(lines[0]!.ratios);
      const percent = (ratio: number): string => `${((ratio - 1) * 100).toFixed(1)} %`;
      const rows = lines.map(({ depth, width, milliseconds, ratios }) => [
        `${depth}+${depth}, ${width}`,
        median(milliseconds).toFixed(1),
        ...names.map((name) => {
          const [low, high] = extent(ratios[name]!);
          return `${percent(median(ratios[name]!))} (${percent(low)} to ${percent(high)})`;
        }),
      ]);
      const under =
        `${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore.toFixed(2)} before; ${threads} thread(s); what a measured step takes ` +
        `beyond one without probes, in turns in one process, each compared with its own round: median (lowest to highest) of ` +
        `${rounds} rounds. Steps between measurements: ${presetRhythms}, unless told otherwise`;
      print({ quiet, json }, { ...facts, lines }, () => {
        return `${table(["layers, width", "ms/step without", ...names], rows)}\n${under}`;
      });
      return exitCodes.done;
    }
    const range = (spread: Range | undefined, digits: number): string =>
      spread ? `${spread.median.toFixed(digits)} (${spread.min.toFixed(digits)}-${spread.max.toFixed(digits)})` : "-";
    if (what === "decode") {
      const facts = conditions(threads, rounds, null);
      sayIfBusy(facts);
      const lines = [];
      for (const s of shapes ?? decodingShapes) {
        say(`timing ${s.depth}+${s.depth} layers, width ${s.width} ...`);
        lines.push(...(await compareDecoding(s, threads, rounds)));
      }
      const rows = lines.map(({ depth, width, sentences, beam, incremental, full, ratio }) => [
        `${depth}+${depth}, ${width}`,
        String(sentences),
        String(beam),
        range(incremental, 0),
        range(full, 0),
        range(ratio, 1),
      ]);
      const under =
        `${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore.toFixed(2)} before; ${threads} thread(s); vocabulary 4000, ` +
        `${decodedTokens.source} tokens a source, ${decodedTokens.target} a translation; incremental: keys and values are kept; full: the ` +
        `whole network on the whole prefix for every token; median (lowest-highest) of ${rounds} rounds`;
      print({ quiet, json }, { ...facts, ...decodedTokens, lines }, () => {
        return `${table(["layers, width", "sentences", "beam", "incremental ms", "full ms", "full / incremental"], rows)}\n${under}`;
      });
      return exitCodes.done;
    }
    const torch = await findTorch(python);
    const facts = conditions(threads, rounds, torch?.version ?? null);
    sayIfBusy(facts);
    if (!torch) say("no Python with PyTorch found (python3 -c 'import torch'): no ratios; --python names one");
    const machine =
      `${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore.toFixed(2)} before; ${threads} thread(s); ` +
      `PyTorch ${facts.torch ?? "not found"}, eager`;
    if (isEpoch) {
      say(`timing ${what} ...`);
      const line = await compareEpoch(what, { threads, rounds, steps, python: torch?.python });
      const row = [what, range(line.fathom, 2), range(line.torch, 2), range(line.ratio, 2)];
      const under =
        `${machine}; ${line.parameters} parameters, ${line.steps} steps an epoch, scaled from the mean of ${steps} timed after 20 of ` +
        `warm-up: batches drawn, Adam, gradient norm of every parameter at every step; fathom's probes as its configuration has ` +
        `them; no evaluation; median (lowest-highest) of ${rounds} rounds`;
      print({ quiet, json }, { ...facts, timedSteps: steps, lines: [line] }, () => {
        return `${table(["what", "fathom s/epoch", "PyTorch s/epoch", "ratio"], [row])}\n${under}`;
      });
      return exitCodes.done;
    }
    const lines: StepComparison[] = [];
    for (const s of shapes ?? stepShapes) {
      say(`timing ${s.depth}+${s.depth} layers, width ${s.width} ...`);
      lines.push(await compareStep(s, { threads, rounds, steps, python: torch?.python }));
    }
    print({ quiet, json }, { ...facts, lines }, () => {
      const rows = lines.map(({ depth, width, fathom, torch, ratio }) => [
        `${depth}+${depth}, ${width}`,
        range(fathom, 1),
        range(torch, 1),
        range(ratio, 2),
      ]);
      const under =
        `${machine}; batch 32 x 32 tokens, vocabulary 4000, Adam, the default probes on; ` +
        `median (lowest-highest) of ${rounds} rounds of ${steps} steps`;
      return `${table(["layers, width", "fathom ms/step", "PyTorch ms/step", "ratio"], rows)}\n${under}`;
    });
    return exitCodes.done;
  },
});

/** Runs a soak: a line a minute on stderr, figures at the end. */
async function runSoak(args: {
  minutes: number;
  seed: number;
  first: number;
  quiet: boolean;
  json: boolean;
}): Promise<number> {
  const { minutes, seed, first, quiet, json } = args;
  if (!(minutes >= 10 && minutes < Infinity))
    throw new UserError(
      `--minutes: expected a number, at least 10: the first minutes are the warm-up of allocators; got ${minutes}`,
    );
  for (const [name, value] of Object.entries({ seed, first }))
    if (!Number.isSafeInteger(value) || value < 0)
      throw new UserError(`--${name}: expected a whole number, at least 0, got ${value}`);
  const flags = [...(quiet ? ["--quiet"] : []), ...(json ? ["--json"] : [])];
  const { allowedRise, mebibytes, returnsFreedMemory, soak, soakInChild } = await import("../soak.ts");
  if (!returnsFreedMemory()) {
    const numbers = Object.entries({ minutes, seed, first }).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return soakInChild([...numbers, ...flags]);
  }
  let told = 0;
  const report = await soak({
    seed,
    seconds: 60 * minutes,
    first,
    onTrial({ index }, { seconds, residentBytes, peakBytes }) {
      if (quiet || json || seconds < 60 * (told + 1)) return;
      told = Math.floor(seconds / 60);
      const memory = `${mebibytes(residentBytes)} MiB resident after it, ${mebibytes(peakBytes)} in it`;
      console.error(`${told} min: ${index + 1} networks; the last: ${memory}`);
    },
  });
  print({ quiet, json }, report, () =>
    [
      `${report.trials} networks, ${report.steps} steps in ${(report.seconds / 60).toFixed(1)} min (seed ${seed}): ` +
        Object.entries(report.counts)
          .map(([what, count]) => `${count} ${what}`)
          .join(", "),
      `resident MiB: ${mebibytes(report.startBytes)} at the start, ${mebibytes(report.maxBytes)} at most, ${mebibytes(report.endBytes)} at the end; ` +
        `least after a network ${mebibytes(report.floorBytes.early)} in the second quarter, ${mebibytes(report.floorBytes.late)} in the last`,
      `arrays that TensorFlow.js holds: ${report.arrays.early} in the second quarter, ${report.arrays.late} in the last`,
    ].join("\n"),
  );
  if (report.failure === undefined) {
    const allowed = mebibytes(report.floorBytes.early + allowedRise(report.floorBytes.early));
    if (!quiet && !json) console.log(`passes: memory has not grown (up to ${allowed} MiB would count as noise)`);
    return exitCodes.done;
  }
  console.error(report.failure);
  return exitCodes.failure;
}

function parseShape(text: string): { depth: number; width: number } {
  const [, depth, width] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (!depth || !width || Number(width) % 4 !== 0)
    throw new UserError(`--shape: expected DEPTHxWIDTH with a width divisible by 4, e.g. 6x64, got "${text}"`);
  return { depth: Number(depth), width: Number(width) };
}
