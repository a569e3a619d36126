// How the configurations of chosen runs differ, key by key.

import type { JSX } from "preact";
import type { ConfigValue } from "../api.ts";
import { chosenRuns, selection, tokenOf, type ViewProps } from "./choice.ts";
import { configText, count } from "./format.ts";
import { runNames } from "./groups.ts";
import { adjust, choose, route, viewAddress } from "./route.ts";
import { Controls, Empty, Switch } from "./widgets.tsx";

/** Runs beside each other at most. */
const shownAtMost = 24;

/** The view. */
export function Configs({ view }: ViewProps): JSX.Element {
  const { state } = route.value;
  const isAll = state["keys"] === "all";
  const wanted = (state["key"] ?? "").toLowerCase();
  const all = chosenRuns(view);
  const runs = all.slice(0, shownAtMost);
  const names = runNames(view);
  const own = runs.flatMap((run) => Object.keys(run.config));
  const varied = [...new Set([...view.varied, ...own])].filter((key) => key !== "seed" || own.includes("seed"));
  const valueOf = (run: (typeof runs)[number], key: string): ConfigValue =>
    key === "seed" ? run.seed : key in run.config ? run.config[key]! : (view.shared[key] ?? null);
  const differs = (key: string): boolean => new Set(runs.map((run) => JSON.stringify(valueOf(run, key)))).size > 1;
  const keys = [
    ...varied,
    ...(varied.includes("seed") ? [] : ["seed"]),
    ...Object.keys(view.shared).filter((key) => !varied.includes(key)),
  ];
  const shown = keys.filter((key) => (isAll || differs(key)) && key.toLowerCase().includes(wanted));
  return (
    <>
      <Controls>
        <input
          type="search"
          class="search"
          placeholder="Find a key"
          aria-label="Find a key"
          value={state["key"] ?? ""}
          onInput={(event) => adjust({ key: event.currentTarget.value || undefined })}
        />
        <Switch label="all keys" isOn={isAll} onChange={(isOn) => choose({ keys: isOn ? "all" : undefined })} />
        <span class="soft">
          {count(keys.filter(differs).length, "key")} of {keys.length}{" "}
          {keys.filter(differs).length === 1 ? "differs" : "differ"}
          {all.length > runs.length && `; the first ${runs.length} of ${all.length} runs are shown`}
        </span>
      </Controls>
      {runs.length < 2 && !isAll ? (
        <Empty title="Two runs or more differ from each other">
          Select some in the <a href={viewAddress(view.name, "runs")}>table of runs</a>, or{" "}
          <button type="button" class="link" onClick={() => choose({ keys: "all" })}>
            show all keys
          </button>
          .
        </Empty>
      ) : shown.length === 0 ? (
        <Empty title={wanted === "" ? "These runs have the same configuration" : "No key has this name"} />
      ) : (
        <div class="table-place free">
          <table class="configs">
            <thead>
              <tr>
                <th scope="col">key</th>
                {runs.map((run) => (
                  <th key={run.id} scope="col">
                    <a href={viewAddress(view.name, "run", { run: tokenOf(run.id) })} title={run.id}>
                      {names.get(run.id)}
                    </a>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown.map((key) => (
                <tr key={key} class={isAll && differs(key) ? "differs" : undefined}>
                  <th scope="row">
                    <code>{key}</code>
                  </th>
                  {runs.map((run) => (
                    <td key={run.id}>{configText(valueOf(run, key))}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {selection().size === 0 && all.length === view.runs.length && all.length > 1 && (
        <p class="soft">
          Nothing is selected, so these are all runs; select some in the{" "}
          <a href={viewAddress(view.name, "runs")}>table of runs</a>.
        </p>
      )}
    </>
  );
}
