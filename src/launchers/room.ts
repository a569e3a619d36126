// Who may go on in the memory of this machine: a run is let in where what it still wants is there beside what those let in before
// it still want. One by itself is always let in, and tells its user if even then it does not fit.

import { availableBytes } from "../runs/available.ts";
import { statusBytes } from "../runs/cost.ts";
import type { MemoryNeed } from "./launcher.ts";

/** How often those that wait are looked at beside each time that one leaves, milliseconds. */
const LOOK = 1000;

/** A process by its id, and what it needs. */
interface Guest {
  readonly pid: number;
  readonly need: MemoryNeed;
}

/** Memory that processes share. `available` and `residentOf` look at the machine: bytes there for all, and those a process has. */
export function memoryRoom(
  available: () => number = availableBytes,
  residentOf: (pid: number) => number | undefined = (pid) => statusBytes("VmRSS", pid),
) {
  const inside = new Map<number, Guest>();
  const waiting = new Map<Guest, () => void>();
  let timer: NodeJS.Timeout | undefined;
  const wants = ({ pid, need }: Guest): number => Math.max(0, need.bytes - (residentOf(pid) ?? need.residentBytes));
  const look = (): void => {
    for (const [guest, enter] of waiting) {
      const promised = [...inside.values()].reduce((sum, other) => sum + wants(other), 0);
      // A smaller one further back may pass: it is over sooner, too.
      if (inside.size > 0 && wants(guest) > 0 && wants(guest) + promised > available()) continue;
      waiting.delete(guest);
      inside.set(guest.pid, guest);
      enter();
    }
    if (waiting.size > 0) timer ??= setInterval(look, LOOK);
    else timer = void clearInterval(timer);
  };
  return {
    /** Resolves once there is room. */
    enter: (pid: number, need: MemoryNeed): Promise<void> =>
      new Promise((resolve) => {
        inside.delete(pid);
        waiting.set({ pid, need }, resolve);
        look();
      }),
    /** The process has ended what it entered for, or no longer waits. */
    leave(pid: number): void {
      inside.delete(pid);
      for (const guest of waiting.keys()) if (guest.pid === pid) waiting.delete(guest);
      look();
    },
  };
}
