import { expect, test } from "vitest";
import { axisOf, ticksOf } from "../../src/ui/page/axes.ts";

test("a logarithmic axis over thirteen decades has ticks along all of it", () => {
  const ticks = ticksOf({ domain: [1e-13, 3], isLog: true }, 5).map(({ value }) => value);
  expect(ticks.length).toBeGreaterThanOrEqual(3);
  expect(Math.min(...ticks)).toBeLessThan(1e-9);
  expect(Math.max(...ticks)).toBeGreaterThan(1e-3);
});

test("a linear axis has round ticks within its limits", () => {
  const axis = axisOf([4.2, 6.6], false);
  const ticks = ticksOf(axis, 5);
  expect(ticks.map(({ label }) => label)).toContain("5");
  for (const { value } of ticks) {
    expect(value).toBeGreaterThanOrEqual(axis.domain[0]);
    expect(value).toBeLessThanOrEqual(axis.domain[1]);
  }
});
