// Numbers the host wants of a step.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Moments } from "../types.ts";
import { momentsOf } from "./moments.ts";
import { momentsFrom, rowMoments } from "./rows.ts";

/** Collects what is to be read; what `add` and `moments` give can be called after `read`. The tensors may be dropped meanwhile. */
export interface Readout {
  /** The numbers of a tensor. */
  add(values: Tensor): () => Float32Array;
  /** Its moments, which take less to bring over. */
  moments(x: Tensor): () => Moments;
  read(): void;
  /** Drops what has not been read. */
  dispose(): void;
}

/** Of a backend whose tensors lie in JavaScript's memory, where `view` shows them: reads at once, and sums in float64. */
export function localReadout(view: (x: Tensor) => Float32Array): Readout {
  return {
    add(values) {
      const data = Float32Array.from(view(values));
      return () => data;
    },
    moments(x) {
      const moments = momentsOf(view(x));
      return () => moments;
    },
    read: () => {},
    dispose: () => {},
  };
}

/** Of a device: waiting for it takes longer than what it does in that time, so that all is read at the end as one vector. */
export function remoteReadout(): Readout {
  let waiting: { values: Tensor; give: (data: Float32Array) => void }[] = [];
  const add = (values: Tensor): (() => Float32Array) => {
    let data: Float32Array;
    const flat = tf.keep(tf.cast(tf.reshape(values, [-1]), "float32"));
    waiting.push({ values: flat, give: (read) => (data = read) });
    return () => data;
  };
  const dispose = (): void => {
    for (const { values } of waiting) values.dispose();
    waiting = [];
  };
  return {
    add,
    moments(x) {
      const found = add(rowMoments(tf.reshape(x, [1, x.size])));
      return () => momentsFrom(found()[0]!, found()[1]!, x.size);
    },
    read() {
      if (waiting.length === 0) return;
      const all = tf.tidy(
        () => tf.concat(waiting.map(({ values }) => values as tf.Tensor1D)).dataSync() as Float32Array,
      );
      let at = 0;
      for (const { values, give } of waiting) give(all.subarray(at, (at += values.size)));
      dispose();
    },
    dispose,
  };
}
