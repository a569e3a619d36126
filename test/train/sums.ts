// Checkpoints that tests change on purpose, with the checksums of what is in them now.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes the SHA256SUMS of a checkpoint's folder anew, so that it does not count as damaged. */
export function rewriteSums(checkpoint: string): void {
  const sums = readdirSync(checkpoint)
    .filter((name) => name !== "SHA256SUMS")
    .map((name) => {
      const bytes = readFileSync(join(checkpoint, name));
      return `${createHash("sha256").update(bytes).digest("hex")}  ${name}\n`;
    });
  writeFileSync(join(checkpoint, "SHA256SUMS"), sums.join(""));
}
