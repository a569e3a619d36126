// What a run leaves for the next one of the same network in its process: short runs of a sweep, which differ in their seed or
// learning rate, would otherwise spend a tenth of their time on compiling and loading the same programs.
import type { Program } from "./compile.ts";
import type { Precompiled } from "./footprint.ts";
import type { Session } from "./session.ts";

/** Programs of a network, and sessions that have run them and run nothing now. */
export interface Reused {
  /** By compilation key. */
  readonly compiled: Map<string, Precompiled>;
  /** Bytes that its first run found resident when it began, and those of its data: those of the next ones, too, which find more. */
  found?: { readonly program: number; readonly data: number };
  /** Bytes of its sessions, as estimated. */
  bytes: number;
  /** The idle session of a program, else a new one. When it is released it is idle again. */
  session(program: Program, create: () => Promise<Session>): Promise<Session>;
}

let last: { readonly network: string; readonly reused: Reused; readonly idle: Map<Program, Session> } | undefined;

/** What was left for `network`: a text that is the same for runs of the same programs alone, threads included. Anything left for
 *  another one is let go, after which `onForgotten` is called. */
export async function reusedFor(network: string, onForgotten: () => void): Promise<Reused> {
  if (last?.network === network) return last.reused;
  if (last) {
    await forgetReused();
    onForgotten();
  }
  const idle = new Map<Program, Session>();
  const reused: Reused = {
    compiled: new Map(),
    bytes: 0,
    async session(program, create) {
      const session = idle.get(program) ?? (await create());
      idle.delete(program);
      return { ...session, release: () => Promise.resolve(void idle.set(program, session)) };
    },
  };
  last = { network, reused, idle };
  return reused;
}

/** Bytes that are kept for the next run of the last network. */
export const keptBytes = (): number => last?.reused.bytes ?? 0;

/** Lets go of what was left, if anything was. */
async function forgetReused(): Promise<void> {
  const sessions = [...(last?.idle.values() ?? [])];
  last = undefined;
  for (const session of sessions) await session.release();
}
