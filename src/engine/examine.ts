import { messageOf } from "../errors.ts";
import { members } from "../registry.ts";
import type { Player, Stage } from "../stage.ts";
import * as tf from "@tensorflow/tfjs-core";
import type { EngineKind } from "./engine.ts";
import * as engines from "./index.ts";
import { automatic } from "./select.ts";

/** What `fathom doctor` says of an engine. */
export interface Examination {
  readonly name: string;
  readonly works: boolean;
  /** Whether `engine: auto` picks it here. */
  readonly chosen: boolean;
  /** What it is and that it was tried, or why it does not work and how to get it. */
  readonly detail: string;
}

/** Tries every engine on a small differentiation whose answer is known. */
export async function examineEngines(): Promise<Examination[]> {
  const { name: chosen } = await automatic();
  const found: Examination[] = [];
  for (const kind of members<EngineKind>(engines).values()) {
    const missing = (await kind.unavailable()) ?? (await trial(kind));
    const detail = missing ?? kind.summary;
    found.push({ name: kind.name, works: !missing, chosen: kind.name === chosen, detail });
  }
  return found;
}

/** Differentiates loss = sum((w x)^2) at w = 3, x = 2: loss 36, gradient 24. */
async function trial(kind: EngineKind): Promise<string | undefined> {
  const stage: Stage = {
    name: "trial",
    stack: "trial",
    layer: "",
    key: "doctor's trial",
    parameters: { w: { path: "w", shape: [1], init: { kind: "constant", value: 3 } } },
    reads: ["x"],
    apply: ({ w }, { x }) => ({ loss: tf.sum(tf.square(tf.mul(w!, x!))) }),
  };
  const player: Player = { name: "trial", stages: [stage], scalars: ["loss"] };
  const parameters = new Map([["w", { ...stage.parameters["w"]!, data: Float32Array.of(3) }]]);
  const batch = { tensors: { x: { dtype: "float32", shape: [1], data: Float32Array.of(2) } }, tokens: 1 } as const;
  try {
    const engine = await kind.create({ threads: 1 });
    const { scalars, gradients } = await engine.differentiate(player, parameters, batch, {
      step: 0,
      seed: 1,
      tapped: false,
    });
    const got = [scalars["loss"], gradients.get("w")![0]];
    await engine.dispose();
    return got[0] === 36 && got[1] === 24
      ? undefined
      : `computes wrongly: expected loss 36 and gradient 24, got ${got.join(" and ")}`;
  } catch (error) {
    return `fails: ${messageOf(error)}`;
  }
}
