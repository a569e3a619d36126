// The order of training: which examples make up which batch of which epoch. An example is a direction and a segment;
// examples are bucketed by length so that batches need few shapes. Everything is a pure function of (seed, step).

import { stream } from "../random.ts";

/** Examples of one direction and one bucket. */
export interface ExampleGroup {
  /** Index into the directions. */
  readonly direction: number;
  /** Indices of segments. */
  readonly segments: Uint32Array;
  /** How many of them an epoch takes: fewer or more than there are when a temperature changes the shares. */
  readonly quota: number;
}

/** Examples that fit into batches of one shape. */
export interface Bucket {
  /** Tokens a row. */
  readonly length: number;
  /** Rows a batch. */
  readonly rows: number;
  readonly groups: readonly ExampleGroup[];
}

/** The examples of a batch; there are fewer than `rows` in the last batch of a bucket. */
export interface BatchPlan {
  readonly length: number;
  readonly rows: number;
  readonly examples: readonly { readonly direction: number; readonly segment: number }[];
}

/** The lengths that rows are padded to: multiples of a quarter of `maxLength` rounded up to a multiple of 8, the last
 *  one `maxLength` itself; at most four. */
export function bucketLengths(maxLength: number): number[] {
  const unit = 8 * Math.ceil(maxLength / 4 / 8);
  const lengths: number[] = [];
  for (let length = unit; length < maxLength; length += unit) lengths.push(length);
  return [...lengths, maxLength];
}

/** The training schedule of a seed. */
export function makeSchedule(buckets: readonly Bucket[], seed: number): Schedule {
  const batchesOf = buckets.map((bucket) =>
    Math.ceil(bucket.groups.reduce((sum, group) => sum + group.quota, 0) / bucket.rows),
  );
  const stepsPerEpoch = batchesOf.reduce((sum, count) => sum + count, 0);
  const origin = batchesOf.flatMap((count, bucket) => Array.from({ length: count }, (_, batch) => ({ bucket, batch })));
  // The only state, and only for speed: the order within the epoch at hand.
  let epochAtHand = -1;
  let order = new Uint32Array();
  let rows: (Examples | undefined)[] = [];
  return {
    stepsPerEpoch,
    planAt(step) {
      const epoch = Math.floor(step / stepsPerEpoch);
      if (epoch !== epochAtHand) {
        epochAtHand = epoch;
        order = stream(seed, "data").permutation(stepsPerEpoch, epoch) as Uint32Array<ArrayBuffer>;
        rows = buckets.map(() => undefined);
      }
      const { bucket: index, batch } = origin[order[step % stepsPerEpoch]!]!;
      const bucket = buckets[index]!;
      const examples = (rows[index] ??= shuffled(bucket, seed, epoch));
      return {
        length: bucket.length,
        rows: bucket.rows,
        examples: examples(batch * bucket.rows, (batch + 1) * bucket.rows),
      };
    },
  };
}

/** What `makeSchedule` returns. */
export interface Schedule {
  readonly stepsPerEpoch: number;
  planAt(step: number): BatchPlan;
}

/** The examples from a place on, up to another or the end. */
type Examples = (from: number, to: number) => BatchPlan["examples"];

/** A bucket's examples in the order of an epoch: numbers until they are asked for, since there may be millions. */
function shuffled(bucket: Bucket, seed: number, epoch: number): Examples {
  const taken = bucket.groups.map((group) => quotaOf(group, seed, `data/${bucket.length}/${group.direction}`, epoch));
  const order = stream(seed, `data/${bucket.length}`).permutation(
    taken.reduce((sum, segments) => sum + segments.length, 0),
    epoch,
  );
  return (from, to) =>
    Array.from(order.subarray(from, to), (place) => {
      let group = 0;
      for (; place >= taken[group]!.length; group++) place -= taken[group]!.length;
      return { direction: bucket.groups[group]!.direction, segment: taken[group]![place]! };
    });
}

/** The segments an epoch takes from a group: the next `quota` of an endless row of permutations, so that each segment
 *  is seen equally often whatever the quota. */
function quotaOf(group: ExampleGroup, seed: number, purpose: string, epoch: number): Uint32Array {
  const { segments, quota } = group;
  const count = segments.length;
  if (quota === count) return segments;
  const taken = new Uint32Array(quota);
  let filled = 0;
  for (let at = epoch * quota; at < (epoch + 1) * quota;) {
    const round = Math.floor(at / count);
    const permutation = stream(seed, purpose).permutation(count, round);
    const end = Math.min((round + 1) * count, (epoch + 1) * quota);
    for (; at < end; at++) taken[filled++] = segments[permutation[at % count]!]!;
  }
  return taken;
}
