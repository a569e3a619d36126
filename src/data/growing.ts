// Typed arrays that grow: millions of numbers would take four times the memory as a list.

type NumberArray = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** Numbers of which nobody knows how many will come: an array that doubles as it fills. `array` copies what is in it. */
export function growing<A extends NumberArray>(
  Kind: new (size: number) => A,
): { push(value: number): void; array(): A } {
  let data = new Kind(1024);
  let length = 0;
  return {
    push(value) {
      if (length === data.length) {
        const larger = new Kind(2 * length);
        larger.set(data);
        data = larger;
      }
      data[length++] = value;
    },
    array: () => data.slice(0, length) as A,
  };
}
