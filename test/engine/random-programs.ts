// Programs as plain data: values made of others by operations, spread over stages. Here they become players and readable code, and
// are made smaller. How they are drawn is in random-operations.ts.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import * as ops from "../../src/ops/index.ts";
import { stream } from "../../src/random.ts";
import {
  type Noise,
  type Parameter,
  type Player,
  sizeOf,
  type Stage,
  type StageContext,
  type Tensors,
} from "../../src/stage.ts";
import type { Batch, HostTensor } from "../../src/types.ts";

export type Shape = readonly number[];

/** An argument of a call: a literal, another value of the program, numbers of the call's own, or a call in turn. */
export type Term =
  | number
  | boolean
  | string
  | undefined
  | readonly Term[]
  | { readonly value: number }
  | { readonly data: Data }
  | { readonly options: Readonly<Record<string, Term>> }
  | Call;

/** `at` picks one of several tensors that come back. */
export interface Call {
  readonly call: string;
  readonly of: readonly Term[];
  readonly at?: number;
}

/** Numbers that are never differentiated: ids, masks, dropout factors, pixels. They come with the batch. */
export interface Data {
  readonly dtype: "float32" | "int32";
  readonly shape: Shape;
  readonly numbers: readonly number[];
}

/** Where a value comes from that no operation makes. `parameter` and `batch` have numbers; a `constant` is a stage's own, `noise` what
 *  the engine draws. */
export interface Leaf {
  readonly leaf: "parameter" | "batch" | "constant" | "noise";
  readonly numbers: readonly number[];
}

/** One value, float32. Its numbers lie within [low, high], rounding apart. */
export interface Value {
  readonly shape: Shape;
  readonly low: number;
  readonly high: number;
  readonly from: Leaf | (Call & { readonly stage: number });
}

/** What a stage-wise model can be, in small. Calls stand in the order of their stages. */
export interface Program {
  readonly values: readonly Value[];
  readonly stages: number;
  /** Values of which the loss is made: each times fixed numbers, summed. */
  readonly outputs: readonly number[];
  /** Values that are read out as readings, where they are made. */
  readonly readings: readonly number[];
  /** Values that are written to the carry though no later stage reads them. */
  readonly unread: readonly number[];
  /** Stages whose parameters are not learnt. */
  readonly frozen: readonly number[];
  /** Whether carry entries that are read for the last time are written over, as a residual stream is. */
  readonly reuses: boolean;
  /** Whether evaluation is compared, too. */
  readonly evaluates: boolean;
}

/** Functions by the names that programs call them by. */
export type Functions = Readonly<Record<string, (...args: never[]) => Tensor | Tensor[]>>;

/** TensorFlow.js's as `tf.add`, those of src/ops by their name. */
export const functions: Functions = {
  ...Object.fromEntries(
    Object.entries(tf).flatMap(([name, f]) => (typeof f === "function" ? [[`tf.${name}`, f as () => Tensor]] : [])),
  ),
  ...ops,
  watchGradient: (x: Tensor) => ops.watchGradient(x, () => {}),
};

export const isCall = (from: Value["from"]): from is Call & { readonly stage: number } => "call" in from;
const isTermCall = (term: Term): term is Call => typeof term === "object" && "call" in term;

/** Every term within, itself first. `isDifferentiated` is false below stopGradient. */
function* termsIn(term: Term, isDifferentiated = true): Generator<{ term: Term; isDifferentiated: boolean }> {
  yield { term, isDifferentiated };
  if (typeof term !== "object") return;
  if (Array.isArray(term)) for (const item of term as readonly Term[]) yield* termsIn(item, isDifferentiated);
  else if (isTermCall(term))
    for (const item of term.of) yield* termsIn(item, isDifferentiated && term.call !== "stopGradient");
}

/** Numbers of the values that a term refers to. */
const referencesIn = (term: Term, onlyDifferentiated = false): number[] => [
  ...new Set(
    [...termsIn(term)].flatMap(({ term, isDifferentiated }) =>
      typeof term === "object" && "value" in term && (isDifferentiated || !onlyDifferentiated) ? [term.value] : [],
    ),
  ),
];
const referencesOf = ({ from }: Value, onlyDifferentiated = false): number[] =>
  isCall(from) ? referencesIn(from, onlyDifferentiated) : [];

/** Names of the functions that a program calls. */
export const callsIn = ({ values }: Program): string[] =>
  values.flatMap(({ from }) =>
    isCall(from) ? [...termsIn(from)].flatMap(({ term }) => (isTermCall(term) ? [term.call] : [])) : [],
  );

/** Numbers of three decimals within [low, high] and, where there are some, within [-2, 2]. */
export function decimals(purpose: string, size: number, low = -2, high = 2): number[] {
  const [from, to] = [Math.max(low, Math.min(-2, high)), Math.min(high, Math.max(2, low + 1))];
  return Array.from(
    stream(1, purpose).uniform(new Float64Array(size)),
    (u) => Math.round((from + (to - from) * u) * 1e3) / 1e3,
  );
}

/** The numbers by which an output of this shape goes into the loss. */
const cotangentOf = (shape: Shape): number[] => decimals(`cotangent ${shape.join()}`, sizeOf(shape));

// What follows from a program: which stage reads and writes what.

interface StagePlan {
  /** Values made here, in order. */
  readonly made: readonly number[];
  /** Leaves used here. */
  readonly leaves: readonly number[];
  /** Values of earlier stages, by the carry entries they are read from. */
  readonly reads: ReadonlyMap<number, string>;
  /** Values made here that go into the carry. */
  readonly writes: ReadonlyMap<number, string>;
  readonly isPassive: boolean;
}

const stageOf = ({ from }: Value): number | undefined => (isCall(from) ? from.stage : undefined);

function planOf(program: Program): StagePlan[] {
  const { values, stages, outputs, unread, frozen, reuses } = program;
  const used = Array.from({ length: stages }, (_, s) => [
    ...new Set([
      ...values.flatMap((value) => (stageOf(value) === s ? referencesOf(value) : [])),
      ...(s === stages - 1 ? outputs : []),
      ...program.readings.filter((i) => !isCall(values[i]!.from) && s === stages - 1),
    ]),
  ]);
  const lastUse = (i: number): number => used.findLastIndex((list) => list.includes(i));
  const entries = new Map<number, string>();
  const differentiable = new Set<number>();
  const free: string[] = [];
  return used.map((uses, s) => {
    const leaves = uses.filter((i) => stageOf(values[i]!) === undefined);
    const reads = new Map(uses.flatMap((i) => ((stageOf(values[i]!) ?? s) < s ? [[i, entries.get(i)!] as const] : [])));
    const made = [...values.keys()].filter((i) => stageOf(values[i]!) === s);
    const isPassive =
      !(leaves.some((i) => (values[i]!.from as Leaf).leaf === "parameter") && !frozen.includes(s)) &&
      [...reads.keys()].every((i) => !differentiable.has(i));
    if (reuses) free.push(...[...reads].flatMap(([i, entry]) => (lastUse(i) === s ? [entry] : [])));
    const written = s === stages - 1 ? [] : made.filter((i) => lastUse(i) > s || unread.includes(i));
    const writes = new Map(written.map((i) => [i, free.shift() ?? `v${i}`] as const));
    for (const [i, entry] of writes) entries.set(i, entry);
    if (!isPassive) for (const i of writes.keys()) differentiable.add(i);
    return { made, leaves, reads, writes, isPassive };
  });
}

/** What a program has that not every one has. */
export function featuresOf(program: Program): Record<string, boolean> {
  const { values, stages, unread, frozen, readings, reuses, evaluates } = program;
  const plan = planOf(program);
  const uses = (i: number): number => values.filter((value) => referencesOf(value).includes(i)).length;
  const isParameterOf = (i: number): number =>
    plan.filter(({ leaves }) => leaves.includes(i) && (values[i]!.from as Leaf).leaf === "parameter").length;
  return {
    "several stages": stages > 1,
    "a passive stage beside others": stages > 1 && plan.some(({ isPassive }) => isPassive),
    "a frozen stage": frozen.length > 0,
    "a value that two stages read": [...values.keys()].some((i) => plan.filter(({ reads }) => reads.has(i)).length > 1),
    "a value used twice": [...values.keys()].some((i) => uses(i) > 1),
    "an entry that is not read": unread.length > 0,
    "an entry written over":
      reuses && new Set(plan.flatMap((s) => [...s.writes.values()])).size < plan.flatMap((s) => [...s.writes]).length,
    "a parameter of two stages": [...values.keys()].some((i) => isParameterOf(i) > 1),
    "an empty value": values.some(({ shape }) => shape.includes(0)),
    "a scalar": values.some(({ shape }) => shape.length === 0),
    "rank 4": values.some(({ shape }) => shape.length === 4),
    noise: values.some(({ from }) => !isCall(from) && from.leaf === "noise"),
    "a constant": values.some(({ from }) => !isCall(from) && from.leaf === "constant"),
    readings: readings.length > 0,
    evaluation: evaluates,
  };
}

// Programs made whole: whatever shrinking leaves still has to be a model.

/** The program without what nothing depends on, and with what makes a model of it: every stage writes something, and the loss depends
 *  on something of every stage that is differentiated (the eager engines have no cotangent to start from otherwise). */
export function complete(given: Program): Program {
  const last = given.values.findLastIndex(({ from }) => isCall(from));
  let program = compact(given.outputs.length ? given : { ...given, outputs: [Math.max(0, last)] });
  for (;;) {
    const missing = missingFrom(program);
    if (!missing) return program;
    program = compact({ ...program, ...missing });
  }
}

function missingFrom(program: Program): Partial<Program> | undefined {
  const { values, outputs, unread } = program;
  const reached = new Set(outputs);
  for (const i of [...values.keys()].reverse())
    if (reached.has(i)) for (const j of referencesOf(values[i]!, true)) reached.add(j);
  for (const { made, writes, isPassive } of planOf(program).slice(0, -1)) {
    if (!writes.size)
      return isPassive ? { unread: [...unread, made.at(-1)!] } : { outputs: [...outputs, made.at(-1)!] };
    if (!isPassive && ![...writes.keys()].some((i) => reached.has(i)))
      return { outputs: [...outputs, [...writes.keys()].at(-1)!] };
  }
  return undefined;
}

/** Drops values that nothing asks for, and stages without any, and numbers the rest anew. */
function compact(program: Program): Program {
  const { values, outputs, readings, unread, frozen } = program;
  const kept = new Set([...outputs, ...readings, ...unread]);
  for (const i of [...values.keys()].reverse()) if (kept.has(i)) for (const j of referencesOf(values[i]!)) kept.add(j);
  const order = [...kept].sort((a, b) => a - b);
  const number = new Map(order.map((old, i) => [old, i]));
  const stages = [...new Set(order.flatMap((i) => stageOf(values[i]!) ?? []))].sort((a, b) => a - b);
  const renumber = (list: readonly number[]): number[] => [...new Set(list.map((i) => number.get(i)!))];
  return {
    ...program,
    values: order.map((i) => {
      const { from, ...value } = values[i]!;
      if (!isCall(from)) return { ...value, from };
      const call = substitute(from, (j) => ({ value: number.get(j)! })) as Call;
      return { ...value, from: { ...call, stage: stages.indexOf(from.stage) } };
    }),
    stages: Math.max(1, stages.length),
    outputs: renumber(outputs),
    readings: renumber(readings),
    unread: renumber(unread).filter((i) => !renumber(outputs).includes(i)),
    frozen: frozen.flatMap((s) => (stages.includes(s) ? [stages.indexOf(s)] : [])),
  };
}

function substitute(term: Term, by: (value: number) => Term): Term {
  if (typeof term !== "object") return term;
  if (Array.isArray(term)) return (term as readonly Term[]).map((item) => substitute(item, by));
  if ("value" in term) return by(term.value);
  return isTermCall(term) ? { ...term, of: term.of.map((item) => substitute(item, by)) } : term;
}

/** Smaller programs, the smallest first: one output instead of many; outputs that are what the output was made of; values drawn
 *  instead of computed; one stage instead of two; fewer extras. None is larger than the program by any count that matters, so that
 *  shrinking comes to an end. */
export function* smaller(program: Program): Generator<Program> {
  const size = sizeOfProgram(program);
  for (const candidate of candidates(program)) {
    const whole = complete(candidate);
    if (sizeOfProgram(whole) < size) yield whole;
  }
}

const sizeOfProgram = ({ values, outputs, stages, readings, unread, frozen, reuses, evaluates }: Program): number =>
  1e4 * values.filter(({ from }) => isCall(from)).length +
  1e2 * (outputs.length + stages + values.length) +
  readings.length +
  unread.length +
  frozen.length +
  Number(reuses) +
  Number(evaluates);

function* candidates(program: Program): Generator<Program> {
  const { values, stages, outputs, readings, unread, frozen } = program;
  const without = (list: readonly number[], i: number): number[] => list.filter((j) => j !== i);
  const bare = { ...program, readings: [], unread: [], frozen: [] };
  if (outputs.length > 1) for (const output of outputs) yield { ...bare, outputs: [output] };
  yield { ...bare, reuses: false, evaluates: false };
  const calls = [...values.keys()].filter((i) => isCall(values[i]!.from)).reverse();
  for (const i of calls) yield { ...bare, outputs: [i] };
  for (const i of calls) {
    const { shape, low, high } = values[i]!;
    const from: Leaf = { leaf: "parameter", numbers: decimals(`value ${i}`, sizeOf(shape), low, high) };
    yield { ...program, values: values.with(i, { ...values[i]!, from }) };
  }
  for (const i of outputs)
    yield { ...program, outputs: [...new Set([...without(outputs, i), ...referencesOf(values[i]!)])] };
  for (const i of outputs) if (outputs.length > 1) yield { ...program, outputs: without(outputs, i) };
  for (let s = 1; s < stages; s++)
    yield {
      ...program,
      stages: stages - 1,
      frozen: frozen.map((t) => (t >= s ? t - 1 : t)),
      values: values.map(({ from, ...value }) => ({
        ...value,
        from: isCall(from) && from.stage >= s ? { ...from, stage: from.stage - 1 } : from,
      })),
    };
  for (const i of readings) yield { ...program, readings: without(readings, i) };
  for (const i of unread) yield { ...program, unread: without(unread, i) };
  for (const s of frozen) yield { ...program, frozen: without(frozen, s) };
  yield { ...program, reuses: false };
  yield { ...program, evaluates: false };
}

// Programs as players.

/** What an engine is given to run a program. */
export interface Runnable {
  readonly player: Player;
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly batch: Batch;
  /** Names of the readings to ask for. */
  readonly readings: readonly string[];
}

const hostTensor = ({ dtype, shape, numbers }: Data): HostTensor => ({
  dtype,
  shape,
  data: dtype === "int32" ? Int32Array.from(numbers) : Float32Array.from(numbers),
});

/** Makes the keys of programs' stages differ. */
let programs = 0;

const normalNoise: Noise = { kind: "normal" };

/** The program as a player whose functions are taken from `table`. */
export function runnable(program: Program, table: Functions = functions): Runnable {
  const { values, stages, outputs, frozen } = program;
  const id = ++programs;
  const parameters = new Map<string, Parameter>();
  const tensors: Record<string, HostTensor> = {};
  values.forEach(({ from, shape }, i) => {
    if (isCall(from)) {
      let count = 0;
      for (const { term } of termsIn(from))
        if (typeof term === "object" && "data" in term) tensors[dataName(i, count++)] = hostTensor(term.data);
    } else if (from.leaf === "batch") tensors[`v${i}`] = hostTensor({ dtype: "float32", shape, numbers: from.numbers });
    else if (from.leaf === "parameter") {
      const path = `program/values/v${i}`;
      parameters.set(path, {
        path,
        shape,
        init: { kind: "constant", value: 0 },
        data: Float32Array.from(from.numbers),
      });
    }
  });
  for (const i of outputs) {
    const { shape } = values[i]!;
    tensors[`cotangent of v${i}`] = hostTensor({ dtype: "float32", shape, numbers: cotangentOf(shape) });
  }
  const leafOf = (i: number): Leaf => values[i]!.from as Leaf;

  const list = planOf(program).map(({ made, leaves, reads, writes }, s): Stage => {
    const isLast = s === stages - 1;
    const kind = (leaf: Leaf["leaf"]): number[] => leaves.filter((i) => leafOf(i).leaf === leaf);
    const data = made.flatMap((i) => Object.keys(tensors).filter((name) => name.startsWith(`data ${i}.`)));
    return {
      name: `stage${s}`,
      stack: "program",
      layer: s,
      key: `program ${id}, stage ${s}`,
      parameters: Object.fromEntries(kind("parameter").map((i) => [`v${i}`, parameters.get(`program/values/v${i}`)!])),
      reads: [
        ...reads.values(),
        ...kind("batch").map((i) => `v${i}`),
        ...data,
        ...(isLast ? outputs.map((i) => `cotangent of v${i}`) : []),
      ],
      constants: Object.fromEntries(kind("constant").map((i) => [`v${i}`, leafOf(i).numbers[0]!])),
      ...(frozen.includes(s) && { frozen: true as const }),
      mayIgnoreParameters: true, // a value may go nowhere, or through stopGradient
      apply(given, carry, context) {
        const known = new Map<number, Tensor>();
        for (const [i, entry] of reads) known.set(i, carry[entry]!);
        for (const i of leaves) known.set(i, leafTensor(i, values[i]!, given, carry, context));
        const read = (i: number, y: Tensor): void => context.reading("program", `v${i}`, () => y.flatten());
        for (const i of made) {
          const y = evaluate(values[i]!.from as Call, i, known, carry, table);
          if (y.shape.join() !== values[i]!.shape.join() || y.dtype !== "float32")
            throw new Error(`v${i} is ${y.dtype} [${y.shape.join()}], which is not the shape it was taken to have`);
          known.set(i, y);
          read(i, y);
        }
        const written = Object.fromEntries([...writes].map(([i, entry]) => [entry, known.get(i)!]));
        if (!isLast) return written;
        const terms = outputs.map((i) => tf.sum(tf.mul(known.get(i)!, carry[`cotangent of v${i}`]!)));
        return { loss: terms.reduce((sum, term) => tf.add(sum, term)) };
      },
    };
  });
  return {
    player: { name: "program", stages: list, scalars: ["loss"] },
    parameters,
    batch: { tensors, tokens: 1 },
    readings: program.readings.filter((i) => isCall(values[i]!.from)).map((i) => `v${i}`),
  };
}

const dataName = (value: number, count: number): string => `data ${value}.${count}`;

function leafTensor(i: number, { from, shape }: Value, given: Tensors, carry: Tensors, context: StageContext): Tensor {
  switch ((from as Leaf).leaf) {
    case "parameter":
      return given[`v${i}`]!;
    case "batch":
      return carry[`v${i}`]!;
    case "constant":
      return context.constant(`v${i}`);
    case "noise":
      return context.noise(`v${i}`, shape, normalNoise);
  }
}

function evaluate(call: Call, i: number, known: ReadonlyMap<number, Tensor>, carry: Tensors, table: Functions): Tensor {
  let count = 0;
  const argument = (term: Term): unknown => {
    if (typeof term !== "object") return term;
    if (Array.isArray(term)) return (term as readonly Term[]).map(argument);
    if ("value" in term) return known.get(term.value)!;
    if ("data" in term) return carry[dataName(i, count++)]!;
    if ("options" in term)
      return Object.fromEntries(Object.entries(term.options).map(([key, item]) => [key, argument(item)]));
    return result(term as Call);
  };
  const result = ({ call, of, at }: Call): Tensor => {
    const found = (table[call] as (...args: unknown[]) => Tensor | Tensor[])(...of.map(argument));
    return at === undefined ? (found as Tensor) : (found as Tensor[])[at]!;
  };
  return result(call);
}

// Programs as code.

/** The program as one reads it, a line a value: `const v3 = tf.add(v0, v2); // [4, 5]`. */
export function codeOf(program: Program): string {
  const { values, stages, outputs, readings, frozen, reuses, evaluates } = program;
  const lines: string[] = [];
  const plan = planOf(program);
  values.forEach(({ from, shape }, i) => {
    if (!isCall(from)) lines.push(`const v${i} = ${leafCode(from, shape)};`);
  });
  plan.forEach(({ made, writes, isPassive }, s) => {
    const notes = [...(frozen.includes(s) ? ["frozen"] : []), ...(isPassive ? ["passive"] : [])];
    if (stages > 1) lines.push(`// stage ${s}${notes.map((note) => `, ${note}`).join("")}`);
    for (const i of made) {
      const { shape, from } = values[i]!;
      const where = [
        ...(writes.has(i) ? [`carry ${writes.get(i)}`] : []),
        ...(readings.includes(i) ? ["read out"] : []),
      ];
      const remark = [`[${shape.join(", ")}]`, ...where].join(", ");
      lines.push(`const v${i} = ${code(from as Call)}; // ${remark}`);
    }
  });
  const term = (i: number): string =>
    `tf.sum(tf.mul(v${i}, tf.tensor([${cotangentOf(values[i]!.shape).join(", ")}], [${values[i]!.shape.join(", ")}])))`;
  lines.push(`const loss = ${outputs.map(term).join(" + ")};`);
  if (reuses && stages > 1) lines.push("// carry entries are written over");
  if (evaluates) lines.push("// evaluated, too");
  return lines.join("\n");
}

function leafCode({ leaf, numbers }: Leaf, shape: Shape): string {
  const dims = `[${shape.join(", ")}]`;
  if (leaf === "noise") return `context.noise("normal", ${dims})`;
  if (leaf === "constant") return `constant(${numbers[0]})`;
  return `${leaf}([${numbers.join(", ")}], ${dims})`;
}

function code(term: Term): string {
  if (typeof term === "string") return JSON.stringify(term);
  if (typeof term !== "object") return String(term);
  if (Array.isArray(term)) return `[${(term as readonly Term[]).map(code).join(", ")}]`;
  if ("value" in term) return `v${term.value}`;
  if ("data" in term)
    return `tf.tensor([${term.data.numbers.join(", ")}], [${term.data.shape.join(", ")}], "${term.data.dtype}")`;
  if ("options" in term)
    return `{ ${Object.entries(term.options)
      .map(([key, item]) => `${key}: ${code(item)}`)
      .join(", ")} }`;
  const { call, of, at } = term as Call;
  return `${call}(${of.map(code).join(", ")})${at === undefined ? "" : `[${at}]`}`;
}
