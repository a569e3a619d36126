// `fathom doctor`: which engines work on this machine, why the others do not, and how to get them.

import pc from "picocolors";
import { exitCodes, print, unusedOut, verb } from "./verb.ts";

export const doctor = verb({
  usage: "doctor",
  summary: "which engines work here, why the others do not, and how to get them",
  positionals: {},
  options: { out: unusedOut },
  examples: [["fathom doctor", "one line an engine"]],
  async run({ quiet, json }) {
    const { examineEngines } = await import("../engine/examine.ts");
    const { environment } = await import("../runs/environment.ts");
    const engines = await examineEngines();
    const facts = environment();
    print({ quiet, json }, { ...facts, engines }, () => {
      const { machine, versions } = facts;
      const head = `fathom ${versions["fathom"]}, Node ${versions["node"]}, ${machine.platform}, ${machine.cores} cores`;
      const lines = engines.map(({ name, works, detail, chosen }) => {
        const mark = works ? pc.green("works") : pc.yellow("not here");
        return `${name.padEnd(15)} ${mark}${chosen ? " (auto picks this one)" : ""}\n    ${detail}`;
      });
      return [`${head}\n`, ...lines].join("\n");
    });
    return engines.some(({ works }) => works) ? exitCodes.done : exitCodes.failure;
  },
});
