// Loss and every other metric over steps, by run or over the seeds of a configuration, and beneath it the gradient norm.

import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { distinct, groupBy } from "../../statistics.ts";
import type { Curve, Curves as CurvesAnswer, ExperimentView, RunView } from "../api.ts";
import type { Axis } from "./axes.ts";
import { bandOf, numbersOf } from "./bands.ts";
import { chosenRuns, type ViewProps } from "./choice.ts";
import { coloursOf } from "./colours.ts";
import { apiAddress, useAnswer, useSlowly, type Answer } from "./fetching.ts";
import { count, shortKeys, words } from "./format.ts";
import { configKeys, orderedGroups, runNames, type Group } from "./groups.ts";
import { crowd, LineChart, mostBands } from "./line-chart.tsx";
import { sortedWithin, verticalAxis, type Line, type Rule } from "./lines.ts";
import { experimentVersion } from "./live.ts";
import { baselineRules, gradientNormOf, isLoss, metricTitle, usualMetric } from "./measures.ts";
import { choose, route } from "./route.ts";
import { stepWindow, StepWindow, zoom, zoomOut } from "./step-window.tsx";
import { stepAxis } from "./steps.ts";
import { Chooser, Controls, Empty, Legend, Problem, Segments, Switch, Waiting } from "./widgets.tsx";

type Split = "train" | "dev" | "test";
const splits = ["train", "dev", "test"] as const;

/** Bins of steps asked for, two values each: as many as are seen, of many runs as many as are drawn and sent quickly. */
const pointsOf = (runs: number): number => Math.max(120, Math.min(500, Math.round(24_000 / Math.max(1, runs))));
/** Seconds between one asking for the curves of more than fifty runs and the next. */
const patience = 4;
/** More configurations than these share colours by the values of one key: so many colours would not be told apart. */
const mostColours = 6;
/** More runs than these are asked for as all runs: their names would not fit into an address. */
const named = 30;

/** The view. */
export function Curves({ view }: ViewProps): JSX.Element {
  const { state } = route.value;
  const runs = chosenRuns(view);
  const keys = configKeys(view);
  const colourKey = state["colours"] ?? colourKeyOf(runs, keys);
  const groups = colouredGroups(runs, keys, colourKey);
  const hasSeeds = groups.some((group) => group.runs.length > 1);
  const by = state["by"] ?? (hasSeeds ? "seeds" : "runs");
  const metrics = [...new Set(splits.flatMap((split) => view.metrics[split]))];
  const metric = state["metric"] ?? usualMetric(metrics) ?? "loss";
  const having = splits.filter((split) => view.metrics[split].includes(metric));
  const split =
    state["split"] ?? (having.includes("train") && having.includes("dev") ? "both" : (having[0] ?? "train"));
  const isLog = state["log"] === "1";
  const emphasis = state["emphasis"];
  const version = experimentVersion(view.name);
  const first = useCurves(view, runs, split === "both" ? "train" : (split as Split), metric, version);
  const dev = useCurves(view, runs, split === "both" ? "dev" : undefined, metric, version);
  const norm = gradientNormOf(metric, view.metrics.train);
  const hasGradient = norm !== undefined && norm !== metric;
  const gradient = useCurves(view, runs, hasGradient ? "train" : undefined, norm ?? "", version);
  // While the answer to another choice is on its way, what is drawn is still the one before, and is called by its own name.
  const drawn = first.data?.metric ?? metric;
  const second = dev.data?.metric === drawn ? dev : { ...dev, data: undefined };

  if (metrics.length === 0)
    return (
      <Empty title="No run has recorded a metric yet">
        Curves appear with the first steps of a run; <code>fathom status {view.name}</code> says what is under way.
      </Empty>
    );
  const extent = first.data?.extent ?? second.data?.extent ?? gradient.data?.extent ?? null;
  const shown = stepAxis(stepWindow(), extent);
  const lines = { by, groups, runs, view };
  return (
    <>
      <Controls>
        <Chooser
          label="Metric"
          value={metric}
          options={metrics.map((name) => [name, words(name)])}
          onChoose={(name) => choose({ metric: name, split: undefined })}
        />
        {having.length > 1 && (
          <Segments
            label="Split"
            value={split}
            options={[
              ...(having.includes("train") && having.includes("dev") ? [["both", "train and dev"] as const] : []),
              ...having.map((name) => [name, name] as const),
            ]}
            onChoose={(name) => choose({ split: name })}
          />
        )}
        {hasSeeds && (
          <Segments
            label="Lines"
            value={by}
            options={[
              ["seeds", "over seeds"],
              ["runs", "each run"],
            ]}
            onChoose={(name) => choose({ by: name })}
          />
        )}
        {keys.length > 1 && (
          <Chooser
            label="Colours"
            value={colourKey}
            options={[[each, "each configuration"], ...[...shortKeys(keys)].map(([key, name]) => [key, name] as const)]}
            onChoose={(key) => choose({ colours: key, emphasis: undefined })}
          />
        )}
        <Switch label="log scale" isOn={isLog} onChange={(isOn) => choose({ log: isOn ? "1" : undefined })} />
        <StepWindow extent={extent} />
      </Controls>
      {distinct([first, second, gradient].flatMap(({ error }) => error ?? [])).map((error) => (
        <Problem key={error} text={error} />
      ))}
      <Legend entries={legendOf(groups)} emphasis={emphasis} onEmphasis={(key) => choose({ emphasis: key })} />
      {first.data === undefined ? (
        first.error === undefined && <Waiting what="curves" />
      ) : (
        <figure class="panel" aria-busy={first.isWaiting || second.isWaiting}>
          <CurvePanel
            answers={[
              { answer: first, isThick: split !== "both", isPointed: split !== "both" && split !== "train" },
              { answer: second, isThick: true, isPointed: true },
            ]}
            of={lines}
            x={shown}
            isLog={isLog}
            height={380}
            yTitle={metricTitle(drawn, runs)}
            label={`${words(drawn)} by step`}
            rules={isLoss(drawn) ? baselineRules(runs) : []}
            emphasis={emphasis}
          />
          <figcaption>
            {captionOf(split, by, (by === "seeds" ? groups : runs).length, isThinned([first, second]))}
          </figcaption>
        </figure>
      )}
      {hasGradient && first.data !== undefined && gradient.data !== undefined && gradient.data.curves.length > 0 && (
        <figure class="panel" aria-busy={gradient.isWaiting}>
          <CurvePanel
            answers={[{ answer: gradient, isThick: false, isPointed: false }]}
            of={lines}
            x={shown}
            isLog={true}
            height={230}
            yTitle={words(gradient.data.metric)}
            label={`${words(gradient.data.metric)} by step`}
            rules={[]}
            emphasis={emphasis}
          />
          <figcaption>
            Norm of the gradient of all parameters{gradient.data.metric.includes("/") && " of this player"} together,
            before clipping, on a logarithmic axis.
          </figcaption>
        </figure>
      )}
    </>
  );
}

/** The curves of the chosen runs; none of an undefined split. */
export function useCurves(
  view: ExperimentView,
  runs: readonly RunView[],
  split: Split | undefined,
  metric: string,
  version: number,
): Answer<CurvesAnswer> {
  const { from, to } = stepWindow();
  const ids = runs.length < view.runs.length && runs.length <= named ? runs.map((run) => run.id).join(",") : undefined;
  const slow = useSlowly(version, patience);
  const points = pointsOf(ids === undefined ? view.runs.length : runs.length);
  const address =
    split === undefined || runs.length === 0
      ? undefined
      : apiAddress(["experiments", view.name, "curves"], { split, metric, from, to, points, runs: ids });
  return useAnswer<CurvesAnswer>(address, view.runs.length > 50 ? slow : version);
}

/** The seeds of a configuration, with the colour they share with others. */
interface ColouredGroup extends Group {
  readonly colour: string;
  /** Whose colour it is: the same of all that have it. */
  readonly colourGroup: Pick<Group, "key" | "name">;
}

/** Which lines there are, and of what. */
export interface Lines {
  readonly by: string;
  readonly groups: readonly ColouredGroup[];
  readonly runs: readonly RunView[];
  readonly view: ExperimentView;
}

/** In place of a key: each configuration has a colour of its own. */
const each = "each";

/** The key whose values have colours of their own: `each` while configurations are few, else that of the fewest values. */
function colourKeyOf(runs: readonly RunView[], keys: readonly string[]): string {
  if (keys.length < 2 || orderedGroups(runs, keys).length <= mostColours) return each;
  const values = (key: string): number => orderedGroups(runs, [key]).length;
  return keys.filter((key) => values(key) > 1).sort((a, b) => values(a) - values(b))[0] ?? each;
}

/** Configurations, coloured by a key's values, or each by itself. So runs of one are seen to belong together. */
export function colouredGroups(runs: readonly RunView[], keys: readonly string[], colourKey = each): ColouredGroup[] {
  const owners = orderedGroups(runs, colourKey === each ? keys : [colourKey]);
  const colours = coloursOf(owners.map(({ key }) => key));
  const ownerOf = new Map(owners.flatMap((owner) => owner.runs.map((run) => [run, owner] as const)));
  return orderedGroups(runs, keys).map((group) => {
    const colourGroup = ownerOf.get(group.runs[0]!)!;
    return { ...group, colourGroup, colour: colours.get(colourGroup.key)! };
  });
}

/** One entry a colour. */
function legendOf(groups: readonly ColouredGroup[]): { key: string; name: string; colour: string; note: string }[] {
  return [...groupBy(groups, ({ colourGroup }) => colourGroup.key)].map(([key, same]) => ({
    key,
    name: same[0]!.colourGroup.name,
    colour: same[0]!.colour,
    note:
      same.length > 1
        ? count(same.length, "configuration")
        : same[0]!.runs.length > 1
          ? `${same[0]!.runs.length} seeds`
          : "",
  }));
}

/** A chart of answers: lines by run or over seeds, as the layout says. */
export function CurvePanel(props: {
  answers: readonly { answer: Answer<CurvesAnswer>; isThick: boolean; isPointed: boolean }[];
  of: Lines;
  x: Axis;
  isLog: boolean;
  height: number;
  yTitle: string;
  label: string;
  rules: readonly Rule[];
  emphasis: string | undefined;
}): JSX.Element {
  const { answers, of, x, isLog, rules } = props;
  const data = answers.map(({ answer }) => answer.data);
  // Curves of runs are the same on both axes; medians over seeds are not.
  const isLogMedian = isLog && of.by === "seeds";
  const lines = useMemo(
    () =>
      answers.flatMap(({ answer, isThick, isPointed }) =>
        answer.data ? linesOf(of, answer.data, { isLog: isLogMedian, isThick, isPointed }) : [],
      ),
    [
      ...data,
      of.by,
      isLogMedian,
      of.runs.map((run) => run.id).join(),
      of.view.varied.join(),
      of.groups.map(({ colour }) => colour).join(),
    ],
  );
  const sorted = useMemo(() => sortedWithin(lines, x), [lines, x.domain[0], x.domain[1]]);
  const { y, above } = useMemo(() => verticalAxis(sorted, isLog, rules), [sorted, isLog, rules[0]?.value]);
  if (lines.every(({ x: places }) => places.length === 0))
    return <Empty title="None of these runs has this metric in this window of steps" />;
  return (
    <>
      <LineChart
        label={props.label}
        lines={lines}
        x={x}
        y={y}
        xTitle="step"
        yTitle={props.yTitle}
        height={props.height}
        rules={rules}
        emphasis={lines.some(({ key }) => key === props.emphasis) ? props.emphasis : undefined}
        onWindow={zoom}
        onReset={zoomOut}
      />
      {above > 0 && <p class="caption">{aboveText(above)}; the log scale shows all that are above 0.</p>}
    </>
  );
}

function linesOf(
  { by, groups, view }: Lines,
  { curves, split }: CurvesAnswer,
  look: { isLog: boolean; isThick: boolean; isPointed: boolean },
): Line[] {
  const names = runNames(view);
  const byRun = new Map(curves.map((curve) => [curve.run, curve]));
  const thickness = look.isThick ? 2 : 1;
  return groups.flatMap((group): Line[] => {
    const own = group.runs.flatMap((run): Curve | Curve[] => byRun.get(run.id) ?? []);
    if (own.length === 0) return [];
    const { colour } = group;
    const { key } = group.colourGroup;
    if (by === "seeds") {
      const band = bandOf(own, look.isLog);
      const hasPoints = look.isPointed && band.x.length <= 60;
      return [{ key, name: `${group.name} ${split}`, colour, ...band, thickness, hasPoints }];
    }
    return own.map((curve) => ({
      key,
      name: `${names.get(curve.run) ?? curve.run} ${split}`,
      colour,
      x: curve.steps,
      y: numbersOf(curve.values),
      thickness: look.isThick ? 1.6 : 1,
      hasPoints: look.isPointed && curve.steps.length <= 60,
    }));
  });
}

/** Says that values are beyond an axis that {@link verticalAxis} has cut. */
export const aboveText = (above: number): string =>
  `${count(above, "value")} above the axis ${above === 1 ? "is" : "are"} not drawn`;

const isThinned = (answers: readonly Answer<CurvesAnswer>[]): boolean =>
  answers.some(({ data }) => data?.curves.some(({ of, steps }) => of > steps.length) === true);

function captionOf(split: string, by: string, lines: number, isThin: boolean): string {
  const drawn = split === "both" ? 2 * lines : lines;
  return [
    split !== "both" ? "" : drawn > crowd ? "Pale: train; dark: dev." : "Thin: train; thick: dev.",
    by !== "seeds"
      ? ""
      : drawn > mostBands
        ? "Lines: the median over seeds; choose a name above for the bands from the lowest to the highest."
        : "Lines: the median over seeds; bands: from the lowest to the highest.",
    isThin
      ? `${by === "seeds" ? "Bands hold" : "Lines show"} the smallest and the largest value of each bin of steps, so no spike is lost; drag over some steps to see them closer.`
      : "Drag over some steps to see them closer; a double click shows all.",
  ]
    .filter((text) => text !== "")
    .join(" ");
}
