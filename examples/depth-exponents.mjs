// With which power of the depth does a gradient grow? Reads a sweep over depths, schemes and seeds, and fits the exponent of the last layer's
// feed-forward gradient before the first update, seed by seed: Xiong et al. (2020), Theorem 1, has 0 of post-LN and -0.5 of pre-LN.
//
//   node examples/depth-exponents.mjs results/slopes-on-text [FROM_DEPTH]
//
// Writes depth-exponents.csv into the folder and prints mean and standard deviation over seeds. FROM_DEPTH (6) leaves shallower runs out of
// the fit: a law for large depths need not hold at 2.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readRuns } from "fathom";

const [dir, from = "6"] = process.argv.slice(2);
if (dir === undefined) throw new Error("expected the folder of a sweep over model.depth, got none");

/** L2 norms before the first update by depth, for each scheme, stack, quantity and seed. */
const series = new Map();
for (const run of await readRuns(dir)) {
  if (run.status !== "done") continue;
  const { "model.residual": scheme, "model.depth": depth } = run.config;
  const isWanted = (row) =>
    row.layer === Number(depth) - 1 &&
    row.component === "feed-forward" &&
    row.parameter === "out/weight" &&
    (row.quantity === "parameter-gradient" || row.quantity === "expected-gradient");
  for (const row of run.layers(isWanted)) {
    if (row.step !== 0) continue;
    const key = [scheme, row.stack, row.quantity, run.seed].join();
    if (!series.has(key)) series.set(key, new Map());
    series.get(key).set(Number(depth), row.l2);
  }
}

/** The slope of the least-squares line through the logarithms. */
function exponent(norms) {
  const points = [...norms].filter(([depth]) => depth >= Number(from)).map((point) => point.map(Math.log));
  const mean = (i) => points.reduce((sum, point) => sum + point[i], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const products = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0);
  return products / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
}

const depths = [...new Set([...series.values()].flatMap((norms) => [...norms.keys()]))].sort((a, b) => a - b);
const lines = [
  ["scheme", "stack", "quantity", "seed", `exponent from ${from} layers on`, ...depths.map((d) => `norm at ${d}`)],
];
const exponents = new Map();
for (const [key, norms] of [...series].sort(([a], [b]) => (a < b ? -1 : 1))) {
  const fitted = exponent(norms);
  lines.push([...key.split(","), fitted.toFixed(4), ...depths.map((depth) => norms.get(depth) ?? "")]);
  const group = key.slice(0, key.lastIndexOf(","));
  exponents.set(group, [...(exponents.get(group) ?? []), fitted]);
}
for (const [group, values] of exponents) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  console.log(`${group.replaceAll(",", ", ")}: ${mean.toFixed(3)} ± ${spread.toFixed(3)} (${values.length} seeds)`);
}
const file = join(dir, "depth-exponents.csv");
writeFileSync(file, `${lines.map((line) => line.join(",")).join("\n")}\n`);
console.log(file);
