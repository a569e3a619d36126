// Numbers as fathom's tables write them, read from bytes: a table has hundreds of thousands, and making a text of each takes most of the
// time.

/** 10^0 to 10^22, the powers of ten that a double holds exactly. */
const powers = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

const [comma, dot, minus, plus, zero, nine, upperE, lowerE] = [44, 46, 45, 43, 48, 57, 69, 101];

/** The number that stands in `bytes` from `start` to `end`, rounded as `Number` rounds it; undefined where none stands there. Of up to 15
 *  digits and an exponent within a double's exact powers of ten, a product or a quotient is rounded right (both are exact). */
export function numberAt(bytes: Uint8Array, start: number, end: number): number | undefined {
  let at = start;
  const isNegative = bytes[at] === minus;
  if (isNegative) at++;
  let mantissa = 0;
  let digits = 0;
  let scale = 0;
  let isFraction = false;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte >= zero && byte <= nine) {
      mantissa = 10 * mantissa + byte - zero;
      digits++;
      if (isFraction) scale--;
    } else if (byte === dot && !isFraction) isFraction = true;
    else break;
  }
  if (digits === 0 || digits > 15) return slowly(bytes, start, end);
  if (at < end) {
    if (bytes[at] !== lowerE && bytes[at] !== upperE) return slowly(bytes, start, end);
    at++;
    const isDown = bytes[at] === minus;
    if (isDown || bytes[at] === plus) at++;
    let exponent = 0;
    if (at >= end || end - at > 3) return slowly(bytes, start, end);
    for (; at < end; at++) {
      const byte = bytes[at]!;
      if (byte < zero || byte > nine) return slowly(bytes, start, end);
      exponent = 10 * exponent + byte - zero;
    }
    scale += isDown ? -exponent : exponent;
  }
  const power = powers[Math.abs(scale)];
  if (power === undefined) return slowly(bytes, start, end);
  const value = scale < 0 ? mantissa / power : mantissa * power;
  return isNegative ? -value : value;
}

/** By `Number`, of what looks like one of ours. */
function slowly(bytes: Uint8Array, start: number, end: number): number | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.max(0, end - start)).toString("latin1");
  if (!/^(?:-?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|Infinity)|NaN)$/.test(text)) return undefined;
  return Number(text);
}

/** The place of the next comma from `at` on, `end` where there is none before it. */
export function commaFrom(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && bytes[at] !== comma) at++;
  return at;
}

/** A number with seven digits, all that a float32 has and a drawing more than shows; null where it is not finite. */
export const brief = (value: number): number | null => (Number.isFinite(value) ? Number(value.toPrecision(7)) : null);

/** A number; null where it is not finite. */
export const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
