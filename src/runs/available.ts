// How much memory there is for another run on this machine.

import { readFileSync } from "node:fs";
import { totalmem } from "node:os";

/** Bytes that this process could have beside those it has: what the system can give without swapping, or what is left to the
 *  process's control groups, whichever is less. Where the system does not say (Linux does), all it has: what others call free
 *  there leaves out what it would give. `read` gives a file's text, undefined where there is none. */
export function availableBytes(read: (file: string) => string | undefined = readText): number {
  const [, kibibytes] = /^MemAvailable:\s+(\d+) kB$/m.exec(read("/proc/meminfo") ?? "") ?? [];
  const ofSystem = kibibytes === undefined ? totalmem() : 1024 * Number(kibibytes);
  return Math.max(0, Math.min(ofSystem, ...controlGroups(read).map((group) => leftOf(group, read))));
}

/** Where a control group says how much it may have, has, and could give back. */
interface ControlGroup {
  readonly folder: string;
  readonly files: { readonly limit: string; readonly usage: string; readonly cache: string };
}

/** The control groups of this process that may limit memory, from the innermost to the root, as they are mounted in both
 *  versions. In a container the innermost is mounted as the root. */
function controlGroups(read: (file: string) => string | undefined): ControlGroup[] {
  const second = { limit: "memory.max", usage: "memory.current", cache: "inactive_file" };
  const first = { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cache: "total_inactive_file" };
  return (read("/proc/self/cgroup") ?? "").split("\n").flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined || !(controllers === "" || controllers!.split(",").includes("memory"))) return [];
    const root = controllers === "" ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const folders = [root];
    for (const part of path.split("/").filter(Boolean)) folders.unshift(`${folders[0]}/${part}`);
    return folders.map((folder) => ({ folder, files: controllers === "" ? second : first }));
  });
}

function leftOf({ folder, files }: ControlGroup, read: (file: string) => string | undefined): number {
  const number = (text: string | undefined): number => (text === undefined ? NaN : Number.parseInt(text, 10)); // "max" is none
  const limit = number(read(`${folder}/${files.limit}`));
  const usage = number(read(`${folder}/${files.usage}`));
  if (Number.isNaN(limit) || Number.isNaN(usage)) return Infinity;
  // Cached files count as used, and go when memory is asked for.
  const [, cached] = new RegExp(`^${files.cache} (\\d+)$`, "m").exec(read(`${folder}/memory.stat`) ?? "") ?? [];
  return limit - usage + Number(cached ?? 0);
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
