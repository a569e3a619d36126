// What a run was made with: versions, commit, machine. Recorded in run.json, never used to decide anything.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";

const packageJson = (): { version: string; dependencies: Record<string, string> } =>
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

/** fathom's own version. */
export const packageVersion = (): string => packageJson().version;

/** The `versions`, `git` and `machine` of run.json. */
export interface Environment {
  readonly versions: Readonly<Record<string, string>>;
  /** Of the working directory; null where it is no git repository. */
  readonly git: { readonly commit: string; readonly dirty: boolean } | null;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly platform: string;
  };
}

let git: Environment["git"] | undefined;

/** Describes this process, its working directory (as it was when first asked: the program is that of then) and its machine. */
export const environment = (): Environment => ({ ...versionsAndMachine(), git: (git ??= gitState()) });

/** What of the environment the bits of a run may depend on. */
export function versionsAndMachine(): Pick<Environment, "versions" | "machine"> {
  const { version, dependencies } = packageJson();
  // Dependencies are pinned exactly, so package.json says what is installed.
  const pinned = Object.entries(dependencies).filter(([name]) => /onnx|tensorflow|typescript/.test(name));
  return {
    versions: { fathom: version, node: process.versions.node, ...Object.fromEntries(pinned) },
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      platform: `${process.platform}-${process.arch}`,
    },
  };
}

function gitState(): Environment["git"] {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 10_000 }).trim();
  try {
    return { commit: git("rev-parse", "HEAD"), dirty: git("status", "--porcelain") !== "" };
  } catch {
    return null;
  }
}
