// `fathom ui`: experiments in the browser, while they train and after.

import { spawn } from "node:child_process";
import { exitCodes, findFolder, verb } from "./verb.ts";

export const ui = verb({
  usage: "ui [dir]",
  summary: "experiments in the browser, while they train and after: runs, curves, layers, figures",
  positionals: {
    dir: { type: "string", describe: "an experiment's folder, or a folder of them; if not given that of --out" },
  },
  options: {
    port: { type: "number", requiresArg: true, describe: "0 for any; if not given 4040, or the next that is free" },
    host: {
      type: "string",
      default: "127.0.0.1",
      requiresArg: true,
      describe: "address to listen at: this machine alone, or 0.0.0.0 for whoever can reach it",
    },
    open: { type: "boolean", default: false, describe: "open the browser" },
  },
  examples: [
    ["fathom ui", "all experiments of results/"],
    ["fathom ui results/quickstart --open", "one experiment, in the browser at once"],
  ],
  async run({ dir, port, host, open, out, quiet, json }) {
    const { UserError } = await import("../errors.ts");
    const { isLoopback } = await import("../ui/guard.ts");
    const { startServer } = await import("../ui/server.ts");
    const { interruption } = await import("./run-one.ts");
    if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
      throw new UserError(`--port: expected a whole number from 0 to 65535, got ${port}`);
    const folder = dir === undefined ? out : findFolder(dir, out);
    const onError = (error: unknown): void =>
      console.error(process.env["FATHOM_DEBUG"] && error instanceof Error ? error.stack : `fathom: ${String(error)}`);
    const interrupt = interruption();
    const server = await startServer({ folder, port, host, onError });
    try {
      if (json) console.log(JSON.stringify({ url: server.url }));
      else if (!quiet) console.log(`${folder} at ${server.url}\nCtrl-C ends it`);
      if (!server.hasPage) console.error("the page is not built: run `npm run build`");
      if (!isLoopback(host))
        console.error(
          `listening at ${host}: whoever can reach this machine can read ${folder}; it asks for no password. ` +
            "`ssh -L 4040:localhost:4040` from the other machine does without",
        );
      if (open) openBrowser(server.url);
      if (!interrupt.signal.aborted)
        await new Promise<void>((resolve) => interrupt.signal.addEventListener("abort", () => resolve()));
      return exitCodes.interrupted;
    } finally {
      interrupt.dispose();
      await server.close();
    }
  },
});

/** Asks the system to show an address; says so where it cannot. */
function openBrowser(url: string): void {
  const [command, ...args] =
    process.platform === "darwin" ? ["open"] : process.platform === "win32" ? ["cmd", "/c", "start", ""] : ["xdg-open"];
  const say = (): void => console.error(`expected ${command} to open a browser, but it did not; open ${url} yourself`);
  const child = spawn(command!, [...args, url], { stdio: "ignore", detached: true });
  child.on("error", say).on("exit", (code) => void (code && say()));
  child.unref();
}
