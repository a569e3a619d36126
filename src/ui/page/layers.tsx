// One run's quantity by layer and step: as a heat map, and as the profile over layers at the step of the slider.

import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { layerTicks } from "../../plots/style.ts";
import { distinct } from "../../statistics.ts";
import type { LayerWindow, LayerWindows, RunView } from "../api.ts";
import { axisOf, type Axis } from "./axes.ts";
import { numbersOf, profileOf } from "./bands.ts";
import { chosenRuns, tokenOf, type ViewProps } from "./choice.ts";
import { coloursOf } from "./colours.ts";
import { apiAddress, useAnswer } from "./fetching.ts";
import { numberText, words } from "./format.ts";
import { runNames } from "./groups.ts";
import { ColourBar, HeatMap } from "./heat-map.tsx";
import { LineChart } from "./line-chart.tsx";
import type { Line } from "./lines.ts";
import { runVersion } from "./live.ts";
import { nearestIndex, Player } from "./player.tsx";
import { adjust, choose, route } from "./route.ts";
import { stepWindow, StepWindow } from "./step-window.tsx";
import { Chooser, Controls, Empty, Problem, Waiting } from "./widgets.tsx";

const bins = 180;

/** The run of the address, else the first chosen one that has steps, else any. */
function runOf({ view }: ViewProps): RunView | undefined {
  const asked = route.value.state["run"];
  const found = asked === undefined ? undefined : view.runs.find((run) => tokenOf(run.id) === asked);
  const chosen = chosenRuns(view);
  return found ?? chosen.find((run) => run.steps > 0 && run.status !== "damaged") ?? chosen[0] ?? view.runs[0];
}

/** The view. */
export function Layers({ view }: ViewProps): JSX.Element {
  const { state } = route.value;
  const run = runOf({ view });
  const quantity = state["quantity"] ?? view.quantities[0];
  const { from, to } = stepWindow();
  const { data, error, isWaiting } = useAnswer<LayerWindows>(
    run === undefined || quantity === undefined
      ? undefined
      : apiAddress(["experiments", view.name, "layers"], { quantity, runs: run.id, from, to, bins }),
    run === undefined ? 0 : runVersion(view.name, run.id),
  );
  const names = runNames(view);
  if (run === undefined || quantity === undefined)
    return (
      <Empty title="No run has recorded a quantity by layer yet">
        Runs record what <code>probes.record</code> of their configuration names, such as gradient-norm; see{" "}
        <code>fathom list probes</code>.
      </Empty>
    );
  const window = data?.windows[0];
  return (
    <>
      <Controls>
        <Chooser
          label="Run"
          value={tokenOf(run.id)}
          options={view.runs.map((one) => [
            tokenOf(one.id),
            `${names.get(one.id)!}${one.status === "done" ? "" : ` (${one.status})`}`,
          ])}
          onChoose={(token) => choose({ run: token })}
        />
        <Chooser
          label="Quantity"
          value={quantity}
          options={view.quantities.map((name) => [name, words(name)])}
          onChoose={(name) => choose({ quantity: name })}
        />
        <StepWindow extent={window && window.steps.length > 0 ? [window.steps[0]!, window.steps.at(-1)!] : null} />
      </Controls>
      {error !== undefined && <Problem text={error} />}
      {data === undefined ? (
        error === undefined && <Waiting what="layers" />
      ) : window === undefined || window.steps.length === 0 ? (
        <Empty
          title={`This run has not recorded ${words(data.quantity)}${from !== undefined || to !== undefined ? " in this window of steps" : ""}`}
        >
          Choose another run or quantity; probes.record of a configuration says what is recorded.
        </Empty>
      ) : (
        // Until the answer to another choice is there this is the one before, and is called by its own names.
        <Shown
          window={window}
          isLog={data.isLogarithmic}
          quantity={data.quantity}
          run={window.run === run.id ? undefined : (names.get(window.run) ?? window.run)}
          isWaiting={isWaiting}
        />
      )}
    </>
  );
}

function Shown(props: {
  window: LayerWindow;
  isLog: boolean;
  quantity: string;
  /** Its name, where it is another run than the one chosen. */
  run: string | undefined;
  isWaiting: boolean;
}): JSX.Element {
  const { window, isLog, quantity, run, isWaiting } = props;
  const column = nearestIndex(window.steps, route.value.state["step"]);
  // The end follows a run that is training.
  const show = (next: number): void =>
    adjust({ step: next >= window.steps.length - 1 ? undefined : String(window.steps[next]) });
  const scale = useMemo(
    () =>
      axisOf(
        window.values.flatMap((row) => numbersOf(row)),
        isLog,
      ),
    [window, isLog],
  );
  const layers = window.stacks.reduce((sum, { layers: of }) => sum + of.length, 0);
  const height = Math.min(620, Math.max(250, 60 + 16 * window.stacks.length + layers * 18));
  const of = window.of > window.steps.length ? ` ${window.steps.length} of ${window.of} recorded steps are shown.` : "";
  return (
    <>
      <Player steps={window.steps} index={column} onIndex={show} perSecond={14} />
      <div class="beside layers" aria-busy={isWaiting}>
        <figure class="panel">
          <h3>By layer and step{run !== undefined && `, ${run}`}</h3>
          <ColourBar scale={scale} title={`${words(quantity)}${isLog ? ", logarithmic" : ""}`} />
          <HeatMap
            label={`${words(quantity)} by layer and step`}
            window={window}
            scale={scale}
            height={height}
            column={column}
            onColumn={show}
          />
          <figcaption>The first layer lies at the bottom of its stack.{of} Blank: not finite or zero.</figcaption>
        </figure>
        <figure class="panel">
          <h3>By layer at step {window.steps[column]}</h3>
          <Profile window={window} column={column} scale={scale} quantity={quantity} height={Math.min(height, 520)} />
        </figure>
      </div>
    </>
  );
}

function Profile(props: {
  window: LayerWindow;
  column: number;
  scale: Axis;
  quantity: string;
  height: number;
}): JSX.Element {
  const { window, column, scale, quantity, height } = props;
  const stacks = distinct(window.stacks.map(({ stack }) => stack));
  const colours = coloursOf(stacks);
  const deepest = Math.max(1, ...window.stacks.flatMap(({ layers }) => layers));
  const lines = useMemo(
    () =>
      stacks.flatMap((stack): Line[] => {
        const colour = colours.get(stack)!;
        const first = {
          key: `${stack} first`,
          name: `${stack} at the first step`,
          colour,
          ...profileOf(window, stack, 0),
        };
        return [
          ...(column > 0 ? [{ ...first, isGhost: true, isDashed: true }] : []),
          { key: stack, name: stack, colour, ...profileOf(window, stack, column), hasPoints: true, thickness: 2 },
        ];
      }),
    [window, column],
  );
  const values = lines.filter(({ isGhost }) => isGhost !== true).flatMap(({ y }) => y.filter(Number.isFinite));
  return (
    <>
      <p class="chart-legend-line">
        {stacks.map((stack) => (
          <span key={stack}>
            <i class="swatch" style={{ background: colours.get(stack)! }} />
            {stack}
          </span>
        ))}
        {column > 0 && <span class="soft">dashed: step {window.steps[0]}</span>}
      </p>
      <LineChart
        label={`${words(quantity)} by layer at step ${window.steps[column]}`}
        lines={lines}
        x={{ domain: [0.7, deepest + 0.3], isLog: false }}
        y={scale}
        xTitle="layer"
        yTitle={words(quantity)}
        height={height}
        xTicks={layerTicks(deepest).map((value) => ({ value, label: String(value) }))}
        place="layer"
      />
      <figcaption>
        {values.length === 0
          ? "No layer has a finite value at this step."
          : `From ${numberText(Math.min(...values))} to ${numberText(Math.max(...values))} at this step. The axis is that of all steps, so that what moves is the profile.`}
      </figcaption>
    </>
  );
}
