import * as tf from "@tensorflow/tfjs-core";
import { branchesOf, isFirst, type Place, type ResidualScheme } from "./scheme.ts";

/** The first sublayer of the stack, which has no outer norm. */
const opens = (place: Place): boolean => place.layer === 0 && isFirst(place);

/** Keel: x' = LN(alpha x + F(LN(x))) with alpha the number of sublayers of the stack, so that the product of the skip
 *  path's Jacobians (alpha / sqrt(alpha^2 + 1))^L goes to 1. The first sublayer has no outer norm, the sublayers of the
 *  first layer no alpha; norms have no bias. Chen & Wei 2026, equations 14 to 19 (arXiv 2601.19895). */
export const keel: ResidualScheme = {
  name: "keel",
  summary: "x' = LN(alpha x + F(LN(x))), alpha the number of sublayers (Chen & Wei 2026)",
  equation:
    "x' = LN(alpha x + F(LN(x))), alpha the number of sublayers, 1 in the first layer; x + F(LN(x)) in the first sublayer",
  paper: "Chen & Wei, Post-LayerNorm Is Back: Stable, ExpressivE, and Deep",
  year: 2026,
  remarks:
    "The paper is decoder-only: alpha = 2N and 3M, and the first cross-attention treated as the first feed-forward, are " +
    "ours. No official code was found; the rules of the first sublayers rest on one reading of the text. The paper's " +
    "norm is rms-norm.",
  finalNorm: false,
  warmupExpected: true,
  unbiasedNorms: true,
  constants: (place) => ({ alpha: place.layer === 0 ? 1 : branchesOf(place) }),
  norms(place): Record<string, number> {
    const { sublayer, network } = place;
    if (sublayer === "end") return {};
    return { [sublayer]: network.width, ...(!opens(place) && { [`${sublayer}-out`]: network.width }) };
  },
  form: (place) => (opens(place) ? "first" : ""),
  connect(x, branch, { sublayer, form, norm, constant }) {
    const f = branch(norm(x));
    return form === "first" ? tf.add(x, f) : norm(tf.add(tf.mul(x, constant("alpha")), f), `${sublayer}-out`);
  },
};
