// Progress on the terminal: a bar a run where stderr is one, plain lines now and then elsewhere.

import { MultiBar, type SingleBar } from "cli-progress";
import pc from "picocolors";
import type { Progress } from "../types.ts";

/** Shows several runs at once. Everything goes to stderr; stdout is for results. */
export interface ProgressView {
  update(id: string, progress: Progress): void;
  /** A line that stays on the screen. */
  say(line: string): void;
  /** The run ended; `line` says how and stays on the screen. */
  end(id: string, line: string): void;
  stop(): void;
}

/** The view that fits stderr; silent if `quiet`. */
export function progressView(quiet: boolean): ProgressView {
  if (quiet) return { update: () => {}, say: () => {}, end: () => {}, stop: () => {} };
  return process.stderr.isTTY ? bars() : plainLines();
}

const secondsBetweenLines = 10;

function plainLines(): ProgressView {
  const last = new Map<string, number>();
  return {
    update(id, progress) {
      const now = performance.now();
      if (now - (last.get(id) ?? -Infinity) < secondsBetweenLines * 1000) return;
      last.set(id, now);
      process.stderr.write(`${id}: ${describe(progress)}\n`);
    },
    say: (line) => void process.stderr.write(`${line}\n`),
    end: (_id, line) => void process.stderr.write(`${line}\n`),
    stop: () => {},
  };
}

function bars(): ProgressView {
  const multi = new MultiBar(
    { format: `${pc.cyan("{bar}")} {percentage}% {id}: {text}`, barsize: 16, hideCursor: true, clearOnComplete: false },
    // Characters that every font has.
    { format: "", barCompleteChar: "=", barIncompleteChar: "-" },
  );
  const active = new Map<string, SingleBar>();
  const say = (line: string): void => {
    multi.log(`${line}\n`);
    multi.update();
  };
  return {
    say,
    update(id, progress) {
      const bar = active.get(id) ?? multi.create(progress.steps, 0, { id, text: "" });
      active.set(id, bar);
      bar.setTotal(progress.steps); // known once the data is
      bar.update(progress.step, { id, text: describe(progress) });
    },
    end(id, line) {
      const bar = active.get(id);
      if (bar) multi.remove(bar);
      active.delete(id);
      say(line);
    },
    stop: () => multi.stop(),
  };
}

const describe = ({ step, steps, loss, gradientNorm, stepsPerSecond, secondsLeft, doing }: Progress): string =>
  doing ??
  `step ${step}/${steps}  loss ${number(loss)}  gradient ${number(gradientNorm)}  ` +
    `${number(stepsPerSecond)} steps/s  ${duration(secondsLeft)} left`;

const number = (value: number): string => (Number.isFinite(value) ? value.toPrecision(4) : String(value));

/** `75` -> `1m15s`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  return s < 3600 ? `${Math.floor(s / 60)}m${s % 60}s` : `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
}
