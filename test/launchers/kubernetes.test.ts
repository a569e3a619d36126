// Launcher kubernetes: no cluster is at hand, so what it writes is read back, held to the API's own schema where Python's
// kubernetes-validate is installed (it brings the schemas, offline; CI installs it), and its command is run by this machine's shell.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { kubernetes } from "../../src/launchers/kubernetes.ts";
import { launchOptions } from "./options.ts";
import type { Job, Outcome } from "../../src/launchers/launcher.ts";
import { fathom } from "../cli/capture.ts";

const validate = `
import json, sys
import kubernetes_validate
kubernetes_validate.validate(json.load(sys.stdin), "1.33", strict=True)
`;
const python = ["/usr/bin/python3", "python3"].find(
  (one) => spawnSync(one, ["-c", "import kubernetes_validate"]).status === 0,
);

/** The part of batch/v1 Job that is used: fields, types and required values as the API reference of Kubernetes 1.33 has them. */
const jobSchema = z.strictObject({
  apiVersion: z.literal("batch/v1"),
  kind: z.literal("Job"),
  metadata: z.strictObject({
    name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,55}[a-z0-9])?$/),
    labels: z.record(z.string(), z.string()),
  }),
  spec: z.strictObject({
    completionMode: z.literal("Indexed"),
    completions: z.int().min(1),
    parallelism: z.int().min(1),
    backoffLimitPerIndex: z.int().min(0),
    podFailurePolicy: z.strictObject({
      rules: z.array(
        z.union([
          z.strictObject({
            action: z.enum(["FailIndex", "FailJob", "Ignore", "Count"]),
            onExitCodes: z.strictObject({
              containerName: z.string(),
              operator: z.enum(["In", "NotIn"]),
              values: z.array(z.int().min(1).max(255)).min(1),
            }),
          }),
          z.strictObject({
            action: z.enum(["FailIndex", "FailJob", "Ignore", "Count"]),
            onPodConditions: z.array(
              z.strictObject({ type: z.string(), status: z.enum(["True", "False", "Unknown"]) }),
            ),
          }),
        ]),
      ),
    }),
    template: z.strictObject({
      metadata: z.strictObject({ labels: z.record(z.string(), z.string()) }),
      spec: z.strictObject({
        restartPolicy: z.literal("Never"), // what backoffLimitPerIndex and podFailurePolicy ask for
        terminationGracePeriodSeconds: z.int().min(0),
        automountServiceAccountToken: z.boolean(),
        containers: z.tuple([
          z.strictObject({
            name: z.literal("fathom"),
            image: z.string().min(1),
            command: z.array(z.string()),
            args: z.array(z.string()),
            resources: z.strictObject({
              requests: z.record(z.string(), z.string()),
              limits: z.record(z.string(), z.union([z.string(), z.int()])).optional(),
            }),
            volumeMounts: z.array(
              z.strictObject({
                name: z.literal("results"),
                mountPath: z.string().regex(/^\/[^:]*$/),
                subPath: z.string().optional(),
              }),
            ),
          }),
        ]),
        volumes: z.array(
          z.strictObject({
            name: z.literal("results"),
            persistentVolumeClaim: z.strictObject({ claimName: z.string() }),
          }),
        ),
      }),
    }),
  }),
});

const required = { image: "registry/fathom:1", "volume-claim": "results" };

/** What the launcher writes for `count` runs. */
async function written(settings: Record<string, string>, { count = 5, name = "My_Experiment.1" } = {}) {
  const experimentDir = join(mkdtempSync(join(tmpdir(), "fathom it's $HOME ")), name);
  mkdirSync(experimentDir);
  const jobs = Array.from({ length: count }, (_, index): Job => {
    const id = `run-${index}`;
    return { id, index, hash: `hash${index}`, logFile: join(experimentDir, "runs", id, "log.txt") };
  });
  const said: string[] = [];
  const ended: Outcome[] = [];
  const outcomes = await kubernetes.launch(
    { experimentDir, command: ["/here/bin/fathom.js", "run", "--manifest", experimentDir], jobs },
    launchOptions(kubernetes, {
      settings: { ...required, ...settings },
      say: (line) => said.push(line),
      onEnd: (outcome) => ended.push(outcome),
    }),
  );
  const file = join(experimentDir, "kubernetes.yaml");
  const job = jobSchema.parse(parse(readFileSync(file, "utf8")));
  return { experimentDir, file, job, said, outcomes, ended };
}

test("a Job has as many tasks as there are, never retries what exit code 2 ended, and starts nothing", async () => {
  const { job, file, said, outcomes, ended } = await written({
    "runs-per-task": "2",
    retries: "3",
    gpus: "1",
    memory: "4Gi",
  });
  expect(job.spec).toMatchObject({ completions: 3, parallelism: 2, backoffLimitPerIndex: 3 });
  expect(job.spec.podFailurePolicy.rules).toEqual([
    { action: "FailIndex", onExitCodes: { containerName: "fathom", operator: "In", values: [2] } },
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
  ]);
  expect(job.spec.template.spec.containers[0].resources).toEqual({
    requests: { cpu: "1", memory: "4Gi" },
    limits: { memory: "4Gi", "nvidia.com/gpu": 1 },
  });
  expect(said.join("\n")).toContain(`\`kubectl apply -f ${file}\` starts it`);
  expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => "left"));
  expect(ended).toEqual(outcomes);
});

test("the name is one that Kubernetes takes, and another where the runs are others", async () => {
  const name = `${"a-".repeat(30)}x.`;
  const [first, second] = [await written({}, { name }), await written({}, { name, count: 4 })];
  expect(first.job.metadata.name).not.toBe(second.job.metadata.name);
});

test("a pod's command, run by a shell here, makes the runs of its index and gives their exit code", async () => {
  const { experimentDir, job } = await written({
    "runs-per-task": "2",
    program: `${process.execPath} /tmp/$(HOME)/x.js`,
  });
  const [{ command, args }] = job.spec.template.spec.containers;
  // As Kubernetes reads words: $$ is $, and $(NAME) stays where there is no such variable.
  const read = (word: string): string => word.replaceAll("$$", "$");
  const words = args.map(read);
  expect(words[2]).toBe("/tmp/$(HOME)/x.js");
  const program = join(experimentDir, "stand-in.cjs");
  writeFileSync(program, "console.log(JSON.stringify(process.argv.slice(2))); process.exit(7)");
  const run = (index: string) =>
    spawnSync(command[0]!, [...command.slice(1), words[0]!, words[1]!, program, ...words.slice(3)], {
      encoding: "utf8",
      env: { JOB_COMPLETION_INDEX: index },
    });
  expect(run("2")).toMatchObject({
    status: 7,
    stdout: `${JSON.stringify(["run", "--manifest", experimentDir, "--index", "4", "--hash", "hash4"])}\n`,
  });
  expect(JSON.parse(run("0").stdout)).toEqual([
    "run",
    "--manifest",
    experimentDir,
    "--index",
    "0,1",
    "--hash",
    "hash0,hash1",
  ]);
  expect(run("3")).toMatchObject({ status: 2, stderr: expect.stringContaining("expected line 4, got none") as string });
});

test("elsewhere mounted, pods look for the experiment there", async () => {
  const { job } = await written({ mount: "/results", "sub-path": "me/results" });
  const [{ args, volumeMounts }] = job.spec.template.spec.containers;
  expect(args[0]).toBe(`/results/My_Experiment.1/kubernetes/${job.metadata.name}.tasks`);
  expect(args.slice(1)).toEqual(["fathom", "run", "--manifest", "/results/My_Experiment.1"]);
  expect(volumeMounts).toEqual([{ name: "results", mountPath: "/results", subPath: "me/results" }]);
});

test.each([
  [{ image: "" }, "expected --option image=..., got none"],
  [{ "volume-claim": "" }, "expected --option volume-claim=..., got none"],
  [{ mount: "results" }, "--option mount: expected the absolute path"],
  [{ gpus: "all" }, "--option gpus: expected a whole number of 0 or more"],
])("%j is refused", async (settings, message) => {
  await expect((async () => written(settings))()).rejects.toThrow(message);
});

test.skipIf(!python)("the schemas of Kubernetes 1.33 take it, and would not take a Job with a slip", async () => {
  const { job } = await written({ gpus: "1", memory: "4Gi", "sub-path": "x" });
  const check = (value: unknown) =>
    execFileSync(python!, ["-c", validate], { input: JSON.stringify(value), stdio: "pipe" });
  check(job);
  expect(() => check({ ...job, spec: { ...job.spec, backoffLimitPerindex: 1 } })).toThrow(/backoffLimitPerindex/);
  expect(() => check({ ...job, spec: { ...job.spec, completions: "3" } })).toThrow(/'3' is not/);
});

test("`fathom sweep --launcher kubernetes` leaves the file and the runs to be started", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-kubernetes-"));
  const config = new URL("../../configs/debug.yaml", import.meta.url).pathname;
  const settings = Object.entries(required).flatMap(([name, value]) => ["--option", `${name}=${value}`]);
  const { stderr } = await fathom("sweep", config, "threads=2", "--out", out, "--launcher", "kubernetes", ...settings);
  expect(stderr).toContain(`kubectl apply -f ${join(out, "debug", "kubernetes.yaml")}`);
  const { spec } = jobSchema.parse(parse(readFileSync(join(out, "debug", "kubernetes.yaml"), "utf8")));
  expect(spec.template.spec.containers[0].resources.requests).toEqual({ cpu: "2" });
});
