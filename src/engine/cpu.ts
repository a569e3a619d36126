import { eagerEngine } from "./eager.ts";
import type { EngineKind } from "./engine.ts";

/** TensorFlow.js's JavaScript backend: the slow reference that tests compare with. */
export const cpu: EngineKind = {
  name: "cpu",
  summary: "TensorFlow.js's plain JavaScript kernels, eagerly: slow, the reference for tests",
  unavailable: async () => undefined,
  create: () => eagerEngine("cpu", { backend: "cpu" }),
};
