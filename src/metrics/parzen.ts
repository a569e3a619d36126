import type { Tensor } from "@tensorflow/tfjs-core";
import * as tf from "@tensorflow/tfjs-core";
import type { Player } from "../stage.ts";
import type { Metric, MetricContext, MetricValue } from "./metric.ts";
import { breathe, generatedImages, matrix, meanOver } from "./view.ts";

/** Images of the split that choose sigma, at most. */
const CHOOSING = 5000;
/** Candidates for sigma: 0.05 to 1, as grey values lie in [0, 1], in steps of a tenth. */
const SIGMAS = Array.from({ length: 33 }, (_, i) => 0.05 * 20 ** (i / 32));
/** Images whose distances to all samples are held at once. */
const ROWS = 100;

/** The Parzen-window log-likelihood (Breuleux et al. 2011; Goodfellow et al. 2014, section 5): of the grey images x of the split under
 *  a mixture of Gaussians around n generated ones, log p(x) = log 1/n sum_i N(x; x_i, sigma^2 I), in nats, as a density of pixels in
 *  [0, 1]: the mean and its standard error over images. n is `images`; sigma is that of a grid which gives dev images (5,000 at
 *  most) the largest mean. Names: `parzen`, `parzen-sigma`. What it says of a model is little, since it prefers samples near the
 *  training images to everything else (Theis et al. 2016); it is here to be compared with published numbers. */
export const parzen: Metric = {
  name: "parzen",
  summary: "Gaussian Parzen-window log-likelihood of grey images, sigma chosen on dev images (nats an image)",
  needs: ["generate"],
  async measure(context: MetricContext): Promise<MetricValue[]> {
    const samples = await generatedImages(context);
    const scores = (x: Float32Array, count: number, sigmas: readonly number[], share: readonly [number, number]) =>
      parzenLogLikelihoods(context, { x, count, samples, n: context.images, sigmas, share });
    const dev = context.examples("dev", CHOOSING);
    const chosen = context.examples(context.split);
    const devShare = dev.count / (dev.count + chosen.count);
    const means = (await scores(dev.grey, dev.count, SIGMAS, [0, devShare])).map(
      (values) => meanOver("", values).value,
    );
    const sigma = SIGMAS[means.indexOf(Math.max(...means))]!;
    const [values] = await scores(chosen.grey, chosen.count, [sigma], [devShare, 1]);
    const detail = `${context.images} generated images`;
    return [
      { ...meanOver("parzen", values!), detail },
      { name: "parzen-sigma", value: sigma },
    ];
  },
};

/** x_i . y_j of the rows of two matrices, [N, P] and [M, P] -> [N, M]. */
const products: Player = {
  name: "products",
  stages: [
    {
      name: "products",
      stack: "products",
      layer: "",
      key: "products of rows",
      parameters: {},
      reads: ["x", "y"],
      apply: (_, { x, y }) => ({ products: tf.matMul(x as tf.Tensor2D, y as tf.Tensor2D, false, true) as Tensor }),
    },
  ],
  scalars: [],
  output: "products",
};
const none = new Map<string, never>();

/** log 1/n sum_j N(x; y_j, sigma^2 I) of every row x [count, P] for each of `sigmas`, y_j the rows of `samples` [n, P]: nats,
 *  [sigmas, count]. Squared distances are |x|^2 + |y|^2 - 2 x.y with norms in float64 and products in float32. */
export async function parzenLogLikelihoods(
  context: Pick<MetricContext, "engine" | "signal" | "progress">,
  options: {
    readonly x: Float32Array;
    readonly count: number;
    readonly samples: Float32Array;
    readonly n: number;
    readonly sigmas: readonly number[];
    /** From where to where the caller's progress goes. */
    readonly share?: readonly [number, number];
  },
): Promise<Float64Array[]> {
  const { x, count, samples, n, sigmas, share = [0, 1] } = options;
  const width = samples.length / n;
  const [xSquares, ySquares] = [squares(x, count), squares(samples, n)];
  const y = matrix(samples, n);
  const result = sigmas.map(() => new Float64Array(count));
  const distances = new Float64Array(n);
  for (let from = 0; from < count; from += ROWS) {
    const to = Math.min(from + ROWS, count);
    const tensors = { x: matrix(x.subarray(from * width, to * width), to - from), y };
    const product = await context.engine.output(products, none, { tensors, tokens: to - from });
    for (let row = from; row < to; row++) {
      const start = (row - from) * n;
      let nearest = Infinity;
      for (let j = 0; j < n; j++) {
        const d = (distances[j] = xSquares[row]! + ySquares[j]! - 2 * product[start + j]!);
        if (d < nearest) nearest = d;
      }
      sigmas.forEach((sigma, i) => {
        const scale = 1 / (2 * sigma * sigma);
        // What is exp(-50) of the nearest is lost in float64 among a million others.
        const reach = nearest + 50 / scale;
        let sum = 0;
        for (let j = 0; j < n; j++) if (distances[j]! < reach) sum += Math.exp((nearest - distances[j]!) * scale);
        result[i]![row] = Math.log(sum / n) - nearest * scale - (width / 2) * Math.log(2 * Math.PI * sigma * sigma);
      });
    }
    context.progress?.(share[0] + ((share[1] - share[0]) * to) / count);
    await breathe(context);
  }
  return result;
}

/** |row|^2 of every row, in float64. */
function squares(data: Float32Array, rows: number): Float64Array {
  const width = data.length / rows;
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += data[i]! * data[i]!;
    return sum;
  });
}
