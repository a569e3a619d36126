// Builds the page of `fathom ui` into dist/ui/page, from where its server sends it.
import { defineConfig } from "vite";

// Whoever builds (a test, a container) may have said otherwise; the page would then hold the paths of its sources.
process.env["NODE_ENV"] = "production";

export default defineConfig({
  root: "src/ui/page",
  base: "./",
  logLevel: "warn",
  build: {
    outDir: "../../../dist/ui/page",
    emptyOutDir: true,
    target: "es2022",
    // Vega alone is larger than the warning's limit; it is loaded when the first figure is.
    chunkSizeWarningLimit: 1200,
    // The page's policy allows no data: in scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // How long parts took on a busy machine is no warning.
    rolldownOptions: { checks: { bundlerTimings: false } },
  },
});
