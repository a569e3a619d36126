import { defineConfig } from "vitest/config";
import closingLine from "./test/closing-line.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", closingLine],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Each file in its own process: TensorFlow.js keeps its engine in globals, and ONNX Runtime blocks the event loop.
    pool: "forks",
    maxWorkers: 2,
  },
});
