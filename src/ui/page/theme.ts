// Light and dark: the system's setting, until the reader chooses.

import { effect, signal } from "@preact/signals";

type Theme = "light" | "dark";

const place = "fathom-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function chosenBefore(): Theme | undefined {
  try {
    const kept = localStorage.getItem(place);
    return kept === "light" || kept === "dark" ? kept : undefined;
  } catch {
    return undefined; // storage may be forbidden
  }
}

/** The theme that is on. */
export const theme = signal<Theme>(chosenBefore() ?? (system.matches ? "dark" : "light"));

/** Puts the theme on the page and follows the system's setting as long as the reader has chosen none. */
export function followTheme(): void {
  system.addEventListener("change", () => {
    if (chosenBefore() === undefined) theme.value = system.matches ? "dark" : "light";
  });
  effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
  });
}

/** The other theme, kept for the next time. */
export function toggleTheme(): void {
  theme.value = theme.value === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(place, theme.value);
  } catch {
    // It holds for this page, then.
  }
}
