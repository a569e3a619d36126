// Gradients on one tape over many stages, in the memory of what is still to come.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";

/** dy/dx of the scalar y = `f()` for each of `xs`, made before; undefined where y does not depend on x. The same operations in the same
 *  order as TensorFlow.js's own gradients, which keep all that they make to the end: here what an operation has saved goes when
 *  its gradient is taken, a cotangent when it has been passed on, and what was made on the way at once. `f` calls no gradient
 *  but nested ones, and is not called within one. */
export function gradientsOf(f: () => Tensor, xs: readonly Tensor[]): (Tensor | undefined)[] {
  const { tape, y } = record(f);
  // What depends on an x; the rest needs no gradient.
  const reached = new Set(xs.map(({ id }) => id));
  const steps = tape.filter(({ inputs, outputs, saved }) => {
    const isReached = Object.values(inputs).some(({ id }) => reached.has(id));
    if (isReached) for (const { id } of outputs) reached.add(id);
    else tf.dispose(saved ?? []);
    return isReached;
  });
  const cotangents = new Map<number, Tensor>([[y.id, tf.ones(y.shape)]]);
  for (const { inputs, outputs, gradient, saved, kernelName } of steps.reverse()) {
    const dys = outputs.map(({ id }) => cotangents.get(id));
    if (dys.some((dy) => dy)) {
      if (!gradient) throw new Error(`TensorFlow.js has no gradient of ${kernelName}`);
      const wanted = Object.entries(inputs).filter(([, { id }]) => reached.has(id));
      const dxs = tf.tidy(() => {
        // It puts zeros in the place of what is missing, which its types do not say.
        const gradients = gradient(dys as Tensor[]);
        return wanted.map(([name]) => gradients[name]!());
      });
      const own = new Set<Tensor | undefined>([...dys, ...(saved ?? [])]);
      wanted.forEach(([, { id, shape }], i) => {
        let dx = dxs[i]!;
        // As with the gradients of some operations under broadcasting.
        if (!tf.util.arraysEqual(dx.shape, shape))
          throw new Error(`TensorFlow.js: a gradient of ${kernelName} has shape [${dx.shape}], its input [${shape}]`);
        // Tensors that are disposed of on their own: some gradients are the cotangent itself, or one of another input too.
        if (own.has(dx)) dx = tf.clone(dx);
        own.add(dx);
        const before = cotangents.get(id);
        cotangents.set(id, before ? tf.add(before, dx) : dx);
        if (before) tf.dispose([before, dx]);
      });
    }
    for (const { id } of outputs) {
      cotangents.get(id)?.dispose();
      cotangents.delete(id);
    }
    tf.dispose(saved ?? []);
  }
  y.dispose();
  return xs.map(({ id }) => cotangents.get(id));
}

/** Runs `f` with the tape on, as TensorFlow.js's `gradients` does. */
function record(f: () => Tensor) {
  const { state } = tf.engine();
  state.activeTape = [];
  state.gradientDepth++;
  try {
    const y = tf.tidy(f);
    return { y, tape: state.activeTape };
  } finally {
    state.gradientDepth--;
    state.activeTape = undefined!;
  }
}
