import * as tf from "@tensorflow/tfjs-core";
import { isFirst, type ResidualScheme } from "./scheme.ts";

/** ResiDual: a Post-LN stream, x' = LN(x + f) with f = F(x), and beside it what a Pre-LN stream would have added up,
 *  r' = r + f; both start at the embedding, and a stack gives x + LN(r). The gradient reaches every branch through r
 *  without passing a norm on the stream. Xie et al. 2023 (arXiv 2304.14802); microsoft/ResiDual, resi_dual_layers.py. */
export const residualDual: ResidualScheme = {
  name: "residual-dual",
  summary:
    "ResiDual: Post-LN, and the sum of all branches beside it, normalised and added at the end (Xie et al. 2023)",
  equation: "f = F(x); r' = r + f; x' = LN(x + f); each stack gives x + LN(r)",
  paper: "Xie et al., ResiDual: Transformer with Dual Residual Connections",
  year: 2023,
  remarks:
    "The authors' code has factors on f in r and on x at the end, all 1 in its configurations: they are left out. Its last " +
    "norm has an epsilon of 1e-7, here that of model.norm.",
  finalNorm: true,
  warmupExpected: true,
  recalls: (place) => (isFirst(place) || place.sublayer === "end" ? ["accumulated"] : []),
  open(x, { remember }) {
    remember("accumulated", x);
    return x;
  },
  connect(x, branch, { norm, recall, remember }) {
    const f = branch(x);
    remember("accumulated", tf.add(recall("accumulated"), f));
    return norm(tf.add(x, f));
  },
  close: (x, { norm, recall }) => tf.add(x, norm(recall("accumulated"))),
};
