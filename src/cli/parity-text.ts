// How far engines agree, as tables: for `fathom doctor` and for docs/engines.md.
import type { OperationParity } from "../engine/twin.ts";
import { type NetworkTraining, speedRatio, worst, wrong } from "../parity.ts";

/** A table before it is laid out. */
export interface Rows {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

type Operations = ReadonlyMap<string, readonly OperationParity[]>;

const scientific = (value: number): string => (Number.isNaN(value) ? "-" : value === 0 ? "0" : value.toExponential(1));

/** A row an engine: worst errors and where they are, agreement in training, time. `mark` sets off an error that cannot be rounding. */
export function summary(
  operations: Operations,
  training: readonly NetworkTraining[],
  mark: (text: string) => string = (text) => text,
): Rows {
  const error = (found: { error: number; where: string }): string => {
    const text = `${scientific(found.error)} (${found.where})`;
    return found.error > wrong ? mark(text) : text;
  };
  const distance = (difference: number): string =>
    difference > wrong ? mark(scientific(difference)) : scientific(difference);
  const rows = [...operations].map(([name, parities]) => [
    name,
    error(worst(parities, "forward")),
    error(worst(parities, "gradient")),
    name === [...operations.keys()][0]
      ? "reference"
      : distance(Math.max(...training.map((network) => differencesOf(network, name).at(-1)!))),
    String(parities.reduce((sum, { refused }) => sum + refused.length, 0)),
    speedRatio(training[0], name).toFixed(1),
  ]);
  return { head: ["engine", "worst forward error", "worst gradient error", "loss", "refused", "time"], rows };
}

/** A row an operation: its worst errors on each engine, forward / gradient, and how many cases are refused. */
export function byOperation(operations: Operations): Rows {
  const cell = ({ forward, gradient, refused }: OperationParity): string => {
    const note = refused.length ? ` (${refused.length} refused)` : "";
    return forward.case ? `${scientific(forward.error)} / ${scientific(gradient.error)}${note}` : "refused";
  };
  const names = [...operations.values()][0]!.map(({ operation }) => operation);
  return {
    head: ["operation", ...operations.keys()],
    rows: names.map((name, i) => [name, ...[...operations.values()].map((parities) => cell(parities[i]!))]),
  };
}

/** A row an engine: largest relative difference of the loss from `cpu` up to each of the steps, by network. */
export function agreement(training: readonly NetworkTraining[]): Rows {
  const { engines } = training[0]!;
  return {
    head: [
      "engine",
      ...training.flatMap(({ network, steps }) =>
        steps.map((step) => `${network}, ${step} step${step === 1 ? "" : "s"}`),
      ),
    ],
    rows: engines
      .filter(({ engine }) => engine !== "cpu")
      .map(({ engine }) => [engine, ...training.flatMap((network) => differencesOf(network, engine)).map(scientific)]),
  };
}

/** A row an engine: milliseconds of a step and, in brackets, in parts of onnx's, by network. */
export function times(training: readonly NetworkTraining[], engines: Iterable<string>): Rows {
  return {
    head: ["engine", ...training.map(({ network }) => network)],
    rows: [...engines].map((engine) => [
      engine,
      ...training.map((network) => {
        const trained = network.engines.find((side) => side.engine === engine);
        if (!trained) return "-";
        const { milliseconds } = trained;
        return `${Number(milliseconds.toPrecision(3))} ms (${speedRatio(network, engine).toPrecision(3)})`;
      }),
    ]),
  };
}

/** Lines on the cases that engines do not compute: by whom, which operations, of what, and where not all engines refuse, what those
 *  say that do. */
export function refusals(operations: Operations): string[] {
  const all = [...operations.keys()].join(", ");
  /** Who refuses an operation, and why -> the operation's cases. */
  const cases = new Map<string, string[]>();
  const note = (by: string, operation: string, what: string): void => {
    const key = JSON.stringify([by, operation]);
    cases.set(key, [...(cases.get(key) ?? []), what]);
  };
  for (const [i, { operation }] of [...operations.values()][0]!.entries()) {
    const refused = [...operations].map(([engine, parities]) => ({ engine, cases: parities[i]!.refused }));
    for (const what of new Set(refused.flatMap((of) => of.cases.map((found) => found.case)))) {
      const by = refused.flatMap(({ engine, cases }) =>
        cases.filter((found) => found.case === what).map(({ reason }) => ({ engine, reason })),
      );
      const names = by.map(({ engine }) => engine).join(", ");
      const reasons = [...new Set(by.map(({ reason }) => inShort(reason)))].join("; ");
      note(names === all ? "every engine" : `${names} (${reasons})`, operation, what);
    }
  }
  /** The same of several operations goes on one line. */
  const lines = new Map<string, string[]>();
  for (const [key, what] of cases) {
    const [by, operation] = JSON.parse(key) as [string, string];
    const line = JSON.stringify([by, what.join("; ")]);
    lines.set(line, [...(lines.get(line) ?? []), operation]);
  }
  return [...lines].map(([line, names]) => {
    const [by, what] = JSON.parse(line) as [string, string];
    return `by ${by}: ${names.join(", ")} of ${what}`;
  });
}

/** What a library says, without where in our program it said so and what to do. */
const inShort = (reason: string): string => reason.replace(/^.*provider \S+: /, "").replace(/; use engine: .*$/, "");

const differencesOf = ({ engines }: NetworkTraining, name: string): readonly number[] =>
  engines.find(({ engine }) => engine === name)!.differences;
