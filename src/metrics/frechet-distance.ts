import { UserError } from "../errors.ts";
import { frechet, gaussianOf } from "./gaussians.ts";
import type { Metric, MetricContext, MetricValue } from "./metric.ts";
import { accuracyOf, FEATURES, trainedClassifier } from "./trained-classifier.ts";
import { generatedImages } from "./view.ts";

/** Images from which the features' covariance has full rank. */
const LEAST = FEATURES + 1;

/** The Fréchet distance (Heusel et al. 2017) between generated and real images: of Gaussians fitted to what a classifier of the
 *  set's own classes makes of `images` generated ones and of the split's, in its last layer before the classes. It falls with the
 *  number of images and depends on the classifier, whose SHA-256 is told; numbers of other classifiers are of another scale. The
 *  floor is what as many training images are from the split. Names: `frechet-distance`, `frechet-distance/floor`,
 *  `classifier-accuracy`. A `UserError` where there are fewer images than such a covariance needs. */
export const frechetDistance: Metric = {
  name: "frechet-distance",
  summary: "Fréchet distance of generated images to real ones in the features of a classifier",
  needs: ["generate"],
  async measure(context: MetricContext): Promise<MetricValue[]> {
    if (context.images < LEAST)
      throw new UserError(
        `frechet-distance: expected at least ${LEAST} generated images (metrics.images, --images), more than the classifier has ` +
          `features, got ${context.images}; ask for more`,
      );
    const classifier = await trainedClassifier(context);
    const fitted = async (pixels: Float32Array, count: number) =>
      gaussianOf(await classifier.features(pixels, count), count);
    const real = context.examples(context.split);
    const training = context.examples("train", context.images);
    const reality = await fitted(real.grey, real.count);
    const generated = await fitted(await generatedImages(context), context.images);
    return [
      {
        name: "frechet-distance",
        value: frechet(generated, reality),
        detail: `${context.images} generated images`,
      },
      { name: "frechet-distance/floor", value: frechet(await fitted(training.grey, training.count), reality) },
      accuracyOf(classifier),
    ];
  },
};
