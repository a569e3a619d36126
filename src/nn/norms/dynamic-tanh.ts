import * as tf from "@tensorflow/tfjs-core";
import { tanh } from "../../ops/index.ts";
import { constant } from "../parameters.ts";
import type { Norm } from "./norm.ts";

/** Dynamic Tanh: y = tanh(alpha x) * gain + bias, alpha one learned number, with no statistics of x.
 *  Shapes: x [..., D] -> same; alpha [1]; gain, bias [D]. Alpha starts at 0.5, as the paper has it outside of language
 *  models. Zhu et al. 2025, Transformers without Normalization (arXiv 2503.10622). */
export const dynamicTanh: Norm = {
  name: "dynamic-tanh",
  summary: "DyT: tanh(alpha x) * gain + bias, alpha one number from 0.5 (Zhu et al. 2025)",
  parameters: (width) => ({
    alpha: constant([1], 0.5),
    gain: constant([width], 1),
    bias: constant([width], 0),
  }),
  apply(x, p) {
    const y = tf.mul(tanh(tf.mul(x, p["alpha"]!)), p["gain"]!);
    return p["bias"] ? tf.add(y, p["bias"]) : y;
  },
};
