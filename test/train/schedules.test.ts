// Learning-rate schedules at points computed by hand.
import { expect, test } from "vitest";
import { schedules as schemaNames, type ScheduleConfig } from "../../src/config/schema.ts";
import { learningRateOf, schedules } from "../../src/train/schedules.ts";

const at = (
  schedule: ScheduleConfig,
  step: number,
  context: Partial<{ peak: number; steps: number; width: number }> = {},
) => learningRateOf(schedule, { peak: 1, steps: 100, width: 64, ...context })(step);

test.each<[string, ScheduleConfig, readonly (readonly [step: number, rate: number])[]]>([
  [
    "constant",
    { kind: "constant", warmupSteps: 0 },
    [
      [0, 1],
      [1, 1],
      [99, 1],
    ],
  ],
  [
    "constant with warm-up",
    { kind: "constant", warmupSteps: 4 },
    [
      [0, 0.25],
      [1, 0.5],
      [3, 1],
      [4, 1],
      [99, 1],
    ],
  ],
  [
    "inverse-sqrt without warm-up",
    { kind: "inverse-sqrt", warmupSteps: 0 },
    [
      [0, 1],
      [3, 0.5],
      [24, 0.2],
      [99, 0.1],
    ],
  ],
  // Rises to 1 at the 4th step (t = 3), then sqrt(4 / (t + 1)).
  [
    "inverse-sqrt",
    { kind: "inverse-sqrt", warmupSteps: 4 },
    [
      [0, 0.25],
      [3, 1],
      [15, 0.5],
      [99, 0.2],
    ],
  ],
  // 64^-0.5 = 1/8; rises linearly with slope 4^-1.5 = 1/8 to 1/8 * 1/2, then 1/8 * (t + 1)^-0.5.
  [
    "noam",
    { kind: "noam", warmupSteps: 4 },
    [
      [0, 1 / 64],
      [1, 2 / 64],
      [3, 1 / 16],
      [15, 1 / 32],
      [99, 1 / 80],
    ],
  ],
  // Half a cosine over the steps after the warm-up: at its middle the mean of peak and end, at its last step the end.
  [
    "cosine",
    { kind: "cosine", warmupSteps: 0, final: 0 },
    [
      [49, 0.5],
      [99, 0],
    ],
  ],
  [
    "cosine with warm-up and floor",
    { kind: "cosine", warmupSteps: 20, final: 0.2 },
    [
      [0, 0.05],
      [19, 1],
      [59, 0.6],
      [99, 0.2],
    ],
  ],
  [
    "linear-ramp down",
    { kind: "linear-ramp", warmupSteps: 0, to: 0 },
    [
      [0, 0.99],
      [49, 0.5],
      [99, 0],
    ],
  ],
  [
    "linear-ramp up",
    { kind: "linear-ramp", warmupSteps: 0, to: 11 },
    [
      [0, 1.1],
      [49, 6],
      [99, 11],
    ],
  ],
  [
    "linear-ramp with warm-up",
    { kind: "linear-ramp", warmupSteps: 20, to: 0 },
    [
      [0, 0.05],
      [19, 1],
      [59, 0.5],
      [99, 0],
    ],
  ],
])("%s", (_, schedule, points) => {
  for (const [step, rate] of points) {
    expect(at(schedule, step), `step ${step}`).toBeCloseTo(rate, 12);
    // Everything scales with the peak, but for the ramp, whose end is a rate of its own.
    if (schedule.kind !== "linear-ramp") expect(at(schedule, step, { peak: 0.002 })).toBeCloseTo(0.002 * rate, 12);
  }
});

test("past the last step a schedule stays where it ended", () => {
  for (const kind of ["cosine", "linear-ramp"] as const)
    expect(at({ kind, warmupSteps: 0, final: 0.3, to: 0.3 } as ScheduleConfig, 200)).toBeCloseTo(0.3, 12);
});

test("a warm-up as long as the run ends at the peak, without dividing by zero", () => {
  for (const kind of ["constant", "inverse-sqrt", "noam", "cosine", "linear-ramp"] as const) {
    const schedule = { kind, warmupSteps: 100, final: 0, to: 0 } as ScheduleConfig;
    for (const step of [0, 50, 98, 99]) expect(Number.isFinite(at(schedule, step)), `${kind} ${step}`).toBe(true);
    expect(at(schedule, 50), kind).toBeCloseTo(kind === "noam" ? 51 / 8 / 1000 : 0.51, 12);
  }
});

test("the schedules are those the configuration knows", () => {
  expect(Object.keys(schedules).sort()).toEqual(schemaNames.map(({ name }) => name).sort());
});
