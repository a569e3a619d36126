// Compiles every src/**/NAME.wat into NAME.wasm.ts beside it, a module in base64 that needs no file at run time. Run it when a
// .wat file changes: node scripts/build-wasm.js. With --check it writes nothing and fails where a file is not what its source
// gives, as the tests do.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import createWabt from "wabt";

const src = new URL("../src/", import.meta.url);
const wabt = await createWabt();

/** The text of the file made from a source. */
function compiled(source) {
  const module = wabt.parseWat(source, readFileSync(new URL(source, src), "utf8"), { simd: true });
  module.resolveNames();
  module.validate();
  const base64 = Buffer.from(module.toBinary({}).buffer).toString("base64");
  const about = `// Made from ${source.split("/").at(-1)} by scripts/build-wasm.js: change that, and run it again.`;
  return `${about}\n\n/** The module in base64. */\nexport const wasm =\n  "${base64}";\n`;
}

const sources = readdirSync(src, { recursive: true }).filter((file) => file.endsWith(".wat"));
for (const source of sources.map((file) => file.replaceAll("\\", "/")).sort()) {
  const target = new URL(source.replace(/\.wat$/, ".wasm.ts"), src);
  if (!process.argv.includes("--check")) {
    writeFileSync(target, compiled(source));
    console.log(`wrote ${target.pathname}`);
  } else if (readFileSync(target, "utf8") !== compiled(source)) {
    console.error(`${target.pathname} is not what ${source} gives: run node scripts/build-wasm.js`);
    process.exitCode = 1;
  } else console.log(`${source} is compiled`);
}
