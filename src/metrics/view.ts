// How metrics ask a model: batch by batch, with a breath between the calls.
import { stream } from "../random.ts";
import type { Player } from "../stage.ts";
import type { HostTensor } from "../types.ts";
import type { MetricContext, MetricValue } from "./metric.ts";

/** Rows of a call at most: enough that a call costs little beside its rows. */
const ROWS = 500;

/** The view of a name; which views a metric needs has been checked against the model before. */
export const viewOf = (context: MetricContext, name: string): Player => {
  const view = context.views[name];
  if (!view) throw new Error(`internal error: a metric needs the view "${name}", which this model does not have`);
  return view;
};

/** Lets timers and signals come through, which calls of the engine block; throws the signal's reason where it is aborted. */
export async function breathe({ signal }: Pick<MetricContext, "signal">): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}

/** A matrix of `rows` rows as a tensor [rows, data.length / rows]. */
export const matrix = (data: Float32Array, rows: number): HostTensor => ({
  dtype: "float32",
  shape: [rows, data.length / rows],
  data,
});

/** What a network says of every row of `input`, [rows, D] as its batch entry `name`: a copy, [rows, E]. Batches are of one size as
 *  far as that goes, since networks with batch normalisation look at rows together. */
export async function outputOfRows(
  context: Pick<MetricContext, "engine" | "parameters" | "signal">,
  view: Player,
  name: string,
  input: Float32Array,
  rows: number,
): Promise<Float32Array> {
  const width = input.length / rows;
  const perCall = Math.ceil(rows / Math.ceil(rows / ROWS));
  let result: Float32Array | undefined;
  for (let from = 0; from < rows; from += perCall) {
    const to = Math.min(from + perCall, rows);
    const tensors = { [name]: matrix(input.subarray(from * width, to * width), to - from) };
    const output = await context.engine.output(view, context.parameters, { tensors, tokens: to - from });
    const size = output.length / (to - from);
    result ??= new Float32Array(rows * size);
    result.set(output, from * size);
    await breathe(context);
  }
  return result ?? new Float32Array();
}

/** `context.images` images from `generate` [N, P], of latent variables z ~ N(0, I): the same ones for every metric of a seed. */
export function generatedImages(context: MetricContext): Promise<Float32Array> {
  const { images, latent, seed } = context;
  const z = stream(seed, "metric/latent").normal(new Float32Array(images * latent));
  return outputOfRows(context, viewOf(context, "generate"), "latent", z, images);
}

/** The mean of one number an image, and its standard error s / sqrt(n); of a single number there is none. */
export function meanOver(name: string, values: Float64Array): MetricValue {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n < 2) return { name, value: mean };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { name, value: mean, standardError: Math.sqrt(squares / (n - 1) / n) };
}
