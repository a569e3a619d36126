import { messageOf } from "../errors.ts";
import { members } from "../registry.ts";
import type { Player, Stage } from "../stage.ts";
import * as tf from "@tensorflow/tfjs-core";
import type { EngineKind } from "./engine.ts";
import * as engines from "./index.ts";
import { automatic, type EngineChoice, engineText } from "./select.ts";

/** What `fathom doctor` says of an engine. */
export interface Examination {
  /** `onnx`, `onnx on webgpu`. */
  readonly name: string;
  /** What a configuration says to get it. */
  readonly choice: EngineChoice;
  readonly works: boolean;
  /** Whether `engine: auto` picks it here. */
  readonly chosen: boolean;
  /** What it is and that it was tried, or why it does not work and how to get it. */
  readonly detail: string;
}

/** Tries every engine, those that compile graphs on every provider, on a small differentiation whose answer is known; `onFound`
 *  hears of each as it has been tried. */
export async function examineEngines(onFound: (found: Examination) => void = () => {}): Promise<Examination[]> {
  const auto = await automatic();
  const found: Examination[] = [];
  for (const kind of members<EngineKind>(engines).values()) {
    const [, ...others] = kind.providers ?? [];
    for (const provider of [undefined, ...others]) {
      const choice = provider ? { kind: kind.name, provider: provider.name } : kind.name;
      const missing =
        (await kind.unavailable({ threads: 1, provider: provider?.name })) ?? (await trial(kind, provider?.name));
      const examination = {
        name: engineText(choice),
        choice,
        works: !missing,
        chosen: kind === auto && !provider,
        detail: missing ?? provider?.summary ?? kind.summary,
      };
      found.push(examination);
      onFound(examination);
    }
  }
  return found;
}

/** Differentiates loss = sum((w x)^2) at w = 3, x = 2: loss 36, gradient 24. */
async function trial(kind: EngineKind, provider: string | undefined): Promise<string | undefined> {
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
    const engine = await kind.create({ threads: 1, provider });
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
