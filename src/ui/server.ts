// The server of `fathom ui`: answers at the addresses of api.ts, sends the built page, and nothing else. It only reads.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { createAdaptorServer } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { compress } from "hono/compress";
import { secureHeaders } from "hono/secure-headers";
import { streamSSE } from "hono/streaming";
import { messageOf, UserError } from "../errors.ts";
import { hostInUrl, hostsOf, isWildcard, refusalOf } from "./guard.ts";
import { openLibrary, type Library } from "./library.ts";
import { openPlace } from "./place.ts";
import { Refusal } from "./refusal.ts";
import { openWatch, type Watch } from "./watch.ts";

/** Where and how the server is to listen. */
export interface ServerOptions {
  /** An experiment's folder or a folder of experiments. */
  readonly folder: string;
  /** 0: any that is free; if not given 4040, or the next one that is free. */
  readonly port?: number | undefined;
  /** `127.0.0.1` if not given. */
  readonly host?: string | undefined;
  /** Where the built page lies; beside the compiled server if not given. */
  readonly pageFolder?: string | undefined;
  /** Told of errors that are ours. */
  readonly onError?: (error: unknown) => void;
}

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** Whether there is a page to send. */
  readonly hasPage: boolean;
  /** Ends it, whatever is under way. */
  close(): Promise<void>;
}

const defaultPort = 4040;
/** Ports that are tried where none was asked for. */
const triedPorts = 20;
/** Bytes of headers at most: an address may name two thousand runs. */
const maxHeaderSize = 2 ** 18;
/** Streams of changes at a time. */
const mostStreams = 64;
/** Milliseconds between signs of life in a stream of changes. */
const heartbeat = 15_000;
/** Bytes of an answer from which on it is packed. */
const smallest = 4096;

/** What queries may ask for at most. */
const bounds = { points: 5000, bins: 5000, runs: 2000, columns: 40_000, count: 1000, find: 500 };

/** The page, from the sources as well as from where they are compiled to. */
const builtPage = (): string => fileURLToPath(new URL("../../dist/ui/page", import.meta.url));

/** Starts a server over a folder. A `UserError` where there is no such folder, or it cannot listen there. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { folder, port, host = "127.0.0.1", pageFolder = builtPage(), onError = () => {} } = options;
  const library = openLibrary(openPlace(folder));
  const watch = openWatch(library, onError);
  const app = appOf({ library, watch, pageFolder, hosts: hostsOf(host), onError });
  const server = createAdaptorServer({ fetch: app.fetch, serverOptions: { maxHeaderSize } }) as Server;
  try {
    const listening = await listen(server, host, port);
    return {
      url: `http://${hostInUrl(isWildcard(host) ? "localhost" : host)}:${listening}/`,
      port: listening,
      hasPage: hasPage(pageFolder),
      async close() {
        watch.close();
        const closed = new Promise((resolve) => server.close(resolve));
        server.closeAllConnections();
        await Promise.all([closed, library.close()]);
      },
    };
  } catch (error) {
    await library.close();
    throw error;
  }
}

const hasPage = (pageFolder: string): boolean => existsSync(join(pageFolder, "index.html"));

async function listen(server: Server, host: string, asked: number | undefined): Promise<number> {
  const tryPort = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.off("error", reject);
        const address = server.address();
        resolve(typeof address === "object" && address ? address.port : port);
      });
    });
  for (let port = asked ?? defaultPort; ; port++)
    try {
      return await tryPort(port);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code === "EADDRINUSE" && asked === undefined && port < defaultPort + triedPorts) continue;
      const what = code === "EADDRINUSE" ? `port ${port} is taken` : messageOf(error);
      throw new UserError(`expected to listen at ${host}:${port}, but ${what}; choose another --port or --host`);
    }
}

/** The answers by address. */
function appOf({
  library,
  watch,
  pageFolder,
  hosts,
  onError,
}: {
  readonly library: Library;
  readonly watch: Watch;
  readonly pageFolder: string;
  readonly hosts: ReadonlySet<string>;
  readonly onError: (error: unknown) => void;
}): Hono {
  const app = new Hono();
  let streams = 0;

  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", "data:", "blob:"],
        fontSrc: ["'self'"],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
      xFrameOptions: "DENY",
      // It is plain HTTP, on one's own machine.
      strictTransportSecurity: false,
    }),
  );
  app.use(async (c, next) => {
    const refusal = refusalOf((name) => c.req.header(name), hosts);
    if (refusal !== undefined) throw new Refusal(403, refusal);
    if (c.req.method !== "GET" && c.req.method !== "HEAD") {
      c.header("Allow", "GET, HEAD");
      throw new Refusal(405, `expected GET, got ${c.req.method}: nothing here can be changed`);
    }
    await next();
  });

  app.get("/api/experiments", async (c) => json(c, await library.experiments()));
  app.get("/api/experiments/:name", async (c) => json(c, await library.experiment(c.req.param("name"))));
  app.get("/api/experiments/:name/curves", async (c) => {
    const ids = c.req.query("runs") === undefined ? undefined : idsOf(c);
    const asked = {
      split: textOf(c, "split", 100),
      metric: textOf(c, "metric", 500),
      window: windowOf(c),
      points: numberOf(c, "points", { low: 1, high: bounds.points, otherwise: 500 }),
    };
    return json(c, await library.curves(c.req.param("name"), ids, asked));
  });
  app.get("/api/experiments/:name/layers", async (c) => {
    const ids = idsOf(c);
    const bins = numberOf(c, "bins", { low: 2, high: bounds.bins, otherwise: 400 });
    if (ids.length * bins > bounds.columns)
      throw new Refusal(
        400,
        `runs, bins: expected at most ${bounds.columns} columns of all runs together, got ${ids.length * bins}`,
      );
    const asked = { quantity: textOf(c, "quantity", 100), window: windowOf(c), bins };
    return json(c, await library.layers(c.req.param("name"), ids, asked));
  });
  app.get("/api/experiments/:name/figures", async (c) => json(c, await library.figures(c.req.param("name"))));
  app.get("/api/experiments/:name/figures/:plot", async (c) =>
    json(c, await library.figure(c.req.param("name"), c.req.param("plot"))),
  );
  app.get("/api/experiments/:name/runs/:id/samples", async (c) =>
    json(c, await library.samples(c.req.param("name"), c.req.param("id"))),
  );
  app.get("/api/experiments/:name/runs/:id/samples/:file", async (c) => {
    const picture = await library.picture(c.req.param("name"), c.req.param("id"), c.req.param("file"));
    return answer(c, Buffer.from(picture), "image/png");
  });
  app.get("/api/experiments/:name/runs/:id/translations", async (c) => {
    const split = c.req.query("split") ?? "test";
    if (split !== "dev" && split !== "test") throw new Refusal(400, `split: expected dev or test, got "${split}"`);
    const asked = {
      split,
      from: numberOf(c, "from", { low: 0, high: Number.MAX_SAFE_INTEGER, otherwise: 0 }),
      count: numberOf(c, "count", { low: 1, high: bounds.count, otherwise: 100 }),
      find: c.req.query("find") === undefined ? "" : textOf(c, "find", bounds.find, 0),
    } as const;
    return json(c, await library.translations(c.req.param("name"), c.req.param("id"), asked));
  });
  app.get("/api/experiments/:name/runs/:id/record", async (c) =>
    json(c, await library.record(c.req.param("name"), c.req.param("id"))),
  );
  app.get("/api/verify", async (c) => json(c, await library.verification()));
  app.get("/api/events", (c) => {
    if (c.req.method === "HEAD") return c.body(null, 200, { "Content-Type": "text/event-stream" });
    if (streams >= mostStreams)
      throw new Refusal(503, `expected at most ${mostStreams} pages at a time; close some of them`);
    return streamSSE(c, async (stream) => {
      streams++;
      const send = (data: unknown): void =>
        void stream.writeSSE({ event: "change", data: JSON.stringify(data) }).catch(() => {});
      const stop = watch.listen(send);
      const beat = setInterval(() => void stream.write(": still here\n\n").catch(() => {}), heartbeat);
      // What waits at the browser's end is not a change: the first line says that the stream is open.
      await stream.write(": fathom ui\n\n");
      await new Promise<void>((resolve) => stream.onAbort(resolve));
      clearInterval(beat);
      stop();
      streams--;
    });
  });
  app.all("/api/*", (c) => {
    throw new Refusal(404, `${c.req.path}: expected an address of fathom ui, got none`);
  });

  app.use("/assets/*", compress());
  // The page may come to be built while the server runs.
  let files: MiddlewareHandler | undefined;
  app.get("*", async (c, next) => {
    if (!hasPage(pageFolder)) return c.html(unbuilt, 503);
    files ??= serveStatic({
      root: pageFolder,
      onFound: (_path, of) => of.header("Cache-Control", cachingOf(of.req.path)),
    });
    return files(c, next);
  });

  app.notFound((c) => c.json({ error: `${c.req.path}: expected a file of the page, got none of that name` }, 404));
  app.onError((error, c) => {
    if (error instanceof Refusal) return c.json({ error: error.message }, error.status);
    if (error instanceof UserError) return c.json({ error: error.message }, 422);
    onError(error);
    return c.json({ error: `something is wrong in fathom itself: ${messageOf(error).split("\n")[0]}` }, 500);
  });
  return app;
}

/** How long a file of the page is good for: names of assets hold a hash of what is in them. */
const cachingOf = (path: string): string =>
  path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache";

const unbuilt =
  "<!doctype html><title>fathom ui</title><h1>The page is not built</h1>" +
  "<p>Expected it in dist/ui/page; run <code>npm run build</code> and load this address again.</p>";

/** An answer in JSON. */
const json = (c: Context, body: unknown): Promise<Response> =>
  answer(c, Buffer.from(JSON.stringify(body)), "application/json; charset=utf-8");

const zip = promisify(gzip);

/** An answer with an ETag: where the one who asks has it already, it is not sent again. Packed fast rather than small: it may go through a
 *  tunnel, and mostly stays on this machine. */
async function answer(c: Context, body: Buffer<ArrayBuffer>, type: string): Promise<Response> {
  const etag = `W/"${createHash("sha1").update(body).digest("base64url")}"`;
  c.header("ETag", etag);
  c.header("Cache-Control", "no-cache");
  const known = (c.req.header("if-none-match") ?? "").split(",").map((one) => one.trim());
  if (known.includes(etag) || known.includes("*")) return c.body(null, 304);
  c.header("Content-Type", type);
  const takesGzip = /\bgzip\b(?!;q=0(?:\.0*)?(?:,|$))/.test(c.req.header("accept-encoding") ?? "");
  if (!type.startsWith("application/json") || body.length < smallest) return c.body(body);
  c.header("Vary", "Accept-Encoding");
  if (!takesGzip) return c.body(body);
  c.header("Content-Encoding", "gzip");
  return c.body((await zip(body, { level: 1 })) as Buffer<ArrayBuffer>);
}

function textOf(c: Context, name: string, most: number, least = 1): string {
  const text = c.req.query(name) ?? "";
  if (text.length < least || text.length > most)
    throw new Refusal(400, `${name}: expected a text of ${least} to ${most} characters, got ${text.length}`);
  return text;
}

function numberOf(
  c: Context,
  name: string,
  { low, high, otherwise }: { readonly low: number; readonly high: number; readonly otherwise: number },
): number {
  const text = c.req.query(name);
  if (text === undefined || text === "") return otherwise;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!(value >= low && value <= high))
    throw new Refusal(400, `${name}: expected a whole number from ${low} to ${high}, got "${text.slice(0, 50)}"`);
  return value;
}

function windowOf(c: Context): { from: number; to: number } {
  const most = { low: 0, high: Number.MAX_SAFE_INTEGER };
  const from = numberOf(c, "from", { ...most, otherwise: 0 });
  const to = numberOf(c, "to", { ...most, otherwise: Number.MAX_SAFE_INTEGER });
  if (from > to) throw new Refusal(400, `from, to: expected steps in order, got ${from} and ${to}`);
  return { from, to };
}

function idsOf(c: Context): string[] {
  const ids = [...new Set((c.req.query("runs") ?? "").split(",").filter((id) => id !== ""))];
  if (ids.length === 0 || ids.length > bounds.runs)
    throw new Refusal(400, `runs: expected 1 to ${bounds.runs} names of runs by commas, got ${ids.length}`);
  return ids;
}
