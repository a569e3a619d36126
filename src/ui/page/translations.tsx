// What transformers made of sentences: source, reference and the translations of several runs beside each other, words that the
// reference does not have marked.

import { Fragment } from "preact";
import type { JSX } from "preact";
import { distinct } from "../../statistics.ts";
import type { Translations as TranslationsAnswer } from "../api.ts";
import { chosenRuns, type ViewProps } from "./choice.ts";
import { apiAddress, useAnswers } from "./fetching.ts";
import { runNames } from "./groups.ts";
import { runVersion } from "./live.ts";
import { adjust, choose, route } from "./route.ts";
import { Controls, Empty, Problem, Segments, Switch, Waiting } from "./widgets.tsx";
import { wordsApart } from "./words-apart.ts";

/** Lines a page. */
const aPage = 25;
/** Runs beside each other at most. */
const shownAtMost = 4;

/** A sentence with what each run made of it. */
interface Row {
  readonly key: string;
  readonly direction: string;
  readonly source: string;
  readonly reference: string;
  /** By the place of the run; undefined where this page of its file does not have the sentence. */
  readonly translations: (string | undefined)[];
}

/** The view. */
export function Translations({ view }: ViewProps): JSX.Element {
  const { state } = route.value;
  const having = chosenRuns(view).filter((run) => run.hasTranslations.length > 0);
  const splits = distinct(having.flatMap((run) => [...run.hasTranslations]));
  const split =
    state["of"] === "dev" || state["of"] === "test"
      ? state["of"]
      : splits.includes("test")
        ? "test"
        : (splits[0] ?? "test");
  const withSplit = having.filter((run) => run.hasTranslations.includes(split));
  const runs = withSplit.slice(0, shownAtMost);
  const page = Math.max(0, Math.round(Number(state["page"] ?? "1")) - 1) || 0;
  const find = state["words"] ?? "";
  const hasMarks = state["marks"] !== "0";
  const answers = useAnswers<TranslationsAnswer>(
    runs.map((run) => ({
      address: apiAddress(["experiments", view.name, "runs", run.id, "translations"], {
        split,
        from: page * aPage,
        count: aPage,
        find: find === "" ? undefined : find,
      }),
      version: runVersion(view.name, run.id),
    })),
  );
  const names = runNames(view);
  if (having.length === 0)
    return (
      <Empty title="No chosen run has translations">
        <code>fathom evaluate RUN</code> translates a split and leaves its lines.
      </Empty>
    );
  const rows = rowsOf(answers.map(({ data }) => data));
  const of = Math.max(0, ...answers.map(({ data }) => data?.of ?? 0));
  const pages = Math.max(1, Math.ceil(of / aPage));
  return (
    <>
      <Controls>
        {splits.length > 1 && (
          <Segments
            label="Split"
            value={split}
            options={splits.map((name) => [name, name])}
            onChoose={(name) => choose({ of: name, page: undefined })}
          />
        )}
        <input
          type="search"
          class="search"
          placeholder="Find a word"
          aria-label="Find in source, reference and translation"
          value={find}
          onInput={(event) => adjust({ words: event.currentTarget.value || undefined, page: undefined })}
        />
        <Switch
          label="mark differing words"
          isOn={hasMarks}
          onChange={(isOn) => choose({ marks: isOn ? undefined : "0" })}
        />
        <Pages page={page} pages={pages} of={of} />
      </Controls>
      {distinct(answers.flatMap(({ error }) => error ?? [])).map((error) => (
        <Problem key={error} text={error} />
      ))}
      {withSplit.length > runs.length && (
        <p class="soft">
          The first {runs.length} of {withSplit.length} runs are shown; select others in the table of runs.
        </p>
      )}
      {answers.every((answer) => answer.isWaiting) ? (
        <Waiting what="translations" />
      ) : rows.length === 0 ? (
        <Empty title={find === "" ? "No line here" : "No line has these words"} />
      ) : (
        <table class="translations" style={{ "--runs": String(runs.length) }}>
          <thead>
            <tr>
              <th scope="col">source</th>
              <th scope="col">reference</th>
              {runs.map((run) => (
                <th key={run.id} scope="col">
                  {runs.length === 1 && view.runs.length === 1 ? "translation" : names.get(run.id)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.key}>
                <td data-label="source">
                  <span class="direction">{row.direction}</span> <span dir="auto">{row.source}</span>
                </td>
                <td data-label="reference" dir="auto">
                  {row.reference}
                </td>
                {row.translations.map((text, i) => (
                  <td key={runs[i]!.id} data-label={names.get(runs[i]!.id)} dir="auto">
                    {text === undefined ? (
                      <span class="soft">not on this page</span>
                    ) : hasMarks ? (
                      <Marked text={text} reference={row.reference} />
                    ) : (
                      text
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rows.length > 10 && <Pages page={page} pages={pages} of={of} />}
    </>
  );
}

/** Sentences in the order of the first run that has them. Runs may have translated other sentences, or find them in other places. */
function rowsOf(answers: readonly (TranslationsAnswer | undefined)[]): Row[] {
  const rows = new Map<string, Row>();
  for (const [i, answer] of answers.entries()) {
    const met = new Map<string, number>();
    for (const { direction, source, reference, translation } of answer?.lines ?? []) {
      const text = JSON.stringify([direction, source, reference]);
      // The same sentence may stand in a corpus twice.
      const times = met.get(text) ?? 0;
      met.set(text, times + 1);
      const key = `${times} ${text}`;
      const translations = answers.map((): string | undefined => undefined);
      const row = rows.get(key) ?? { key, direction, source, reference, translations };
      row.translations[i] = translation;
      rows.set(key, row);
    }
  }
  return [...rows.values()];
}

function Marked({ text, reference }: { text: string; reference: string }): JSX.Element {
  return (
    <>
      {wordsApart(text, reference).map(({ text: word, isCommon }, i) =>
        isCommon ? <Fragment key={i}>{word}</Fragment> : <mark key={i}>{word}</mark>,
      )}
    </>
  );
}

function Pages({ page, pages, of }: { page: number; pages: number; of: number }): JSX.Element {
  const to = (next: number): void => choose({ page: next === 0 ? undefined : String(next + 1) });
  return (
    <div class="pages" role="group" aria-label="Pages">
      <button type="button" aria-label="page before" disabled={page === 0} onClick={() => to(page - 1)}>
        ‹
      </button>
      <span>
        {of === 0 ? "0" : `${page * aPage + 1} to ${Math.min(of, (page + 1) * aPage)}`} of {of.toLocaleString("en")}
      </span>
      <button type="button" aria-label="next page" disabled={page >= pages - 1} onClick={() => to(page + 1)}>
        ›
      </button>
    </div>
  );
}
