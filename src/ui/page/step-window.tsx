// The window of steps that curves and layers show: in the address as `from` and `to`.

import type { JSX } from "preact";
import { choose, route } from "./route.ts";
import { stepsAsked, type StepsAsked } from "./steps.ts";

/** First and last step asked for, in order; undefined where it is all. */
export const stepWindow = (): StepsAsked => stepsAsked(route.value.state);

/** Asks for a window. */
export const zoom = (from: number, to: number): void =>
  choose({ from: String(Math.max(0, Math.floor(from))), to: String(Math.max(1, Math.ceil(to))) });

/** Goes back to all steps. */
export const zoomOut = (): void => choose({ from: undefined, to: undefined });

/** Two numbers to say the window with, and a way back. */
export function StepWindow({ extent }: { extent: readonly [number, number] | null }): JSX.Element {
  const { from, to } = stepWindow();
  const field = (name: "from" | "to", value: number | undefined, all: number | undefined): JSX.Element => (
    <input
      type="number"
      min={0}
      aria-label={name === "from" ? "first step" : "last step"}
      placeholder={all === undefined ? "" : String(all)}
      value={value ?? ""}
      onChange={(event) => choose({ [name]: event.currentTarget.value || undefined })}
    />
  );
  return (
    <div class="step-window" role="group" aria-label="Window of steps">
      <span>Steps</span>
      {field("from", from, extent?.[0])}
      <span aria-hidden="true">to</span>
      {field("to", to, extent?.[1])}
      {(from !== undefined || to !== undefined) && (
        <button type="button" class="link" onClick={zoomOut}>
          all steps
        </button>
      )}
    </div>
  );
}
