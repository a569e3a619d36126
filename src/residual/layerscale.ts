import * as tf from "@tensorflow/tfjs-core";
import { constant } from "../nn/parameters.ts";
import { type Place, type ResidualScheme, transformerLayersOf } from "./scheme.ts";

/** CaiT, section 2.1: 0.1 up to 18 layers, 1e-5 up to 24, 1e-6 beyond. */
function start(place: Place): number {
  const layers = transformerLayersOf(place);
  return layers <= 18 ? 0.1 : layers <= 24 ? 1e-5 : 1e-6;
}

/** LayerScale: x' = x + diag(gamma) F(LN(x)) with a learned vector on every branch that starts small. Touvron et al. 2021
 *  (ICCV), equations 4 and 5; facebookresearch/deit, cait_models.py. */
export const layerscale: ResidualScheme = {
  name: "layerscale",
  summary: "x' = x + gamma F(LN(x)), gamma a learned vector from 0.1 or less (Touvron et al. 2021, CaiT)",
  equation: "x' = x + diag(gamma) F(LN(x)); LN after each stack",
  paper: "Touvron et al., Going Deeper With Image Transformers",
  year: 2021,
  remarks:
    "The paper names no value between 19 and 23 layers; 1e-5 is taken there. Depth is that of the stack, and " +
    "cross-attention has a vector of its own: both ours. Two residual MLP blocks count as a layer.",
  finalNorm: true,
  warmupExpected: true,
  constants: (place) => ({ gamma: start(place) }),
  parameters: (place) =>
    place.sublayer === "end" ? {} : { [`${place.sublayer}/gamma`]: constant([place.network.width], start(place)) },
  connect: (x, branch, { sublayer, norm, parameter }) =>
    tf.add(x, tf.mul(branch(norm(x)), parameter(`${sublayer}/gamma`))),
};
