// `fathom bench`: what training costs, beside peers measured in the same call; how it grows with depth, what probes cost, what
// decoding gains from keys and values that are kept; and whether memory stays bounded.

import type { Comparison, PeerSide, Range, Shape } from "../bench/work.ts";
import { UserError } from "../errors.ts";
import { exitCodes, print, verb } from "./verb.ts";

export const bench = verb({
  usage: "bench [works..]",
  summary:
    "speed and memory beside PyTorch, JAX and TensorFlow.js where they are here: a training step (step), time to the first one (start), " +
    "memory (memory), a sweep of small runs (sweep), growth with depth (depth), decoding (decode), an epoch of the VAE and of the GAN " +
    "(vae-epoch, gan-epoch), engines on TensorFlow.js (wasm); of fathom alone: what probes cost (probes), how far each part of a step is from " +
    "the machine's limit (roofline), whether memory stays bounded over many networks (soak)",
  positionals: {
    works: {
      type: "string",
      array: true,
      default: [] as string[],
      describe: "what to measure; all that is compared with peers if nothing is named",
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
      describe: "timed steps a round; if not given what suits the work: 8, 3 of depth, 50 of sweep, 200 of an epoch",
    },
    peer: {
      type: "string",
      array: true,
      requiresArg: true,
      describe:
        "only these: torch, torch-fused, torch-compile, jax, tfjs-wasm, tfjs-tensorflow, or none; all that are here if not given",
    },
    python: {
      type: "string",
      requiresArg: true,
      describe: "a Python with PyTorch or JAX; python3 if not given (scripts/peers/README.md)",
    },
    out: {
      type: "string",
      default: "",
      defaultDescription: "nothing is written",
      requiresArg: true,
      describe: "folder for bench.json, bench.svg and bench.png; of roofline also roofline.svg and roofline.png",
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
    let files: string[] = [];
    const { report, tables } = await runBench({
      ...{ works, shapes, threads, rounds, steps, peers, python: args.python, say },
      async found(report) {
        if (out === "") return;
        files = [
          ...(await writeReport(out, report)),
          ...(await writeRoofline(out, report.own, conditionsText(report))),
        ];
      },
    });
    const { bestPeer } = await import("../bench/turns.ts");
    const { table } = await import("./table.ts");
    print({ quiet, json }, report, () =>
      [
        ...(report.comparisons.length > 0 ? [table(...comparisonTable(report.comparisons, bestPeer)), legend] : []),
        ...tables.map(({ head, rows, under }) => `${table(head, rows)}\n${under}`),
        conditionsText(report),
        ...files,
      ].join("\n\n"),
    );
    return exitCodes.done;
  },
});

const legend =
  "medians (lowest-highest) of the rounds; ratios are fathom / peer of the same round, of time or memory, below 1 fathom needs less; " +
  "best: the peer that needs least. `fathom bench --help` says what each work is, --json prints every measurement";

/** Head and rows: a comparison a row, a column for every peer that was measured somewhere. */
function comparisonTable(
  comparisons: readonly Comparison[],
  bestPeer: (comparison: Comparison) => PeerSide | undefined,
): [head: string[], rows: string[][]] {
  const peers = [...new Set(comparisons.flatMap(({ peers }) => peers.map(({ name }) => name)))];
  const head = ["work", "shape", "threads", "unit", "fathom", ...peers, "ratio to torch", "ratio to best"];
  const rows = comparisons.map((comparison) => {
    const { work, shape, threads, unit, fathom } = comparison;
    const side = (name: string) => comparison.peers.find((peer) => peer.name === name);
    const best = bestPeer(comparison);
    const isRate = unit === "ms/token"; // known by its inverse
    const cost = (of: Range | undefined): string =>
      range(of && isRate ? { median: 1000 / of.median, min: 1000 / of.max, max: 1000 / of.min } : of);
    return [
      ...[work, shape, String(threads), isRate ? "tokens/s" : unit, cost(fathom.cost)],
      ...peers.map((name) => cost(side(name)?.cost)),
      range(side("torch")?.ratio, 2),
      best ? `${range(best.ratio, 2)} ${best.name}` : "-",
    ];
  });
  return [head, rows];
}

/** Three digits, or so many behind the point. */
function range(of: Range | undefined, digits?: number): string {
  if (!of) return "-";
  const text = (value: number): string =>
    value.toFixed(digits ?? Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(value)))));
  return `${text(of.median)} (${text(of.min)}-${text(of.max)})`;
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
