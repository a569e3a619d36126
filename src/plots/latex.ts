// A figure as a LaTeX float: the picture, the finding and how to read it as the caption, and a label.

import type { TopLevelSpec } from "vega-lite";
import { printedNotes } from "./style.ts";

/** A float for `<name>.pdf`, of which the caption is the figure's title, its notes (without counts by panel) and how to read it.
 *  Needs graphicx and UTF-8. */
export function latexFigure(name: string, spec: TopLevelSpec, caption: string): string {
  const { text, subtitle } = spec.title as { text: string | string[]; subtitle?: string | string[] };
  const kept = (spec.usermeta?.[printedNotes] as string[] | undefined) ?? subtitle ?? [];
  const [title, notes] = [text, kept].map((lines) => [lines].flat().join(" ")) as [string, string];
  const sentences = [title.replace(/\.?$/, "."), notes, caption].filter((part) => part !== "" && part !== ".");
  return `% ${name}.pdf is 3.35 inches wide with text of 7 points: as it is where a column is as wide.
\\begin{figure}
  \\centering
  \\includegraphics[width=\\columnwidth]{${name}.pdf}
  \\caption{${sentences.map(escapeLatex).join("\n    ")}}
  \\label{fig:${name}}
\\end{figure}
`;
}

const special: Readonly<Record<string, string>> = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  $: "\\$",
  "&": "\\&",
  "#": "\\#",
  "%": "\\%",
  _: "\\_",
  "^": "\\textasciicircum{}",
  "~": "\\textasciitilde{}",
  "<": "$<$",
  ">": "$>$",
  "|": "$|$",
  '"': "''",
  "×": "$\\times$",
  "→": "$\\to$",
  "−": "$-$",
  "·": "$\\cdot$",
  "±": "$\\pm$",
  "√": "$\\surd$",
  "∂": "$\\partial$",
  "‖": "$\\|$",
  "≤": "$\\leq$",
  "≥": "$\\geq$",
  "∞": "$\\infty$",
  "–": "--",
  "…": "\\ldots{}",
  α: "$\\alpha$",
  β: "$\\beta$",
  γ: "$\\gamma$",
  δ: "$\\delta$",
  ε: "$\\varepsilon$",
  θ: "$\\theta$",
  λ: "$\\lambda$",
  μ: "$\\mu$",
  π: "$\\pi$",
  ρ: "$\\rho$",
  σ: "$\\sigma$",
  Δ: "$\\Delta$",
  Σ: "$\\Sigma$",
  ᵢ: "$_i$",
  ₜ: "$_t$",
};

const raised = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻";
const lowered = "₀₁₂₃₄₅₆₇₈₉₋";
const digits = "0123456789-";
const plainOf = (text: string, from: string): string => [...text].map((one) => digits[from.indexOf(one)]!).join("");

/** Text for LaTeX: what means something there is escaped, signs that its fonts lack become mathematics. Other letters stay,
 *  as UTF-8. */
export const escapeLatex = (text: string): string =>
  text
    .replace(/[^]/gu, (character) => special[character] ?? character)
    .replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+/g, (exponent) => `$^{${plainOf(exponent, raised)}}$`)
    .replace(/[₀-₉₋]+/g, (index) => `$_{${plainOf(index, lowered)}}$`);
