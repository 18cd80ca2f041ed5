// ONNX models as bytes: as much of the format (onnx.proto of the ONNX specification) as the peers' graphs take.
import protobuf from 'protobufjs';

const schema = protobuf.parse(`
syntax = "proto3";
message Model { int64 ir_version = 1; Graph graph = 7; repeated Opset opset_import = 8; }
message Opset { string domain = 1; int64 version = 2; }
message Graph {
  repeated Node node = 1; string name = 2; repeated TensorData initializer = 5; repeated Value input = 11; repeated Value output = 12;
}
message Node {
  repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4; repeated Attribute attribute = 5; string domain = 7;
}
message Attribute { string name = 1; float f = 2; int64 i = 3; bytes s = 4; repeated int64 ints = 8; int32 type = 20; }
message TensorData { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
message Value { string name = 1; ValueType type = 2; }
message ValueType { TensorType tensor_type = 1; }
message TensorType { int32 elem_type = 1; Shape shape = 2; }
message Shape { repeated Dimension dim = 1; }
message Dimension { oneof size { int64 dim_value = 1; string dim_param = 2; } }
`).root;

/** Element types, by their numbers in the format. */
const elementTypes = { float32: 1, uint8: 2, int32: 6, int64: 7 } as const;
type ElementType = keyof typeof elementTypes;

/** A size, or the name of one that a run decides. */
type Size = number | string;

const typeOf = (data: Float32Array | Uint8Array | Int32Array | BigInt64Array): ElementType => {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Uint8Array) return 'uint8';
  return data instanceof Int32Array ? 'int32' : 'int64';
};

/** Operators of ONNX Runtime's own, in its domain. */
const contributed = new Set(['MatMulNBits', 'MultiHeadAttention', 'GroupQueryAttention', 'RotaryEmbedding']);

/** A number whose JavaScript value is whole is an integer attribute; wrap one that is to be a float in `{ float }`. */
type AttributeValue = number | string | readonly number[] | { readonly float: number };

/** Collects a graph's nodes. Methods return the names of the tensors that they add. */
export class OnnxGraph {
  readonly #nodes: object[] = [];
  readonly #constants: object[] = [];
  readonly #inputs: object[] = [];
  readonly #outputs: object[] = [];

  input(name: string, shape: readonly Size[], type: ElementType = 'float32'): string {
    this.#inputs.push(value(name, shape, type));
    return name;
  }

  output(name: string, shape: readonly Size[], type: ElementType = 'float32'): string {
    this.#outputs.push(value(name, shape, type));
    return name;
  }

  constant(
    name: string,
    shape: readonly number[],
    data: Float32Array | Uint8Array | Int32Array | BigInt64Array,
  ): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#constants.push({ name, dims: shape, dataType: elementTypes[typeOf(data)], rawData: bytes });
    return name;
  }

  /**
   * @param inputs '' leaves an optional one out.
   * @param outputs the first is returned.
   */
  node(
    opType: string,
    inputs: readonly string[],
    outputs: string | readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
  ): string {
    const output = typeof outputs === 'string' ? [outputs] : outputs;
    this.#nodes.push({
      opType,
      domain: contributed.has(opType) ? 'com.microsoft' : '',
      name: output[0],
      input: inputs,
      output,
      attribute: Object.entries(attributes).map(([name, of]) => ({ name, ...attribute(of) })),
    });
    return output[0];
  }

  /** The file. */
  bytes(): Uint8Array {
    const model = schema.lookupType('Model');
    return model
      .encode(
        model.fromObject({
          irVersion: 10,
          opsetImport: [
            { domain: '', version: 20 },
            { domain: 'com.microsoft', version: 1 },
          ],
          graph: {
            name: 'graph',
            node: this.#nodes,
            initializer: this.#constants,
            input: this.#inputs,
            output: this.#outputs,
          },
        }),
      )
      .finish();
  }
}

const value = (name: string, shape: readonly Size[], type: ElementType) => ({
  name,
  type: {
    tensorType: {
      elemType: elementTypes[type],
      shape: { dim: shape.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size })) },
    },
  },
});

function attribute(of: AttributeValue) {
  if (typeof of === 'number') return { type: 2, i: of };
  if (typeof of === 'string') return { type: 3, s: new TextEncoder().encode(of) };
  if ('float' in of) return { type: 1, f: of.float };
  return { type: 7, ints: of };
}
