// Convolution and transposed convolution at the sizes of a DCGAN for MNIST, compiled, against PyTorch's in float64. What is
// compared is float32 rounding: of sums of up to 1600 products, some 1e-6; the bound is the 1e-4 asked of the project.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import * as ops from "../../src/ops/index.ts";
import { differentiateTwin, inputsOf, type Twin } from "../../src/engine/twin.ts";
import { convolutionShapes, convolutionSizes } from "../../src/engine/float64.ts";
import { stream } from "../../src/random.ts";

const script = fileURLToPath(new URL("./torch_convolution.py", import.meta.url));
// Debian's python3-torch belongs to the system's Python, which need not be the first one in the path.
const python = ["python3", "/usr/bin/python3"].find(
  (name) => spawnSync(name, ["-c", "import numpy, torch"]).status === 0,
);
if (!python)
  console.warn(
    "test/inspect/convolution.test.ts: skipped, since no python3 here imports torch (apt install python3-torch)",
  );

// Images, rows, columns, channels, out channels, kernel, stride, padding.
const cases = [
  [4, 28, 28, 1, 16, 4, 2, 1],
  [4, 14, 14, 16, 32, 4, 2, 1],
  [2, 14, 14, 16, 32, 5, 2, 2],
  [1, 9, 7, 3, 5, 3, 1, 1],
].map(convolutionSizes);

describe.skipIf(!python)("PyTorch computes the same convolutions", () => {
  test.each([engines.onnx, engines.wasm])(
    "as engine $name",
    async (kind) => {
      const engine = await kind.create({ threads: 1 });
      const given: unknown[] = [];
      for (const s of cases)
        for (const transposed of [false, true]) {
          const { x, y, w } = convolutionShapes(s);
          const { stride, padding, kernel } = s;
          const outputSize = [s.rows, s.columns] as const;
          const [from, to] = transposed ? [y, x] : [x, y];
          const twin: Twin = {
            inputs: { input: from, weight: w },
            apply: ({ input, weight }) =>
              transposed
                ? ops.transposedConvolution(input!, weight!, { stride, padding, outputSize })
                : ops.convolution(input!, weight!, { stride, padding }),
            reference: () => new Float64Array(0),
          };
          const cotangent = stream(1, "test cotangent").normal(new Float32Array(to.reduce((a, b) => a * b)));
          const { scalars, gradients } = await differentiateTwin(twin, engine, cotangent);
          const { input, weight } = inputsOf(twin);
          given.push({
            inputShape: from,
            weightShape: w,
            stride,
            padding,
            outputPadding: transposed
              ? outputSize.map((size, i) => size - (stride * (y[1 + i]! - 1) + kernel - 2 * padding))
              : null,
            input: [...input!],
            weight: [...weight!],
            cotangent: [...cotangent],
            loss: scalars["loss"],
            inputGradient: [...gradients.get("input")!],
            weightGradient: [...gradients.get("weight")!],
          });
        }
      await engine.dispose();
      const { status, stdout, stderr } = spawnSync(python!, ["-B", script], {
        input: JSON.stringify(given),
        encoding: "utf8",
        maxBuffer: 2 ** 28,
      });
      expect(status, stderr).toBe(0);
      const reports = stdout.trim().split("\n");
      expect(reports.length).toBe(given.length);
      for (const line of reports)
        for (const [what, apart] of Object.entries(JSON.parse(line) as Record<string, number>))
          expect(apart, `${what}: ${line}`).toBeLessThan(1e-4);
    },
    60_000,
  );
});
