import { rmsNormalization } from "../../ops/index.ts";
import { constant } from "../parameters.ts";
import type { Norm } from "./norm.ts";

/** RMSNorm: y = x / sqrt(mean(x^2) + 1e-5) * gain (Zhang & Sennrich 2019). */
export const rmsNorm: Norm = {
  name: "rms-norm",
  summary: "RMSNorm: x / sqrt(mean(x^2) + 1e-5) * gain (Zhang & Sennrich 2019)",
  parameters: (width) => ({ gain: constant([width], 1) }),
  apply: (x, p) => rmsNormalization(x, p["gain"]!, 1e-5),
};
