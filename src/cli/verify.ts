// `fathom verify`: claims of the seed and of papers as programs, each with what it predicts, what was measured, and a verdict.

import pc from "picocolors";
import { wrapped } from "../plots/style.ts";
import { count, numberText, toleranceText, verdictCounts } from "../report/claim-text.ts";
import type { Claim } from "../types.ts";
import { common, exitCodes, verb } from "./verb.ts";

export const verify = verb({
  usage: "verify [name]",
  summary: "the seed's equations and published theorems: predicted, measured, verdict",
  positionals: { name: { type: "string", describe: "one check only; `fathom list check` names them" } },
  options: {
    out: { ...common.out, describe: "folder of all experiments; files go to verify/ in it" },
  },
  examples: [
    ["fathom verify", "all checks, minutes; exit code 1 if a claim fails; results/verify/report.html"],
    ["fathom verify --json", "the claims as a list of {name, statement, predicted, measured, verdict, ...}"],
  ],
  async run({ name, out, quiet, json }) {
    const { verify } = await import("../verify.ts");
    const { claimLines, jsonText } = await import("../runs/verify-folder.ts");
    const { interruption } = await import("./run-one.ts");
    const say = (text: string): void => void (quiet || json || console.error(text));
    const began = performance.now();
    const interrupt = interruption();
    try {
      const { records, interrupted, report } = await verify({
        name,
        out,
        signal: interrupt.signal,
        onStart: (check, index, all) => say(`${index + 1} of ${all}: ${check} ...`),
        onEnd: ({ check, seconds, claims }, index, all) =>
          say(`${index + 1} of ${all}: ${check}: ${verdictCounts(claims)}, ${seconds.toFixed(1)} s`),
      });
      if (interrupted) {
        say(`interrupted; ${count(records.length, "finished check")} kept`);
        return exitCodes.interrupted;
      }
      const claims = records.flatMap((record) => record.claims);
      if (json) console.log(jsonText(claimLines(records), 2));
      else if (!quiet) {
        for (const { claims, reason } of records) for (const claim of claims) console.log(claimText(claim, reason));
        const seconds = Math.round((performance.now() - began) / 1000);
        console.log(`${count(claims.length, "claim")}: ${verdictCounts(claims)}; ${seconds} s; ${report}`);
      }
      return claims.some(({ verdict }) => verdict === "fails") ? exitCodes.failure : exitCodes.done;
    } finally {
      interrupt.dispose();
    }
  },
});

const colours = { holds: pc.green, corrected: pc.yellow, fails: pc.red } as const;

/** A claim in a few lines, with an empty one behind them. */
function claimText(claim: Claim, reason: string | undefined): string {
  const { name, statement, predicted, measured, relativeError, verdict, correction, spread } = claim;
  const paragraphs = [statement];
  if (reason !== undefined) paragraphs.push(`could not be carried out: ${reason}`);
  else {
    const seeds = spread ? ` (${numberText(spread.low)} to ${numberText(spread.high)}, ${spread.seeds} seeds)` : "";
    const error = `relative error ${numberText(relativeError)}, tolerance ${toleranceText(claim)}`;
    paragraphs.push(`predicted ${numberText(predicted)}, measured ${numberText(measured)}${seeds}; ${error}`);
  }
  if (correction)
    paragraphs.push(`as stated it would be ${numberText(correction.claimed)}; in its place: ${correction.text}`);
  const lines = paragraphs.flatMap((text) => wrapped(text, Math.min(110, process.stdout.columns ?? 100) - 11));
  return [`${colours[verdict](verdict.padEnd(9))}  ${pc.bold(name)}`, ...lines.map((l) => `           ${l}`), ""].join(
    "\n",
  );
}
