// Answers of the server, kept by address. A view names an address and a version; while a newer answer is on its way it goes on
// showing what it has. Unchanged answers cost the server and the network next to nothing (ETag), and the page no redraw.

import { signal, type Signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

/** What there is of an answer. */
export interface Answer<T> {
  /** The last good answer; of the address before while this one's first is on its way. */
  readonly data: T | undefined;
  /** Why the last attempt failed, in words for the user. */
  readonly error: string | undefined;
  /** Whether `data` is not (yet) what the address stands for. */
  readonly isWaiting: boolean;
}

interface Kept {
  readonly address: string;
  readonly data: Signal<unknown>;
  readonly error: Signal<string | undefined>;
  etag: string | undefined;
  /** The version that was asked for last. */
  version: number | undefined;
  isUnderWay: boolean;
  isAskedAgain: boolean;
  /** How many views show it: what nobody looks at any more is not asked for. */
  lookers: number;
}

/** Answers kept at most; the least recently used go first. */
const keptAtMost = 1000;
/** Requests at a time: browsers allow six a host, and one is the stream of changes. */
const atATime = 4;

const answers = new Map<string, Kept>();
const queue: (() => Promise<void>)[] = [];
let running = 0;

function keptOf(address: string): Kept {
  const found = answers.get(address);
  if (found) {
    answers.delete(address);
    answers.set(address, found);
    return found;
  }
  const made: Kept = {
    address,
    data: signal(undefined),
    error: signal(undefined),
    etag: undefined,
    version: undefined,
    isUnderWay: false,
    isAskedAgain: false,
    lookers: 0,
  };
  answers.set(address, made);
  if (answers.size > keptAtMost) answers.delete(answers.keys().next().value!);
  return made;
}

/** Asks, first of all that wait if it is `alone`: one of many must not keep a reader waiting for what stands for itself. */
function ask(kept: Kept, alone: boolean): void {
  if (kept.isUnderWay) {
    kept.isAskedAgain = true;
    return;
  }
  kept.isUnderWay = true;
  queue[alone ? "unshift" : "push"](async () => {
    if (kept.lookers > 0) await load(kept);
    else kept.version = undefined;
    kept.isUnderWay = false;
    if (!kept.isAskedAgain) return;
    kept.isAskedAgain = false;
    ask(kept, alone);
  });
  pump();
}

function pump(): void {
  while (running < atATime) {
    const next = queue.shift();
    if (!next) return;
    running += 1;
    void next().finally(() => {
      running -= 1;
      pump();
    });
  }
}

async function load(kept: Kept): Promise<void> {
  try {
    const headers: HeadersInit = kept.etag === undefined ? {} : { "If-None-Match": kept.etag };
    const response = await fetch(kept.address, { headers, cache: "no-store" });
    if (response.status === 304) {
      kept.error.value = undefined;
      return;
    }
    const body = (await response.json()) as unknown;
    if (!response.ok) {
      const said = (body as { error?: unknown }).error;
      kept.error.value = typeof said === "string" ? said : `the server answered ${response.status}`;
      return;
    }
    kept.etag = response.headers.get("ETag") ?? undefined;
    kept.data.value = body;
    kept.error.value = undefined;
  } catch {
    kept.error.value = "the server of fathom ui does not answer; is it still running?";
  }
}

/** The answer at `address` (none of undefined), asked for again whenever `version` moves. */
export function useAnswer<T>(address: string | undefined, version = 0): Answer<T> {
  const [answer] = useAnswers<T>(address === undefined ? [] : [{ address, version }]);
  const before = useRef<T | undefined>(undefined);
  if (answer?.data !== undefined) before.current = answer.data;
  if (address === undefined) return { data: undefined, error: undefined, isWaiting: false };
  if (!answer) return { data: before.current, error: undefined, isWaiting: true };
  return answer.data === undefined && answer.error === undefined ? { ...answer, data: before.current } : answer;
}

/** Answers at several addresses, in their order, as they come. */
export function useAnswers<T>(wanted: readonly { address: string; version: number }[]): Answer<T>[] {
  const all = wanted.map(({ address }) => keptOf(address));
  useEffect(
    () => {
      for (const [i, { version }] of wanted.entries()) {
        const kept = all[i]!;
        kept.lookers += 1;
        if (kept.version === version) continue;
        kept.version = version;
        ask(kept, all.length === 1);
      }
      return () => {
        for (const kept of all) kept.lookers -= 1;
      };
    },
    // One text for all: a list of changing length is no list of dependencies.
    [wanted.map(({ address, version }) => `${version} ${address}`).join("\n")],
  );
  return all.map(({ data, error }) => ({
    data: data.value as T | undefined,
    error: error.value,
    isWaiting: data.value === undefined && error.value === undefined,
  }));
}

/** An address of the server's interface: parts are encoded, queries without a value left out. */
export function apiAddress(
  parts: readonly string[],
  query: Readonly<Record<string, string | number | undefined>> = {},
): string {
  const given = Object.entries(query).filter((entry): entry is [string, string | number] => entry[1] !== undefined);
  const text = given.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  return `api/${parts.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

/** `version`, but at most every `seconds`: what is dear to ask for is not asked for with every step of a run. */
export function useSlowly(version: number, seconds: number): number {
  const [slow, setSlow] = useState({ version, at: Date.now() });
  useEffect(() => {
    if (slow.version === version) return;
    const wait = Math.max(0, slow.at + seconds * 1000 - Date.now());
    const timer = setTimeout(() => setSlow({ version, at: Date.now() }), wait);
    return () => clearTimeout(timer);
  }, [version, slow]);
  return slow.version;
}
