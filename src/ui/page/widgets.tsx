// Small pieces that several views use: choosers, switches, empty places, errors, statuses.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { RunStatus } from "../api.ts";
import { useWidth } from "./canvas.tsx";
import { count } from "./format.ts";

/** A labelled list to choose from. */
export function Chooser(props: {
  label: string;
  value: string;
  options: readonly (readonly [value: string, label: string])[];
  onChoose: (value: string) => void;
}): JSX.Element {
  const known = props.options.some(([value]) => value === props.value);
  return (
    <label class="chooser">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChoose(event.currentTarget.value)}>
        {!known && <option value={props.value}>{props.value}</option>}
        {props.options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A few choices beside each other, of which one holds. */
export function Segments(props: {
  label: string;
  value: string;
  options: readonly (readonly [value: string, label: string])[];
  onChoose: (value: string) => void;
}): JSX.Element {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      {props.options.map(([value, label]) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.onChoose(value)}>
          {label}
        </button>
      ))}
    </div>
  );
}

/** Something that is on or off. */
export function Switch(props: { label: string; isOn: boolean; onChange: (isOn: boolean) => void }): JSX.Element {
  return (
    <label class="switch">
      <input type="checkbox" checked={props.isOn} onChange={(event) => props.onChange(event.currentTarget.checked)} />
      <span>{props.label}</span>
    </label>
  );
}

/** A list that opens beneath its name. Escape, and whatever happens outside, closes it. */
export function Menu(props: { name: string; label?: string; children: ComponentChildren }): JSX.Element {
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const closeOutside = (event: Event): void => {
      if (!menu.current!.contains(event.target as Node)) menu.current!.open = false;
    };
    addEventListener("pointerdown", closeOutside);
    addEventListener("focusin", closeOutside);
    return () => {
      removeEventListener("pointerdown", closeOutside);
      removeEventListener("focusin", closeOutside);
    };
  }, []);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !menu.current!.open) return;
    menu.current!.open = false;
    menu.current!.querySelector("summary")!.focus();
  };
  // Towards the middle of the page, where there is room.
  const place = (): void => {
    const isRight = menu.current!.getBoundingClientRect().left > innerWidth / 2;
    menu.current!.classList.toggle("to-the-left", isRight);
  };
  return (
    <details class="menu" ref={menu} onKeyDown={onKeyDown} onToggle={place}>
      <summary aria-label={props.label}>{props.name}</summary>
      <div class="menu-body" role="group" aria-label={props.label ?? props.name}>
        {props.children}
      </div>
    </details>
  );
}

/** What stands where there is nothing to show, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <p>{children}</p>}
    </div>
  );
}

/** An error of the server, in place. */
export function Problem({ text }: { text: string }): JSX.Element {
  return (
    <p class="problem" role="alert">
      {text}
    </p>
  );
}

/** Something is on its way. Says so only after a moment, by its style. */
export function Waiting({ what }: { what: string }): JSX.Element {
  return (
    <p class="waiting" role="status">
      Reading {what} …
    </p>
  );
}

const marks: Readonly<Record<RunStatus, string>> = {
  done: "●",
  running: "◐",
  diverged: "▲",
  failed: "✕",
  stale: "◇",
  damaged: "■",
  pending: "○",
};

const meanings: Readonly<Record<RunStatus, string>> = {
  done: "finished",
  running: "is training",
  diverged: "a number became infinite or NaN",
  failed: "ended with an error",
  stale: "stopped without a word; fathom resume goes on with it",
  damaged: "its folder cannot be read",
  pending: "has not begun",
};

/** How a run stands: a mark of its own shape, a colour, and the word. */
export function Status({ status }: { status: RunStatus }): JSX.Element {
  return (
    <span class={`status ${status}`} title={meanings[status]}>
      <i aria-hidden="true">{marks[status]}</i> {status}
    </span>
  );
}

/** Counts by status as one small bar, each part as long as its share. */
export function CountsBar({ counts }: { counts: readonly (readonly [status: RunStatus, n: number])[] }): JSX.Element {
  const shown = counts.filter(([, n]) => n > 0);
  const all = shown.reduce((sum, [, n]) => sum + n, 0);
  return (
    <div
      class="counts"
      role="img"
      aria-label={`${count(all, "run")}: ${shown.map(([status, n]) => `${n} ${status}`).join(", ")}`}
    >
      <div class="bar">
        {shown.map(([status, n]) => (
          <i key={status} class={`part ${status}`} style={{ flexGrow: String(n) }} />
        ))}
      </div>
      <div class="legend" aria-hidden="true">
        {shown.map(([status, n]) => (
          <span key={status} class={`status ${status}`}>
            <i>{marks[status]}</i> {n.toLocaleString("en")} {status}
          </span>
        ))}
      </div>
    </div>
  );
}

/** Names with their colours; pointing at one makes it stand out. */
export function Legend(props: {
  entries: readonly { key: string; name: string; colour: string; note?: string }[];
  emphasis: string | undefined;
  onEmphasis: (key: string | undefined) => void;
}): JSX.Element {
  const n = props.entries.length;
  const list = useRef<HTMLUListElement>(null);
  const width = useWidth(list);
  const [isOpen, setOpen] = useState(false);
  const [isCut, setCut] = useState(false);
  useLayoutEffect(() => {
    const element = list.current;
    if (element) setCut(element.scrollHeight > element.clientHeight + 1);
  }, [n, width, isOpen]);
  const kind = n <= 12 || isOpen ? "" : isCut ? " many cut" : " many";
  return (
    <>
      <ul class={`chart-legend${kind}`} aria-label="legend" ref={list}>
        {props.entries.map(({ key, name, colour, note }) => (
          <li key={key}>
            <button
              type="button"
              aria-pressed={props.emphasis === key}
              onClick={() => props.onEmphasis(props.emphasis === key ? undefined : key)}
              title="Makes these lines stand out"
            >
              <i class="swatch" style={{ background: colour }} />
              {name}
              {note && <span class="soft"> {note}</span>}
            </button>
          </li>
        ))}
      </ul>
      {n > 12 && (isCut || isOpen) && (
        <button type="button" class="link" onClick={() => setOpen(!isOpen)}>
          {isOpen ? "show fewer names" : `show all ${n} names`}
        </button>
      )}
    </>
  );
}

/** A view's controls: a row that wraps. */
export function Controls({ children }: { children: ComponentChildren }): JSX.Element {
  return <div class="controls">{children}</div>;
}
