import { expect, test } from "vitest";
import type { Program } from "../../src/engine/compile.ts";
import { keptBytes, reusedFor } from "../../src/engine/reuse.ts";
import type { Session } from "../../src/engine/session.ts";

test("sessions are left for the next run of a network, one taker each, and let go where another network comes", async () => {
  const [created, released]: [string[], string[]] = [[], []];
  const create = (name: string) => (): Promise<Session> => {
    created.push(name);
    return Promise.resolve({
      run: () => Promise.resolve(),
      release: () => Promise.resolve(void released.push(name)),
    });
  };
  let forgotten = 0;
  const forget = (): void => void forgotten++;
  const [one, other] = [{} as Program, {} as Program];
  const first = await reusedFor("a", forget);
  first.bytes = 7;
  const [s1, s2] = [await first.session(one, create("s1")), await first.session(other, create("s2"))];
  expect(created).toEqual(["s1", "s2"]); // none was there
  await s1.release();
  await s2.release();
  const again = await reusedFor("a", forget);
  expect(again).toBe(first);
  expect((await again.session(one, create("s3"))).run).toBe(s1.run);
  expect(created).toEqual(["s1", "s2"]);
  await again.session(one, create("s4"));
  expect(created).toEqual(["s1", "s2", "s4"]); // the other one runs
  expect([keptBytes(), forgotten, released]).toEqual([7, 0, []]);
  const next = await reusedFor("b", forget);
  await next.session(other, create("s5"));
  expect(created.at(-1)).toBe("s5");
  expect([released, keptBytes(), forgotten]).toEqual([["s2"], 0, 1]);
});
