// One run: how it stands, what came out, where to look further, and its record as the files have it.

import type { ComponentChildren, JSX } from "preact";
import { distinct } from "../../statistics.ts";
import type { RunRecordView, RunView, Value } from "../api.ts";
import { tokenOf, type ViewProps } from "./choice.ts";
import { colouredGroups, CurvePanel, useCurves } from "./curves.tsx";
import { apiAddress, useAnswer } from "./fetching.ts";
import { columnText, configText, durationText, nothing, stepTimeText, words } from "./format.ts";
import { configKeys, runNames } from "./groups.ts";
import { runVersion } from "./live.ts";
import { baselineOf, baselineRules, isLoss, lossUnit, metricTitle } from "./measures.ts";
import { choose, route, viewAddress } from "./route.ts";
import { stepWindow } from "./step-window.tsx";
import { stepAxis } from "./steps.ts";
import { Empty, Problem, Segments, Status, Waiting } from "./widgets.tsx";

type File = "record" | "config" | "log";
const files: readonly (readonly [File, string])[] = [
  ["config", "config.yaml"],
  ["record", "run.json"],
  ["log", "log.txt"],
];

/** The view. */
export function RunPage({ view }: ViewProps): JSX.Element {
  const token = route.value.state["run"];
  const run = view.runs.find((one) => tokenOf(one.id) === token || one.id === token);
  if (!run)
    return (
      <Empty title="This run is not there (any more)">
        <a href={viewAddress(view.name, "runs", { run: undefined })}>All runs of {view.name}</a>
      </Empty>
    );
  return <Known view={view} run={run} />;
}

function Known({ view, run }: ViewProps & { run: RunView }): JSX.Element {
  const name = runNames(view).get(run.id)!;
  const only = { runs: tokenOf(run.id) };
  const unit = lossUnit([run]);
  const baseline = baselineOf(run);
  // What a kind of model has none of is not said to be missing.
  const losses: [name: string, value: Value][] = [
    ["train loss", run.trainLoss],
    ["dev loss", run.devLoss],
    ["best dev loss", run.bestDevLoss],
    ...(baseline ? [[baseline.name, baseline.value] as [string, Value]] : []),
  ];
  return (
    <article class="run-page">
      <h2>
        {name} <Status status={run.status} />
      </h2>
      <p class="soft">
        <code class="id">{run.id}</code>
      </p>
      {run.reason !== "" && <Problem text={run.reason} />}
      <p class="links">
        <a href={viewAddress(view.name, "curves", { ...only, run: undefined })}>Curves</a>
        {view.quantities.length > 0 && <a href={viewAddress(view.name, "layers")}>Layers</a>}
        {run.hasSamples && <a href={viewAddress(view.name, "samples", { ...only, run: undefined })}>Samples</a>}
        {run.hasTranslations.length > 0 && (
          <a href={viewAddress(view.name, "translations", { ...only, run: undefined })}>Translations</a>
        )}
        <a href={viewAddress(view.name, "runs", { run: undefined })}>All runs</a>
      </p>
      <dl class="facts">
        <Fact name="steps">
          {run.steps}
          {run.plannedSteps > 0 && ` of ${run.plannedSteps}`}
        </Fact>
        {losses.map(
          ([what, value]) =>
            value !== null && (
              <Fact key={what} name={what}>
                {columnText(value)} <span class="soft">{unit}</span>
              </Fact>
            ),
        )}
        {Object.entries(run.finals).map(([key, value]) => (
          <Fact key={key} name={words(key)}>
            {columnText(value, Number.isInteger(value))}
          </Fact>
        ))}
        <Fact name="a step">{stepTimeText(run.secondsPerStep)}</Fact>
        {run.status === "running" ? (
          <Fact name="time left">{durationText(run.secondsLeft)}</Fact>
        ) : (
          <Fact name="took">{durationText(run.seconds)}</Fact>
        )}
        <Fact name="seed">{configText(run.seed)}</Fact>
        <Fact name="engine">{run.engine || nothing}</Fact>
        <Fact name="commit">{run.commit ?? nothing}</Fact>
      </dl>
      {distinct([...view.metrics.train, ...view.metrics.dev])
        .filter(isLoss)
        .map((metric) => (
          <Loss key={metric} view={view} run={run} metric={metric} />
        ))}
      <Record view={view} run={run} />
    </article>
  );
}

/** A loss of the run, where it has it. */
function Loss({ view, run, metric }: ViewProps & { run: RunView; metric: string }): JSX.Element | null {
  const version = runVersion(view.name, run.id);
  const runs = [run];
  const train = useCurves(view, runs, view.metrics.train.includes(metric) ? "train" : undefined, metric, version);
  const dev = useCurves(view, runs, view.metrics.dev.includes(metric) ? "dev" : undefined, metric, version);
  if ((train.data?.curves.length ?? 0) + (dev.data?.curves.length ?? 0) === 0) return null;
  return (
    <figure class="panel">
      <CurvePanel
        answers={[
          { answer: train, isThick: false, isPointed: false },
          { answer: dev, isThick: true, isPointed: true },
        ]}
        of={{ by: "runs", groups: colouredGroups(runs, configKeys(view)), runs, view }}
        x={stepAxis(stepWindow(), train.data?.extent ?? dev.data?.extent ?? null)}
        isLog={false}
        height={220}
        yTitle={metricTitle(metric, runs)}
        label={`${words(metric)} by step`}
        rules={baselineRules(runs)}
        emphasis={undefined}
      />
      <figcaption>Thin: train; thick: dev.</figcaption>
    </figure>
  );
}

const Fact = ({ name, children }: { name: string; children: ComponentChildren }): JSX.Element => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);

function Record({ view, run }: ViewProps & { run: RunView }): JSX.Element {
  const { data, error } = useAnswer<RunRecordView>(
    apiAddress(["experiments", view.name, "runs", run.id, "record"]),
    runVersion(view.name, run.id),
  );
  const asked = route.value.state["file"];
  const file: File = asked === "record" || asked === "log" ? asked : "config";
  if (!data) return error === undefined ? <Waiting what="the record" /> : <Problem text={error} />;
  const text = data[file];
  return (
    <section class="record" aria-label="Record">
      {error !== undefined && <Problem text={error} />}
      <Segments label="File" value={file} options={files} onChoose={(name) => choose({ file: name })} />
      {text === "" ? (
        <p class="soft">
          {file === "log"
            ? "This run has no log: it was not run in a process of its own."
            : "There is nothing in this file."}
        </p>
      ) : (
        <pre tabIndex={0} aria-label={files.find(([name]) => name === file)![1]}>
          {text}
        </pre>
      )}
    </section>
  );
}
