// Redis for the launcher `queue` and its workers: where it is, the optional packages that talk to it, and what of them is used.
// They are peers that nobody else needs: BullMQ is the queue, ioredis the connection.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { messageOf, UserError } from "../errors.ts";

/** Where Redis is unless the user says so or the environment does. */
const defaultUrl = "redis://127.0.0.1:6379";

/** Milliseconds within which Redis must have answered at first. Later it may be away for as long as it likes. */
const PATIENCE = 10_000;

/** Where Redis is and how to be let in. */
export interface RedisAddress {
  /** For people: without password. */
  readonly shown: string;
  /** As ioredis takes them. */
  readonly options: {
    readonly host: string;
    readonly port: number;
    readonly db: number;
    readonly username?: string;
    readonly password?: string;
    readonly tls?: Readonly<Record<string, never>>;
  };
}

/** The address that `given` says, else FATHOM_QUEUE, else this machine's; its password is FATHOM_QUEUE_PASSWORD and may stand
 *  nowhere else. A `UserError` that never repeats a password. */
export function redisAddress(given: string, environment: NodeJS.ProcessEnv = process.env): RedisAddress {
  const text = given || environment["FATHOM_QUEUE"] || defaultUrl;
  const password = environment["FATHOM_QUEUE_PASSWORD"];
  let url: URL;
  try {
    url = new URL(text);
    decodeURIComponent(url.username);
  } catch {
    throw new UserError(`queue: expected an address such as ${defaultUrl}, got ${hidden(text)}`);
  }
  if (url.password !== "" || url.searchParams.size > 0)
    throw new UserError(
      `queue: expected an address without password, which others could read in the list of processes, got one in ${hidden(text)}; ` +
        `the password comes from the environment variable FATHOM_QUEUE_PASSWORD`,
    );
  const { protocol, hostname, username, pathname, port } = url;
  const database = /^\/?(\d{0,4})$/.exec(pathname)?.[1];
  if (!["redis:", "rediss:"].includes(protocol) || hostname === "" || database === undefined || url.hash !== "")
    throw new UserError(
      `queue: expected redis://[user@]host[:port][/database], or rediss:// for TLS, got ${hidden(text)}`,
    );
  return {
    shown: `${protocol}//${username && `${username}@`}${hostname}:${port || 6379}${database && `/${database}`}`,
    options: {
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: Number(port || 6379),
      db: Number(database),
      ...(username !== "" && { username: decodeURIComponent(username) }),
      ...(password !== undefined && password !== "" && { password }),
      ...(protocol === "rediss:" && { tls: {} }),
    },
  };
}

/** An address of which all is left out that may be a password. */
const hidden = (text: string): string =>
  !text.includes("//") ? "something else" : text.replace(/^([^/]*\/\/)?.*@/s, "$1...@").replace(/[?#].*$/s, "?...");

/** What is used of an ioredis client. */
export interface Redis {
  readonly status: string;
  readonly options: object;
  /** BullMQ makes further connections so. */
  duplicate(more?: object): Redis;
  connect(): Promise<void>;
  disconnect(): void;
  ping(): Promise<string>;
  hset(key: string, field: string, value: Buffer | string): Promise<number>;
  hstrlen(key: string, field: string): Promise<number>;
  hgetBuffer(key: string, field: string): Promise<Buffer | null>;
  expire(key: string, seconds: number): Promise<number>;
  get(key: string): Promise<string | null>;
  /** With `NX` null, and nothing done, where the key is there. */
  set(key: string, value: string, unit: "EX", seconds: number, ...only: readonly "NX"[]): Promise<unknown>;
  exists(key: string): Promise<number>;
  del(...keys: string[]): Promise<number>;
  on(event: "error", listener: (error: Error) => void): this;
  on(event: "close" | "ready", listener: () => void): this;
  off(event: string, listener: (...args: never[]) => void): this;
}

/** What is used of a job of BullMQ. */
export interface QueuedJob {
  readonly id: string;
  readonly data: unknown;
  readonly returnvalue: unknown;
  readonly failedReason?: string;
  readonly finishedOn?: number;
  updateProgress(progress: object): Promise<void>;
  remove(): Promise<void>;
  moveToDelayed(timestamp: number, token?: string): Promise<void>;
  moveToWait(token?: string): Promise<number>;
}

interface Connected {
  waitUntilReady(): Promise<unknown>;
  close(force?: boolean): Promise<void>;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

/** What is used of BullMQ's Queue. */
export interface Queue extends Connected {
  getJob(id: string): Promise<QueuedJob | undefined>;
  addBulk(jobs: readonly { name: string; data: unknown; opts: object }[]): Promise<unknown>;
  getWorkersCount(): Promise<number>;
}

/** What is used of BullMQ, as its version in package.json has it. */
interface BullMq {
  readonly Queue: new (name: string, options: object) => Queue;
  readonly QueueEvents: new (name: string, options: object) => Connected;
  readonly Worker: new (
    name: string,
    processor: (job: QueuedJob, token: string) => Promise<unknown>,
    options: object,
  ) => Connected;
  readonly DelayedError: new () => Error;
  readonly WaitingError: new () => Error;
}

/** A connection to Redis, and how to make more of them. */
export interface Link {
  readonly redis: Redis;
  readonly bullmq: BullMq;
  readonly address: RedisAddress;
  /** What BullMQ is to be given as `connection`: one of its own for each thing. */
  connection(): Redis;
  /** Ends all connections, those that BullMQ made of its own too. Its own ways to end them wait forever for one that is being made anew. */
  end(): void;
}

/** Connects. From then on a Redis that goes away is waited for, and `say` is told. A `UserError` where the packages are missing, Redis
 *  does not answer within ten seconds, or does not let us in. */
export async function openLink(address: RedisAddress, say: (line: string) => void): Promise<Link> {
  const { bullmq, RedisClient } = packages();
  const options = {
    ...address.options,
    connectTimeout: 5000,
    maxRetriesPerRequest: null, // commands wait for as long as Redis is away
    retryStrategy: (times: number): number => Math.min(100 * times, 1000),
  };
  const all: Redis[] = [];
  const connect = (given: object): Redis => {
    const client = new RedisClient(given);
    client.duplicate = (more) => connect({ ...client.options, ...more });
    client.on("error", () => {}); // it goes on trying
    all.push(client);
    return client;
  };
  const end = (): void => all.forEach((client) => client.disconnect());
  const redis = connect({ ...options, lazyConnect: true });
  let last = "no answer";
  const problem = await new Promise<string | undefined>((resolve) => {
    const timer = setTimeout(() => resolve(last), PATIENCE);
    redis.on("error", (error) => {
      // Nothing of the error but its message: it carries the command, and that the password.
      last = messageOf(error) || (error as NodeJS.ErrnoException).code || "no connection";
      if (/^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password|ERR DB index)/i.test(last)) settle(last);
    });
    const settle = (found?: string): void => {
      clearTimeout(timer);
      resolve(found);
    };
    redis.connect().catch(() => {}); // it goes on trying
    redis.on(
      "ready",
      () =>
        void redis.ping().then(
          () => settle(),
          () => {},
        ),
    );
  });
  if (problem !== undefined) {
    end();
    const how = /^(NOAUTH|WRONGPASS|ERR AUTH|ERR invalid password)/i.test(problem)
      ? "expected the password of Redis in the environment variable FATHOM_QUEUE_PASSWORD, and the user's name, where there is one, in the address"
      : "expected a Redis server that answers; start one there, or name another with --queue (fathom worker), --option queue= (fathom sweep) or FATHOM_QUEUE";
    throw new UserError(`queue ${address.shown}: ${how}; got: ${problem}`);
  }
  let isAway = false;
  redis.on("close", () => {
    if (!isAway && redis.status !== "end") say(`queue ${address.shown}: connection lost; waiting for it`);
    isAway = true;
  });
  redis.on("ready", () => {
    if (isAway) say(`queue ${address.shown}: connected again`);
    isAway = false;
  });
  return { redis, bullmq, address, connection: () => connect(options), end };
}

/** The packages, as they are installed beside fathom or where NODE_PATH says. */
function packages(): { bullmq: BullMq; RedisClient: new (options: object) => Redis } {
  const require = createRequire(import.meta.url);
  const { peerDependencies } = require("../../package.json") as { peerDependencies: Record<string, string> };
  const wanted = ["bullmq", "ioredis"].map((name) => `${name}@${peerDependencies[name]}`).join(" ");
  // In a clone npm 11 installs no optional peers, even where it is asked for them by name: they have a folder of their own there.
  const paths = ["../..", "../../peers"].map((folder) => fileURLToPath(new URL(folder, import.meta.url)));
  const load = (name: string): unknown => require(require.resolve(name, { paths }));
  try {
    return {
      bullmq: load("bullmq") as BullMq,
      RedisClient: (load("ioredis") as { Redis: new (options: object) => Redis }).Redis,
    };
  } catch (error) {
    const [reason] = messageOf(error).split("\n");
    throw new UserError(
      `the queue needs BullMQ and ioredis, which cannot be loaded (${reason}): \`npm install --prefix peers ${wanted}\` in a clone of fathom, ` +
        `\`npm install ${wanted}\` where fathom is installed as a package, or --prefix DIR anywhere and NODE_PATH=DIR/node_modules in the environment`,
    );
  }
}
