// Columns of numbers that grow: a table of a million values is a few of them, and not a million objects.

/** Numbers one after the other; `data` is longer than what is filled. */
export interface Column {
  data: Float64Array<ArrayBuffer>;
  length: number;
}

/** A column without numbers. */
export const column = (capacity = 16): Column => ({ data: new Float64Array(capacity), length: 0 });

/** Adds a number at the end. */
export function push(to: Column, value: number): void {
  if (to.length === to.data.length) reserve(to, 2 * to.length);
  to.data[to.length++] = value;
}

/** Makes room for `capacity` numbers. */
export function reserve(of: Column, capacity: number): void {
  if (capacity <= of.data.length) return;
  const data = new Float64Array(Math.max(capacity, 2 * of.data.length));
  data.set(of.data.subarray(0, of.length));
  of.data = data;
}

/** The first index of an ascending column whose number is `value` or more; its length where all are less. */
export function firstFrom({ data, length }: Column, value: number): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (data[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
