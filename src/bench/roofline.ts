// How far from the machine's limit every part of a training step is: its products and bytes, counted on the programs as they were
// compiled, against the rates at which this machine multiplies and copies (Williams et al. 2009, Roofline: an insightful visual performance
// model for multicore architectures).

import { fromBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema, type NodeProto, type ValueInfoProto } from "onnx-buf";
import * as ort from "onnxruntime-node";
import { join } from "node:path";
import { bytesOf, type Direction, type Mode, programName } from "../engine/compile.ts";
import type { ElementType, Node, ValueInfo } from "../engine/graph.ts";
import { encodeModel } from "../engine/onnx-model.ts";
import { onnxTypes } from "../engine/recorder.ts";
import { createSession } from "../engine/session.ts";
import { assert } from "../errors.ts";
import { pngOf, svgOf } from "../plots/picture.ts";
import { rooflineFigure } from "../plots/roofline-figure.ts";
import { presets } from "../probes/presets.ts";
import { writeWhole } from "../runs/files.ts";
import { sizeOf, type Stage } from "../stage.ts";
import { distinct } from "../statistics.ts";
import type { CompiledProgram } from "../types.ts";
import { type Cell, cellsOf, cellText, ofEach } from "./cells.ts";
import { countParameters, stepping, stepWords } from "./network.ts";
import { counted, type Range, rangeOf, rangeText, type Shape, shapeText, withThreads, type Work } from "./work.ts";

/** Steps after the first that are not timed. */
const warmup = 3;

/** What something computes and moves. */
export interface Cost {
  /** Floating-point operations of products: 2 m n k of every Gemm, FusedGemm, MatMul and FusedMatMul. What works element by element
   *  counts in bytes alone. */
  readonly flop: number;
  /** The same by operator. */
  readonly flopByKind: Readonly<Record<string, number>>;
  /** Every input and output of a program once; of a table of which rows are gathered, those rows. */
  readonly leastBytes: number;
  /** Inputs and outputs of every node of the graph: what would be moved if nothing stayed in a cache, and nothing were fused. Of what is
   *  in no program the same as `leastBytes`. */
  readonly graphBytes: number;
}

/** What the machine was measured to do. */
export interface Machine {
  /** 1e9 floating-point operations a second in one large product. */
  readonly peak: Range;
  /** 1e9 bytes a second, read and written ones, where large arrays are copied. */
  readonly bandwidth: Range;
}

/** Parts of a step that are one program each, run once or more; `rest` is all that is in none. `output` runs forward and backward at
 *  once. */
export type Group = "forward" | "backward" | "output" | "rest";

/** A part of a step: counts and times are of a whole step. */
export interface Part extends Cost {
  /** `encoder layer, backward`. */
  readonly part: string;
  readonly group: Group | "whole";
  /** Calls of programs. */
  readonly calls: number;
  /** Over steps. */
  readonly milliseconds: Range;
  /** 1e9 floating-point operations a second, at the median. */
  readonly gigaflops: number;
  /** Floating-point operations for each byte that has to be moved at least. */
  readonly intensity: number;
  /** The least time on this machine, see {@link limitOf}; of several parts together the sum of theirs. */
  readonly limitMilliseconds: number;
  /** Measured, at the median / limit. */
  readonly timesLimit: number;
}

/** A network's step taken apart. */
export interface Roofline extends Shape {
  readonly threads: number;
  readonly machine: Machine;
  /** In the order in which a step comes to them, the rest last. */
  readonly parts: readonly Part[];
  /** Forward, backward, output, rest and whole. */
  readonly sums: readonly Part[];
}

/** What `--json` holds of this work. */
interface RooflineData {
  readonly rounds: number;
  /** Timed, of each round. */
  readonly steps: number;
  readonly lines: readonly Roofline[];
}

export const roofline: Work = {
  name: "roofline",
  summary:
    "each part of a training step beside the machine's limit: products and bytes of its programs as compiled, against measured rates of one large " +
    `product and of copying; ${stepWords}`,
  comparesWith: [],
  shapes: [
    { depth: 6, width: 64 },
    { depth: 24, width: 64 },
    { depth: 6, width: 128 },
    { depth: 6, width: 256 },
  ],
  steps: 8,
  async measure(asked) {
    const { rounds, steps } = asked;
    const name = (cell: Cell): string => `roofline ${cellText(cell)}`;
    const lines = await ofEach(asked, cellsOf(asked), name, (cell) => {
      asked.say(`${name(cell)}: ${counted(rounds, "round")} ...`);
      return rooflineOf(cell, cell.threads, asked);
    });
    const head = [
      ...["layers, width", "threads", "part", "calls", "ms", "GFLOP", "GFLOP/s", "MB least", "limit ms"],
      "times the limit",
    ];
    const rows = lines.flatMap((line) =>
      [...line.parts, ...line.sums.filter(({ group }) => group !== "output" && group !== "rest")].map((part) => [
        shapeText(line),
        String(line.threads),
        part.part,
        part.calls > 0 ? String(part.calls) : "-",
        part.milliseconds.median.toFixed(2),
        part.flop > 0 ? (part.flop / 1e9).toFixed(3) : "-",
        part.flop > 0 ? part.gigaflops.toFixed(1) : "-",
        (part.leastBytes / 1e6).toFixed(1),
        part.limitMilliseconds.toFixed(2),
        part.timesLimit.toFixed(1),
      ]),
    );
    const under = [
      `counts and times of a step, medians of ${counted(rounds * steps, "step")}; GFLOP: of products; MB least: every input and output of a program once. The ` +
        "limit is the larger of products at the machine's peak and least bytes at its bandwidth, and sums of it where parts are added up; what stays " +
        "in a cache can move faster than that. Rest: noise, sums, gradient norms, optimizer, probes, recording; its least is what Adam reads and writes",
      ...lines.map((line) => `${shapeText(line)}, ${counted(line.threads, "thread")}: ${machineText(line.machine)}`),
    ].join("\n");
    const data: RooflineData = { rounds, steps, lines };
    return { comparisons: [], own: { head, rows, under, data } };
  },
};

const machineText = ({ peak, bandwidth }: Machine): string =>
  `peak ${rangeText(peak, (rate) => rate.toFixed(1))} GFLOP/s, bandwidth ${rangeText(bandwidth, (rate) => rate.toFixed(1))} GB/s`;

/** The least milliseconds that a machine needs for `flop` floating-point operations of products and `leastBytes`, where both go on at
 *  the same time: the larger of either at the machine's median rate. */
export const limitOf = (
  { flop, leastBytes }: Pick<Cost, "flop" | "leastBytes">,
  { peak, bandwidth }: { readonly [rate in keyof Machine]: Pick<Range, "median"> },
): number => Math.max(flop / (peak.median * 1e6), leastBytes / (bandwidth.median * 1e6));

/** Takes `rounds` times `steps` training steps of this process apart; the machine's rates are measured before the steps of each round. */
export function rooflineOf(
  { depth, width }: Shape,
  threads: number,
  { rounds, steps, signal }: { readonly rounds: number; readonly steps: number; readonly signal?: AbortSignal },
): Promise<Roofline> {
  const shape = { depth, width };
  const light = presets[0]!.record;
  const programs = new Map<string, { taps: string; cost: Cost }>();
  let calls: Call[] = [];
  const watching = {
    onProgram(program: CompiledProgram): void {
      const id = programId(program);
      // With taps measured otherwise a stage has another program, which all further steps run.
      assert(programs.get(id)?.taps !== program.taps, `two programs are ${id}`);
      programs.set(id, { taps: program.taps, cost: programCost(program.model) });
    },
    onCall: (what: string, milliseconds: number): void => void calls.push({ what, milliseconds }),
  };
  return stepping(shape, { threads, probes: light, signal, ...watching }, async (take, training) => {
    for (let i = 0; i < 1 + warmup; i++) await take(light);
    const taken: Taken[] = [];
    const rates: Rates[] = [];
    for (let round = 0; round < rounds; round++) {
      rates.push(...(await measureMachine(threads)));
      // The first is not timed: what measuring has driven out of the caches comes back in it.
      for (let i = 0; i <= steps; i++) {
        calls = [];
        const { milliseconds } = await take(light);
        if (i > 0) taken.push({ milliseconds, calls });
      }
    }
    const machine = {
      peak: rangeOf(rates.map(({ peak }) => peak)),
      bandwidth: rangeOf(rates.map(({ bandwidth }) => bandwidth)),
    };
    const costs = new Map([...programs].map(([id, { cost }]) => [id, cost]));
    const parameters = countParameters(training);
    return {
      ...shape,
      threads,
      machine,
      ...takenApart(training.players[0]!.stages, costs, taken, parameters, machine),
    };
  });
}

/** A call of a program, as an engine's `onCall` tells of it. */
interface Call {
  readonly what: string;
  readonly milliseconds: number;
}

/** A step: all of its time, and the calls in it. */
export interface Taken {
  readonly milliseconds: number;
  readonly calls: readonly Call[];
}

/** What all calls of a program have in common, whichever stage asked for it. */
export const programId = ({ direction, mode, key }: Pick<CompiledProgram, "direction" | "mode" | "key">): string =>
  `${direction} (${mode}) of ${key}`;

/** Parts of the steps that were taken, all of the same calls, and their sums. `costs`: of one call, by {@link programId};
 *  `parameters`: how many numbers the optimizer updates. */
export function takenApart(
  stages: readonly Stage[],
  costs: ReadonlyMap<string, Cost>,
  taken: readonly Taken[],
  parameters: number,
  machine: Machine,
): Pick<Roofline, "parts" | "sums"> {
  const known = new Map<string, Pick<Part, "part" | "group"> & { readonly id: string }>();
  for (const stage of stages)
    for (const direction of ["forward", "backward"] as const)
      for (const mode of ["train", "turn", "pass"] as const)
        known.set(programName(direction, stage, mode), {
          ...placeOf(stage, direction, mode),
          id: programId({ direction, mode, key: stage.key }),
        });
  const calls = taken[0]!.calls.map(({ what }) => {
    const call = known.get(what);
    const cost = call && costs.get(call.id);
    assert(call && cost, `nothing is known of ${what}`);
    return { ...call, cost };
  });
  const namesOf = (step: Taken): string => JSON.stringify(step.calls.map(({ what }) => what));
  assert(distinct(taken.map(namesOf)).length === 1, "steps differ in their calls");

  /** The calls for which `isOf` holds, as a part; its limit is left to whoever knows it. */
  const together = (part: string, group: Part["group"], isOf: (call: (typeof calls)[number]) => boolean): Unlimited => {
    const those = calls.flatMap((call, i) => (isOf(call) ? [i] : []));
    return {
      part,
      group,
      calls: those.length,
      milliseconds: rangeOf(taken.map((step) => total(those.map((i) => step.calls[i]!.milliseconds)))),
      ...sumOf(those.map((i) => calls[i]!.cost)),
    };
  };
  const programs = distinct(calls.map(({ part }) => part)).map((name) => {
    const { group } = calls.find(({ part }) => part === name)!;
    return withLimit(
      together(name, group, ({ part }) => part === name),
      machine,
    );
  });
  // Adam reads a parameter, its gradient and two moments, and writes all but the gradient; 4 bytes each.
  const bytes = (4 + 3) * 4 * parameters;
  const beyond = taken.map((step) => step.milliseconds - total(step.calls.map(({ milliseconds }) => milliseconds)));
  const nothing = { flop: 0, flopByKind: {}, leastBytes: bytes, graphBytes: bytes };
  const rest = withLimit({ part: "rest", group: "rest", calls: 0, milliseconds: rangeOf(beyond), ...nothing }, machine);
  const parts = [...programs, rest];

  const limit = (of: readonly Part[]): number => total(of.map(({ limitMilliseconds }) => limitMilliseconds));
  const sums = (["forward", "backward", "output"] as const).map((group) =>
    limited(
      together(group === "output" ? group : `all ${group}`, group, (call) => call.group === group),
      limit(parts.filter((part) => part.group === group)),
    ),
  );
  const whole: Unlimited = {
    part: "whole step",
    group: "whole",
    calls: calls.length,
    milliseconds: rangeOf(taken.map(({ milliseconds }) => milliseconds)),
    ...sumOf(parts),
  };
  return { parts, sums: [...sums, rest, limited(whole, limit(parts))] };
}

type Unlimited = Omit<Part, "gigaflops" | "intensity" | "limitMilliseconds" | "timesLimit">;

const withLimit = (part: Unlimited, machine: Machine): Part => limited(part, limitOf(part, machine));

const limited = (part: Unlimited, limitMilliseconds: number): Part => ({
  ...part,
  gigaflops: part.flop / (part.milliseconds.median * 1e6),
  intensity: part.flop / part.leastBytes,
  limitMilliseconds,
  timesLimit: part.milliseconds.median / limitMilliseconds,
});

/** What a stage's program is called, and where it counts. */
function placeOf({ name, stack, layer }: Stage, direction: Direction, mode: Mode): Pick<Part, "part" | "group"> {
  const kind = layer === "" ? name : `${stack} layer`;
  return mode === "turn" ? { part: kind, group: "output" } : { part: `${kind}, ${direction}`, group: direction };
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);

function sumOf(costs: readonly Cost[]): Cost {
  const flopByKind: Record<string, number> = {};
  for (const cost of costs)
    for (const [kind, flop] of Object.entries(cost.flopByKind)) flopByKind[kind] = (flopByKind[kind] ?? 0) + flop;
  return {
    flop: total(costs.map(({ flop }) => flop)),
    flopByKind,
    leastBytes: total(costs.map(({ leastBytes }) => leastBytes)),
    graphBytes: total(costs.map(({ graphBytes }) => graphBytes)),
  };
}

const dtypes = new Map(Object.entries(onnxTypes).map(([dtype, type]) => [type as number, dtype as ElementType]));

/** Values by name. */
type Values = ReadonlyMap<string, ValueInfo>;

/** What one run of a program costs, counted on the bytes of its ONNX model, in which every value has its shape. */
export function programCost(model: Uint8Array): Cost {
  const graph = fromBinary(ModelProtoSchema, model).graph!;
  const values = valuesOf(graph);
  const flopByKind: Record<string, number> = {};
  const graphBytes = countNodes(graph, values, 1, flopByKind);
  const read = graph.input.map(({ name }) => {
    const readers = graph.node.map((node) =>
      bodiesOf(node).some((body) => body.node.some(({ input }) => input.includes(name)))
        ? bytesIn(values, name)
        : node.input.includes(name)
          ? bytesRead(node, name, values)
          : 0,
    );
    return Math.min(bytesIn(values, name), total(readers));
  });
  // An output that makes the runtime's binding stop is no tensor, and of no bytes.
  const written = graph.output.flatMap(({ name }) => (values.has(name) ? bytesIn(values, name) : []));
  return { flop: total(Object.values(flopByKind)), flopByKind, leastBytes: total([...read, ...written]), graphBytes };
}

const bodiesOf = ({ attribute }: NodeProto): GraphProto[] => attribute.flatMap(({ g }) => g ?? []);

function valuesOf(graph: GraphProto): Map<string, ValueInfo> {
  const described = ({ name, type }: ValueInfoProto): [string, ValueInfo][] => {
    if (type?.value.case !== "tensorType") return [];
    const { elemType, shape } = type.value.value;
    return [[name, { dtype: dtypes.get(elemType)!, shape: shape!.dim.map(({ value }) => Number(value.value)) }]];
  };
  return new Map([
    ...[...graph.input, ...graph.output, ...graph.valueInfo].flatMap(described),
    ...graph.initializer.map(
      ({ name, dims, dataType }) => [name, { dtype: dtypes.get(dataType)!, shape: dims.map(Number) }] as const,
    ),
  ]);
}

function infoOf(values: Values, name: string): ValueInfo {
  const info = values.get(name);
  assert(info, `value ${name} has no shape`);
  return info;
}

const bytesIn = (values: Values, name: string): number => bytesOf(infoOf(values, name));

/** What a node reads of one of its inputs: all of it, but of a table that it gathers from no more than it takes. */
const bytesRead = (node: NodeProto, name: string, values: Values): number =>
  node.opType === "Gather" && name === node.input[0]
    ? Math.min(bytesIn(values, name), bytesIn(values, node.output[0]!))
    : bytesIn(values, name);

/** Bytes that the nodes of a graph, or of a loop's body, read and write in so many turns, one by one; their products are added to
 *  `flopByKind`. */
function countNodes(graph: GraphProto, values: Values, turns: number, flopByKind: Record<string, number>): number {
  const ends = new Set(graph.output.map(({ name }) => name));
  let bytes = 0;
  for (const node of graph.node) {
    const [body] = bodiesOf(node);
    if (body) {
      assert(node.opType === "Scan", `expected Scan to be the only loop, got ${node.opType}`);
      // A scan goes along the first axis of its last inputs.
      const iterations = infoOf(values, node.input.at(-1)!).shape[0]!;
      bytes += countNodes(body, new Map([...values, ...valuesOf(body)]), turns * iterations, flopByKind);
      continue;
    }
    // A view of what lies there already, unless it has to lie where it is asked for.
    if (node.opType === "Reshape" && !ends.has(node.output[0]!)) continue;
    const outputs = node.output.filter((name) => values.has(name));
    const inputs = distinct(node.input).filter((name) => name !== "");
    bytes += turns * total(inputs.map((name) => bytesRead(node, name, values)));
    bytes += turns * total(outputs.map((name) => bytesIn(values, name)));
    const flop = turns * productFlop(node, values);
    if (flop > 0) flopByKind[node.opType] = (flopByKind[node.opType] ?? 0) + flop;
  }
  return bytes;
}

/** 2 m n k of a product, batches of them together; 0 of what is none. */
function productFlop(node: NodeProto, values: Values): number {
  if (!["Gemm", "FusedGemm", "MatMul", "FusedMatMul"].includes(node.opType)) return 0;
  const isSet = (name: string): boolean => node.attribute.some((given) => given.name === name && given.i !== 0n);
  let { shape } = infoOf(values, node.input[0]!);
  // The runtime's own: [m, batch, k] stands for [batch, m, k].
  if (isSet("transBatchA")) shape = [...shape.slice(1, -1), shape[0]!, shape.at(-1)!];
  const summed = shape.at(isSet("transA") ? -2 : -1)!;
  return 2 * summed * sizeOf(infoOf(values, node.output[0]!).shape);
}

/** Rows and columns of the large product, which is beyond what a step has and small enough to be packed well. */
const large = 1024;
/** Bytes of the array that is copied: 64 MiB, many times what a core's own caches hold. */
const copied = 64 * 2 ** 20;
/** Times each is measured, after once that is not. */
const repetitions = 5;

/** 1e9 operations and 1e9 bytes a second, of one measurement. */
interface Rates {
  readonly peak: number;
  readonly bandwidth: number;
}

/** How fast this machine multiplies and copies, several times. Copying is done both by one thread's copy of memory and by a graph of one
 *  negation on all threads, of which the faster counts each time. */
async function measureMachine(threads: number): Promise<Rates[]> {
  const square = [large, large];
  const product = await graphOf("MatMul", { a: square, b: square }, square, threads);
  const long = [copied / 4];
  const negation = await graphOf("Neg", { a: long }, long, threads);
  const [from, to] = [new Float32Array(copied / 4).fill(1), new Float32Array(copied / 4)];
  try {
    const rates: Rates[] = [];
    for (let i = 0; i <= repetitions; i++) {
      const multiplying = await secondsOf(product.run);
      const negating = await secondsOf(negation.run);
      const copying = await secondsOf(() => to.set(from));
      if (i === 0) continue;
      const bandwidth = (2 * copied) / Math.min(negating, copying) / 1e9;
      rates.push({ peak: (2 * large ** 3) / multiplying / 1e9, bandwidth });
    }
    return rates;
  } finally {
    await product.release();
    await negation.release();
  }
}

async function secondsOf(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

/** A graph of one node as a session, its inputs ones. */
async function graphOf(
  op: string,
  inputs: Readonly<Record<string, readonly number[]>>,
  output: readonly number[],
  threads: number,
): Promise<{ run(): Promise<void>; release(): Promise<void> }> {
  const names = Object.keys(inputs);
  const node: Node = { op, domain: "", inputs: names, outputs: ["y"], attributes: {} };
  const values = new Map(
    Object.entries({ ...inputs, y: output }).map(([name, shape]) => [name, { shape, dtype: "float32" }] as const),
  );
  const model = encodeModel({ nodes: [node], values, constants: new Map() }, names, ["y"]);
  const session = await createSession({ model }, threads);
  const ones = (shape: readonly number[]): ort.Tensor =>
    new ort.Tensor("float32", new Float32Array(sizeOf(shape)).fill(1), shape);
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, shape]) => [name, ones(shape)]));
  const fetches = { y: ones(output) };
  return { run: () => session.run(feeds, fetches), release: () => session.release() };
}

/** Writes roofline.svg and roofline.png into a folder that is there, where the report has this work in it; the paths. `own`: what works
 *  found of fathom alone; `conditions`: a sentence on the machine. */
export async function writeRoofline(
  folder: string,
  own: Readonly<Record<string, object>>,
  conditions: string,
): Promise<string[]> {
  const data = own[roofline.name] as RooflineData | undefined;
  if (!data) return [];
  const panels = data.lines.map((line) => ({
    title: withThreads(shapeText(line), line.threads),
    peak: line.machine.peak.median,
    bandwidth: line.machine.bandwidth.median,
    dots: [...line.parts, line.sums.at(-1)!].map(({ part, group, intensity, gigaflops, milliseconds }) => ({
      // Colours tell directions apart.
      part: part.replace(/, (forward|backward)$/, ""),
      group,
      intensity,
      gigaflops,
      milliseconds: milliseconds.median,
    })),
  }));
  const svg = await svgOf("roofline", rooflineFigure(panels, conditions));
  const written = [
    ["roofline.svg", svg],
    ["roofline.png", pngOf(svg)],
  ] as const;
  return written.map(([name, contents]) => {
    writeWhole(join(folder, name), contents);
    return join(folder, name);
  });
}
