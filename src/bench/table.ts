// The table of comparisons, for people.

import { distinct } from "../statistics.ts";
import { bestPeer } from "./turns.ts";
import { type Comparison, type Range, rangeText } from "./work.ts";

/** A comparison a row, a column for every peer that was measured somewhere, and ratios to those; what stands under it. */
export function comparisonTable(comparisons: readonly Comparison[]): {
  head: string[];
  rows: string[][];
  under: string;
} {
  const peers = distinct(comparisons.flatMap(({ peers }) => peers.map(({ name }) => name)));
  const ratios = [
    ...(peers.includes("torch") ? ["ratio to torch"] : []),
    ...(peers.length > 0 ? ["ratio to best"] : []),
  ];
  const head = ["work", "shape", "threads", "unit", "fathom", ...peers, ...ratios];
  const rows = comparisons.map((comparison) => {
    const { work, shape, threads, unit, fathom } = comparison;
    const side = (name: string) => comparison.peers.find((peer) => peer.name === name);
    const best = bestPeer(comparison);
    const isRate = unit === "ms/token"; // known by its inverse
    const cost = (of: Range | undefined): string =>
      cell(of && isRate ? { median: 1000 / of.median, min: 1000 / of.max, max: 1000 / of.min } : of, threeDigits);
    const ratio = (of: Range | undefined): string => cell(of, (value) => value.toFixed(2));
    return [
      ...[work, shape, String(threads), isRate ? "tokens/s" : unit, cost(fathom.cost)],
      ...peers.map((name) => cost(side(name)?.cost)),
      ...(peers.includes("torch") ? [ratio(side("torch")?.ratio)] : []),
      ...(peers.length > 0 ? [best ? `${ratio(best.ratio)} ${best.name}` : "-"] : []),
    ];
  });
  const under = [
    "medians (lowest-highest) of the rounds",
    ...(peers.length > 0
      ? [
          "ratios are fathom / peer of the same round, of time or memory, below 1 fathom needs less; best: the peer that needs least",
        ]
      : []),
    ...(comparisons.some(({ unit }) => unit === "s/epoch")
      ? ["an epoch is scaled from the steps that were timed, of which the shape tells the number"]
      : []),
  ].join("; ");
  return {
    head,
    rows,
    under: `${under}. \`fathom bench --help\` says what each work is, --json prints every measurement`,
  };
}

const cell = (of: Range | undefined, text: (value: number) => string): string => (of ? rangeText(of, text) : "-");

const threeDigits = (value: number): string =>
  value.toFixed(Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(value)))));
