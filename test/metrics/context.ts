import type { ImageExamples, ImageSplit } from "../../src/data/images.ts";
import type { Engine } from "../../src/engine/engine.ts";
import type { MetricContext, MetricValue, Views } from "../../src/metrics/metric.ts";
import { stream } from "../../src/random.ts";
import type { Parameters } from "../../src/stage.ts";

/** Grey images [count, P] as the splits of a set, binarised at a half. */
export function examplesOf(grey: Float32Array, count: number, labels = new Uint8Array(count)): ImageExamples {
  return { count, grey, evaluated: grey.map((v) => (v >= 0.5 ? 1 : 0)), labels };
}

/** Images of uniform noise, [count, pixels]. */
export const noise = (purpose: string, count: number, pixels: number): Float32Array =>
  stream(3, purpose).uniform(new Float32Array(count * pixels));

/** A metric's context of a set whose splits are `splits`; what is not given is small. */
export function contextOf(
  options: {
    readonly engine: Engine;
    readonly parameters: Parameters;
    readonly views: Views;
    readonly latent: number;
    readonly splits: Readonly<Record<ImageSplit, ImageExamples>>;
  } & Partial<MetricContext>,
): MetricContext {
  const { splits, ...rest } = options;
  const pixels = splits.test.grey.length / splits.test.count;
  return {
    set: { name: "test", height: 1, width: pixels },
    binarization: "threshold",
    split: "test",
    seed: 1,
    importanceSamples: 10,
    images: 10,
    ...rest,
    examples(split, most = Infinity) {
      const { count, grey, evaluated, labels } = splits[split];
      const shown = Math.min(most, count);
      const cut = (data: Float32Array): Float32Array => data.subarray(0, (shown * data.length) / count);
      return { count: shown, grey: cut(grey), evaluated: cut(evaluated), labels: labels.subarray(0, shown) };
    },
  };
}

/** The value of a name, which has to be there. */
export function valueOf(values: readonly MetricValue[], name: string): number {
  const found = values.find((value) => value.name === name);
  if (!found) throw new Error(`no metric is called ${name}: ${values.map((value) => value.name).join(", ")}`);
  return found.value;
}
