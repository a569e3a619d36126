// Training that stays on the device: parameters and optimizer state are tensors there, a step changes them there, and what the
// host has to know of it (the loss, norms, taps) comes back in one vector.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { assert } from "../errors.ts";
import { learntBy, type Parameters, type Player } from "../stage.ts";
import type { ResidentOptimizer, TrainedStep, TrainOptions } from "./engine.ts";
import type { Readout } from "./readout.ts";
import { clipFactor, gather, type Layout, layoutOf, momentsByPath, rowMoments, scatter } from "./rows.ts";
import { float32Array } from "./simd.ts";
import { applyRule } from "./update-rule.ts";

/** A player's parameters and optimizer state, on the device. */
interface Resident {
  readonly layout: Layout;
  readonly optimizer: ResidentOptimizer;
  /** [R, C], see rows.ts. */
  parameter: Tensor;
  /** One a slot of the optimizer, [R, C] each. */
  state: Tensor[];
  /** The same parameters as tensors of their own. */
  tensors: ReadonlyMap<string, Tensor>;
  /** Whether a step has changed them since they were last brought to the host. */
  isAhead: boolean;
}

/** Keeps one model's parameters on the current backend's device, player by player as they are trained. */
export function residence() {
  let owner: Parameters | undefined;
  const players = new Map<string, Resident>();
  const residentOf = (player: Player): Resident => {
    const resident = players.get(player.name);
    assert(resident, `player ${player.name} has not entered`);
    return resident;
  };
  const settle = (layout: Layout, parameter: Tensor, state: readonly Tensor[]) => ({
    parameter: tf.keep(parameter),
    state: state.map((slot) => tf.keep(slot)),
    tensors: new Map([...scatter(layout, parameter)].map(([path, tensor]) => [path, tf.keep(tensor)] as const)),
  });
  const drop = ({ parameter, state, tensors }: Resident): void =>
    tf.dispose([parameter, ...state, ...tensors.values()]);

  const home = {
    /** The tensor of a parameter that lives here. */
    tensorOf(parameters: Parameters, path: string): Tensor | undefined {
      if (parameters !== owner) return undefined;
      for (const { tensors } of players.values()) if (tensors.has(path)) return tensors.get(path);
      return undefined;
    },
    /** Takes in what `player` learns, from the host's arrays, unless it is here. A model that was here before leaves. */
    enter(parameters: Parameters, player: Player, optimizer: ResidentOptimizer): void {
      if (parameters !== owner) home.leave();
      owner = parameters;
      if (players.has(player.name)) return;
      const learnt = new Set(
        player.stages.flatMap((stage) => learntBy(stage).map((name) => stage.parameters[name]!.path)),
      );
      const layout = layoutOf(
        [...parameters.keys()].filter((path) => learnt.has(path)),
        parameters,
      );
      const upload = (arrayOf: (path: string) => Float32Array | undefined): Tensor =>
        gather(layout, (path) => {
          const { shape } = parameters.get(path)!;
          const data = arrayOf(path);
          return data ? tf.tensor(data, [...shape]) : tf.zeros([...shape]);
        });
      const parameter = upload((path) => parameters.get(path)!.data);
      const state = optimizer.slots.map((slot) => upload((path) => optimizer.state.get(`${slot}/${path}`)));
      players.set(player.name, { layout, optimizer, isAhead: false, ...settle(layout, parameter, state) });
    },
    /** Updates `player` from its gradients. What it returns has to be called once the readout has been read: it makes the update
     *  count if all is finite, and says what happened. */
    move(
      player: Player,
      gradients: ReadonlyMap<string, Tensor>,
      options: TrainOptions,
      readout: Readout,
    ): (loss: number) => Pick<TrainedStep, "gradients" | "gradientNorm" | "updates" | "isFinite"> {
      const resident = residentOf(player);
      const { layout, parameter, state, optimizer } = resident;
      const gradient = gather(layout, (path) => gradients.get(path)!);
      const found = rowMoments(gradient);
      const { clipNorm } = options;
      const clipped = clipNorm === null ? gradient : tf.mul(gradient, clipFactor(found, clipNorm));
      const next = applyRule(optimizer.rule, { parameter, state, gradient: clipped }, options);
      const gradientRows = readout.add(found);
      const updateRows = options.measured && readout.add(rowMoments(tf.sub(next.parameter, parameter)));
      const parameterRows = options.measured && readout.add(rowMoments(parameter));
      return (loss) => {
        const moments = momentsByPath(layout, gradientRows());
        const squares = [...moments.values()].reduce((sum, { sumSquares }) => sum + sumSquares, 0);
        const gradientNorm = Math.sqrt(squares);
        const isFinite = Number.isFinite(loss) && Number.isFinite(gradientNorm);
        const updates: TrainedStep["updates"] = new Map(
          updateRows && parameterRows && isFinite ? pairs(layout, updateRows(), parameterRows()) : [],
        );
        if (isFinite) {
          const settled = settle(layout, next.parameter, next.state);
          drop(resident);
          Object.assign(resident, settled, { isAhead: true });
        }
        return { gradients: moments, gradientNorm, updates, isFinite };
      };
    },
    /** Brings to the host's arrays what steps have changed since the last time. */
    fetch(): void {
      for (const resident of players.values()) {
        if (!resident.isAhead) continue;
        const { layout, optimizer, parameter, state } = resident;
        download(layout, parameter, (path) => owner!.get(path)!.data);
        state.forEach((rows, i) =>
          download(layout, rows, (path, size) => {
            const key = `${optimizer.slots[i]!}/${path}`;
            let array = optimizer.state.get(key);
            if (!array) optimizer.state.set(key, (array = float32Array(size)));
            return array;
          }),
        );
        resident.isAhead = false;
      }
    },
    /** Brings everything to the host and drops it here: the host's arrays count again, and may be changed. */
    leave(): void {
      home.fetch();
      for (const resident of players.values()) drop(resident);
      players.clear();
      owner = undefined;
    },
  };
  return home;
}

/** Moments of the update and of the parameter before it, by path. */
function pairs(layout: Layout, updateRows: Float32Array, parameterRows: Float32Array) {
  const before = momentsByPath(layout, parameterRows);
  return [...momentsByPath(layout, updateRows)].map(
    ([path, update]) => [path, { update, parameter: before.get(path)! }] as const,
  );
}

function download(layout: Layout, rows: Tensor, arrayOf: (path: string, size: number) => Float32Array): void {
  const data = rows.dataSync() as Float32Array;
  for (const { path, start, size } of layout.entries) arrayOf(path, size).set(data.subarray(start, start + size));
}
