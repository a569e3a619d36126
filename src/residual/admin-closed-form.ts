import * as tf from "@tensorflow/tfjs-core";
import { branchesOf, type Place, type ResidualScheme } from "./scheme.ts";

function omega(place: Place): number {
  const n = branchesOf(place);
  return Math.sqrt((n + 1) / Math.log(n + 1) - 1);
}

/** Admin without profiling: x' = LN(omega x + F(x)) with omega = sqrt((n + 1) / ln(n + 1) - 1), n the number of residual
 *  sublayers of the stack; it keeps the output's change after an update at O(log n). omega is not trained.
 *  microsoft/admin-torch, admin_torch/admin.py, `O(logn)`. */
export const adminClosedForm: ResidualScheme = {
  name: "admin-closed-form",
  summary: "x' = LN(omega x + F(x)), omega from the number of sublayers alone (admin-torch 2022)",
  equation: "x' = LN(omega x + F(x)), omega = sqrt((n + 1) / ln(n + 1) - 1)",
  paper: "Liu et al., Understanding the Difficulty of Training Transformers (as in admin-torch)",
  year: 2022,
  remarks:
    "omega is a fixed number, as admin-torch has it by default. That a decoder counts three sublayers a layer follows from " +
    "its definition of n; admin-torch has no example of it.",
  finalNorm: false,
  warmupExpected: true,
  constants: (place) => ({ omega: omega(place) }),
  connect: (x, branch, { norm, constant }) => norm(tf.add(tf.mul(x, constant("omega")), branch(x))),
};
