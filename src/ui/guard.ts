// Whom the server answers. It listens to this machine alone by itself; what is left is a page of another site in the user's browser, which
// may send requests here, under a name of its own that it has made to stand for this machine (DNS rebinding).

import { hostname, networkInterfaces } from "node:os";
import { isIP } from "node:net";

/** The host of a `Host` header without its port, in lower case: `localhost`, `[::1]`; undefined where it is none. */
export function hostIn(header: string | undefined): string | undefined {
  return /^(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(header ?? "")?.[1]?.toLowerCase();
}

/** A host as it stands in an address. */
export const hostInUrl = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host);

/** Whether a host stands for all addresses of this machine. */
export const isWildcard = (host: string): boolean => host === "0.0.0.0" || host === "::";

/** Whether a host is this machine and no other can reach it. */
export const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);

/** The names under which a server answers that is bound to `host`: its own and those of this machine to itself; bound to all addresses
 *  this machine's name and addresses too. Ports do not count: a tunnel has another one. */
export function hostsOf(host: string): ReadonlySet<string> {
  const own = isWildcard(host)
    ? [
        hostname(),
        hostname().split(".")[0]!,
        ...Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address)),
      ]
    : [host];
  return new Set(["localhost", "127.0.0.1", "[::1]", ...own.map((name) => hostInUrl(name).toLowerCase())]);
}

/** Why a request is refused, in words; undefined where it is not. */
export function refusalOf(
  header: (name: string) => string | undefined,
  hosts: ReadonlySet<string>,
): string | undefined {
  const host = hostIn(header("host"));
  if (host === undefined || !hosts.has(host))
    return `expected a request to ${[...hosts].join(", ")}, got one to another host; bind to it with --host`;
  const origin = header("origin");
  if (origin !== undefined && !isSame(origin, header("host")!))
    return "expected a request of this page, got one of another site";
  // Browsers say where a request comes from, also where they send no origin; a link that is followed is none of a script's.
  const site = header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none" && header("sec-fetch-mode") !== "navigate")
    return "expected a request of this page, got one of another site";
  return undefined;
}

function isSame(origin: string, host: string): boolean {
  try {
    return new URL(origin).host === new URL(`http://${host}`).host && /^https?:/.test(origin);
  } catch {
    return false; // "null", of a page without an origin
  }
}
