// What was compared with what, on which machine.

import { loadavg } from "node:os";
import { versionsAndMachine } from "../runs/environment.ts";
import type { FoundPeer } from "./peers.ts";

/** The machine, how busy it was, and all versions. */
export interface Conditions {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly started: string;
  /** One-minute load average before the first measurement. */
  readonly loadBefore: number;
  /** fathom, Node, the runtimes, and each peer by its name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The conditions at this moment. */
export function conditions(found: readonly Pick<FoundPeer, "name" | "version">[]): Conditions {
  const { versions, machine } = versionsAndMachine();
  return {
    ...machine,
    started: new Date().toISOString(),
    loadBefore: loadavg()[0]!,
    versions: { ...versions, ...Object.fromEntries(found.map(({ name, version }) => [name, version])) },
  };
}

/** Beyond this load average something else runs on the machine. */
export const quietLoad = 0.5;
