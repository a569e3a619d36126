// A slider over steps that can play: layers and samples walk through training with it. Space plays and pauses, arrow keys step.

import { useEffect, useState } from "preact/hooks";
import type { JSX } from "preact";

/** Whether the reader has asked for less movement. */
const wantsStillness = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The slider. `index` is a place in `steps`, from 0. */
export function Player(props: {
  steps: readonly number[];
  index: number;
  onIndex: (index: number) => void;
  /** Steps shown a second while it plays; one, of readers who want less movement. */
  perSecond: number;
}): JSX.Element {
  const { steps, index, onIndex, perSecond } = props;
  const [isPlaying, setPlaying] = useState(false);
  const last = steps.length - 1;
  const move = (by: number): void => {
    setPlaying(false);
    onIndex(Math.min(last, Math.max(0, index + by)));
  };
  const toggle = (): void => {
    if (!isPlaying && index >= last) onIndex(0);
    setPlaying(!isPlaying);
  };

  useEffect(() => {
    if (!isPlaying) return;
    if (index >= last) {
      setPlaying(false);
      return;
    }
    const timer = setTimeout(() => onIndex(index + 1), 1000 / (wantsStillness() ? 1 : perSecond));
    return () => clearTimeout(timer);
  }, [isPlaying, index, last]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      const isOurs = target.closest(".player") !== null;
      // Elsewhere these keys have a meaning of their own.
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.closest("input:not([type=range]), select, textarea, summary, a, [role=tab]")) return;
      if (event.key === " ") {
        if (target.closest("button")) return;
        event.preventDefault();
        toggle();
      } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        if (target.closest("input") && !isOurs) return;
        event.preventDefault();
        move(event.key === "ArrowLeft" ? -1 : 1);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });

  return (
    <div class="player">
      <button type="button" class="play" onClick={toggle} disabled={last < 1} title="Space plays and pauses">
        <i aria-hidden="true">{isPlaying ? "❚❚" : "▶"}</i> {isPlaying ? "Pause" : "Play"}
      </button>
      <button type="button" aria-label="one step back" onClick={() => move(-1)} disabled={index <= 0}>
        ‹
      </button>
      <input
        type="range"
        min={0}
        max={Math.max(0, last)}
        value={index}
        aria-label="step"
        aria-valuetext={`step ${steps[index] ?? 0}`}
        onInput={(event) => {
          setPlaying(false);
          onIndex(Number(event.currentTarget.value));
        }}
      />
      <button type="button" aria-label="one step on" onClick={() => move(1)} disabled={index >= last}>
        ›
      </button>
      <output>
        step <b>{steps[index] ?? 0}</b> of {steps.at(-1) ?? 0}
      </output>
    </div>
  );
}

/** The index of the place in `steps` that is nearest to `wanted`; the last where none is asked for. */
export function nearestIndex(steps: readonly number[], wanted: string | undefined): number {
  const step = Number(wanted);
  if (wanted === undefined || wanted === "" || !Number.isFinite(step)) return Math.max(0, steps.length - 1);
  let best = 0;
  for (const [i, one] of steps.entries()) if (Math.abs(one - step) < Math.abs(steps[best]! - step)) best = i;
  return best;
}
