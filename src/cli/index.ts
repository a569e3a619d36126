// The verbs of the command line, one line each.

export { list } from "./list.ts";
