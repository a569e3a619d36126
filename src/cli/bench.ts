// `fathom bench`: what training costs, beside peers measured in the same call; how it grows with depth, what probes cost, what
// decoding gains from keys and values that are kept; and whether memory stays bounded.

import type { OwnTable } from "../bench/bench.ts";
import type { Comparison, Shape } from "../bench/work.ts";
import { UserError } from "../errors.ts";
import { exitCodes, print, verb } from "./verb.ts";

/** Works and what each measures, for `--help`, which loads none of them. `soak` is no member of their registry. */
const works = {
  compared: [
    ["step", "a training step of the transformer"],
    ["start", "from the command to the end of the first step"],
    ["memory", "largest resident memory of a process that trains"],
    ["sweep", "a whole sweep of small runs"],
    ["depth", "growth with depth: 12 to 500 layers a stack"],
    ["decode", "decoding, and what kept keys and values gain"],
    ["vae-epoch", "an epoch of a VAE"],
    ["gan-epoch", "an epoch of a GAN"],
    ["wasm", "a step on engines of TensorFlow.js"],
  ],
  alone: [
    ["probes", "what each preset of probes costs"],
    ["roofline", "how far parts of a step are from the machine's limit"],
    ["soak", "whether memory stays bounded over many networks"],
  ],
} as const;

export const bench = verb({
  usage: "bench [works..]",
  summary:
    "speed and memory beside PyTorch, JAX and TensorFlow.js where they are here; what probes cost, how far a step is from the machine's " +
    "limit, whether memory stays bounded",
  positionals: {
    works: {
      type: "string",
      array: true,
      default: [] as string[],
      describe: [
        "all that is compared with peers if none is named:",
        ...works.compared.map(lineOf),
        "of fathom alone:",
        ...works.alone.map(lineOf),
      ].join("\n"),
    },
  },
  options: {
    shape: { type: "string", array: true, requiresArg: true, describe: "only these networks: DEPTHxWIDTH, e.g. 6x64" },
    threads: {
      type: "number",
      array: true,
      default: [1],
      requiresArg: true,
      describe: "threads of all sides; several are measured one after the other",
    },
    rounds: { type: "number", default: 3, requiresArg: true, describe: "times each side is measured, in turns" },
    steps: {
      type: "number",
      requiresArg: true,
      describe:
        "timed steps a round; if not given what suits the work: 8, 3 of depth and wasm, 5 of memory, 50 of sweep, 200 of an epoch, which is " +
        "scaled from them",
    },
    peer: {
      type: "string",
      array: true,
      requiresArg: true,
      describe:
        "only these, of which one at least must be here: torch, torch-fused, torch-compile, jax, tfjs-wasm, tfjs-tensorflow; or none; all " +
        "that are here if not given",
    },
    python: {
      type: "string",
      requiresArg: true,
      describe:
        "a Python with PyTorch or JAX (scripts/peers/README.md); if not given, for each peer the first that has it of python3 and " +
        "/usr/bin/python3",
    },
    out: {
      type: "string",
      default: "",
      defaultDescription: "nothing is written",
      requiresArg: true,
      describe:
        "folder for bench.json, of what was compared with a peer also bench.svg and bench.png, of roofline roofline.svg and roofline.png; " +
        "written after every work",
    },
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
    engine: { type: "string", requiresArg: true, hidden: true },
    sentences: { type: "number", requiresArg: true, hidden: true },
    epoch: { choices: ["vae-epoch", "gan-epoch"] as const, requiresArg: true, hidden: true },
  },
  examples: [
    ["fathom bench --python peers/bin/python --out bench", "all that peers do as well: an hour or more; with files"],
    ["fathom bench step", "six networks, beside every peer that is here"],
    ["fathom bench step memory --shape 6x64 --threads 1 2 --rounds 5", "one network, with one thread and with two"],
    ["fathom bench step --peer torch jax", "beside these two alone"],
    ["fathom bench start sweep", "from the command to the first step; a whole sweep of small runs"],
    ["fathom bench depth", "12 to 500 layers a stack: time a step, time to the first, compile time, peak memory"],
    ["fathom bench decode --rounds 9", "64 tokens with kept keys and values, beside PyTorch and beside all again"],
    ["fathom bench vae-epoch gan-epoch --rounds 5", "epochs of configs/baselines, beside PyTorch"],
    ["fathom bench probes --rounds 20", "a step with the presets light, standard and full beside one without probes"],
    ["fathom bench roofline --shape 6x64", "products and bytes of each part of a step, against the machine's rates"],
    [
      "fathom bench soak --minutes 10 --seed 2",
      "networks of random sizes, one after the other; exit code 1 if memory grows",
    ],
  ],
  async run({ works, quiet, json, out, ...args }) {
    const { minutes, seed, first, shape, threads, rounds, steps, warmup, sentences } = args;
    for (const alone of ["soak", "child"])
      if (works.includes(alone) && works.length > 1)
        throw new UserError(`bench: expected ${alone} alone, got it with others; measure one after the other`);
    if (works[0] === "soak") return runSoak({ minutes, seed, first, quiet, json });
    const shapes = shape?.map(parseShape);
    for (const [name, counts, least] of [
      ["threads", threads, 1],
      ["rounds", [rounds], 1],
      ["steps", steps === undefined ? [] : [steps], 1],
      ["warmup", [warmup], 0],
      ["sentences", sentences === undefined ? [] : [sentences], 1],
    ] as const)
      for (const count of counts)
        if (!Number.isInteger(count) || count < least)
          throw new UserError(`--${name}: expected a whole number, at least ${least}, got ${count}`);
    if (works[0] === "child") {
      const { measureHere } = await import("../bench/child.ts");
      const { engine, epoch } = args;
      const asked = { shapes: shapes ?? [], threads: threads[0]!, steps: steps ?? 8, warmup, engine, epoch, sentences };
      console.log(JSON.stringify(await measureHere(asked)));
      return exitCodes.done;
    }
    const { runBench } = await import("../bench/bench.ts");
    const { conditionsText, writeReport } = await import("../bench/files.ts");
    const { parsePeers } = await import("../bench/peers.ts");
    const { writeRoofline } = await import("../bench/roofline.ts");
    const say = (text: string): void => void (quiet || json || console.error(text));
    const peers = args.peer && parsePeers(args.peer);
    const { ensureFolder } = await import("../runs/files.ts");
    if (out !== "") ensureFolder(out); // now, not after an hour
    const { interruption } = await import("./run-one.ts");
    const interrupt = interruption();
    try {
      let files: string[] = [];
      const { report, tables } = await runBench({
        ...{ works, shapes, threads, rounds, steps, peers, python: args.python, say, signal: interrupt.signal },
        async found(report) {
          if (out === "") return;
          files = [
            ...(await writeReport(out, report)),
            ...(await writeRoofline(out, report.own, conditionsText(report))),
          ];
        },
      });
      const text = await reportText(report.comparisons, tables);
      const missing = report.missing && `interrupted; not measured: ${report.missing.join("; ")}`;
      print({ quiet, json }, report, () =>
        [...text, conditionsText(report), ...files, ...(missing ? [missing] : [])].join("\n\n"),
      );
      if (missing && (quiet || json)) console.error(missing);
      return missing ? exitCodes.interrupted : exitCodes.done;
    } catch (error) {
      if (error !== interrupt.signal.reason) throw error;
      console.error("interrupted; nothing was measured");
      return exitCodes.interrupted;
    } finally {
      interrupt.dispose();
    }
  },
});

/** `  step       a training step`. */
function lineOf([name, what]: readonly [string, string]): string {
  return `  ${name.padEnd(10)} ${what}`;
}

/** What people read: the comparisons with what their columns mean, and the table of each work that found something of fathom alone. */
async function reportText(comparisons: readonly Comparison[], tables: readonly OwnTable[]): Promise<string[]> {
  const { table } = await import("./table.ts");
  const { comparisonTable } = await import("../bench/table.ts");
  const own = tables.map(({ head, rows, under }) => `${table(head, rows)}\n${under}`);
  if (comparisons.length === 0) return own;
  const { head, rows, under } = comparisonTable(comparisons);
  return [`${table(head, rows)}\n\n${under}`, ...own];
}

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

function parseShape(text: string): Shape {
  const [, depth, width] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (!depth || !width || Number(width) % 4 !== 0)
    throw new UserError(`--shape: expected DEPTHxWIDTH with a width divisible by 4, e.g. 6x64, got "${text}"`);
  return { depth: Number(depth), width: Number(width) };
}
