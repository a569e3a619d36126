import type { Reporter, TestModule } from "vitest/node";

/** Ends the output with a line that programs can read: `12 passed, 0 failed, 3 skipped`. */
export default {
  onTestRunEnd(modules: readonly TestModule[]) {
    const states = modules.flatMap((module) => [...module.children.allTests()].map((test) => test.result().state));
    const count = (state: string): number => states.filter((other) => other === state).length;
    const broken = modules.filter((module) => module.errors().length > 0).length;
    console.log(`${count("passed")} passed, ${count("failed") + broken} failed, ${count("skipped")} skipped`);
  },
} satisfies Reporter;
