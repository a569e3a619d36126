import type { Metric, MetricContext, MetricValue } from "./metric.ts";
import { accuracyOf, trainedClassifier } from "./trained-classifier.ts";
import { generatedImages } from "./view.ts";

/** A class with a smaller part of its fair share 1/C does not count as covered. What a classifier that errs once in a hundred
 *  images takes for a class that is not there is about as much again smaller. */
const COVERED = 1 / 10;

/** What a classifier of the set's own classes takes `images` generated ones for: the share of each class; KL(shares || uniform) =
 *  sum_c p_c log(C p_c) in nats, 0 where all classes are equally frequent and log C where there is one; and how many classes have
 *  at least a tenth of their fair share 1/C, the modes covered. Names: `class-kl`, `modes`, `class/0` ..., `classifier-accuracy`. */
export const classHistogram: Metric = {
  name: "class-histogram",
  summary: "classes of generated images: their shares, KL to uniform (nats) and modes covered",
  needs: ["generate"],
  async measure(context: MetricContext): Promise<MetricValue[]> {
    const classifier = await trainedClassifier(context);
    const classes = await classifier.classify(await generatedImages(context), context.images);
    const detail = `${context.images} generated images`;
    return [...histogram(classes, classifier.classes).map((value) => ({ ...value, detail })), accuracyOf(classifier)];
  },
};

/** The numbers of a histogram, of the class of every image. */
export function histogram(labels: Uint8Array, classes: number): MetricValue[] {
  const shares = Array.from({ length: classes }, () => 0);
  for (const label of labels) shares[label]! += 1 / labels.length;
  const kl = shares.reduce((sum, share) => sum + (share > 0 ? share * Math.log(share * classes) : 0), 0);
  // Sums of 1/n are short by rounding where a share is exactly a tenth.
  const isCovered = (share: number): boolean => share * classes >= COVERED * (1 - 1e-9);
  return [
    { name: "class-kl", value: kl },
    { name: "modes", value: shares.filter(isCovered).length },
    ...shares.map((value, c) => ({ name: `class/${c}`, value })),
  ];
}
