// Counts of products and bytes on graphs made by hand, limits, and a small network taken apart. How long anything takes is not tested.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { BenchReport } from "../../src/bench/bench.ts";
import { networkOf, stepBatch } from "../../src/bench/network.ts";
import {
  type Cost,
  limitOf,
  type Machine,
  type Part,
  programCost,
  programId,
  type Roofline,
  rooflineOf,
  takenApart,
} from "../../src/bench/roofline.ts";
import type { Attribute, Constant, Node, ValueInfo } from "../../src/engine/graph.ts";
import { encodeModel } from "../../src/engine/onnx-model.ts";
import { transformer } from "../../src/models/transformer.ts";
import { rooflineFigure } from "../../src/plots/roofline-figure.ts";
import { fathom } from "../cli/capture.ts";

const node = (op: string, inputs: string[], output: string, attributes: Record<string, Attribute> = {}): Node => ({
  op,
  domain: op.startsWith("Fused") ? "com.microsoft" : "",
  inputs,
  outputs: [output],
  attributes,
});

/** The cost of a program of these nodes; values are float32 unless they bear another type. */
function costOf(
  nodes: readonly Node[],
  shapes: Readonly<Record<string, readonly number[] | ValueInfo>>,
  [inputs, outputs]: readonly [string[], string[]],
  constants: ReadonlyMap<string, Constant> = new Map(),
): Cost {
  const values = new Map(
    Object.entries(shapes).map(([name, of]) => [name, "dtype" in of ? of : ({ shape: of, dtype: "float32" } as const)]),
  );
  return programCost(encodeModel({ nodes, values, constants }, inputs, outputs));
}

describe("the cost of a program", () => {
  test("of a Gemm: 2 m n k, from whichever axis is summed; bytes of what enters and leaves, a bias among it", () => {
    const cost = costOf(
      [node("Gemm", ["a", "b", "bias"], "y", { transA: 1 })],
      { a: [7, 3], b: [7, 5], bias: [5], y: [3, 5] },
      [["a", "b", "bias"], ["y"]],
    );
    const bytes = 4 * (21 + 35 + 5 + 15);
    expect(cost).toEqual({ flop: 2 * 3 * 5 * 7, flopByKind: { Gemm: 210 }, leastBytes: bytes, graphBytes: bytes });
  });

  test("of batched products, transposed within a matrix and across the batch", () => {
    const ends = [["a", "b"], ["y"]] as [string[], string[]];
    const plain = costOf(
      [node("FusedMatMul", ["a", "b"], "y", { transB: 1 })],
      { a: [2, 6, 3, 7], b: [2, 6, 5, 7], y: [2, 6, 3, 5] },
      ends,
    );
    expect(plain.flopByKind).toEqual({ FusedMatMul: 2 * 12 * 3 * 5 * 7 });
    // [m, batch, k] for [batch, m, k], and [k, batch, m] for [batch, k, m] that is transposed.
    const across = costOf(
      [node("FusedMatMul", ["a", "b"], "y", { transBatchA: 1 })],
      { a: [3, 6, 7], b: [6, 7, 5], y: [6, 3, 5] },
      ends,
    );
    const both = costOf(
      [node("FusedMatMul", ["a", "b"], "y", { transA: 1, transBatchA: 1 })],
      { a: [7, 6, 3], b: [6, 7, 5], y: [6, 3, 5] },
      ends,
    );
    expect([across.flop, both.flop]).toEqual([2 * 6 * 3 * 5 * 7, 2 * 6 * 3 * 5 * 7]);
  });

  test("of several nodes: what lies between them is in the graph's bytes alone, and views cost nothing", () => {
    const cost = costOf(
      [
        node("MatMul", ["a", "b"], "y"),
        node("Relu", ["y"], "r"),
        node("Reshape", ["r", "shape"], "v"),
        node("Mul", ["v", "v"], "z"),
      ],
      { a: [3, 7], b: [7, 5], y: [3, 5], r: [3, 5], v: [15], z: [15] },
      [["a", "b"], ["z"]],
      new Map([["shape", { shape: [1], dtype: "int64", data: BigInt64Array.of(15n) }]]),
    );
    expect(cost.flopByKind).toEqual({ MatMul: 210 });
    expect(cost.leastBytes).toBe(4 * (21 + 35 + 15));
    expect(cost.graphBytes).toBe(4 * (21 + 35 + 15) + 4 * (15 + 15) + 4 * (15 + 15));
  });

  test("of a loop: its body as often as it runs, with the values within it and those around it", () => {
    const body = {
      nodes: [
        node("Gemm", ["row", "weight"], "product"),
        node("Exp", ["product"], "kept"),
        node("Add", ["sum", "kept"], "more"),
      ],
      inputs: ["sum", "row"],
      outputs: ["more", "kept"],
    };
    const scan = { ...node("Scan", ["start", "rows"], "last", { num_scan_inputs: 1, body }), outputs: ["last", "all"] };
    const narrow = [2, 5];
    const cost = costOf(
      [scan],
      {
        ...{ start: narrow, rows: [3, 2, 4], weight: [4, 5], last: narrow, all: [3, 2, 5] },
        ...{ sum: narrow, row: [2, 4], product: narrow, kept: narrow, more: narrow },
      },
      [
        ["start", "rows", "weight"],
        ["last", "all"],
      ],
    );
    expect(cost.flopByKind).toEqual({ Gemm: 3 * (2 * 2 * 5 * 4) });
    expect(cost.leastBytes).toBe(4 * (10 + 24 + 20 + 10 + 30));
    expect(cost.graphBytes).toBe(3 * 4 * (8 + 20 + 10 + (10 + 10) + (10 + 10 + 10)));
  });

  test("of a gathering: the rows that are taken, not the table", () => {
    const rows = costOf(
      [node("Gather", ["table", "ids"], "y")],
      { table: [1000, 8], ids: { shape: [3], dtype: "int32" }, y: [3, 8] },
      [["table", "ids"], ["y"]],
    );
    expect(rows.leastBytes).toBe(4 * (24 + 3 + 24));
    expect([rows.graphBytes, rows.flop]).toEqual([rows.leastBytes, 0]);
  });
});

const exactly = (median: number) => ({ median, min: median, max: median });
const machine: Machine = { peak: exactly(50), bandwidth: exactly(10) };

test("the limit is the larger of products at the peak and bytes at the bandwidth", () => {
  expect(limitOf({ flop: 100e6, leastBytes: 1e6 }, machine)).toBe(2); // 100 MFLOP at 50 GFLOP/s
  expect(limitOf({ flop: 100e6, leastBytes: 40e6 }, machine)).toBe(4); // 40 MB at 10 GB/s
});

describe("a step", () => {
  const [{ stages }] = transformer(networkOf({ depth: 2, width: 8 })) as [ReturnType<typeof transformer>[number]];
  const [first, second, end] = [stages[1]!, stages[2]!, stages.at(-1)!];

  test("is taken apart by programs: medians over steps, the rest what no call accounts for", () => {
    const cost = (flop: number, leastBytes: number): Cost => ({
      ...{ flop, leastBytes, graphBytes: 2 * leastBytes },
      flopByKind: { Gemm: flop },
    });
    const costs = new Map([
      [programId({ direction: "forward", mode: "train", key: first.key }), cost(50e6, 1e6)],
      [programId({ direction: "backward", mode: "train", key: first.key }), cost(100e6, 40e6)],
      [programId({ direction: "forward", mode: "turn", key: end.key }), cost(25e6, 1e6)],
    ]);
    const step = (milliseconds: number, ...times: number[]) => ({
      milliseconds,
      calls: [
        `forward of ${first.name} (train)`,
        `forward of ${second.name} (train)`,
        `forward of ${end.name} (turn)`,
        `backward of ${second.name} (train)`,
        `backward of ${first.name} (train)`,
      ].map((what, i) => ({ what, milliseconds: times[i]! })),
    });
    const taken = [step(20, 1, 2, 3, 4, 5), step(30, 1, 4, 3, 4, 8), step(40, 4, 4, 3, 4, 6)];
    const { parts, sums } = takenApart(stages, costs, taken, 1e6, machine);
    const seen = ({ part, group, calls, milliseconds, flop, limitMilliseconds, timesLimit }: Part) => [
      ...[part, group, calls, milliseconds.median, flop, limitMilliseconds, timesLimit],
    ];
    const rest = ["rest", "rest", 0, 10, 0, 2.8, 10 / 2.8]; // 28 bytes of a million parameters
    expect(parts.map(seen)).toEqual([
      ["encoder layer, forward", "forward", 2, 5, 100e6, 2, 2.5],
      ["output", "output", 1, 3, 25e6, 0.5, 6],
      ["encoder layer, backward", "backward", 2, 10, 200e6, 8, 1.25],
      rest,
    ]);
    expect(sums.map(seen)).toEqual([
      ["all forward", "forward", 2, 5, 100e6, 2, 2.5],
      ["all backward", "backward", 2, 10, 200e6, 8, 1.25],
      ["output", "output", 1, 3, 25e6, 0.5, 6],
      rest,
      ["whole step", "whole", 5, 30, 325e6, 2 + 8 + 0.5 + 2.8, 30 / (2 + 8 + 0.5 + 2.8)],
    ]);
    expect(parts[0]).toMatchObject({ gigaflops: 20, intensity: 50, leastBytes: 2e6, graphBytes: 4e6 });
    expect(() => takenApart(stages, new Map(), taken, 1, machine)).toThrow("nothing is known of forward of encoder/00");
    for (const calls of [
      taken[0]!.calls.toReversed(),
      taken[0]!.calls.slice(1),
      [...taken[0]!.calls, taken[0]!.calls[0]!],
    ])
      expect(() => takenApart(stages, costs, [taken[0]!, { ...taken[0]!, calls }], 1, machine)).toThrow(
        "steps differ in their calls",
      );
  });

  test("of a small network: its parts make up the step, and their products are those of the model", async () => {
    const [depth, width] = [2, 8];
    const { parts, sums } = await rooflineOf({ depth, width }, 1, { rounds: 2, steps: 1 });
    const named = (name: string): Part => parts.find(({ part }) => part === name)!;
    const stagesWithBackward = stages.length - 1;
    expect(parts.slice(0, -1).map(({ part, calls }) => [part, calls])).toEqual([
      ["embedding/source, forward", 1],
      ["encoder layer, forward", depth],
      ["encoder/norm, forward", 1],
      ["embedding/target, forward", 1],
      ["decoder layer, forward", depth],
      ["decoder/norm, forward", 1],
      ["output", 1],
      ["decoder/norm, backward", 1],
      ["decoder layer, backward", depth],
      ["embedding/target, backward", 1],
      ["encoder/norm, backward", 1],
      ["encoder layer, backward", depth],
      ["embedding/source, backward", 1],
    ]);
    const whole = sums.at(-1)!;
    expect(whole.calls).toBe(stages.length + stagesWithBackward);
    for (const count of ["calls", "flop", "leastBytes", "graphBytes", "limitMilliseconds"] as const) {
      const added = (of: readonly Part[]): number => of.reduce((sum, part) => sum + part[count], 0);
      // Sums of the same numbers in another order.
      expect(added(parts) / whole[count]).toBeCloseTo(1, 12);
      expect(added(sums.slice(0, -1)) / whole[count]).toBeCloseTo(1, 12);
    }
    for (const { flop, flopByKind, leastBytes, graphBytes } of parts) {
      expect(Object.values(flopByKind).reduce((sum, one) => sum + one, 0)).toBe(flop);
      expect(graphBytes).toBeGreaterThanOrEqual(leastBytes);
    }

    // Attention of L positions to L, its four projections, and a feed-forward part four times as wide: N tokens.
    const [n, l, v] = [stepBatch.rows * stepBatch.length, stepBatch.length, stepBatch.vocabulary];
    const attention = 4 * 2 * n * width ** 2 + 2 * 2 * n * l * width;
    const feedForward = 2 * 2 * n * width * (4 * width);
    expect(named("encoder layer, forward").flop).toBe(depth * (attention + feedForward));
    expect(named("decoder layer, forward").flop).toBe(depth * (2 * attention + feedForward));
    // Logits, their gradient to either factor, and the bias' gradient as a product with ones.
    expect(named("output").flop).toBe(3 * 2 * n * width * v + 2 * n * v);
    for (const layer of ["encoder layer", "decoder layer"])
      expect(named(`${layer}, backward`).flop).toBeGreaterThanOrEqual(2 * named(`${layer}, forward`).flop);
  });
});

describe("the figure", () => {
  const dot = (part: string, group: string, intensity: number, gigaflops: number) => ({
    ...{ part, group, intensity, gigaflops },
    milliseconds: 1,
  });

  test("has a panel a network with its roof, and a dot a part that multiplies, labels apart from each other", () => {
    const dots = [
      dot("encoder layer", "forward", 10, 20),
      dot("decoder layer", "forward", 10.1, 20.1),
      dot("embedding", "forward", 0, 0),
      dot("rest", "rest", 0, 0),
      dot("whole step", "whole", 8, 25),
    ];
    const spec = rooflineFigure([{ title: "6+6, 64", peak: 50, bandwidth: 10, dots }], "conditions") as unknown as {
      title: { text: string[]; subtitle: string[] };
      concat: { layer: { data: { values: Record<string, number>[] } }[] }[];
    };
    expect(spec.title.text.join(" ")).toBe("a step multiplies at 50 % (6+6, 64) of the rate of one large product");
    expect(spec.title.subtitle.join(" ")).toContain("not drawn: embedding (forward), rest.");
    const [roof, drawn] = spec.concat[0]!.layer.map(({ data }) => data.values) as [
      { intensity: number; gigaflops: number }[],
      { part: string; labelX: number; labelY: number }[],
    ];
    expect(drawn.map(({ part }) => part)).toEqual(["encoder layer", "decoder layer", "whole step"]);
    expect(roof.map(({ gigaflops }) => gigaflops).slice(1)).toEqual([50, 50]);
    expect(roof[0]!.gigaflops).toBeCloseTo(10 * roof[0]!.intensity);
    expect(roof[1]!.intensity).toBe(5);
    expect(new Set(drawn.map(({ labelX, labelY }) => `${labelX} ${labelY}`)).size).toBe(3);
  });
});

describe("the command", () => {
  test("prints a row a part, and with --out leaves the figure", async () => {
    const out = mkdtempSync(join(tmpdir(), "fathom-roofline-test-"));
    const args = ["roofline", "--shape", "1x8", "--rounds", "1", "--steps", "2", "--out", out];
    const { code, stdout } = await fathom("bench", ...args);
    expect(code).toBe(0);
    for (const part of ["encoder layer, backward", "output", "rest", "all forward", "whole step"])
      expect(stdout).toMatch(new RegExp(`^1\\+1, 8 +1 +${part}`, "m"));
    const { own } = JSON.parse(readFileSync(join(out, "bench.json"), "utf8")) as BenchReport;
    expect(own).toHaveProperty("roofline");
    expect(readFileSync(join(out, "roofline.svg"), "utf8")).toContain("decoder layer");
    expect(readFileSync(join(out, "roofline.png")).subarray(1, 4).toString()).toBe("PNG");
    rmSync(out, { recursive: true });
  });

  test("prints all of it as JSON", async () => {
    const { code, stdout } = await fathom(
      "bench",
      "roofline",
      "--shape",
      "1x8",
      "--rounds",
      "1",
      "--steps",
      "2",
      "--json",
    );
    expect(code).toBe(0);
    const { comparisons, own } = JSON.parse(stdout) as BenchReport;
    const { rounds, steps, lines } = own["roofline"] as { rounds: number; steps: number; lines: Roofline[] };
    expect([comparisons, rounds, steps, lines.length]).toEqual([[], 1, 2, 1]);
    const { machine, parts, sums, ...shape } = lines[0]!;
    expect(shape).toEqual({ depth: 1, width: 8, threads: 1 });
    for (const { median, min, max } of [machine.peak, machine.bandwidth]) {
      expect(min).toBeGreaterThan(0);
      expect(median >= min && median <= max).toBe(true);
    }
    expect(sums.map(({ group }) => group)).toEqual(["forward", "backward", "output", "rest", "whole"]);
    const numbers = [
      "calls",
      "flop",
      "leastBytes",
      "graphBytes",
      "gigaflops",
      "intensity",
      "limitMilliseconds",
      "timesLimit",
    ];
    for (const part of [...parts, ...sums]) {
      expect(Object.keys(part).sort()).toEqual([...numbers, "flopByKind", "group", "milliseconds", "part"].sort());
      expect(part.milliseconds.median).toBeGreaterThan(0);
      expect(part.timesLimit).toBe(part.milliseconds.median / part.limitMilliseconds);
    }
  });
});
