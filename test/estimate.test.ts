// What a run's memory is estimated from, and what is made of it. That the estimate comes true is tested on runs in processes of their
// own: test/cli/estimate.test.ts.
import { expect, test } from "vitest";
import { loadRegistries } from "../src/config/registries.ts";
import { resolver } from "../src/config/resolve.ts";
import type { RunConfig } from "../src/config/schema.ts";
import { UserError } from "../src/errors.ts";
import { checkMemory, estimateMemory, type MemoryEstimate } from "../src/memory.ts";
import { availableBytes } from "../src/runs/available.ts";
import { prepare } from "../src/prepare.ts";
import { syntheticTranslation } from "../src/synthetic.ts";
import { trainStep } from "../src/train/trainer.ts";

const { resolve } = resolver(await loadRegistries());
const rows = 8;
const length = 16;
const dataset = syntheticTranslation(rows, length, 300);

function configOf(overrides: { model?: object; train?: object; probes?: object; engine?: string } = {}): RunConfig {
  const resolved = resolve({
    name: "estimate",
    engine: overrides.engine ?? "onnx",
    data: { corpus: "typescript-diagnostics", directions: ["en-de"], maxLength: length },
    model: { kind: "transformer", depth: 3, width: 32, heads: 4, residual: "pre-ln", ...overrides.model },
    train: { steps: 3, batch: { sentences: rows }, ...overrides.train },
    probes: { everySteps: 1, ...overrides.probes },
  });
  if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
  return resolved.value;
}

const estimate = (config: RunConfig): Promise<MemoryEstimate> => estimateMemory(config, { dataset });
const part = ({ parts }: Pick<MemoryEstimate, "parts">, name: string): number =>
  parts.find((one) => one.name === name)?.bytes ?? 0;

/** Bytes of all ArrayBuffers of this process, after garbage is gone. */
async function arrayBufferBytes(): Promise<number> {
  const { setFlagsFromString } = await import("node:v8");
  const { runInNewContext } = await import("node:vm");
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}

test("parts add up, and weights, gradients and optimizer state are those of the parameters", async () => {
  const adam = await estimate(configOf());
  const { parameters, engine } = await prepare(configOf(), { dataset });
  await engine.dispose();
  const weights = [...parameters.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  expect(adam).toMatchObject({ engine: "onnx", isComplete: true });
  expect(Math.abs(adam.parts.reduce((sum, { bytes }) => sum + bytes, 0) - adam.bytes)).toBeLessThan(1);
  expect(adam.parts.map(({ bytes }) => bytes)).toEqual(adam.parts.map(({ bytes }) => bytes).sort((a, b) => b - a));
  expect(part(adam, "weights")).toBe(weights);
  expect(part(adam, "gradients")).toBe(weights);
  expect(part(adam, "optimizer state")).toBe(2 * weights);
  expect(part(adam, "a checkpoint while it is written")).toBe(3 * weights);
  expect(part(adam, "copies that probes compare with")).toBe(0);
  const sgd = await estimate(configOf({ train: { optimizer: { kind: "sgd" } } }));
  expect(part(sgd, "optimizer state")).toBe(0);
  const momentum = await estimate(configOf({ train: { optimizer: { kind: "sgd", momentum: 0.9 } } }));
  expect(part(momentum, "optimizer state")).toBe(weights);
  const full = await estimate(configOf({ probes: { preset: "full" } }));
  expect(part(full, "copies that probes compare with")).toBe(4 * weights);
});

test("buffers are counted as the engine makes them", async () => {
  const config = configOf({ model: { depth: 12, width: 64 } });
  const { laidOut } = await estimate(config);
  const counted = [...laidOut.buffers.values()].reduce((sum, bytes) => sum + bytes, 0);
  const training = await prepare(config, { dataset });
  const before = await arrayBufferBytes();
  await trainStep(training, 0);
  await training.engine.evaluate(training.players[0]!, training.parameters, dataset.evaluation.dev[0]!);
  // Gradients and the optimizer's state lie in WebAssembly's memory with the parameters: it was there before, whole.
  const state = [...training.optimizers.values()].flatMap((optimizer) => [...optimizer.state.values()]);
  const parameters = [...training.parameters.values()].map(({ data }) => data);
  expect(new Set([...parameters, ...state].map(({ buffer }) => buffer)).size).toBe(1);
  const gradients = parameters.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const made = (await arrayBufferBytes()) - before + gradients;
  await training.engine.dispose();
  expect(counted).toBeGreaterThan(16 * 2 ** 20); // many times what is beside them
  // Beside buffers: the models of the programs compiled, some hundred KiB.
  expect(made / counted).toBeGreaterThan(0.98);
  expect(made / counted).toBeLessThan(1.05);
});

test("an engine that knows its sizes compiles nothing again and computes the same", async () => {
  const config = configOf();
  const { laidOut } = await estimate(config);
  const [plain, told] = [await prepare(config, { dataset }), await prepare(config, { dataset }, { laidOut })];
  for (let step = 0; step < 3; step++) {
    const [expected] = (await trainStep(plain, step)).outcomes;
    const [outcome] = (await trainStep(told, step)).outcomes;
    expect(outcome).toEqual(expected);
  }
  await told.engine.evaluate(told.players[0]!, told.parameters, dataset.evaluation.dev[0]!);
  expect(told.engine.facts()["compiledStages"]).toBe(laidOut.compiled.size);
  await plain.engine.dispose();
  await told.engine.dispose();
});

test("what grows with the network grows in the estimate", async () => {
  const small = await estimate(configOf());
  const activations = (one: MemoryEstimate): number => part(one, "activations and their gradients");
  const deep = await estimate(configOf({ model: { depth: 12 } }));
  // Embedding, output and the buffers that take turns stay as they are.
  expect(activations(deep) / activations(small)).toBeGreaterThan(2.5);
  expect(activations(deep) / activations(small)).toBeLessThan(4);
  // Layers share their programs.
  expect(part(deep, "sessions of the runtime")).toBe(part(small, "sessions of the runtime"));
  const wide = await estimate(configOf({ model: { width: 128 } }));
  // A session takes something whatever its width, and logits are as wide as the vocabulary.
  expect(part(wide, "sessions of the runtime")).toBeGreaterThan(1.5 * part(small, "sessions of the runtime"));
});

test("of an engine that runs operation by operation the rest is not known, and not invented", async () => {
  const { engine, isComplete, parts } = await estimate(configOf({ engine: "cpu" }));
  expect({ engine, isComplete }).toEqual({ engine: "cpu", isComplete: false });
  const names = parts.map(({ name }) => name);
  expect(names).toContain("weights");
  expect(names).toContain("gradients");
  expect(names).not.toContain("activations and their gradients");
  expect(names).not.toContain("sessions of the runtime");
});

const GiB = 2 ** 30;
const needing = (bytes: number, rest: Partial<MemoryEstimate> = {}) => ({
  engine: "onnx",
  parts: [
    { name: "activations and their gradients", bytes: 6 * GiB },
    { name: "weights", bytes: 2 * GiB },
  ],
  bytes,
  isComplete: true,
  residentBytes: 1 * GiB,
  ...rest,
});

test("a run is refused where it needs more than there is, and warned of where it just fits", () => {
  expect(checkMemory(needing(8 * GiB), 10 * GiB)).toBeUndefined();
  expect(checkMemory(needing(9 * GiB), 10 * GiB)).toBeUndefined(); // 8 more: four fifths
  expect(checkMemory(needing(9.1 * GiB), 10 * GiB)).toMatch(
    /needs about 9\.1 GiB, and 11\.0 GiB are available.*may just fit/,
  );
  expect(checkMemory(needing(11 * GiB), 10 * GiB)).toContain("may just fit");
  // Estimates were found to be up to 11 % too high.
  expect(checkMemory(needing(12 * GiB), 10 * GiB)).toContain("may not fit");
  const refused = (): unknown => checkMemory(needing(12.2 * GiB), 10 * GiB);
  expect(refused).toThrow(UserError);
  expect(refused).toThrow(
    /needs about 12\.2 GiB, and 11\.0 GiB are available \(largest parts: activations and their gradients 6\.0 GiB, weights 2\.0 GiB\); make train\.batch, model\.depth, model\.width or data\.maxLength smaller, set train\.recompute: true \(of a transformer\), run fewer/,
  );
  const unknown = (): unknown => checkMemory(needing(13 * GiB, { engine: "cpu", isComplete: false }), 10 * GiB);
  expect(unknown).toThrow(/needs at least \(what engine cpu itself needs is not known\) 13\.0 GiB/);
});

const reader =
  (files: Record<string, string>) =>
  (file: string): string | undefined =>
    files[file];

test("what is available is what the system and every control group leave", () => {
  const meminfo = "MemTotal:       8000000 kB\nMemFree:  100 kB\nMemAvailable:    4000000 kB\n";
  const system = 4000000 * 1024;
  expect(availableBytes(reader({ "/proc/meminfo": meminfo }))).toBe(system);
  const unlimited = {
    "/proc/meminfo": meminfo,
    "/proc/self/cgroup": "0::/user.slice/run.scope\n",
    "/sys/fs/cgroup/user.slice/run.scope/memory.max": "max\n",
    "/sys/fs/cgroup/user.slice/run.scope/memory.current": "1000\n",
  };
  expect(availableBytes(reader(unlimited))).toBe(system);
  const ofParent = {
    ...unlimited,
    "/sys/fs/cgroup/user.slice/memory.max": "1000000\n",
    "/sys/fs/cgroup/user.slice/memory.current": "900000\n",
    "/sys/fs/cgroup/user.slice/memory.stat": "anon 500000\ninactive_file 300000\nactive_file 7\n",
  };
  expect(availableBytes(reader(ofParent))).toBe(400_000);
  const full = { ...ofParent, "/sys/fs/cgroup/memory.max": "5\n", "/sys/fs/cgroup/memory.current": "9\n" };
  expect(availableBytes(reader(full))).toBe(0);
  const firstVersion = {
    "/proc/meminfo": meminfo,
    "/proc/self/cgroup": "12:cpu,cpuacct:/a\n4:memory:/docker/b\n0::/\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": "600000\n",
    "/sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
  };
  expect(availableBytes(reader(firstVersion))).toBe(1_500_000);
  // Where there is no such file, and here, whatever this machine has.
  expect(availableBytes(reader({}))).toBeGreaterThan(0);
  expect(availableBytes()).toBeGreaterThan(2 ** 20);
});
