// Encodes a graph as an ONNX model with the published protobuf schema. Shapes are static.
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_SequenceSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import type { Attribute, Graph, ValueInfo } from "./graph.ts";
import { onnxTypes } from "./recorder.ts";

/** Opset 18: the first whose ReduceSumSquare, ReduceMax ... take axes as an input. IR version 9 goes with it. */
const opset = 18;
const irVersion = 9;

/** Name of the first output of every model, an empty sequence of tensors; see `session.ts` for what it is good for. */
export const haltOutput = "halt";

/** The bytes of an ONNX model with these inputs and outputs, names of values of the graph. */
export function encodeModel(graph: Graph, inputs: readonly string[], outputs: readonly string[]): Uint8Array {
  const info = (name: string): ValueInfo => graph.values.get(name)!;
  const used = new Set([...graph.nodes.flatMap((node) => node.inputs), ...outputs]);
  const nodes = graph.nodes.map(({ op, domain, inputs, outputs, attributes }) =>
    create(NodeProtoSchema, {
      opType: op,
      domain,
      input: [...inputs],
      output: [...outputs],
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    }),
  );
  nodes.push(create(NodeProtoSchema, { opType: "SequenceEmpty", output: [haltOutput] }));
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    producerName: "fathom",
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(opset) }),
      create(OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n }),
    ],
    graph: create(GraphProtoSchema, {
      name: "stage",
      node: nodes,
      initializer: [...graph.constants].flatMap(([name, { dtype, shape, data }]) =>
        used.has(name)
          ? create(TensorProtoSchema, {
              name,
              dataType: onnxTypes[dtype],
              dims: shape.map(BigInt),
              rawData: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
            })
          : [],
      ),
      input: inputs.map((name) => valueInfo(name, tensorType(info(name)))),
      output: [
        valueInfo(haltOutput, sequenceType()),
        ...outputs.map((name) => valueInfo(name, tensorType(info(name)))),
      ],
    }),
  });
  return toBinary(ModelProtoSchema, model);
}

const valueInfo = (name: string, type: ReturnType<typeof tensorType>) => create(ValueInfoProtoSchema, { name, type });

function tensorType({ dtype, shape }: ValueInfo) {
  const dim = shape.map((d) =>
    create(TensorShapeProto_DimensionSchema, { value: { case: "dimValue", value: BigInt(d) } }),
  );
  const value = create(TypeProto_TensorSchema, {
    elemType: onnxTypes[dtype],
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(TypeProtoSchema, { value: { case: "tensorType", value } });
}

function sequenceType(): ReturnType<typeof tensorType> {
  const elemType = create(TypeProtoSchema, {
    value: { case: "tensorType", value: create(TypeProto_TensorSchema, { elemType: onnxTypes.float32 }) },
  });
  const value = create(TypeProto_SequenceSchema, { elemType });
  return create(TypeProtoSchema, { value: { case: "sequenceType", value } });
}

function attribute(name: string, value: Attribute) {
  const { INT, INTS, FLOAT, STRING } = AttributeProto_AttributeType;
  if (typeof value === "number") return create(AttributeProtoSchema, { name, type: INT, i: BigInt(value) });
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: STRING, s: new TextEncoder().encode(value) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: INTS, ints: value.map(BigInt) });
}
