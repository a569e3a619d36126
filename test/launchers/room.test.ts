import { expect, test } from "vitest";
import { memoryRoom } from "../../src/launchers/room.ts";

const GiB = 2 ** 30;
const settled = async (promise: Promise<void>): Promise<boolean> =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, 20, false))]);

test("a run waits until what it wants is there beside what the others still want, and a smaller one passes it", async () => {
  const resident = new Map<number, number>();
  const room = memoryRoom(
    () => 10 * GiB,
    (pid) => resident.get(pid),
  );
  const need = (gib: number) => ({ bytes: gib * GiB, residentBytes: 0 });
  expect(await settled(room.enter(1, need(6)))).toBe(true);
  const large = room.enter(2, need(5));
  expect(await settled(large)).toBe(false);
  expect(await settled(room.enter(3, need(4)))).toBe(true);
  // What a process has is no longer there, and no longer wanted.
  resident.set(1, 6 * GiB);
  room.leave(3);
  expect(await settled(large)).toBe(true);
});

test("one by itself is let in however large it is: it tells its user itself", async () => {
  const room = memoryRoom(
    () => GiB,
    () => undefined,
  );
  expect(await settled(room.enter(1, { bytes: 50 * GiB, residentBytes: GiB }))).toBe(true);
  const next = room.enter(2, { bytes: 2 * GiB, residentBytes: 2 * GiB });
  expect(await settled(next)).toBe(true); // it has all it wants
  const third = room.enter(3, { bytes: 3 * GiB, residentBytes: GiB });
  expect(await settled(third)).toBe(false);
  room.leave(3); // it has given up
  room.leave(1);
  room.leave(2);
  expect(await settled(third)).toBe(false);
});
