// Event files as TensorBoard reads them, a folder a run. Records are framed as TensorFlow frames them (tensorflow/core/lib/io/
// record_writer.cc): length, its masked CRC-32C, bytes, theirs. Messages are those of event.proto, summary.proto and of the HPARAMS
// plugin's plugin_data.proto and api.proto.

import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import CRC32C from "crc-32/crc32c.js";
import { makeFolders } from "../folders.ts";
import type { ExperimentRun } from "../runs/experiment.ts";
import { GAP, readSamples, type SamplePicture } from "../runs/samples.ts";
import { distinct } from "../statistics.ts";
import type { RunRow } from "../types.ts";
import type { ExportFormat, ExportSource } from "./format.ts";
import { openOutput } from "./output.ts";
import { finalValues, seriesSteps, startOf } from "./series.ts";

/** Steps between two looks at signals. */
const stepsAtOnce = 256;

export const tensorboard: ExportFormat = {
  name: "tensorboard",
  summary: "event files, a folder a run: scalars, HPARAMS, grids of images as TensorBoard shows them",
  async write(source, folder, tick) {
    const { runs } = source.experiment;
    const about = experimentMessage(source);
    for (const [i, run] of runs.entries()) {
      await tick(run.row.id, i, runs.length);
      const start = startOf(run);
      makeFolders(join(folder, run.row.id));
      const file = join(
        folder,
        run.row.id,
        `events.out.tfevents.${String(Math.floor(start)).padStart(10, "0")}.fathom`,
      );
      const output = openOutput(file);
      try {
        const put = (seconds: number, step: number, field: (event: BinaryWriter) => void): void => {
          const event = new BinaryWriter();
          event.tag(1, WireType.Bit64).double(start + seconds);
          event.tag(2, WireType.Varint).int64(step);
          field(event);
          output.write(record(event.finish()));
        };
        const summary = (seconds: number, step: number, values: readonly Uint8Array[]): void =>
          put(seconds, step, (event) => event.tag(5, WireType.LengthDelimited).bytes(repeated(1, values)));
        put(0, 0, (event) => event.tag(3, WireType.LengthDelimited).string("brain.Event:2"));
        summary(0, 0, [
          hparams("_hparams_/experiment", 2, about),
          hparams("_hparams_/session_start_info", 3, sessionStart(run, start)),
        ]);
        let written = 0;
        for (const { step, seconds, values } of seriesSteps(run)) {
          summary(
            seconds,
            step,
            [...values].map(([tag, value]) => scalar(tag, value)),
          );
          if (++written % stepsAtOnce === 0) await tick(run.row.id, i, runs.length);
        }
        const { steps, seconds } = run.row;
        for (const picture of readSamples(run.dir)) summary(seconds, picture.step, [image(picture)]);
        const finals = finalValues(run);
        if (finals.length > 0)
          summary(
            seconds,
            steps,
            finals.map(([tag, value]) => scalar(tag, value)),
          );
        summary(seconds, steps, [hparams("_hparams_/session_end_info", 4, sessionEnd(run.row, start + seconds))]);
      } finally {
        output.close();
      }
    }
  },
};

/** A record of a TFRecord file. */
export function record(bytes: Uint8Array): Uint8Array {
  const framed = Buffer.alloc(bytes.length + 16);
  framed.writeBigUInt64LE(BigInt(bytes.length), 0);
  framed.writeUInt32LE(masked(framed.subarray(0, 8)), 8);
  framed.set(bytes, 12);
  framed.writeUInt32LE(masked(bytes), 12 + bytes.length);
  return framed;
}

/** CRC-32C (Castagnoli), turned and moved, since a checksum of bytes that hold checksums says little (crc32c.h). */
function masked(bytes: Uint8Array): number {
  const crc = CRC32C.buf(bytes) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const message = (fields: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  fields(writer);
  return writer.finish();
};

const repeated = (field: number, values: readonly Uint8Array[]): Uint8Array =>
  message((writer) => {
    for (const value of values) writer.tag(field, WireType.LengthDelimited).bytes(value);
  });

const text = (writer: BinaryWriter, field: number, value: string): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).string(value);
const part = (writer: BinaryWriter, field: number, value: Uint8Array): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).bytes(value);

/** Summary.Value of a number, as a float32. */
const scalar = (tag: string, value: number): Uint8Array =>
  message((writer) => text(writer, 1, tag).tag(2, WireType.Bit32).float(floatOf(value)));

/** The writer refuses finite numbers beyond float32, which rounding makes infinite. */
const floatOf = (value: number): number => Math.fround(value);

/** Summary.Value of a grid of images. */
const image = ({ kind, rows, columns, height, width, png }: SamplePicture): Uint8Array =>
  message((writer) => {
    const inner = message((picture) => {
      picture.tag(1, WireType.Varint).int32(rows * (height + GAP) + GAP);
      picture.tag(2, WireType.Varint).int32(columns * (width + GAP) + GAP);
      picture.tag(3, WireType.Varint).int32(1); // grey
      part(picture, 4, png);
    });
    part(text(writer, 1, `samples/${kind}`), 4, inner);
  });

/** Summary.Value that the HPARAMS plugin reads: `field` of its HParamsPluginData in the metadata, and an empty tensor, without which it
 *  is passed over. */
function hparams(tag: string, field: number, content: Uint8Array): Uint8Array {
  const data = message((writer) => part(writer, field, content));
  const plugin = message((writer) => part(text(writer, 1, "hparams"), 2, data));
  const metadata = message((writer) => part(writer, 1, plugin));
  const empty = message((tensor) => {
    tensor.tag(1, WireType.Varint).int32(1); // DT_FLOAT
    part(tensor, 2, new Uint8Array()); // a shape without dimensions
    tensor.tag(5, WireType.LengthDelimited).bytes(new Uint8Array(4));
  });
  return message((writer) => part(part(text(writer, 1, tag), 8, empty), 9, metadata));
}

/** google.protobuf.Value. */
const valueOf = (value: RunRow["config"][string]): Uint8Array =>
  message((writer) => {
    if (value === null) writer.tag(1, WireType.Varint).int32(0);
    else if (typeof value === "number") writer.tag(2, WireType.Bit64).double(value);
    else if (typeof value === "string") text(writer, 3, value);
    else writer.tag(4, WireType.Varint).bool(value);
  });

const dataTypes = { string: 1, boolean: 2, number: 3 } as const;

/** The Experiment of the HPARAMS plugin: which keys vary over which values, and which final metrics there are. */
function experimentMessage({ experiment: { name, varied, runs } }: ExportSource): Uint8Array {
  const metrics = distinct(runs.flatMap((run) => finalValues(run).map(([tag]) => tag)));
  return message((writer) => {
    for (const key of varied) {
      const values = distinct(runs.map(({ row }) => row.config[key] ?? null));
      const types = distinct(values.map((value) => typeof value));
      const only = types.length === 1 ? types[0]! : undefined;
      const info = message((hparam) => {
        text(hparam, 1, key);
        if (only === undefined || !Object.hasOwn(dataTypes, only)) return;
        hparam.tag(4, WireType.Varint).int32(dataTypes[only as keyof typeof dataTypes]);
        part(hparam, 5, repeated(1, values.map(valueOf)));
      });
      part(writer, 4, info);
    }
    for (const tag of metrics) {
      const named = message((metric) => text(metric, 2, tag));
      part(
        writer,
        5,
        message((metric) => text(part(metric, 1, named), 3, tag.replace("final/", ""))),
      );
    }
    text(writer, 6, name);
  });
}

/** SessionStartInfo: seeds of a configuration are sessions of one group, whose metrics the plugin averages. */
const sessionStart = ({ row }: ExperimentRun, start: number): Uint8Array =>
  message((writer) => {
    for (const [key, value] of Object.entries(row.config))
      part(
        writer,
        1,
        message((entry) => part(text(entry, 1, key), 2, valueOf(value))),
      );
    text(writer, 4, groupOf(row)).tag(5, WireType.Bit64).double(start);
  });

/** Names the runs of one configuration. */
const groupOf = ({ config }: RunRow): string =>
  Object.entries(config)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ") || "all";

/** The plugin's Status of runs; of others it is unknown. */
const statuses: Partial<Record<RunRow["status"], number>> = { done: 1, diverged: 2, failed: 2, running: 3 };

const sessionEnd = ({ status }: RunRow, end: number): Uint8Array =>
  message((writer) =>
    writer
      .tag(1, WireType.Varint)
      .int32(statuses[status] ?? 0)
      .tag(2, WireType.Bit64)
      .double(end),
  );
