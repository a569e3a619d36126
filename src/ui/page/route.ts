// Where the page stands, all of it in the address behind `#`: `#/` the list, `#/verify`, `#/x/<experiment>/<view>?<state>`. So a
// copied link shows what its sender saw, and back and forward work.

import { signal } from "@preact/signals";

/** What is shown. */
export interface Route {
  /** The experiment's name; undefined on pages of none. */
  readonly experiment: string | undefined;
  /** A view of the experiment, or `experiments`, `verify`. */
  readonly view: string;
  /** The state of views: filters, sort, selected runs, metric, step ... by name. */
  readonly state: Readonly<Record<string, string>>;
}

/** A change of state: undefined takes a name out. */
export type StateChange = Readonly<Record<string, string | undefined>>;

/** Reads an address' part behind `#`; what it does not know leads to the list. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").map(decoded);
  const state = Object.fromEntries(new URLSearchParams(query));
  if (parts[0] === "x" && parts[1]) return { experiment: parts[1], view: parts[2] || "runs", state };
  return { experiment: undefined, view: parts[0] === "verify" ? "verify" : "experiments", state };
}

/** The part behind `#`, the other way round. */
export function addressOf({ experiment, view, state }: Route): string {
  const query = new URLSearchParams(state).toString();
  const path =
    experiment === undefined
      ? view === "verify"
        ? "verify"
        : ""
      : `x/${encodeURIComponent(experiment)}/${encodeURIComponent(view)}`;
  return `#/${path}${query === "" ? "" : `?${query}`}`;
}

/** A part of an address as it was before it was encoded; as it is where it never was. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Where the page stands now. */
export const route = signal<Route>(parseRoute(location.hash));

let pending: ReturnType<typeof setTimeout> | undefined;

/** Writes the address now, where {@link adjust} has put it off. */
export function settleAddress(): void {
  if (pending === undefined) return;
  clearTimeout(pending);
  pending = undefined;
  history.replaceState(null, "", addressOf(route.value));
}

/** Goes to another place: a step in the browser's history. */
export function go(to: Route): void {
  settleAddress();
  if (addressOf(to) === addressOf(route.value)) return;
  history.pushState(null, "", addressOf(to));
  route.value = to;
}

/** The route with its state changed. */
export const changed = (change: StateChange): Route => ({
  ...route.value,
  state: Object.fromEntries(
    Object.entries({ ...route.value.state, ...change }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  ),
});

/** Changes state as a step in the browser's history: a choice. */
export const choose = (change: StateChange): void => go(changed(change));

/** Changes state in place: typing, sliding, playing. The address follows a little later, since browsers refuse to be told often. */
export function adjust(change: StateChange): void {
  route.value = changed(change);
  pending ??= setTimeout(settleAddress, 300);
}

/** The address of a view of an experiment; its state comes along within the same experiment. */
export const viewAddress = (experiment: string, view: string, change: StateChange = {}): string =>
  addressOf({
    ...(route.value.experiment === experiment ? changed(change) : { ...route.value, state: kept(change) }),
    experiment,
    view,
  });

const kept = (change: StateChange): Record<string, string> =>
  Object.fromEntries(Object.entries(change).filter((entry): entry is [string, string] => entry[1] !== undefined));

/** Follows the browser's back, forward and typed addresses. */
export function followAddress(): void {
  const follow = (): void => {
    // What is still to be written would land on another entry of the history.
    clearTimeout(pending);
    pending = undefined;
    route.value = parseRoute(location.hash);
  };
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
}
