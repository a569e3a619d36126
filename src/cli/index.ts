// The verbs of the command line, one line each.

export { compare } from "./compare.ts";
export { list } from "./list.ts";
export { plot } from "./plot.ts";
export { report } from "./report.ts";
export { run } from "./run.ts";
export { status } from "./status.ts";
export { sweep } from "./sweep.ts";
export { train } from "./train.ts";
