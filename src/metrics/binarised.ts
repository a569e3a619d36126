import { UserError } from "../errors.ts";
import type { MetricContext } from "./metric.ts";

/** Throws a `UserError` where images are grey: a Bernoulli decoder gives them no likelihood, and what it would give is not
 *  comparable with published numbers. */
export function refuseGrey(metric: string, { binarization }: Pick<MetricContext, "binarization">): void {
  if (binarization === "none")
    throw new UserError(
      `${metric}: expected binarised images, of which alone a Bernoulli decoder has a likelihood, got data.binarization: none; ` +
        "train with data.binarization: dynamic or threshold, or leave this metric out",
    );
}
