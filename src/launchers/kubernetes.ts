// Writes an experiment's runs as an Indexed Job of Kubernetes, to be applied by whoever may do so; starts nothing. Fields and what
// they mean: the API reference of batch/v1 Job (kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1).

import { createHash } from "node:crypto";
import { basename, dirname, join, posix } from "node:path";
import { stringify } from "yaml";
import { UserError } from "../errors.ts";
import { ensureFolder, writeWhole } from "../runs/files.ts";
import type { Launcher, LaunchOptions, Outcome, Work } from "./launcher.ts";
import { countOf, tasksOf, threadsOf, writeTasks } from "./tasks.ts";

export const kubernetes: Launcher = {
  name: "kubernetes",
  summary: "writes an Indexed Job, kubernetes.yaml, for `kubectl apply`; starts nothing (docs/clusters.md)",
  isHere: false,
  options: [
    { name: "image", value: "", summary: "the container image that has fathom; must be given" },
    { name: "volume-claim", value: "", summary: "the PersistentVolumeClaim that holds the results; must be given" },
    { name: "sub-path", value: "", summary: "the folder of that volume which is --out; else its root" },
    { name: "mount", value: "", summary: "where pods see that folder; else where it is here" },
    { name: "program", value: "fathom", summary: 'how fathom is started in the image, such as "node bin/fathom.js"' },
    { name: "cpus", value: "", summary: "processors a pod; else the threads of its runs" },
    { name: "memory", value: "", summary: "a pod's, such as 4Gi" },
    { name: "gpus", value: "0", summary: "NVIDIA's GPUs a pod" },
    { name: "runs-per-task", value: "1", summary: "runs that a pod makes one after the other" },
    {
      name: "retries",
      value: "1",
      summary: "how often a task that fails is tried again; never one that exit code 2 ended",
    },
    { name: "grace-seconds", value: "120", summary: "how long a pod may save when it is to go" },
  ],
  launch(work, options) {
    if (work.jobs.length === 0) return Promise.resolve([]);
    const file = join(work.experimentDir, "kubernetes.yaml");
    const { name, completions } = writeJob(file, work, options);
    const volume = options.settings["volume-claim"];
    options.say(
      `${file}: Job ${name} of ${completions} tasks; with this folder on the volume of ${volume}, \`kubectl apply -f ${file}\` starts it`,
    );
    const outcomes = work.jobs.map((job): Outcome => ({
      job,
      status: "left",
      reason: `left to start with kubectl, in ${file}`,
      code: null,
    }));
    for (const outcome of outcomes) options.onEnd(outcome);
    return Promise.resolve(outcomes);
  },
};

/** What a pod runs: with the file of tasks as `$0` and fathom's words behind it, its runs. It takes the shell's place, so that it gets
 *  the signal which a pod gets that is to go. */
const script = `line=$(sed -n "$((JOB_COMPLETION_INDEX + 1))p" "$0")
if [ -z "$line" ]; then
  echo "fathom: $0: expected line $((JOB_COMPLETION_INDEX + 1)), got none: is the experiment's folder on this volume?" >&2
  exit 2
fi
rest=\${line#* }
exec "$@" --index "\${line%% *}" --hash "\${rest%% *}"
`;

/** Writes the Job and its tasks; gives its name and its number of tasks. */
function writeJob(file: string, work: Work, { jobs, settings }: LaunchOptions): { name: string; completions: number } {
  const { experimentDir, command } = work;
  const given = (name: string): string => {
    const value = settings[name];
    if (!value) throw new UserError(`launcher kubernetes: expected --option ${name}=..., got none`);
    return value;
  };
  const tasks = tasksOf(work.jobs, countOf(settings, "runs-per-task", 1));
  const digest = createHash("sha256").update(JSON.stringify([command, work.jobs.map(({ id, hash }) => [id, hash])]));
  const slug = basename(experimentDir)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 36);
  // A Job that is there cannot be changed into another: other runs make another name.
  const name = `fathom-${slug}-${digest.digest("hex").slice(0, 8)}`.replaceAll(/-+/g, "-");
  const mount = settings["mount"] || dirname(experimentDir);
  if (!posix.isAbsolute(mount) || mount.includes(":"))
    throw new UserError(`--option mount: expected the absolute path of a folder without colons, got ${mount}`);
  const there = posix.join(mount, basename(experimentDir));
  const [, ...rest] = command;
  const words = [
    ...given("program").split(/\s+/).filter(Boolean),
    ...rest.map((word) => (word === experimentDir ? there : word)),
  ];
  const gpus = countOf(settings, "gpus", 0);
  const memory = settings["memory"] ? { memory: settings["memory"] } : {};
  const manifest = {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name, labels: { "app.kubernetes.io/name": "fathom" } },
    spec: {
      completionMode: "Indexed",
      completions: tasks.length,
      parallelism: Math.min(jobs, tasks.length),
      backoffLimitPerIndex: countOf(settings, "retries", 0),
      // One run that fails ends no other, a pod that is taken away counts as no failure, and what is the user's is not tried again.
      podFailurePolicy: {
        rules: [
          { action: "FailIndex", onExitCodes: { containerName: "fathom", operator: "In", values: [2] } },
          { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
        ],
      },
      template: {
        metadata: { labels: { "app.kubernetes.io/name": "fathom" } },
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: countOf(settings, "grace-seconds", 1),
          automountServiceAccountToken: false,
          containers: [
            {
              name: "fathom",
              image: given("image"),
              command: ["/bin/sh", "-c", script],
              // $$ is how a Job writes $.
              args: [posix.join(there, "kubernetes", `${name}.tasks`), ...words].map((word) =>
                word.replaceAll("$", "$$$$"),
              ),
              resources: {
                requests: { cpu: settings["cpus"] || String(threadsOf(work, work.jobs)), ...memory },
                ...((settings["memory"] || gpus > 0) && {
                  limits: { ...memory, ...(gpus > 0 && { "nvidia.com/gpu": gpus }) },
                }),
              },
              volumeMounts: [
                { name: "results", mountPath: mount, ...(settings["sub-path"] && { subPath: settings["sub-path"] }) },
              ],
            },
          ],
          volumes: [{ name: "results", persistentVolumeClaim: { claimName: given("volume-claim") } }],
        },
      },
    },
  };
  ensureFolder(join(experimentDir, "kubernetes"));
  writeTasks(join(experimentDir, "kubernetes", `${name}.tasks`), tasks);
  const head = `# What \`fathom sweep --launcher kubernetes\` has written; docs/clusters.md of fathom explains it.\n#   kubectl apply -f kubernetes.yaml\n`;
  writeWhole(file, head + stringify(manifest, { lineWidth: 0 }));
  return { name, completions: tasks.length };
}
