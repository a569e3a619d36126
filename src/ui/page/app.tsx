// The frame around all views: where one is, what else there is, whether changes arrive, theme, copied links.

import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import type { ComponentChildren, FunctionComponent, JSX } from "preact";
import type { ExperimentList, ExperimentView } from "../api.ts";
import { chosenRuns, filteredRuns, selection, type ViewProps } from "./choice.ts";
import { Compare } from "./compare.tsx";
import { Configs } from "./configs.tsx";
import { Curves } from "./curves.tsx";
import { Experiments } from "./experiments.tsx";
import { apiAddress, useAnswer } from "./fetching.ts";
import { Figures } from "./figures.tsx";
import { count } from "./format.ts";
import { Layers } from "./layers.tsx";
import { anyChange, connection, experimentVersion } from "./live.ts";
import { addressOf, choose, route, settleAddress, viewAddress } from "./route.ts";
import { RunPage } from "./run-page.tsx";
import { Runs } from "./runs.tsx";
import { Samples } from "./samples.tsx";
import { theme, toggleTheme } from "./theme.ts";
import { Translations } from "./translations.tsx";
import { Verify } from "./verify.tsx";
import { Problem, Waiting } from "./widgets.tsx";

interface Tab {
  readonly name: string;
  readonly title: string;
  readonly View: FunctionComponent<ViewProps>;
  /** Whether runs can be chosen for it. */
  readonly isOfChosen: boolean;
  readonly isThere?: (view: ExperimentView) => boolean;
}

const tabs: readonly Tab[] = [
  { name: "runs", title: "Runs", View: Runs, isOfChosen: false },
  { name: "curves", title: "Curves", View: Curves, isOfChosen: true },
  { name: "layers", title: "Layers", View: Layers, isOfChosen: false },
  { name: "compare", title: "Compare", View: Compare, isOfChosen: true },
  { name: "figures", title: "Figures", View: Figures, isOfChosen: false },
  {
    name: "samples",
    title: "Samples",
    View: Samples,
    isOfChosen: true,
    isThere: ({ runs }) => runs.some((run) => run.hasSamples),
  },
  {
    name: "translations",
    title: "Translations",
    View: Translations,
    isOfChosen: true,
    isThere: ({ runs }) => runs.some((run) => run.hasTranslations.length > 0),
  },
  { name: "configs", title: "Configurations", View: Configs, isOfChosen: true },
];

/** The page. */
export function App(): JSX.Element {
  const { experiment, view } = route.value;
  useEffect(() => {
    document.title = `${experiment ?? (view === "verify" ? "Verified claims" : "Experiments")} · fathom`;
  }, [experiment, view]);
  return (
    <>
      <a class="skip" href="#content" onClick={toContent}>
        Skip to the content
      </a>
      <Header />
      {connection.value === "lost" && (
        <p class="banner" role="status">
          No connection to the server: what you see may be old. Trying again; if it does not come back, start{" "}
          <code>fathom ui</code> anew.
        </p>
      )}
      <main id="content" tabIndex={-1}>
        <Guarded>
          {experiment === undefined ? (
            view === "verify" ? (
              <Verify />
            ) : (
              <Experiments />
            )
          ) : (
            <Experiment key={experiment} name={experiment} />
          )}
        </Guarded>
      </main>
    </>
  );
}

/** A view, or what it failed with: the frame around it stays, and so do the ways to other places. */
function Guarded({ children }: { children: ComponentChildren }): JSX.Element {
  const [error, reset] = useErrorBoundary((thrown: unknown) => console.error(thrown));
  const place = route.value;
  useEffect(() => reset(), [place]);
  if (error === undefined) return <>{children}</>;
  const { experiment, view } = place;
  return (
    <>
      <Problem
        text={`This view cannot be shown: ${error instanceof Error ? error.message : String(error)}. What is wrong is fathom's page, or something in its address.`}
      />
      <p>
        {experiment !== undefined && view !== "runs" && (
          <>
            <a href={addressOf({ experiment, view: "runs", state: {} })}>Runs of {experiment}</a>,{" "}
          </>
        )}
        <a href="#/">all experiments</a>, or{" "}
        <button type="button" class="link" onClick={() => reset()}>
          try again
        </button>
      </p>
    </>
  );
}

/** The address is taken by the page's state, so that the link must not change it. */
function toContent(event: Event): void {
  event.preventDefault();
  document.getElementById("content")!.focus();
}

function Header(): JSX.Element {
  const { experiment, view } = route.value;
  const list = useAnswer<ExperimentList>(apiAddress(["experiments"]), anyChange.value);
  return (
    <header class="top">
      <nav aria-label="Place">
        <a
          class="brand"
          href="#/"
          aria-current={experiment === undefined && view === "experiments" ? "page" : undefined}
        >
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <rect width="32" height="32" rx="7" />
            <path d="M6 10h20M9 16h14M12 22h8" />
          </svg>
          fathom
        </a>
        {experiment !== undefined && (
          <>
            <span class="slash" aria-hidden="true">
              /
            </span>
            <a class="here" href={viewAddress(experiment, "runs")}>
              {experiment}
            </a>
          </>
        )}
      </nav>
      <div class="tools">
        {(list.data?.hasVerification === true || view === "verify") && (
          <a class="tool" href="#/verify" aria-current={view === "verify" ? "page" : undefined}>
            Verified claims
          </a>
        )}
        <Connection />
        <CopyLink />
        <button
          type="button"
          class="tool"
          onClick={toggleTheme}
          aria-label={theme.value === "dark" ? "Light colours" : "Dark colours"}
          title={theme.value === "dark" ? "Light colours" : "Dark colours"}
        >
          {theme.value === "dark" ? "☀" : "☾"}
        </button>
      </div>
    </header>
  );
}

function Connection(): JSX.Element {
  const text = { connecting: "connecting", open: "live", lost: "no connection" }[connection.value];
  return (
    <span class={`connection ${connection.value}`} title="Whether changes in the folder arrive by themselves">
      <i aria-hidden="true" /> {text}
    </span>
  );
}

function CopyLink(): JSX.Element {
  const [said, setSaid] = useState("");
  const copy = async (): Promise<void> => {
    settleAddress();
    try {
      await navigator.clipboard.writeText(location.href);
      setSaid("Copied");
    } catch {
      setSaid("Copy the address above");
    }
    setTimeout(() => setSaid(""), 2500);
  };
  return (
    <button type="button" class="tool" onClick={() => void copy()} title="Copies the address of exactly this view">
      <span aria-live="polite">{said || "Copy link"}</span>
    </button>
  );
}

function Experiment({ name }: { name: string }): JSX.Element {
  const answer = useAnswer<ExperimentView>(apiAddress(["experiments", name]), experimentVersion(name));
  const view = answer.data;
  if (!view) return answer.error === undefined ? <Waiting what={name} /> : <NotThere text={answer.error} />;
  const shown = tabs.filter((tab) => tab.isThere?.(view) ?? true);
  const here = route.value.view;
  const tab = tabs.find((one) => one.name === here);
  const isRun = here === "run";
  return (
    <>
      {(view.question !== "" || view.notes.length > 0 || answer.error !== undefined) && (
        <div class="experiment-head">
          {view.question !== "" && <p class="question">{view.question}</p>}
          {view.notes.map((note) => (
            <p key={note} class="note">
              {note}
            </p>
          ))}
          {answer.error !== undefined && <Problem text={answer.error} />}
        </div>
      )}
      <Tabs experiment={name} shown={shown} here={isRun ? "runs" : (tab?.name ?? "runs")} />
      {tab?.isOfChosen === true && <Chosen view={view} />}
      {isRun ? <RunPage view={view} /> : tab ? <tab.View key={tab.name} view={view} /> : <Runs view={view} />}
    </>
  );
}

function NotThere({ text }: { text: string }): JSX.Element {
  return (
    <>
      <Problem text={text} />
      <p>
        <a href="#/">All experiments</a>
      </p>
    </>
  );
}

function Tabs(props: { experiment: string; shown: readonly Tab[]; here: string }): JSX.Element {
  const place = useRef<HTMLElement>(null);
  // On a phone the tabs are wider than the screen.
  useEffect(() => {
    const tab = place.current!.querySelector<HTMLElement>("[aria-current]");
    if (tab) place.current!.scrollLeft = tab.offsetLeft - (place.current!.clientWidth - tab.clientWidth) / 2;
  }, [props.here]);
  return (
    <nav ref={place} class="tabs" aria-label="Views of the experiment">
      {props.shown.map(({ name, title }) => (
        <a
          key={name}
          href={viewAddress(props.experiment, name)}
          aria-current={name === props.here ? "page" : undefined}
        >
          {title}
        </a>
      ))}
    </nav>
  );
}

/** Which runs the view below shows, and how to change that. */
function Chosen({ view }: ViewProps): JSX.Element | null {
  const chosen = chosenRuns(view).length;
  const isSelected = selection().size > 0;
  if (!isSelected && filteredRuns(view).length === view.runs.length) return null;
  return (
    <p class="chosen">
      {count(chosen, "run")} of {view.runs.length} {isSelected ? "selected" : "by the filter"}
      <a href={addressOf({ ...route.value, view: "runs" })}>change</a>
      <button
        type="button"
        class="link"
        onClick={() => choose(isSelected ? { runs: undefined } : { find: undefined, status: undefined })}
      >
        show all
      </button>
    </p>
  );
}
