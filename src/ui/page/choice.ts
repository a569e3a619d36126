// Which runs are meant: what the filter leaves, and what is selected.

import type { ExperimentView, RunStatus, RunView } from "../api.ts";
import { testsOf } from "./filter.ts";
import { route } from "./route.ts";

/** What every view of an experiment gets. */
export interface ViewProps {
  readonly view: ExperimentView;
}

/** How runs may stand, in the order in which they are counted. */
export const statuses: readonly RunStatus[] = ["running", "done", "diverged", "failed", "stale", "damaged", "pending"];

/** What stands for a run in the address: the hash at the end of its id, which tells it from others and is shorter. */
export const tokenOf = (id: string): string => /_([0-9a-f]{8})$/.exec(id)?.[1] ?? id;

/** Names separated by commas in the address' state. */
export const listOf = (text: string | undefined): string[] => (text ? text.split(",") : []);

/** The tokens of the selected runs. */
export const selection = (): ReadonlySet<string> => new Set(listOf(route.value.state["runs"]));

/** The runs that the filter's text and the chosen statuses leave. */
export function filteredRuns({ runs, shared }: Pick<ExperimentView, "runs" | "shared">): RunView[] {
  const { state } = route.value;
  const tests = testsOf(state["find"] ?? "", shared);
  const wanted = listOf(state["status"]);
  return runs.filter(
    (run) => (wanted.length === 0 || wanted.includes(run.status)) && tests.every((passes) => passes(run)),
  );
}

/** The runs that views show: the selected ones, or without a selection all that the filter leaves. */
export function chosenRuns(view: Pick<ExperimentView, "runs" | "shared">): RunView[] {
  const tokens = selection();
  const selected = view.runs.filter((run) => tokens.has(tokenOf(run.id)));
  return selected.length > 0 ? selected : filteredRuns(view);
}
