// What measuring costs, beside not measuring.

import { presets } from "../probes/presets.ts";
import { stream } from "../random.ts";
import { median } from "../statistics.ts";
import { type Cell, cellsOf, cellText, ofEach } from "./cells.ts";
import { stepping } from "./network.ts";
import { type Asked, counted, rangeText, rangeOf, type Shape, shapeText, type Work } from "./work.ts";
import { step } from "./step.ts";

const warmup = 3;

export const probes: Work = {
  name: "probes",
  summary: "what a step takes with each preset of probes beyond one without any, in turns in one process",
  comparesWith: [],
  shapes: step.shapes!.filter(({ width }) => width <= 128),
  steps: 1,
  async measure(asked) {
    const { rounds } = asked;
    const name = (cell: Cell): string => `probes ${cellText(cell)}`;
    const lines = await ofEach(asked, cellsOf(asked), name, async (cell) => {
      asked.say(`${name(cell)}: ${counted(rounds, "round")} ...`);
      return { ...cell, ...(await timeProbes(cell, cell.threads, asked)) };
    });
    const names = presets.map(({ name }) => name);
    const percent = (ratio: number): string => `${((ratio - 1) * 100).toFixed(1)} %`;
    const rows = lines.map(({ milliseconds, ratios, ...line }) => [
      shapeText(line),
      String(line.threads),
      median(milliseconds).toFixed(1),
      ...names.map((name) => rangeText(rangeOf(ratios[name]!), percent, " to ")),
    ]);
    const rhythms = presets.map(({ name, everySteps }) => `${name} ${everySteps}`).join(", ");
    const under =
      "what a measured step takes beyond one without probes, in turns in one process, each compared with its own round: median " +
      `(lowest to highest) of ${counted(rounds, "round")}. Steps between measurements: ${rhythms}, unless told otherwise`;
    const head = ["layers, width", "threads", "ms/step without", ...names];
    return { comparisons: [], own: { head, rows, under, data: { rounds, lines } } };
  },
};

/** What the probes of each preset cost in this process: milliseconds of a step without probes, and how much longer a step takes
 *  with them, as a ratio. All take turns, in another order every round, so that what slows the machine for a while slows all,
 *  and each step is compared with that without probes of its own round. A turn is two steps, of which the second counts: the
 *  first finds in the caches what another preset has left there, as no step of a real run does. */
function timeProbes(
  shape: Shape,
  threads: number,
  { rounds, signal }: Pick<Asked, "rounds" | "signal">,
): Promise<{ milliseconds: number[]; ratios: Record<string, number[]> }> {
  return stepping(shape, { threads, probes: presets.at(-1)!.record, signal }, async (take) => {
    const sets = [{ name: "none", record: [] as readonly string[] }, ...presets];
    const milliseconds: number[] = [];
    const ratios: Record<string, number[]> = Object.fromEntries(presets.map(({ name }) => [name, []]));
    const order = stream(1, "order");
    for (let round = 0; round < warmup + rounds; round++) {
      const took = new Map<string, number>();
      for (const i of order.permutation(sets.length, round)) {
        const { name, record } = sets[i]!;
        await take(record);
        took.set(name, (await take(record)).milliseconds);
      }
      if (round < warmup) continue;
      const without = took.get("none")!;
      milliseconds.push(without);
      for (const { name } of presets) ratios[name]!.push(took.get(name)! / without);
    }
    return { milliseconds, ratios };
  });
}
