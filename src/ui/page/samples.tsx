// Pictures that VAEs and GANs drew as they trained, of several runs beside each other at the slider's step.

import { useEffect } from "preact/hooks";
import type { JSX } from "preact";
import { distinct } from "../../statistics.ts";
import type { SampleList } from "../api.ts";
import { chosenRuns, type ViewProps } from "./choice.ts";
import { apiAddress, useAnswers } from "./fetching.ts";
import { count } from "./format.ts";
import { runNames } from "./groups.ts";
import { runVersion } from "./live.ts";
import { nearestIndex, Player } from "./player.tsx";
import { adjust, choose, route } from "./route.ts";
import { Controls, Empty, Problem, Segments, Waiting } from "./widgets.tsx";

type Sample = SampleList["samples"][number];

/** Runs shown beside each other at most; others can be selected instead. */
const shownAtMost = 12;

const explained: Readonly<Record<string, string>> = {
  generated: "Images of latent variables that stay the same through training.",
  reconstructions: "Rows of images, each above a row of what the model makes of them.",
  traversal: "A row a latent dimension, which grows to the right.",
  manifold: "Two latent dimensions, the first to the right, the second up.",
};

/** The view. */
export function Samples({ view }: ViewProps): JSX.Element {
  const { state } = route.value;
  const all = chosenRuns(view).filter((run) => run.hasSamples);
  const runs = all.slice(0, shownAtMost);
  const answers = useAnswers<SampleList>(
    runs.map((run) => ({
      address: apiAddress(["experiments", view.name, "runs", run.id, "samples"]),
      version: runVersion(view.name, run.id),
    })),
  );
  const names = runNames(view);
  const lists = answers.map((answer) => answer.data?.samples ?? []);
  const kinds = distinct(lists.flat().map(({ kind }) => kind));
  const kind = state["kind"] ?? kinds[0] ?? "";
  const own = lists.map((list) => list.filter((sample) => sample.kind === kind));
  const steps = distinct(own.flat().map(({ step }) => step)).sort((a, b) => a - b);
  const index = nearestIndex(steps, state["step"]);
  const address = (run: string, { file }: Sample): string =>
    apiAddress(["experiments", view.name, "runs", run, "samples", file]);

  // The pictures of the next steps are fetched ahead, so that playing does not wait for them.
  const ahead = steps.slice(index + 1, index + 3);
  const wanted = runs.flatMap((run, i) =>
    own[i]!.filter(({ step }) => ahead.includes(step)).map((sample) => address(run.id, sample)),
  );
  useEffect(() => {
    for (const one of wanted) new Image().src = one;
  }, [wanted.join()]);

  if (runs.length === 0)
    return (
      <Empty title="No chosen run has pictures">
        Pictures are drawn at the epochs that samples.epochs of a configuration names.
      </Empty>
    );
  if (steps.length === 0)
    return answers.some((answer) => answer.isWaiting) ? (
      <Waiting what="pictures" />
    ) : (
      <>
        {distinct(answers.flatMap(({ error }) => error ?? [])).map((error) => (
          <Problem key={error} text={error} />
        ))}
        <Empty title="No picture yet">They appear here as they are drawn.</Empty>
      </>
    );
  return (
    <>
      <Controls>
        {kinds.length > 1 && (
          <Segments
            label="Kind"
            value={kind}
            options={kinds.map((one) => [one, one])}
            onChoose={(one) => choose({ kind: one })}
          />
        )}
      </Controls>
      <Player
        steps={steps}
        index={index}
        onIndex={(at) => adjust({ step: at >= steps.length - 1 ? undefined : String(steps[at]) })}
        perSecond={3}
      />
      <p class="soft">
        {explained[kind]}
        {all.length > runs.length &&
          ` The first ${runs.length} of ${count(all.length, "run")} are shown; select others in the table of runs.`}
      </p>
      <div class="sample-runs">
        {runs.map((run, i) => {
          const sample = own[i]!.findLast(({ step }) => step <= steps[index]!) ?? own[i]![0];
          const error = answers[i]!.error;
          return (
            <figure key={run.id} class="panel sample">
              <h4>{names.get(run.id)}</h4>
              {error !== undefined && <Problem text={error} />}
              {sample ? (
                <>
                  <img
                    src={address(run.id, sample)}
                    width={sample.width}
                    height={sample.height}
                    alt={`${kind} of ${names.get(run.id)!} at step ${sample.step}`}
                    style={{ aspectRatio: `${sample.width} / ${sample.height}` }}
                  />
                  <figcaption>
                    step {sample.step}, epoch {Number(sample.epoch.toPrecision(4))}
                  </figcaption>
                </>
              ) : (
                <p class="soft">no {kind}</p>
              )}
            </figure>
          );
        })}
      </div>
    </>
  );
}
