import { expect, test } from "vitest";
import type { Program } from "../../src/engine/compile.ts";
import { keptBytes, reusedFor } from "../../src/engine/reuse.ts";
import type { Session } from "../../src/engine/session.ts";

test("sessions are left for the next run of a network, one taker each, and let go where another network comes", async () => {
  const released: string[] = [];
  const session = (name: string): Session => ({
    run: () => Promise.resolve(),
    release: () => Promise.resolve(void released.push(name)),
  });
  let forgotten = 0;
  const forget = (): void => void forgotten++;
  const [one, other] = [{} as Program, {} as Program];
  const first = await reusedFor("a", forget);
  first.bytes = 7;
  expect(first.take(one)).toBeUndefined();
  const [s1, s2] = [session("s1"), session("s2")];
  first.keep(one, s1);
  first.keep(other, s2);
  const again = await reusedFor("a", forget);
  expect(again).toBe(first);
  expect(again.take(one)).toBe(s1);
  expect(again.take(one)).toBeUndefined(); // it runs
  expect([keptBytes(), forgotten]).toEqual([7, 0]);
  const next = await reusedFor("b", forget);
  expect(next.take(other)).toBeUndefined();
  expect([released, keptBytes(), forgotten]).toEqual([["s2"], 0, 1]);
});
