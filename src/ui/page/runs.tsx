// The table of an experiment's runs: sort, filter, group, choose columns, select. A thousand rows scroll smoothly, since only those
// in sight are in the page.

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { JSX } from "preact";
import { mean } from "../../statistics.ts";
import type { RunStatus, RunView } from "../api.ts";
import { filteredRuns, listOf, selection, statuses, tokenOf, type ViewProps } from "./choice.ts";
import { columnsOf, type Column } from "./columns.tsx";
import { unknownKeys } from "./filter.ts";
import { count, durationText } from "./format.ts";
import { compareValues, configKeys, orderedGroups, type Group } from "./groups.ts";
import { adjust, choose, decoded, route, viewAddress } from "./route.ts";
import { Chooser, Controls, Empty, Menu, Status } from "./widgets.tsx";

/** Pixels of rows, the same in style.css: what is out of sight is reckoned with these. */
const heights = { run: 38, reason: 27, group: 44 } as const;
const beyondSight = 400;

/** A row of the table. */
type Item =
  | { readonly kind: "run"; readonly run: RunView; readonly isWithin: boolean }
  | { readonly kind: "group"; readonly group: Group; readonly isOpen: boolean };

/** The table with its controls. */
export function Runs({ view }: ViewProps): JSX.Element {
  const { state } = route.value;
  const columns = useMemo(() => columnsOf(view), [view]);
  const asked = state["columns"];
  const shown = columns.filter(({ key, isUsual }) => (asked === undefined ? isUsual : listOf(asked).includes(key)));
  const runs = filteredRuns(view);
  const unknown = unknownKeys(state["find"] ?? "", view);
  const keys = configKeys(view);
  const counts = statuses
    .map((status): [RunStatus, number] => [status, view.runs.filter((run) => run.status === status).length])
    .filter(([, n]) => n > 0);
  return (
    <>
      <Controls>
        <input
          type="search"
          class="search"
          placeholder="Filter: text or depth=6"
          aria-label="Filter runs: text, or key=value"
          title="Words are looked for everywhere; also key=value, key!=value, dev<4, of any key of the configuration"
          value={state["find"] ?? ""}
          onInput={(event) => adjust({ find: event.currentTarget.value || undefined })}
        />
        {counts.length > 1 && <StatusChips counts={counts} />}
        {keys.length > 0 && (
          <Chooser
            label="Group by"
            value={state["group"] ?? ""}
            options={[
              ["", "nothing"],
              ["configuration", "configuration (over seeds)"],
              ...keys.map((key): [string, string] => [key, key]),
            ]}
            onChoose={(group) => choose({ group: group || undefined, open: undefined })}
          />
        )}
        <ColumnChooser columns={columns} shown={shown} />
        <SelectionTools view={view} />
      </Controls>
      {unknown.length > 0 && <p class="soft">No key is called {unknown.join(", ")}.</p>}
      {view.runs.length === 0 ? (
        <Empty title="No run has begun yet">
          Begin them with <code>fathom sweep</code> on this experiment's configuration; they appear here by themselves.
        </Empty>
      ) : runs.length === 0 ? (
        <Empty title="No run passes the filter">
          <button type="button" onClick={() => choose({ find: undefined, status: undefined })}>
            Show all {view.runs.length}
          </button>
        </Empty>
      ) : (
        <Table view={view} runs={runs} columns={shown} />
      )}
    </>
  );
}

function StatusChips({ counts }: { counts: readonly (readonly [RunStatus, number])[] }): JSX.Element {
  const chosen = listOf(route.value.state["status"]);
  const toggle = (status: string): void => {
    const next = chosen.includes(status) ? chosen.filter((one) => one !== status) : [...chosen, status];
    choose({ status: next.join(",") || undefined });
  };
  return (
    <div class="chips" role="group" aria-label="Filter by status">
      {counts.map(([status, n]) => (
        <button
          key={status}
          type="button"
          class="chip"
          aria-pressed={chosen.includes(status)}
          onClick={() => toggle(status)}
        >
          <Status status={status} /> <b>{n}</b>
        </button>
      ))}
    </div>
  );
}

function ColumnChooser({ columns, shown }: { columns: readonly Column[]; shown: readonly Column[] }): JSX.Element {
  const toggle = (key: string): void => {
    const next = columns.filter((column) => (column.key === key ? !shown.includes(column) : shown.includes(column)));
    choose({ columns: next.map((column) => column.key).join(",") });
  };
  return (
    <Menu name="Columns">
      {columns.map((column) => (
        <label key={column.key} class="switch" title={column.hint}>
          <input type="checkbox" checked={shown.includes(column)} onChange={() => toggle(column.key)} />
          <span>{column.title}</span>
        </label>
      ))}
      <button type="button" class="link" onClick={() => choose({ columns: undefined })}>
        the usual ones
      </button>
    </Menu>
  );
}

function SelectionTools({ view }: ViewProps): JSX.Element | null {
  const chosen = selection();
  const n = view.runs.filter((run) => chosen.has(tokenOf(run.id))).length;
  if (n === 0) return null;
  return (
    <div class="selected-tools">
      <span>
        <b>{n}</b> selected
      </span>
      <a href={viewAddress(view.name, "curves")}>Curves</a>
      <a href={viewAddress(view.name, "compare")}>Compare</a>
      {n > 1 && <a href={viewAddress(view.name, "configs")}>Differences</a>}
      <button type="button" class="link" onClick={() => choose({ runs: undefined })}>
        clear
      </button>
    </div>
  );
}

function Table(props: ViewProps & { runs: readonly RunView[]; columns: readonly Column[] }): JSX.Element {
  const { view, runs, columns } = props;
  const { state } = route.value;
  const sort = state["sort"] ?? "";
  const items = itemsOf(props, sort);
  const place = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState({ top: 0, height: 900 });
  useLayoutEffect(() => {
    const element = place.current!;
    const look = (): void => {
      const next = { top: element.scrollTop, height: element.clientHeight };
      // Redraws in jumps of some rows, not with every pixel.
      setSight((now) => (Math.abs(now.top - next.top) < 120 && now.height === next.height ? now : next));
    };
    look();
    element.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      observer.disconnect();
    };
  }, []);
  const tops = [0];
  for (const item of items) tops.push(tops.at(-1)! + heightOf(item));
  const from = Math.max(0, tops.findIndex((top) => top > sight.top - beyondSight) - 1);
  const found = tops.findIndex((top) => top > sight.top + sight.height + beyondSight);
  const to = found < 0 ? items.length : found;

  const chosen = selection();
  const tokens = runs.map((run) => tokenOf(run.id));
  const selectedHere = tokens.filter((token) => chosen.has(token)).length;
  const select = (of: readonly string[], isOn: boolean): void => {
    const next = new Set(chosen);
    for (const token of of)
      if (isOn) next.add(token);
      else next.delete(token);
    choose({ runs: [...next].join(",") || undefined });
  };
  const onSort = (key: string): void =>
    choose({ sort: sort === key ? `-${key}` : sort === `-${key}` ? undefined : key });

  return (
    <div class="table-place" ref={place}>
      <table class="runs" aria-rowcount={items.length + 1}>
        <caption class="unseen">Runs of {view.name}</caption>
        <thead>
          <tr>
            <th class="tick">
              <input
                type="checkbox"
                aria-label={`select all ${runs.length} runs shown`}
                checked={selectedHere === runs.length}
                ref={(box: HTMLInputElement | null) => {
                  if (box) box.indeterminate = selectedHere > 0 && selectedHere < runs.length;
                }}
                onChange={(event) => select(tokens, event.currentTarget.checked)}
              />
            </th>
            <Head columnKey="id" title="run" hint="the run's name; opens it" sort={sort} onSort={onSort} />
            <Head
              columnKey="status"
              title="status"
              hint="how it stands, and how far it is"
              sort={sort}
              onSort={onSort}
            />
            {columns.map(({ key, title, hint, isNumber }) => (
              <Head
                key={key}
                columnKey={key}
                title={title}
                hint={hint}
                isNumber={isNumber}
                sort={sort}
                onSort={onSort}
              />
            ))}
          </tr>
        </thead>
        <tbody>
          {from > 0 && <Spacer height={tops[from]!} columns={columns.length + 3} />}
          {items.slice(from, to).map((item, i) =>
            item.kind === "run" ? (
              <RunRow
                key={item.run.id}
                experiment={view.name}
                item={item}
                columns={columns}
                index={from + i + 2}
                isSelected={chosen.has(tokenOf(item.run.id))}
                onSelect={(isOn) => select([tokenOf(item.run.id)], isOn)}
              />
            ) : (
              <GroupRow
                key={`group ${item.group.key}`}
                item={item}
                columns={columns}
                index={from + i + 2}
                selected={item.group.runs.filter((run) => chosen.has(tokenOf(run.id))).length}
                onSelect={(isOn) =>
                  select(
                    item.group.runs.map((run) => tokenOf(run.id)),
                    isOn,
                  )
                }
              />
            ),
          )}
          {to < items.length && <Spacer height={tops.at(-1)! - tops[to]!} columns={columns.length + 3} />}
        </tbody>
      </table>
    </div>
  );
}

const heightOf = (item: Item): number =>
  item.kind === "group" ? heights.group : heights.run + (item.run.reason === "" ? 0 : heights.reason);

/** Open groups in the address: names may hold commas. */
const openNames = (): string[] => listOf(route.value.state["open"]).map(decoded);

function itemsOf({ view, runs }: ViewProps & { runs: readonly RunView[] }, sort: string): Item[] {
  const column = columnsOf(view).find(({ key }) => key === sort.replace(/^-/, ""));
  const direction = sort.startsWith("-") ? -1 : 1;
  const value = (run: RunView): ReturnType<Column["value"]> =>
    sort.endsWith("status")
      ? statuses.indexOf(run.status)
      : (column?.value(run) ?? (sort.endsWith("id") ? run.id : null));
  const order = (a: ReturnType<typeof value>, b: ReturnType<typeof value>): number =>
    // Nothing comes last either way.
    a === null || b === null ? compareValues(a, b) : direction * compareValues(a, b);
  const sorted = (some: readonly RunView[]): RunView[] =>
    sort === "" ? [...some] : [...some].sort((a, b) => order(value(a), value(b)));
  const by = route.value.state["group"];
  if (by === undefined) return sorted(runs).map((run) => ({ kind: "run", run, isWithin: false }));
  const groups = orderedGroups(runs, by === "configuration" ? configKeys(view) : [by]);
  if (sort !== "") groups.sort((a, b) => order(middle(a.runs.map(value)), middle(b.runs.map(value))));
  const open = openNames();
  return groups.flatMap((group): Item[] => {
    const isOpen = open.includes(group.name);
    const within = isOpen ? sorted(group.runs).map((run): Item => ({ kind: "run", run, isWithin: true })) : [];
    return [{ kind: "group", group, isOpen }, ...within];
  });
}

/** What a group is sorted by: the mean of numbers, else its first value. */
function middle(values: readonly ReturnType<Column["value"]>[]): ReturnType<Column["value"]> {
  const numbers = values.filter((value) => typeof value === "number");
  return numbers.length > 0 ? mean(numbers) : (values[0] ?? null);
}

function Head(props: {
  columnKey: string;
  title: string;
  hint: string;
  isNumber?: boolean;
  sort: string;
  onSort: (key: string) => void;
}): JSX.Element {
  const { columnKey, sort } = props;
  const order = sort === columnKey ? "ascending" : sort === `-${columnKey}` ? "descending" : "none";
  return (
    <th scope="col" class={props.isNumber === true ? "number" : undefined} aria-sort={order}>
      <button type="button" title={props.hint} onClick={() => props.onSort(columnKey)}>
        {props.title}
        <i aria-hidden="true">{{ ascending: "↑", descending: "↓", none: "" }[order]}</i>
      </button>
    </th>
  );
}

const Spacer = ({ height, columns }: { height: number; columns: number }): JSX.Element => (
  <tr aria-hidden="true" class="spacer">
    <td colSpan={columns} style={{ height: `${height}px` }} />
  </tr>
);

function RunRow(props: {
  experiment: string;
  item: Item & { kind: "run" };
  columns: readonly Column[];
  index: number;
  isSelected: boolean;
  onSelect: (isOn: boolean) => void;
}): JSX.Element {
  const { run, isWithin } = props.item;
  const classes = [
    "run-row",
    run.reason === "" ? "" : "has-reason",
    isWithin ? "within" : "",
    props.isSelected ? "selected" : "",
  ];
  const row = (
    <tr
      class={classes.filter((name) => name !== "").join(" ")}
      aria-rowindex={props.index}
      aria-selected={props.isSelected}
    >
      <td class="tick">
        <input
          type="checkbox"
          aria-label={`select ${run.id}`}
          checked={props.isSelected}
          onChange={(event) => props.onSelect(event.currentTarget.checked)}
        />
      </td>
      <th scope="row" class="run-name">
        <a href={viewAddress(props.experiment, "run", { run: tokenOf(run.id) })} title={run.id}>
          <bdi>{run.id}</bdi>
        </a>
      </th>
      <td class="how">
        <Status status={run.status} />
        <Progress run={run} />
      </td>
      {props.columns.map((column) => (
        <td key={column.key} class={column.isNumber ? "number" : undefined}>
          {column.cell(run)}
        </td>
      ))}
    </tr>
  );
  if (run.reason === "") return row;
  return (
    <>
      {row}
      <tr class={props.isSelected ? "reason-row selected" : "reason-row"}>
        <td class="tick" />
        <td colSpan={props.columns.length + 2}>
          <span class="reason" title={run.reason}>
            {shortReason(run)}
          </span>
        </td>
      </tr>
    </>
  );
}

/** The reason without the way to the run's folder, which its row says. */
function shortReason({ id, reason }: RunView): string {
  const [before, behind] = reason.split(id, 2);
  if (behind === undefined || !/^[/:]/.test(behind) || /\s/.test(before!)) return reason;
  return behind.replace(/^[/:]\s*/, "");
}

/** How far a run is that is not done. */
function Progress({ run }: { run: RunView }): JSX.Element | null {
  if (run.status !== "running" && run.status !== "stale") return null;
  if (run.plannedSteps === 0) return <span class="soft"> {run.steps} steps</span>;
  const share = Math.min(1, run.steps / run.plannedSteps);
  const left = run.status === "running" && run.secondsLeft !== null ? `, ${durationText(run.secondsLeft)} left` : "";
  return (
    <span class="progress" title={`step ${run.steps} of ${run.plannedSteps}${left}`}>
      <progress value={share} max={1} aria-label={`step ${run.steps} of ${run.plannedSteps}`} />
      <span class="soft">{Math.floor(100 * share)} %</span>
    </span>
  );
}

function GroupRow(props: {
  item: Item & { kind: "group" };
  columns: readonly Column[];
  index: number;
  selected: number;
  onSelect: (isOn: boolean) => void;
}): JSX.Element {
  const { group, isOpen } = props.item;
  const toggle = (): void => {
    const open = openNames();
    const next = isOpen ? open.filter((name) => name !== group.name) : [...open, group.name];
    choose({ open: next.map(encodeURIComponent).join(",") || undefined });
  };
  const counts = statuses
    .map((status) => [status, group.runs.filter((run) => run.status === status).length] as const)
    .filter(([, n]) => n > 0);
  return (
    <tr class="group-row" aria-rowindex={props.index}>
      <td class="tick">
        <input
          type="checkbox"
          aria-label={`select the runs of ${group.name}`}
          checked={props.selected === group.runs.length}
          ref={(box: HTMLInputElement | null) => {
            if (box) box.indeterminate = props.selected > 0 && props.selected < group.runs.length;
          }}
          onChange={(event) => props.onSelect(event.currentTarget.checked)}
        />
      </td>
      <th scope="row" class="run-name">
        <button type="button" class="opener" aria-expanded={isOpen} onClick={toggle}>
          <i aria-hidden="true">{isOpen ? "▾" : "▸"}</i>
          {group.name} <span class="soft">{count(group.runs.length, "run")}</span>
        </button>
      </th>
      <td class="how">
        {counts.map(([status, n]) => (
          <span key={status} class="of-status">
            {n} <Status status={status} />
          </span>
        ))}
      </td>
      {props.columns.map((column) => (
        <td key={column.key} class={column.isNumber ? "number" : undefined}>
          {column.together(group.runs)}
        </td>
      ))}
    </tr>
  );
}
