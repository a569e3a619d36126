// Every figure of `fathom plot` that this experiment's rows allow, with what it found as title and how to read it beneath.

import type { JSX } from "preact";
import type { Figure, FigureList } from "../api.ts";
import type { ViewProps } from "./choice.ts";
import { apiAddress, useAnswer, useSlowly } from "./fetching.ts";
import { experimentVersion } from "./live.ts";
import { notesOf, useSeen, VegaFigure } from "./vega-figure.tsx";
import { count, words } from "./format.ts";
import { Empty, Problem, Waiting } from "./widgets.tsx";

/** Seconds between one making of all figures and the next, while runs train. */
const patience = 20;

/** The gallery. */
export function Figures({ view }: ViewProps): JSX.Element {
  const version = useSlowly(experimentVersion(view.name), patience);
  const { data, error } = useAnswer<FigureList>(apiAddress(["experiments", view.name, "figures"]), version);
  if (!data)
    return error === undefined ? (
      <Waiting what={`all rows of ${count(view.runs.length, "run")} once, for the figures,`} />
    ) : (
      <Problem text={error} />
    );
  if (data.figures.length === 0)
    return (
      <Empty title="No figure can be drawn yet">
        Figures need rows that runs record; <code>fathom list plots</code> says which figure needs which.
      </Empty>
    );
  return (
    <div class="gallery">
      <nav class="gallery-list" aria-label="Figures">
        <ul>
          {data.figures.map(({ name, summary }) => (
            <li key={name}>
              <a
                href={`#figure-${name}`}
                title={summary}
                onClick={(event) => {
                  // The address' part behind # is the page's state.
                  event.preventDefault();
                  const target = document.getElementById(`figure-${name}`)!;
                  target.scrollIntoView({ block: "start" });
                  target.focus({ preventScroll: true });
                }}
              >
                {words(name)}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <div class="gallery-figures">
        {error !== undefined && <Problem text={error} />}
        {data.leftOut.length > 0 && (
          <Problem
            text={`${count(data.leftOut.length, "run")} ${data.leftOut.length === 1 ? "is" : "are"} damaged, and figures are made without. ${data.leftOut
              .slice(0, 5)
              .map(({ id, reason }) => `${id}: ${reason}`)
              .join("\n")}`}
          />
        )}
        {data.figures.map(({ name, summary }) => (
          <One key={name} experiment={view.name} name={name} summary={summary} version={version} />
        ))}
      </div>
    </div>
  );
}

function One(props: { experiment: string; name: string; summary: string; version: number }): JSX.Element {
  const { experiment, name, summary, version } = props;
  const { place, isSeen } = useSeen();
  const { data, error } = useAnswer<Figure>(
    isSeen ? apiAddress(["experiments", experiment, "figures", name]) : undefined,
    version,
  );
  return (
    <figure class="panel vega" id={`figure-${name}`} tabIndex={-1} ref={place}>
      <p class="figure-name">{words(name)}</p>
      <h3>{data?.title ?? summary}</h3>
      {error !== undefined && <Problem text={error} />}
      {data ? (
        <>
          <VegaFigure spec={data.spec} name={name} label={data.title} csv={data.csv} />
          <figcaption>
            {notesOf(data.spec) !== "" && <p>{notesOf(data.spec)}</p>}
            <p>{data.caption}</p>
          </figcaption>
        </>
      ) : (
        error === undefined && <div class="vega-place" />
      )}
    </figure>
  );
}
