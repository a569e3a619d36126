// How fast does the gradient fade from the last layer to the first? Trains two residual schemes at two depths for a few steps, prints
// the first layer's gradient over the last one's, and writes the whole profile as gradient-profile.csv.
//
//   node examples/gradient-profile.mjs [FOLDER]
//
// In a project of its own, after `npm install fathom`, the same file works as it is. Without FOLDER results go to results/.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { sweep } from "fathom";

const out = process.argv[2] ?? "results";

const { dir, runs } = await sweep(
  {
    name: "gradient-profile",
    data: {
      corpus: "typescript-diagnostics",
      directions: ["en-de"],
      vocabulary: { kind: "bpe", size: 500 },
      maxLength: 24,
    },
    model: { kind: "transformer", depth: 6, width: 16, heads: 2, residual: "pre-ln" },
    train: { steps: 2, batch: { sentences: 8 }, optimizer: { kind: "adam", learningRate: 0.001 } },
    probes: { everySteps: 1, record: ["gradient-norm"] },
    sweep: {
      method: "grid",
      parameters: { "model.residual": { values: ["post-ln", "pre-ln"] }, "model.depth": { values: [6, 18] } },
    },
  },
  { out, report: false },
);

const lines = ["scheme,depth,layer,l2"];
for (const run of runs) {
  if (run.status !== "done") throw new Error(`${run.id}: ${run.status}: ${run.reason}`);
  const { "model.residual": scheme, "model.depth": depth } = run.config;
  // The L2 norm over all parameters of each encoder layer, at the first step.
  const squares = Array.from({ length: Number(depth) }, () => 0);
  const isWanted = (row) => row.stack === "encoder" && row.layer !== "" && row.quantity === "parameter-gradient";
  for (const row of run.layers(isWanted)) if (row.step === 0) squares[row.layer] += row.l2 ** 2;
  const norms = squares.map(Math.sqrt);
  norms.forEach((norm, layer) => lines.push(`${scheme},${depth},${layer},${norm}`));
  console.log(`${scheme}, ${depth} layers: first over last ${(norms[0] / norms.at(-1)).toPrecision(3)}`);
}
const file = join(dir, "gradient-profile.csv");
writeFileSync(file, `${lines.join("\n")}\n`);
console.log(file);
