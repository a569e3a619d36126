// Writes docs/engines.md: how far the engines that work on this machine agree, and what a step costs on each. Run it (after `npm run
// build`) on a quiet machine when an engine or an operation changes; it takes a minute or two:
// node scripts/write-engines.js ["what else there is to say of the machine"]

import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { agreement, byOperation, refusals, summary, times } from "../dist/cli/parity-text.js";
import { examineEngines } from "../dist/engine/examine.js";
import { compareOperations, compareTraining, makeEngines, smallNetworks, translationNetwork } from "../dist/parity.js";
import { environment } from "../dist/runs/environment.js";

const markdown = ({ head, rows }) => {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
};
const tell = (text) => console.error(text);

const [remark] = process.argv.slice(2);
const load = loadavg()[0];
const examined = await examineEngines();
const engines = await makeEngines(examined.filter(({ works }) => works).map(({ choice }) => choice));
const operations = await compareOperations(engines, (name) => tell(`trying every operation on ${name} ...`));
const onNetwork = (name) => tell(`training ${name} ...`);
const training = await compareTraining(engines, smallNetworks(), { steps: [1, 10, 100], withNudged: true, onNetwork });
// Not on cpu, which takes a minute a step there.
const fast = new Map([...engines].filter(([name]) => name !== "cpu"));
const timed = await compareTraining(fast, [2, 6].map(translationNetwork), { steps: [10], onNetwork });
for (const engine of engines.values()) await engine.dispose();

const { machine, versions } = environment();
const facts = Object.entries(versions)
  .filter(([name]) => name !== "fathom" && !name.startsWith("typescript"))
  .map(([name, version]) => `${name} ${version}`);
const text = `# Engines

What \`engine\` may name, how far their numbers agree, and what a step costs on each. \`node scripts/write-engines.js\` wrote this on
${new Date().toISOString().slice(0, 10)}, on ${machine.platform} with ${machine.cores} cores (${machine.cpu}), one thread an engine, at a load of ${load.toFixed(1)}: ${facts.join(", ")}.
\`fathom doctor\` says the same of the machine at hand, \`--all\` for every operation.${remark ? ` ${remark}` : ""}

${markdown({ head: ["engine", "", "what it is, or what it lacks here"], rows: examined.map(({ name, works, detail }) => [name, works ? "works" : "not here", detail.replaceAll(/\S*\/(?=node_modules|scripts)/g, "")]) })}

## Which one

\`onnx\`, unless there is a reason: it is the fastest here at every size, and runs everywhere. \`tensorflow-gpu\` and the other providers of
\`onnx\` are for networks whose matrix products outgrow a CPU. \`cpu\` is what to hold a doubtful number against. \`wasm\` needs no native code at
all. \`tensorflow\` is \`tensorflow-gpu\` without the GPU: to try on a laptop what will run on one.

## Time

Median of a step, forward, backward and update, and in brackets in parts of that of \`onnx\`. Engines take turns step by step, so that what
slows the machine slows all. The first three networks are those of the section on steps below, of a few thousand numbers each: there, a step is what it costs to
start an operation. TensorFlow computes without oneDNN, whose sums depend on the number of threads; \`TF_ENABLE_ONEDNN_OPTS=1\` turns
it on. The others are pre-LN transformers on 32 sentences of 32 tokens out of 4,000, without \`cpu\`, which takes a minute
a step there.

${markdown(times([...training, ...timed], engines.keys()))}

## Operations

Each operation in plain float64 loops beside the same as an engine computes it, on random shapes and on hard ones: sizes of 0 and 1,
shapes that broadcast, logits of a thousand or far apart, rows that a mask hides, numbers that nearly cancel. An error is the largest
difference, in parts of the largest number: forward / of the gradient to an input, the worst over all cases. Gradients are held against
central differences of fourth order of the float64 loops. Float32 rounds at 6.0e-8. \`src/engine/operations.ts\` has the cases,
\`test/engine/operations.test.ts\` holds every engine to 1e-5, and to 1e-4 where the answer is a small difference of large numbers: attention
whose logits are large, and the gradient of a norm of width 1, which is 0 but for epsilon.

${markdown(summaryOfErrors())}

${markdown(byOperation(operations))}

Refused, and not computed wrongly:

${refusals(operations)
  .map((line) => `- ${line}`)
  .join("\n")}

What every engine refuses are gradients that TensorFlow.js itself gets wrong, which its tape then notices: no stage uses these.

## Steps

Small networks trained from the same parameters on the same batches, with Adam: largest relative difference of the losses from those of
\`cpu\`, up to a step. \`nudged cpu\` is \`cpu\` from parameters each of which is moved by one unit in its last place (zeros, as biases are, stay all but zeros): what a network makes of
rounding alone, below which agreement is chance.

${markdown(agreement(training))}
`;
writeFileSync(new URL("../docs/engines.md", import.meta.url), text);
console.log("wrote docs/engines.md; format it: npx prettier --write docs/engines.md");

function summaryOfErrors() {
  const { head, rows } = summary(operations, training);
  return { head: head.slice(0, 3), rows: rows.map((row) => row.slice(0, 3)) };
}
