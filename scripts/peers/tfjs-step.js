// The peer of `fathom bench step --peer tfjs`: the same training step as a user of TensorFlow.js writes it. Arguments LAYERS WIDTH
// BACKEND STEPS, the backend wasm, tensorflow or cpu; prints one JSON line. Pre-LN encoder-decoder, batch 32 x 32 tokens,
// vocabulary 4000, global norm clipped at 1, Adam, gradient norm of every parameter: see torch_step.py, which has the same network.
//
// One thing is written around a gap: the gradient of tf.gather is UnsortedSegmentSum, which the wasm backend (4.22) does not have. So
// lookup has a gradient of its own, tf.scatterND, which sums rows with equal indices too; a product with one-hot rows, the other
// way to write it, takes 1.2 s more a step at width 128. Exit code 2 where the backend is missing.

import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs";

const [layers, width, steps] = [2, 3, 5].map((i) => Number(process.argv[i]));
const backend = process.argv[4];
const [heads, hidden, vocabulary, batch, length] = [4, 4 * width, 4000, 32, 32];
const packages = {
  wasm: "@tensorflow/tfjs-backend-wasm",
  tensorflow: "@tensorflow/tfjs-node",
  cpu: "@tensorflow/tfjs-backend-cpu",
};
if (!packages[backend] || ![layers, width, steps].every((count) => Number.isInteger(count) && count > 0)) {
  console.error("usage: tfjs-step.js LAYERS WIDTH wasm|tensorflow|cpu STEPS");
  process.exit(2);
}
tf.env().set("PROD", true); // no advertisement on stdout
if (backend === "tensorflow") {
  // As engine tensorflow has it: one thread, and a helper that newer versions of Node took away.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= "2";
  process.env.TF_NUM_INTRAOP_THREADS ??= "1";
  process.env.TF_NUM_INTEROP_THREADS ??= "1";
  const { default: util } = await import("node:util");
  util.isNullOrUndefined ??= (value) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}
try {
  await import(packages[backend]);
  if (!(await tf.setBackend(backend))) throw new Error("it does not start");
} catch (error) {
  console.error(`backend ${backend}: ${packages[backend]} cannot be used here (${error.message.split("\n")[0]})`);
  process.exit(2);
}
await tf.ready();

const variables = {};
/** A variable, uniform in +- bound or constant. */
const variable = (name, shape, bound, constant = 0) => {
  const start = bound ? tf.randomUniform(shape, -bound, bound, "float32", 1) : tf.fill(shape, constant);
  return (variables[name] = tf.variable(start, true, name));
};
const linear = (name, from, to) => {
  const weight = variable(`${name}/weight`, [from, to], Math.sqrt(6 / (from + to)));
  const bias = variable(`${name}/bias`, [to]);
  return (x) => {
    const y = tf.matMul(x.reshape([-1, from]), weight).add(bias);
    return y.reshape([...x.shape.slice(0, -1), to]);
  };
};
const layerNorm = (name) => {
  const gain = variable(`${name}/gain`, [width], 0, 1);
  const bias = variable(`${name}/bias`, [width]);
  return (x) => {
    const { mean, variance } = tf.moments(x, -1, true);
    return x.sub(mean).mul(variance.add(1e-5).rsqrt()).mul(gain).add(bias);
  };
};
const attention = (name) => {
  const [query, key, value, out] = ["query", "key", "value", "out"].map((part) =>
    linear(`${name}/${part}`, width, width),
  );
  const split = (x) => x.reshape([batch, length, heads, width / heads]).transpose([0, 2, 1, 3]);
  return (x, memory, mask) => {
    const [q, k, v] = [query(x), key(memory), value(memory)].map(split);
    const scores = tf.matMul(q, k, false, true).mul(1 / Math.sqrt(width / heads));
    const found = tf.matMul(tf.softmax(mask ? scores.add(mask) : scores), v);
    return out(found.transpose([0, 2, 1, 3]).reshape([batch, length, width]));
  };
};
const feedForward = (name) => {
  const inner = linear(`${name}/in`, width, hidden);
  const outer = linear(`${name}/out`, hidden, width);
  return (x) => outer(inner(x).relu());
};
const embedding = (name) => {
  const table = variable(name, [vocabulary, width], Math.sqrt(3));
  const lookup = tf.customGrad((table, ids, save) => {
    save([ids]);
    const gradFunc = (dy, [ids]) => [
      tf.scatterND(ids.reshape([-1, 1]), dy.reshape([-1, width]), [vocabulary, width]),
      tf.zerosLike(ids),
    ];
    return { value: tf.gather(table, ids), gradFunc };
  });
  return (ids) => lookup(table, ids);
};
const encoderLayer = (name) => {
  const norms = [1, 2].map((i) => layerNorm(`${name}/norm${i}`));
  const [attend, forward] = [attention(`${name}/self`), feedForward(`${name}/feed-forward`)];
  return (x) => {
    const normed = norms[0](x);
    const h = x.add(attend(normed, normed));
    return h.add(forward(norms[1](h)));
  };
};
const decoderLayer = (name) => {
  const norms = [1, 2, 3].map((i) => layerNorm(`${name}/norm${i}`));
  const attend = attention(`${name}/self`);
  const cross = attention(`${name}/cross`);
  const forward = feedForward(`${name}/feed-forward`);
  return (x, memory, mask) => {
    const normed = norms[0](x);
    const h = x.add(attend(normed, normed, mask));
    const g = h.add(cross(norms[1](h), memory));
    return g.add(forward(norms[2](g)));
  };
};

const embed = { source: embedding("source"), target: embedding("target") };
const encoder = Array.from({ length: layers }, (_, i) => encoderLayer(`encoder${i}`));
const encoderNorm = layerNorm("encoder/norm");
const decoder = Array.from({ length: layers }, (_, i) => decoderLayer(`decoder${i}`));
const decoderNorm = layerNorm("decoder/norm");
const output = linear("output", width, vocabulary);

const tokens = (seed) => tf.randomUniform([batch, length], 0, vocabulary, "int32", seed);
const [source, target, labels] = [1, 2, 3].map(tokens);
const mask = tf.sub(1, tf.linalg.bandPart(tf.ones([length, length]), -1, 0)).mul(-1e9);
const onehot = tf.oneHot(labels.flatten(), vocabulary).cast("float32");

function lossOf() {
  const memory = encoderNorm(encoder.reduce((x, layer) => layer(x), embed.source(source)));
  const top = decoderNorm(decoder.reduce((x, layer) => layer(x, memory, mask), embed.target(target)));
  return tf.losses.softmaxCrossEntropy(onehot, output(top).reshape([-1, vocabulary]));
}

const optimizer = tf.train.adam(0.001, 0.9, 0.98, 1e-9);
function step() {
  return tf.tidy(() => {
    const { value, grads } = tf.variableGrads(lossOf);
    const names = Object.keys(grads);
    const norms = tf.stack(names.map((name) => tf.norm(grads[name])));
    const factor = tf.minimum(1, tf.div(1, tf.norm(norms)));
    optimizer.applyGradients(Object.fromEntries(names.map((name) => [name, grads[name].mul(factor)])));
    return { loss: value.dataSync()[0], norms: norms.dataSync() };
  });
}

const milliseconds = [];
const loss = [];
for (let i = -3; i < steps; i++) {
  const began = performance.now();
  const taken = step();
  if (i < 0) continue;
  milliseconds.push(performance.now() - began);
  loss.push(taken.loss);
}
const parameters = Object.values(variables).reduce((sum, { size }) => sum + size, 0);
console.log(JSON.stringify({ milliseconds, loss, version: tf.version_core, parameters }));
