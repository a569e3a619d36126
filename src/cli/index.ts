// The verbs of the command line, one line each.

export { bench } from "./bench.ts";
export { compare } from "./compare.ts";
export { corpus } from "./corpus.ts";
export { doctor } from "./doctor.ts";
export { evaluate } from "./evaluate.ts";
export { export } from "./export.ts";
export { inspect } from "./inspect.ts";
export { list } from "./list.ts";
export { measure } from "./measure.ts";
export { plot } from "./plot.ts";
export { report } from "./report.ts";
export { resume } from "./resume.ts";
export { run } from "./run.ts";
export { sample } from "./sample.ts";
export { status } from "./status.ts";
export { sweep } from "./sweep.ts";
export { train } from "./train.ts";
export { translate } from "./translate.ts";
export { ui } from "./ui.ts";
export { verify } from "./verify.ts";
export { worker } from "./worker.ts";
