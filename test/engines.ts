// The engines that are compared with `cpu`, and which of them this machine has.
import { test } from "vitest";
import type { EngineKind } from "../src/engine/engine.ts";
import { onnx, tensorflow, wasm } from "../src/engine/index.ts";

const missing = await tensorflow.unavailable();
if (missing) console.log(`tests of engine tensorflow are skipped: ${missing}`);

/** Every engine with the `test` that runs it, or skips it where it is not installed. */
export const comparedEngines: readonly { readonly kind: EngineKind; readonly test: typeof test | typeof test.skip }[] =
  [
    { kind: onnx, test },
    { kind: wasm, test },
    { kind: tensorflow, test: missing ? test.skip : test },
  ];
