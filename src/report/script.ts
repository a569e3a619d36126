// What makes a report's figures interactive. They stand in the page as SVG first; where scripts run, each is replaced by
// its live chart. Vega evaluates its expressions by an interpreter (`ast`), so the page's policy can forbid `eval`.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(import.meta.url);

/** The browser builds of Vega, Vega-Lite and Vega-Embed, in the order in which they must run. Their packages do not
 *  export them by name, so they are found beside the entry points. */
export const libraries = (): string[] =>
  ["vega", "vega-lite", "vega-embed"].map((name) =>
    readFileSync(path.join(path.dirname(require.resolve(name)), `${name}.min.js`), "utf8")
      // A reference to a source map would make developer tools look for a file that is not there.
      .replace(/^\/\/# sourceMappingURL=.*$/m, ""),
  );

/** Replaces the picture in every `.chart` by its live chart; where that fails the picture stays. */
export const upgrade = `
(() => {
  document.documentElement.classList.add("live");
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  for (const chart of document.querySelectorAll(".chart[data-plot]")) {
    const source = document.getElementById("spec-" + chart.dataset.plot);
    const live = document.createElement("div");
    const name = chart.dataset.file;
    const actions = { export: { svg: true, png: true }, source: false, compiled: false, editor: false };
    const options = { ast: true, renderer: "svg", actions, downloadFileName: name, tooltip: { theme: dark ? "dark" : "light" } };
    vegaEmbed(live, JSON.parse(source.textContent), options).then(
      () => { chart.replaceChildren(live); chart.dataset.live = "yes"; },
      (error) => { chart.dataset.live = "failed"; console.warn(name + ": the picture stays as it is: " + error.message); },
    );
  }
})();
`;
