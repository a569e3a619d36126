// Runs a command line in this process and catches what it prints.

import { main } from "../../src/cli/main.ts";
import { vi } from "vitest";

/** Exit code and printed text of `fathom <args>`. */
export async function fathom(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const text = { stdout: "", stderr: "" };
  const append = (name: keyof typeof text) => (line: unknown) => void (text[name] += `${String(line)}\n`);
  const spies = [
    vi.spyOn(console, "log").mockImplementation(append("stdout")),
    vi.spyOn(console, "error").mockImplementation(append("stderr")),
    vi.spyOn(process.stderr, "write").mockImplementation((line) => (append("stderr")(line), true)),
  ];
  try {
    return { code: await main(args), ...text };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
