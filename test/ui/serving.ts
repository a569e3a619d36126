// Servers for tests: started over a folder, asked, and ended behind each test. Their threads run the built program, as `npm test` builds it
// first.

import { request, type IncomingHttpHeaders } from "node:http";
import { afterEach, expect } from "vitest";
import { startServer, type RunningServer, type ServerOptions } from "../../src/ui/server.ts";

const running: RunningServer[] = [];
const errors: unknown[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
  expect(errors.splice(0)).toEqual([]); // none of ours, whatever was asked
});

/** What a server has answered. */
export interface Answered<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** A server that can be asked. */
export interface Served extends RunningServer {
  /** What is at an address, as JSON. */
  get<T>(path: string, headers?: Record<string, string>): Promise<Answered<T>>;
  /** The body of an answer that must be good. */
  ok<T>(path: string): Promise<T>;
  /** The status and words of an answer that must be none. */
  refused(path: string): Promise<[status: number, words: string]>;
}

/** Starts a server over a folder, at a free port. */
export async function serve(folder: string, options: Partial<ServerOptions> = {}): Promise<Served> {
  const server = await startServer({ folder, port: 0, onError: (error) => errors.push(error), ...options });
  running.push(server);
  const get = async <T>(path: string, headers: Record<string, string> = {}): Promise<Answered<T>> => {
    const answer = await fetch(new URL(path, server.url), { headers });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: (text === "" ? undefined : JSON.parse(text)) as T };
  };
  return {
    ...server,
    get,
    async ok<T>(path: string) {
      const { status, body } = await get<T>(path);
      expect([status, body]).toEqual([200, body]);
      return body;
    },
    async refused(path) {
      const { status, body } = await get<{ error: string }>(path);
      return [status, body.error];
    },
  };
}

/** A request as it is written, where `fetch` would put another host or path in its place. */
export function asked(
  { port }: RunningServer,
  path: string,
  { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: IncomingHttpHeaders; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("end", () => resolve({ status: answer.statusCode!, headers: answer.headers, text }));
    });
    sent.on("error", reject).end();
  });
}

/** An experiment's address, and below it. */
export const at = (name: string, ...parts: readonly string[]): string =>
  ["api/experiments", encodeURIComponent(name), ...parts].join("/");
