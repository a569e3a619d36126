// `fathom bench`: speed, as ratios to PyTorch measured in the same call, how time and memory grow with depth, and what
// probes cost.

import type { StepComparison } from "../bench.ts";
import { UserError } from "../errors.ts";
import { exitCodes, print, unusedOut, verb } from "./verb.ts";

export const bench = verb({
  usage: "bench <what>",
  summary:
    "speed: a training step beside PyTorch's (step), time and memory against depth (depth), what probes cost (probes)",
  positionals: { what: { type: "string", choices: ["step", "depth", "probes", "child"], demandOption: true } },
  options: {
    shape: { type: "string", array: true, requiresArg: true, describe: "only these: DEPTHxWIDTH, e.g. 6x64" },
    threads: { type: "number", default: 1, requiresArg: true, describe: "threads of both sides" },
    rounds: { type: "number", default: 3, requiresArg: true, describe: "times each side is measured, in turns" },
    steps: { type: "number", default: 8, requiresArg: true, describe: "timed steps a round" },
    warmup: { type: "number", default: 3, requiresArg: true, hidden: true },
    python: { type: "string", requiresArg: true, describe: "a Python with PyTorch; python3 if not given" },
    out: unusedOut,
  },
  examples: [
    ["fathom bench step", "five shapes, ratio to PyTorch eager where a Python with torch is found"],
    ["fathom bench step --shape 6x64 --rounds 5", "one shape, more carefully"],
    ["fathom bench probes --rounds 20", "a step with the presets light, standard and full beside one without probes"],
    ["fathom bench depth", "6, 50, 100 and 200 layers a stack: compile time, time a step, peak memory"],
  ],
  async run({ what, shape, threads, rounds, steps, warmup, python, quiet, json }) {
    const { compareStep, conditions, depthShapes, findTorch, stepShapes, timeInChild, timeProbes, timeSteps } =
      await import("../bench.ts");
    const { median } = await import("../statistics.ts");
    const { table } = await import("./table.ts");
    const shapes = shape?.map(parseShape);
    for (const [name, count, least] of [
      ["threads", threads, 1],
      ["rounds", rounds, 1],
      ["steps", steps, 1],
      ["warmup", warmup, 0],
    ] as const)
      if (!Number.isInteger(count) || count < least)
        throw new UserError(`--${name}: expected a whole number, at least ${least}, got ${count}`);
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
        `${rounds} rounds. Steps between measurements: ${presetRhythms}, unless told otherwise. The optimizer adds up the moments of ` +
        `every update as it goes, in steps without probes too`;
      print({ quiet, json }, { ...facts, lines }, () => {
        return `${table(["layers, width", "ms/step without", ...names], rows)}\n${under}`;
      });
      return exitCodes.done;
    }
    const torch = await findTorch(python);
    const facts = conditions(threads, rounds, torch?.version ?? null);
    sayIfBusy(facts);
    if (!torch) say("no Python with PyTorch found (python3 -c 'import torch'): no ratios; --python names one");
    const lines: StepComparison[] = [];
    for (const s of shapes ?? stepShapes) {
      say(`timing ${s.depth}+${s.depth} layers, width ${s.width} ...`);
      lines.push(await compareStep(s, { threads, rounds, steps, python: torch?.python }));
    }
    print({ quiet, json }, { ...facts, lines }, () => {
      const range = (spread: { median: number; min: number; max: number } | undefined, digits: number): string =>
        spread ? `${spread.median.toFixed(digits)} (${spread.min.toFixed(digits)}-${spread.max.toFixed(digits)})` : "-";
      const rows = lines.map(({ depth, width, fathom, torch, ratio }) => [
        `${depth}+${depth}, ${width}`,
        range(fathom, 1),
        range(torch, 1),
        range(ratio, 2),
      ]);
      const under =
        `${facts.cpu}, ${facts.cores} cores, load ${facts.loadBefore.toFixed(2)} before; ${threads} thread(s); ` +
        `PyTorch ${facts.torch ?? "not found"}, eager; batch 32 x 32 tokens, vocabulary 4000, Adam, the default probes on; ` +
        `median (lowest-highest) of ${rounds} rounds of ${steps} steps`;
      return `${table(["layers, width", "fathom ms/step", "PyTorch ms/step", "ratio"], rows)}\n${under}`;
    });
    return exitCodes.done;
  },
});

function parseShape(text: string): { depth: number; width: number } {
  const [, depth, width] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (!depth || !width || Number(width) % 4 !== 0)
    throw new UserError(`--shape: expected DEPTHxWIDTH with a width divisible by 4, e.g. 6x64, got "${text}"`);
  return { depth: Number(depth), width: Number(width) };
}
