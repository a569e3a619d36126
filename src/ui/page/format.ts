// Words and numbers as the page writes them.

import { power } from "../../plots/style.ts";
import type { Spread } from "../../statistics.ts";
import type { ConfigValue, Value } from "../api.ts";

/** What stands where there is no number. */
export const nothing = "–";

/** Four significant digits, powers of ten beyond a ten-thousandth and a million; a dash for what is not there. */
export function numberText(value: Value | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return nothing;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) {
    const [mantissa, exponent] = size.toExponential(Math.min(2, digits - 1)).split("e") as [string, string];
    return `${value < 0 ? "−" : ""}${power(Number(`${Number(mantissa)}e${exponent}`))}`;
  }
  const text = size >= 10 ** digits ? String(Math.round(size)) : String(Number(size.toPrecision(digits)));
  return `${value < 0 ? "−" : ""}${text}`;
}

/** A number in a column: as many decimals as its neighbours of the same size, so that points stand below each other; none in a column of whole
 *  numbers. */
export function columnText(value: Value | undefined, isWhole = false): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return nothing;
  if (isWhole) return Math.abs(value) < 1e6 ? String(value) : numberText(value);
  const size = Math.abs(value);
  return value === 0 || (size >= 1e-2 && size < 1000) ? value.toFixed(3) : numberText(value);
}

/** `3.41 ± 0.02`; a single value without its spread. */
export function spreadText({ mean, sd, n }: Spread): string {
  if (n === 0) return nothing;
  if (n === 1 || !Number.isFinite(sd)) return columnText(mean);
  const size = Math.abs(mean);
  return size >= 1e-2 && size < 1000
    ? `${mean.toFixed(3)} ± ${sd.toFixed(3)}`
    : `${numberText(mean)} ± ${numberText(sd, 2)}`;
}

/** `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function durationText(seconds: Value): string {
  if (seconds === null || !Number.isFinite(seconds)) return nothing;
  if (seconds < 9.95) return `${Number(seconds.toPrecision(2))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole < 600 && whole % 60 > 0 ? ` ${whole % 60} s` : ""}`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Seconds a step, in milliseconds where they are few. */
export const stepTimeText = (seconds: Value): string =>
  seconds === null || !Number.isFinite(seconds)
    ? nothing
    : seconds < 0.9995
      ? `${Number((seconds * 1000).toPrecision(3))} ms`
      : `${Number(seconds.toPrecision(3))} s`;

/** `just now`, `4 min ago`, `yesterday`, then the day. */
export function agoText(iso: string, now: number): string {
  const then = Date.parse(iso);
  if (!Number.isFinite(then)) return "";
  const seconds = Math.max(0, (now - then) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 84600) return `${Math.round(seconds / 3600)} h ago`;
  if (seconds < 2 * 86400) return "yesterday";
  return new Date(then).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}

/** `1 run`, `7 runs`. */
export const count = (n: number, what: string): string => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

/** A value of a configuration; a dash where a run has none. */
export const configText = (value: ConfigValue | undefined): string =>
  value === null || value === undefined ? nothing : typeof value === "number" ? plain(value) : String(value);

const plain = (value: number): string =>
  Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));

/** The last part of a dotted path: what a column is called. */
export const shortKey = (key: string): string => key.split(".").at(-1)!;

/** Column names of `keys`: the last part of each path, or as many as it takes to tell them apart. */
export function shortKeys(keys: readonly string[]): Map<string, string> {
  return new Map(
    keys.map((key) => {
      const parts = key.split(".");
      for (let taken = 1; taken < parts.length; taken++) {
        const name = parts.slice(-taken).join(".");
        if (!keys.some((other) => other !== key && (other === name || other.endsWith(`.${name}`)))) return [key, name];
      }
      return [key, key];
    }),
  );
}

/** `parameter-gradient` as `parameter gradient`. */
export const words = (name: string): string => name.replaceAll("-", " ");
