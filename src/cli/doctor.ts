// `fathom doctor`: which engines work on this machine, why the others do not and how to get them, and how far those that work
// agree, in their numbers and in time.

import pc from "picocolors";
import type { Examination } from "../engine/examine.ts";
import { exitCodes, unusedOut, verb } from "./verb.ts";

export const doctor = verb({
  usage: "doctor",
  summary: "which engines work here, why the others do not and how to get them, and how far their numbers agree",
  positionals: {},
  options: {
    all: { type: "boolean", default: false, describe: "errors of every operation, not of the worst alone" },
    out: unusedOut,
  },
  examples: [
    ["fathom doctor", `a line an engine, then its worst errors, how it trains beside cpu, and time a step`],
    ["fathom doctor --all", "errors of every operation on every engine as well"],
  ],
  async run({ all, quiet, json }) {
    const { examineEngines } = await import("../engine/examine.ts");
    const { environment } = await import("../runs/environment.ts");
    const say = (text: string): void => void (quiet || json || console.log(text));
    const tell = (text: string): void => void (quiet || json || console.error(pc.dim(text)));
    const facts = environment();
    const { machine, versions } = facts;
    say(`fathom ${versions["fathom"]}, Node ${versions["node"]}, ${machine.platform}, ${machine.cores} cores\n`);
    const engines = await examineEngines(({ name, works, detail, chosen }) => {
      const mark = works ? pc.green("works") : pc.yellow("not here");
      say(`${name.padEnd(15)} ${mark}${chosen ? " (auto picks this one)" : ""}\n    ${detail}`);
    });
    const working = engines.filter(({ works }) => works);
    const parity = hasBoth(working) ? await compare(working, { all, say, tell }) : undefined;
    if (json) {
      const result = {
        ...facts,
        engines,
        ...(parity && {
          operations: Object.fromEntries(parity.operations),
          training: parity.training,
          faults: parity.faults,
        }),
      };
      console.log(JSON.stringify(result, (_, value: unknown) => (value === Infinity ? "Infinity" : value), 2));
    }
    return working.length > 0 && !parity?.faults.length ? exitCodes.done : exitCodes.failure;
  },
});

/** The two that the others are held against, in numbers and in time. */
const hasBoth = (working: readonly Examination[]): boolean =>
  ["cpu", "onnx"].every((name) => working.some((engine) => engine.name === name));

/** Steps that the networks are trained for: few, since `cpu` is slow. */
const steps = 10;

/** Compares the engines with float64 and with each other; tells what it does, and says what it has found. */
async function compare(
  working: readonly Examination[],
  { all, say, tell }: { all: boolean; say: (text: string) => void; tell: (text: string) => void },
) {
  const { compareOperations, compareTraining, faultsOf, makeEngines, smallNetworks } = await import("../parity.ts");
  const { byOperation, refusals, summary } = await import("./parity-text.ts");
  const { table } = await import("./table.ts");
  const engines = await makeEngines(working.map(({ choice }) => choice));
  try {
    tell("");
    const operations = await compareOperations(engines, (name) => tell(`trying every operation on ${name} ...`));
    const training = await compareTraining(engines, smallNetworks(), {
      steps: [steps],
      onNetwork: (name) => tell(`training a ${name} for ${steps} steps on every engine ...`),
    });
    if (all) {
      const { head, rows } = byOperation(operations);
      say(`\n${table(head, rows)}\nlargest error forward / of a gradient, in parts of the largest number\n`);
      say(["refused, loudly:", ...refusals(operations).map((line) => `  ${line}`)].join("\n"));
    }
    const { head, rows } = summary(operations, training, pc.red);
    const count = [...operations.values()][0]!.length;
    const load = Math.max(...training.map(({ load }) => load));
    say(
      `\n${table(head, rows)}\n` +
        `errors: of ${count} operations on random and hard shapes, against float64, in parts of the largest number\n` +
        `loss: largest relative difference from cpu in ${steps} steps of ${training.map(({ network }) => network).join(", ")}\n` +
        `refused: cases that an engine does not compute and says so; --all lists them\n` +
        `time: a step of the ${training[0]!.network} in parts of onnx's, at a load of ${load.toFixed(1)}`,
    );
    const faults = [...operations].flatMap(([name, parities]) =>
      faultsOf(name, parities, training).map((fault) => `${name}: ${fault}`),
    );
    if (faults.length > 0)
      say(pc.red(["\nbeyond any rounding:", ...faults, "use another engine, and report this output"].join("\n  ")));
    return { operations, training, faults };
  } finally {
    for (const engine of engines.values()) await engine.dispose();
  }
}
