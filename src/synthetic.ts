// Data without any files, for programs that time or wear out the engine: random batches, the same at every step.
import { stream } from "./random.ts";
import type { Batch, Dataset, HostTensor } from "./types.ts";

/** A batch of translation: `rows` sentences of `length` random tokens without padding, the same in every process. */
export function translationBatch(rows: number, length: number, vocabulary: number): Batch {
  const size = rows * length;
  const shape = [rows, length];
  const tokens = (purpose: string): HostTensor => ({
    dtype: "int32",
    shape,
    data: Int32Array.from(stream(1, purpose).uniform(new Float64Array(size)), (u) => Math.floor(u * vocabulary)),
  });
  const ones: HostTensor = { dtype: "float32", shape, data: new Float32Array(size).fill(1) };
  const [source, target, labels] = ["source", "target", "labels"].map(tokens);
  return {
    tensors: { source: source!, target: target!, labels: labels!, sourceMask: ones, labelWeights: ones },
    tokens: size,
  };
}

/** A dataset of one batch for training and another for evaluation. */
const datasetOf = (train: Batch, dev: Batch, dimensions: Dataset["dimensions"]): Dataset => ({
  batchAt: () => train,
  stepsPerEpoch: 1024, // as many as probes may want to compare
  evaluation: { dev: [dev], test: [dev] },
  unigramEntropy: NaN,
  dimensions,
  hashes: {},
});

/** A dataset of batches from {@link translationBatch}, in evaluation of half as many rows. */
export function syntheticTranslation(rows: number, length: number, vocabulary: number): Dataset {
  const batch = (rows: number): Batch => translationBatch(rows, length, vocabulary);
  return datasetOf(batch(rows), batch(Math.ceil(rows / 2)), { vocabulary, maxLength: length });
}

/** A dataset of batches of `rows` images of `side` x `side` random pixels in [0, 1), in evaluation of half as many rows. */
export function syntheticImages(rows: number, side: number): Dataset {
  const pixels = side * side;
  const batch = (rows: number): Batch => {
    const data = stream(1, "images").uniform(new Float32Array(rows * pixels));
    return { tensors: { images: { dtype: "float32", shape: [rows, pixels], data } }, tokens: rows };
  };
  return datasetOf(batch(rows), batch(Math.ceil(rows / 2)), { pixels, height: side, width: side });
}
