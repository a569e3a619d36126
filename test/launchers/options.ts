// Options for a launcher, for tests to change some of.

import type { Launcher, LaunchOptions } from "../../src/launchers/launcher.ts";

/** What `fathom sweep` gives a launcher where the user sets nothing, but silent. */
export const launchOptions = ({ options }: Launcher, more: Partial<LaunchOptions> = {}): LaunchOptions => ({
  jobs: 2,
  failFast: false,
  signal: new AbortController().signal,
  say: () => {},
  onProgress: () => {},
  onEnd: () => {},
  ...more,
  settings: { ...Object.fromEntries(options.map(({ name, value }) => [name, value])), ...more.settings },
});
