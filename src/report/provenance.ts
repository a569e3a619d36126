// What made an experiment, how to repeat it, and what its numbers cannot say.

import type { RunConfig } from "../config/schema.ts";
import { areAll, humanised, type ExperimentData } from "../plots/experiment.ts";
import { configurationsOf } from "../plots/profile.ts";
import { distinct, extent } from "../statistics.ts";
import type { Environment } from "../runs/environment.ts";
import { keptOverrides } from "../runs/manifest.ts";
import { codeNotes } from "../runs/origin.ts";
import type { RunRecord } from "../runs/run-folder.ts";
import { binarizationNote } from "./final-metrics.ts";
import { html, type Html } from "./html.ts";
import type { ReportInput } from "./page.ts";

/** What an environment says of versions, code and machine: names, and the words for one environment. */
export const environmentFacts: readonly [name: string, of: (environment: Environment) => string][] = [
  [
    "versions",
    ({ versions }) =>
      Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(", "),
  ],
  [
    "code",
    ({ git }) =>
      git ? `commit ${git.commit}${git.dirty ? ", with changes that were not committed" : ""}` : "no git repository",
  ],
  [
    "machine",
    ({ machine }) =>
      `${machine.cpu}, ${machine.cores} cores, ${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB, ${machine.platform}`,
  ],
];

/** Engine, versions, commit, machine and hashes of the runs; where runs differ, every value with the number of runs. */
export function provenance(records: readonly RunRecord[]): Html {
  if (records.length === 0) return html`<p>No run has begun.</p>`;
  const facts: [name: string, of: (record: RunRecord) => string][] = [
    ["engine", ({ engine }) => engine || "not chosen"],
    ...environmentFacts,
    [
      "data (SHA-256)",
      ({ hashes }) =>
        Object.entries(hashes)
          .map(([name, hash]) => `${name} ${hash}`)
          .join(", ") || "not recorded",
    ],
  ];
  const notes = codeNotes(records).map((note) => html`<p class="note"><strong>${note}</strong></p>`);
  return html`${notes}
    <dl>
      ${facts.map(([name, of]) => {
        const values = records.map(of);
        const different = distinct(values);
        const items = different.map((value) => {
          const count = values.filter((other) => other === value).length;
          return html`<dd>${value}${different.length > 1 ? ` (${count} of ${values.length} runs)` : ""}</dd>`;
        });
        return html`<dt>${name}</dt>
          ${items}`;
      })}${details(records)}
    </dl>`;
}

/** Details that differ in every run and stand in the table of runs. */
const ofEachRun = ["stepSeconds", "peakMemoryBytes"];

/** What else runs recorded, each key with the values it took. */
function details(records: readonly RunRecord[]): Html {
  const keys = distinct(records.flatMap((record) => Object.keys(record.details))).filter(
    (key) => !ofEachRun.includes(key),
  );
  if (keys.length === 0) return html``;
  const lines = keys.map((key) => {
    const values = distinct(records.flatMap((record) => (key in record.details ? text(record.details[key]) : [])));
    return `${humanised(key)} ${values.slice(0, 12).join(" | ")}${values.length > 12 ? " | ..." : ""}`;
  });
  return html`<dt>details</dt>
    ${lines.map((line) => html`<dd>${line}</dd>`)}`;
}

/** The commands that make the experiment again, and links to what lies beside the report. */
export function reproduction({ source, folder, files }: ReportInput): Html {
  const commands = source
    ? [["npx fathom sweep", ...[source.path, ...keptOverrides(source)].map(quoted), "--out again"].join(" ")]
    : [`for run in ${quoted(folder)}/runs/*/; do npx fathom train "$run/config.yaml" --out again; done`];
  return html`<p>At the commit and with the versions above, in the folder where fathom is installed:</p>
    <pre><code>${commands.join("\n")}</code></pre>
    <p>
      Same configuration, engine and kind of machine: the same tables but for their times. The figures and this page
      alone: <code>npx fathom plot ${quoted(folder)}</code>, <code>npx fathom report ${quoted(folder)}</code>.
    </p>
    ${files.length > 0 ? html`<p>Beside this page: ${files.map((file) => html`<a href="${file}">${file}</a> `)}</p>` : ""}`;
}

/** Sentences on what the experiment cannot show, from its own numbers and from what the literature disagrees on. */
export function limits(data: ExperimentData, config: RunConfig | undefined): string[] {
  const [fewest, most] = extent(configurationsOf(data).map(({ runs }) => runs.length));
  const seeds = fewest === most ? `${most}` : `${fewest} to ${most}`;
  return [
    `Chance: ${seeds} ${most === 1 ? "seed" : "seeds"} a configuration. Whether a run learns can be a matter of luck near the edge; three seeds that agree leave room for one in three that would not.`,
    ...(config
      ? [`Size: ${sizeOf(config)}. What holds for a small model and a short run need not hold for a large one.`]
      : []),
    "Gradient norms are described here, not judged. Whether their imbalance is what keeps deep post-LN models from training is disputed: Liu et al. (2020) argue that it is not the root cause, so no verdict above rests on a gradient norm.",
    "Norms are of the gradient of single batches. Theory (Xiong et al. 2020) speaks of the norm of the expected gradient at initialisation, which is smaller.",
    "The profile depends on when and of what it is taken: parameter gradients and activation gradients may slope in opposite directions, and published profiles of pre-LN differ (level at initialisation, larger in early layers during training, smaller in deep ones).",
    ...ofData(data),
  ];
}

/** What losses and metrics of these data do not say. */
function ofData(data: ExperimentData): string[] {
  if (!areAll(data, "vae", "gan"))
    return [
      "The loss is that of training with the true previous tokens given; it does not measure translation.",
      "The unigram entropy is that of the training targets; another split's may differ a little.",
    ];
  return [
    ...(areAll(data, "gan")
      ? []
      : [
          `${binarizationNote(data)} A likelihood is of pixels made binary in this way; it cannot be compared with that of grey images or of images made binary otherwise.`,
        ]),
    "Pictures show the first images of a stream of random numbers, none is picked. They say nothing of what is never generated.",
    ...(areAll(data, "gan")
      ? ["A GAN has no likelihood, and its losses are those of a game: neither says how good its images are."]
      : []),
  ];
}

function sizeOf({ model, train }: RunConfig): string {
  const facts = Object.entries({
    width: (model as { width?: unknown }).width,
    steps: (train as { steps?: unknown }).steps,
  })
    .filter(([, value]) => typeof value === "number")
    .map(([key, value]) => `${key} ${String(value)}`);
  return facts.length > 0 ? facts.join(", ") : "small";
}

const text = (value: unknown): string => (typeof value === "object" ? JSON.stringify(value) : String(value));

/** An argument as a shell takes it. */
const quoted = (argument: string): string =>
  /^[\w./=+:@%-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
