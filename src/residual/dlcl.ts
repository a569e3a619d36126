import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { constant } from "../nn/parameters.ts";
import { type Here, isFirst, layersOf, type Place, type ResidualScheme } from "./scheme.ts";

/** What layer k of 0..L has to read: y_0 the embedding, y_k what layer k wrote, through a norm of its own. */
const history = (k: number): string => `history-${k}`;

/** The layer that enters at a place, from 0; the number of layers at the end. Layers of different number read histories
 *  of different length, so each is a form of its own. */
const numberOf = ({ form }: Here): number => Number(form);

const combinationOf = ({ sublayer }: Pick<Place, "sublayer">): string =>
  sublayer === "end" ? "end/combination" : "layer/combination";

/** Adds y_l to the history and gives x_{l+1} = sum_k W_k LN(y_k). */
function combine(written: Tensor, here: Here): Tensor {
  const l = numberOf(here);
  const newest = l === 0 ? written : here.norm(written, "history");
  here.remember(history(l), newest);
  const weights = here.parameter(combinationOf(here));
  // TensorFlow.js cannot differentiate unstack into one part.
  const each = l === 0 ? [tf.reshape(weights, [])] : tf.unstack(weights);
  return each.map((w, k) => tf.mul(here.recall(history(k)), w)).reduce((sum, term) => tf.add(sum, term));
}

/** Dynamic linear combination of layers, in its pre-norm form: layer l + 1 reads x_{l+1} = sum_{k <= l} W_{l+1,k} LN_k(y_k)
 *  with y_0 the embedding, which has no norm, and y_k the stream as layer k left it; layers themselves are Pre-LN, and a
 *  last combination precedes the final norm. W starts as the mean, 1 / (l + 1). Wang et al. 2019 (ACL), section 3;
 *  wangqiangneu/dlcl, dlcl.py and simple_dlcl_transformer.py. */
export const dlcl: ResidualScheme = {
  name: "dlcl",
  summary: "DLCL, pre-norm: every layer reads a learned combination of all layers below (Wang et al. 2019)",
  equation:
    "x' = x + F(LN(x)); layer l begins at x = sum_{k < l} W_lk LN(y_k), y_k the end of layer k, y_0 the embedding without LN; " +
    "LN after a last such sum",
  paper: "Wang et al., Learning Deep Transformer Models for Machine Translation",
  year: 2019,
  remarks:
    "The form with pre-norm layers, which is the deeper of the two in the paper: 30 encoder layers, against 25 of the " +
    "post-norm form. The decoder combines its layers as the encoder does, as in the authors' code. Every layer has a graph " +
    "of its own, so compiling takes longer the deeper the network is, beyond 30 layers much longer.",
  finalNorm: true,
  warmupExpected: true,
  constants: (place): Record<string, number> => (startsAt(place) ? { W: 1 / (place.layer + 1) } : {}),
  norms: (place) => ({
    [place.sublayer === "end" ? "" : place.sublayer]: place.network.width,
    ...(startsAt(place) && place.layer > 0 ? { history: place.network.width } : {}),
  }),
  parameters: (place) =>
    startsAt(place) ? { [combinationOf(place)]: constant([place.layer + 1], 1 / (place.layer + 1)) } : {},
  form: ({ layer }) => String(layer),
  recalls: (place) => (startsAt(place) ? Array.from({ length: place.layer }, (_, k) => history(k)) : []),
  enter: combine,
  connect: (x, branch, { norm }) => tf.add(x, branch(norm(x))),
  close: (x, here) => here.norm(combine(x, here)),
};

/** Whether a layer, or what follows the last, begins here. */
function startsAt(place: Place): boolean {
  return isFirst(place) || place.layer === layersOf(place);
}
