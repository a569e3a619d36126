// `fathom doctor`: which engines work on this machine, why the others do not, and how to get them.

import pc from "picocolors";
import { common, exitCodes, verb } from "./verb.ts";

export const doctor = verb({
  usage: "doctor",
  summary: "which engines work here, why the others do not, and how to get them",
  positionals: {},
  options: { json: common.json },
  examples: [["fathom doctor", "one line an engine"]],
  async run({ json }) {
    const { examineEngines } = await import("../engine/examine.ts");
    const { environment } = await import("../runs/environment.ts");
    const engines = await examineEngines();
    if (json) {
      console.log(JSON.stringify({ ...environment(), engines }, null, 2));
      return exitCodes.done;
    }
    const { machine, versions } = environment();
    console.log(
      `fathom ${versions["fathom"]}, Node ${versions["node"]}, ${machine.platform}, ${machine.cores} cores\n`,
    );
    for (const { name, works, detail, chosen } of engines) {
      const mark = works ? pc.green("works") : pc.yellow("not here");
      console.log(`${name.padEnd(15)} ${mark}${chosen ? " (auto picks this one)" : ""}\n    ${detail}`);
    }
    return engines.some(({ works }) => works) ? exitCodes.done : exitCodes.failure;
  },
});
