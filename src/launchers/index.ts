// The ways to run a manifest, one line each.

export { local } from "./local.ts";
