// Colours of lines and of heat maps: those of the figures, see plots/style.ts.

import { lineScales } from "../../plots/style.ts";

/** Matplotlib's viridis at ten places: even steps of lightness, read alike with any colour vision. */
const viridis = [
  "#440154",
  "#482878",
  "#3e4a89",
  "#31688e",
  "#26828e",
  "#1f9e89",
  "#35b779",
  "#6ece58",
  "#b5de2b",
  "#fde725",
];

const channels = (hex: string): [number, number, number] => [
  parseInt(hex.slice(1, 3), 16),
  parseInt(hex.slice(3, 5), 16),
  parseInt(hex.slice(5, 7), 16),
];

/** Viridis at `share` in [0, 1]. */
export function viridisAt(share: number): string {
  const place = Math.min(1, Math.max(0, share)) * (viridis.length - 1);
  const below = Math.min(viridis.length - 2, Math.floor(place));
  const [low, high] = [channels(viridis[below]!), channels(viridis[below + 1]!)];
  const mixed = low.map((value, i) => Math.round(value + (place - below) * (high[i]! - value)));
  return `rgb(${mixed.join(",")})`;
}

/** A colour for each of `names`: the figures' for up to six, beyond that places on viridis without its ends. */
export function coloursOf(names: readonly string[]): Map<string, string> {
  const { color } = lineScales(names.slice(0, 6)) as { color: { range: readonly string[] } };
  return new Map(
    names.map((name, i) => [
      name,
      names.length <= 6 ? color.range[i]! : viridisAt(0.16 + (0.76 * i) / (names.length - 1)),
    ]),
  );
}

/** What canvases draw with, of the theme that is on. */
export interface Ink {
  readonly ink: string;
  readonly soft: string;
  readonly line: string;
  readonly paper: string;
  readonly link: string;
}

/** Reads the theme's colours off the page. */
export function inkOf(element: Element): Ink {
  const style = getComputedStyle(element);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return { ink: of("ink"), soft: of("soft"), line: of("line"), paper: of("paper"), link: of("link") };
}
