// Schemes, or the values of any varied key, beside each other: profiles over layers at the slider's step, and the losses of the same runs.

import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { layerTicks } from "../../plots/style.ts";
import { distinct } from "../../statistics.ts";
import type { ExperimentView, LayerWindow, LayerWindows, RunView } from "../api.ts";
import { axisOf, type Axis } from "./axes.ts";
import { bandOf, profileBand, sampleOf } from "./bands.ts";
import { chosenRuns, type ViewProps } from "./choice.ts";
import { coloursOf } from "./colours.ts";
import { aboveText, useCurves } from "./curves.tsx";
import { apiAddress, useAnswers } from "./fetching.ts";
import { shortKeys, words } from "./format.ts";
import { configKeys, keysLeft, lineGroups, orderedGroups, type Group, type LineGroup } from "./groups.ts";
import { LineChart } from "./line-chart.tsx";
import { sortedWithin, verticalAxis, type Line } from "./lines.ts";
import { experimentVersion, runVersion } from "./live.ts";
import { baselineRules, isLoss, metricTitle } from "./measures.ts";
import { nearestIndex, Player } from "./player.tsx";
import { adjust, choose, route } from "./route.ts";
import { stepWindow } from "./step-window.tsx";
import { stepAxis } from "./steps.ts";
import { Chooser, Controls, Empty, Legend, Problem, Switch } from "./widgets.tsx";

const bins = 60;
/** Runs a request; answers are drawn as they come. */
const together = 2;

/** The view. */
export function Compare({ view }: ViewProps): JSX.Element {
  const { state } = route.value;
  const keys = configKeys(view);
  const names = shortKeys(keys);
  const panelKey = state["panels"] ?? keys[0] ?? "";
  const lineKey = state["lines"] ?? keys.find((key) => key !== panelKey) ?? "";
  const quantity = state["quantity"] ?? view.quantities[0];
  const isRelative = state["relative"] === "1";
  const runs = chosenRuns(view).filter((run) => run.status !== "damaged" && run.steps > 0);
  const layers = useLayerWindows(view, runs, quantity);
  const emphasis = state["emphasis"];

  if (runs.length === 0)
    return (
      <Empty title="Nothing to compare yet">No chosen run has taken a step; they appear here as they train.</Empty>
    );

  const panels = orderedGroups(runs, panelKey === "" ? [] : [panelKey]);
  const coloured = orderedGroups(runs, lineKey === "" ? [] : [lineKey]);
  const colours = coloursOf(coloured.map(({ key }) => key));
  const choices = keys.map((key): [string, string] => [key, names.get(key)!]);
  const left = keysLeft(runs, keys, [panelKey, lineKey]);
  const variants = orderedGroups(runs, left);
  const layout: Layout = {
    panels: panels.map((panel) => ({ ...panel, lines: lineGroups(panel.runs, lineKey, left, variants) })),
    colours,
    emphasis,
  };
  const losses = (["train", "dev"] as const).flatMap((split) =>
    view.metrics[split].filter(isLoss).map((metric) => ({ split, metric })),
  );
  return (
    <>
      <Controls>
        {keys.length > 0 && (
          <Chooser
            label="Beside each other"
            value={panelKey}
            options={choices}
            onChoose={(key) => choose({ panels: key, lines: undefined, emphasis: undefined })}
          />
        )}
        {keys.length > 1 && (
          <Chooser
            label="Colours"
            value={lineKey}
            options={choices.filter(([key]) => key !== panelKey)}
            onChoose={(key) => choose({ lines: key, emphasis: undefined })}
          />
        )}
        {quantity !== undefined && (
          <Chooser
            label="Quantity"
            value={quantity}
            options={view.quantities.map((name) => [name, words(name)])}
            onChoose={(name) => choose({ quantity: name })}
          />
        )}
        {quantity !== undefined && (
          <Switch
            label="depth as a share"
            isOn={isRelative}
            onChange={(isOn) => choose({ relative: isOn ? "1" : undefined })}
          />
        )}
      </Controls>
      {layers.errors.map((error) => (
        <Problem key={error} text={error} />
      ))}
      {coloured.length > 1 && (
        <Legend
          entries={coloured.map(({ key, name }) => ({ key, name, colour: colours.get(key)! }))}
          emphasis={emphasis}
          onEmphasis={(key) => choose({ emphasis: key })}
        />
      )}
      {quantity === undefined ? (
        <p class="soft">No run has recorded a quantity by layer, so there are only losses to compare.</p>
      ) : (
        <Profiles of={layout} layers={layers} quantity={quantity} isRelative={isRelative} />
      )}
      <p class="caption">
        {captionOf(
          layout,
          variants,
          left.map((key) => names.get(key)!),
        )}
      </p>
      {losses
        .filter(({ split, metric }) => split === "train" || !view.metrics.train.includes(metric))
        .map(({ split, metric }) => (
          <Losses key={metric} view={view} runs={runs} of={layout} split={split} metric={metric} />
        ))}
    </>
  );
}

interface Panel extends Group {
  readonly lines: readonly LineGroup[];
}

/** How runs are laid out. */
interface Layout {
  readonly panels: readonly Panel[];
  readonly colours: ReadonlyMap<string, string>;
  readonly emphasis: string | undefined;
}

/** What lines and bands are. `left` are the names of keys by which lines of one colour differ. */
function captionOf({ panels }: Layout, variants: readonly Group[], left: readonly string[]): string {
  const hasSeeds = panels.some(({ lines }) => lines.some(({ runs }) => runs.length > 1));
  return [
    hasSeeds
      ? "Lines: the median over the seeds of one configuration; bands: from the lowest to the highest."
      : "Each line is a run.",
    left.length === 0
      ? ""
      : variants.length === 2
        ? `Solid: ${variants[0]!.name}; dashed: ${variants[1]!.name}.`
        : `Lines of one colour differ in ${left.join(", ")}; the pointer reads which is which.`,
    "All panels have the same axes, those of layers hold all steps.",
  ]
    .filter((text) => text !== "")
    .join(" ");
}

/** A configuration's line in a panel, but for its places and values. */
const lookOf = (
  line: LineGroup,
  panel: Panel,
  colours: Layout["colours"],
): Pick<Line, "key" | "name" | "colour" | "isDashed"> => ({
  key: line.colourKey,
  name: line.name === "all runs" ? panel.name : line.name,
  colour: colours.get(line.colourKey)!,
  isDashed: line.isDashed,
});

/** What a panel's lines depend on, as one text. */
const identityOf = ({ key, lines }: Panel, colours: Layout["colours"]): string =>
  [
    key,
    ...lines.map(
      (line) => `${line.key} ${colours.get(line.colourKey)} ${line.isDashed} ${line.runs.map(({ id }) => id).join()}`,
    ),
  ].join("\n");

interface Windows {
  readonly windows: ReadonlyMap<string, LayerWindow>;
  readonly isLog: boolean;
  readonly missing: number;
  readonly errors: readonly string[];
}

/** The windows of all runs, a few runs a request. */
function useLayerWindows(view: ExperimentView, runs: readonly RunView[], quantity: string | undefined): Windows {
  const parts: RunView[][] = [];
  if (quantity !== undefined) for (let i = 0; i < runs.length; i += together) parts.push(runs.slice(i, i + together));
  const answers = useAnswers<LayerWindows>(
    parts.map((part) => ({
      address: apiAddress(["experiments", view.name, "layers"], {
        quantity,
        runs: part.map((run) => run.id).join(","),
        bins,
      }),
      version: part.reduce((sum, run) => sum + runVersion(view.name, run.id), 0),
    })),
  );
  const data = answers.map((answer) => answer.data);
  return useMemo(
    () => ({
      windows: new Map(data.flatMap((one) => one?.windows ?? []).map((window) => [window.run, window])),
      isLog: data.find((one) => one !== undefined)?.isLogarithmic ?? true,
      missing: answers.filter((answer) => answer.isWaiting).length * together,
      errors: distinct(answers.flatMap(({ error }) => error ?? [])),
    }),
    // One text for all answers: objects are told apart by how often they came.
    [data.map(identity).join(), answers.map(({ error }) => error ?? "").join()],
  );
}

const seen = new WeakMap<object, number>();
let next = 1;

/** A number for an answer: another object, another number. */
function identity(one: object | undefined): number {
  if (one === undefined) return 0;
  const known = seen.get(one) ?? next++;
  seen.set(one, known);
  return known;
}

function Profiles(props: { of: Layout; layers: Windows; quantity: string; isRelative: boolean }): JSX.Element {
  const { of, layers, quantity, isRelative } = props;
  const { windows, isLog } = layers;
  const all = [...windows.values()].filter(({ steps }) => steps.length > 0);
  const steps = useMemo(() => distinct(all.flatMap((window) => [...window.steps])).sort((a, b) => a - b), [windows]);
  // Runs record at steps of their own; as many places as one run has are enough for all.
  const most = Math.max(1, ...all.map((window) => window.steps.length));
  const places = useMemo(() => thin(steps, Math.max(most, 2)), [steps, most]);
  const scale = useMemo(() => axisOf(all.flatMap(sampleOf), isLog), [windows, isLog]);
  const index = nearestIndex(places, route.value.state["step"]);
  if (all.length === 0)
    return layers.missing > 0 ? (
      <p class="waiting" role="status">
        Reading layers …
      </p>
    ) : (
      <p class="soft">None of these runs has recorded {words(quantity)}.</p>
    );
  const stacks = distinct(all.flatMap((window) => window.stacks.map(({ stack }) => stack)));
  const step = places[index]!;
  return (
    <>
      <Player
        steps={places}
        index={index}
        onIndex={(at) => adjust({ step: at >= places.length - 1 ? undefined : String(places[at]) })}
        perSecond={8}
      />
      {layers.missing > 0 && (
        <p class="soft" role="status">
          Reading the layers of about {layers.missing} more runs …
        </p>
      )}
      {stacks.map((stack) => (
        <section key={stack} aria-label={stack}>
          <h3>
            {words(quantity)}, {stack}, at step {step}
          </h3>
          <div class="multiples">
            {of.panels.map((panel) => (
              <ProfilePanel
                key={panel.key}
                panel={panel}
                of={of}
                windows={windows}
                at={{ stack, step, scale, isLog, isRelative, quantity, all }}
              />
            ))}
          </div>
        </section>
      ))}
    </>
  );
}

/** At most `n` of `values`, evenly, the first and the last among them. */
function thin(values: readonly number[], n: number): number[] {
  if (values.length <= n) return [...values];
  return distinct(Array.from({ length: n }, (_, i) => values[Math.round((i * (values.length - 1)) / (n - 1))]!));
}

function ProfilePanel(props: {
  panel: Panel;
  of: Layout;
  windows: ReadonlyMap<string, LayerWindow>;
  at: {
    stack: string;
    step: number;
    scale: Axis;
    isLog: boolean;
    isRelative: boolean;
    quantity: string;
    all: readonly LayerWindow[];
  };
}): JSX.Element {
  const { panel, of, windows, at } = props;
  const { stack, step, isRelative } = at;
  const deepest = useMemo(
    () =>
      Math.max(
        1,
        ...at.all.flatMap((window) =>
          window.stacks.filter((one) => one.stack === stack).flatMap(({ layers }) => layers),
        ),
      ),
    [windows, stack],
  );
  const lines = useMemo(
    () =>
      panel.lines.flatMap((group): Line[] => {
        const own = group.runs.flatMap((run) => windows.get(run.id) ?? []).filter(({ steps }) => steps.length > 0);
        if (own.length === 0) return [];
        const band = profileBand(own, stack, step, at.isLog);
        if (band.x.length === 0) return [];
        const last = band.x.at(-1)!;
        const x = isRelative ? band.x.map((layer) => layer / last) : band.x;
        return [{ ...lookOf(group, panel, of.colours), ...band, x, hasPoints: last <= 30, thickness: 1.8 }];
      }),
    [windows, stack, step, at.isLog, isRelative, identityOf(panel, of.colours)],
  );
  return (
    <figure class="panel small">
      <h4>{panel.name}</h4>
      <LineChart
        label={`${words(at.quantity)} by layer, ${panel.name}, ${stack}, at step ${step}`}
        lines={lines}
        x={{ domain: isRelative ? [0, 1.02] : [0.6, deepest + 0.4], isLog: false }}
        y={at.scale}
        xTitle={isRelative ? "layer, as a share of the depth" : "layer"}
        yTitle=""
        height={230}
        {...(!isRelative && { xTicks: layerTicks(deepest).map((value) => ({ value, label: String(value) })) })}
        place="layer"
        emphasis={lines.some(({ key }) => key === of.emphasis) ? of.emphasis : undefined}
      />
    </figure>
  );
}

function Losses(props: {
  view: ExperimentView;
  runs: readonly RunView[];
  of: Layout;
  split: "train" | "dev";
  metric: string;
}): JSX.Element {
  const { view, runs, of, split, metric } = props;
  const { data, error } = useCurves(view, runs, split, metric, experimentVersion(view.name));
  const x = stepAxis(stepWindow(), data?.extent ?? null);
  const rules = baselineRules(runs);
  const panels = useMemo(() => {
    const byRun = new Map(data?.curves.map((curve) => [curve.run, curve]));
    return of.panels.map((panel) => ({
      panel,
      lines: panel.lines.flatMap((group): Line[] => {
        const own = group.runs.flatMap((run) => byRun.get(run.id) ?? []);
        if (own.length === 0) return [];
        return [{ ...lookOf(group, panel, of.colours), ...bandOf(own, false), thickness: 1.5 }];
      }),
    }));
  }, [data, of.panels.map((panel) => identityOf(panel, of.colours)).join("\n")]);
  const { y, above } = useMemo(
    () =>
      verticalAxis(
        sortedWithin(
          panels.flatMap(({ lines }) => lines),
          x,
        ),
        false,
        rules,
      ),
    [panels, x.domain[0], x.domain[1], rules[0]?.value],
  );
  return (
    <section aria-label={metric === "loss" ? "losses" : words(metric)}>
      <h3>
        {split === "train" ? "Training" : "Dev"} {metricTitle(metric, runs)}
      </h3>
      {error !== undefined && <Problem text={error} />}
      <div class="multiples">
        {panels.map(({ panel, lines }) => (
          <figure key={panel.key} class="panel small">
            <h4>{panel.name}</h4>
            <LineChart
              label={`${split} ${words(metric)} by step, ${panel.name}`}
              lines={lines}
              x={x}
              y={y}
              xTitle="step"
              yTitle=""
              height={220}
              rules={rules}
              emphasis={lines.some(({ key }) => key === of.emphasis) ? of.emphasis : undefined}
            />
          </figure>
        ))}
      </div>
      {above > 0 && <p class="caption">{aboveText(above)}; Curves has a log scale.</p>}
    </section>
  );
}
