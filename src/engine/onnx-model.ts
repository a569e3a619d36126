// Encodes a graph as an ONNX model with the published protobuf schema. Shapes are static.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { GraphProto, NodeProto } from "onnx-buf";
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
import type { Attribute, Body, Graph, Node, ValueInfo } from "./graph.ts";
import { onnxTypes } from "./recorder.ts";

/** Opset 18: the first whose ReduceSumSquare, ReduceMax ... take axes as an input. IR version 9 goes with it. */
const opset = 18;
const irVersion = 9;

/** Name of the first output of models that halt, an empty sequence of tensors; see `session.ts` for what it is good
 *  for. */
export const haltOutput = "halt";

const haltDoc =
  "The first output, `halt`, is an empty sequence and no result. ONNX Runtime's Node binding refuses to return it, after " +
  "the graph has run and before it copies all other outputs, which have been written in place.";

/** The bytes of an ONNX model with these inputs and outputs, names of values of the graph. `name` is what a viewer
 *  shows; `halts`: the model has the output `halt`. Nodes bear the name of their first output. */
export function encodeModel(
  graph: Graph,
  inputs: readonly string[],
  outputs: readonly string[],
  { name = "stage", halts = true }: { readonly name?: string; readonly halts?: boolean } = {},
): Uint8Array {
  const info = (name: string): ValueInfo => graph.values.get(name)!;
  const used = new Set([...readBy(graph.nodes), ...outputs]);
  const described = (name: string) => valueInfo(name, tensorType(info(name)));
  const between = (nodes: readonly Node[], ends: ReadonlySet<string>) =>
    nodes.flatMap((node) => node.outputs.filter((name) => name !== "" && !ends.has(name))).map(described);
  const body = ({ nodes, inputs, outputs }: Body): GraphProto =>
    create(GraphProtoSchema, {
      name: "body",
      node: nodes.map(encoded),
      input: inputs.map(described),
      valueInfo: between(nodes, new Set(outputs)),
      output: outputs.map(described),
    });
  const encoded = ({ op, domain, inputs, outputs, attributes }: Node): NodeProto =>
    create(NodeProtoSchema, {
      name: outputs[0]!,
      opType: op,
      domain,
      input: [...inputs],
      output: [...outputs],
      attribute: Object.entries(attributes).map(([name, value]) =>
        typeof value === "object" && "nodes" in value
          ? create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.GRAPH, g: body(value) })
          : attribute(name, value),
      ),
    });
  const nodes = graph.nodes.map(encoded);
  if (halts) nodes.push(create(NodeProtoSchema, { name: haltOutput, opType: "SequenceEmpty", output: [haltOutput] }));
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    producerName: "fathom",
    docString: `One program of a stage, as fathom compiled it: ${name}.${halts ? ` ${haltDoc}` : ""}`,
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(opset) }),
      ...(graph.nodes.some(({ domain }) => domain === "com.microsoft")
        ? [create(OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n })]
        : []),
    ],
    graph: create(GraphProtoSchema, {
      name,
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
      input: inputs.map(described),
      valueInfo: between(graph.nodes, new Set([...inputs, ...outputs])),
      output: [...(halts ? [valueInfo(haltOutput, sequenceType())] : []), ...outputs.map(described)],
    }),
  });
  return toBinary(ModelProtoSchema, model);
}

/** All that nodes read, and the bodies of those that are loops. */
const readBy = (nodes: readonly Node[]): string[] =>
  nodes.flatMap(({ inputs, attributes }) => [
    ...inputs,
    ...Object.values(attributes).flatMap((value) =>
      typeof value === "object" && "nodes" in value ? readBy(value.nodes) : [],
    ),
  ]);

/** A model of one node of another model. */
export interface NodeModel {
  /** The operator, with its domain where it is not the standard's. */
  readonly op: string;
  readonly name: string;
  readonly model: Uint8Array;
}

/** Every node of a model that `encodeModel` made as a model of its own, with the shapes and literals it has there; an
 *  output `halt` only where the model `halts`. */
export function* nodeModels(model: Uint8Array, { halts }: { readonly halts: boolean }): Generator<NodeModel> {
  const whole = fromBinary(ModelProtoSchema, model);
  const graph = whole.graph!;
  const types = new Map(
    [...graph.input, ...graph.output, ...graph.valueInfo].map((info) => [info.name, info] as const),
  );
  const literals = new Map(graph.initializer.map((literal) => [literal.name, literal] as const));
  const halt = graph.node.find(({ name }) => name === haltOutput);
  for (const node of graph.node) {
    if (node === halt) continue;
    // A loop reads what lies around it, too.
    const around = node.attribute.flatMap(({ g }) => g?.node.flatMap(({ input }) => input) ?? []);
    const names = [...new Set([...node.input, ...around])];
    const withHalt = halts && halt !== undefined;
    yield {
      op: node.domain ? `${node.domain}.${node.opType}` : node.opType,
      name: node.name,
      model: toBinary(ModelProtoSchema, {
        ...whole,
        graph: {
          ...graph,
          node: [node, ...(withHalt ? [halt] : [])],
          initializer: names.flatMap((name) => literals.get(name) ?? []),
          input: names.flatMap((name) => (literals.has(name) ? [] : (types.get(name) ?? []))),
          output: [...(withHalt ? [haltOutput] : []), ...node.output].flatMap((name) => types.get(name) ?? []),
          valueInfo: [],
        },
      }),
    };
  }
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

function attribute(name: string, value: Exclude<Attribute, Body>) {
  const { INT, INTS, FLOAT, STRING } = AttributeProto_AttributeType;
  if (typeof value === "number") return create(AttributeProtoSchema, { name, type: INT, i: BigInt(value) });
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: STRING, s: new TextEncoder().encode(value) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: INTS, ints: value.map(BigInt) });
}
