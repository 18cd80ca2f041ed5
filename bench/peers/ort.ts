// ONNX Runtime Web with its WebGPU provider, on a device of ours: inputs, outputs and caches are GPU buffers.
import * as ort from 'onnxruntime-web/webgpu';
import { codec } from '../../src/gpu/formats/halves.ts';
import { q4 } from '../../src/gpu/formats/q4.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { waitForGpu } from '../../src/platform/node.ts';
import type { Devices } from './adapter.ts';
import type { Candidate } from './candidate.ts';
import { OnnxGraph } from './onnx.ts';
import {
  type AttentionRow,
  floatsOf,
  headsFirst,
  inputsOf,
  type MatmulRow,
  type PerElementRow,
  problemOf,
  type Row,
  transposed,
} from './rows.ts';

ort.env.wasm.numThreads = 1;

/** A graph with the data of its inputs. Inputs that are also outputs are written in place. */
interface Call {
  readonly graph: OnnxGraph;
  readonly inputs: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly data: Float32Array<ArrayBuffer> }>
  >;
  readonly outputShape: readonly number[];
  /** Output by name, and the input whose buffer it takes. */
  readonly inPlace?: Readonly<Record<string, string>>;
  /** Outputs that nobody wants, with their shapes. */
  readonly others?: Readonly<Record<string, readonly number[]>>;
}

/** Attention runs on a device without subgroups where there is one. */
export async function onnxRuntime({ gpu, plain = gpu }: Devices, row: Row): Promise<Candidate[]> {
  if (row.op === 'matmul')
    return [
      await candidate(gpu, 'ORT f32', problemOf(row), matmulCall(row)),
      await candidate(gpu, 'ORT q4', problemOf(row, q4), matmulNBitsCall(row)),
    ];
  if (row.op !== 'attention') return [await candidate(gpu, 'ORT', problemOf(row), perElementCall(row))];
  const name = plain === gpu ? 'ORT' : 'ORT without subgroups';
  return [await candidate(plain, name, problemOf(row), attentionCall(row))];
}

async function candidate(gpu: Gpu, name: string, problem: Candidate['problem'], call: Call): Promise<Candidate> {
  const session = await ort.InferenceSession.create(call.graph.bytes(), {
    executionProviders: [{ name: 'webgpu', device: gpu.device } as ort.InferenceSession.WebGpuExecutionProviderOption],
    logSeverityLevel: 3,
  });
  const tensors: Tensor[] = [];
  const onGpu = (label: string, shape: readonly number[], data?: Float32Array<ArrayBuffer>) => {
    if (!shape.every(Boolean)) return new ort.Tensor('float32', new Float32Array(), shape);
    const tensor = gpu.tensor(label, 'f32', shape, data);
    tensors.push(tensor);
    return ort.Tensor.fromGpuBuffer(tensor.storage.buffer!, { dataType: 'float32', dims: shape });
  };
  const feeds = Object.fromEntries(
    Object.entries(call.inputs).map(([label, { shape, data }]) => [label, onGpu(label, shape, data)]),
  );
  const fetches: Record<string, ort.Tensor> = { y: onGpu('y', call.outputShape) };
  const y = tensors[tensors.length - 1];
  for (const [output, input] of Object.entries(call.inPlace ?? {})) fetches[output] = feeds[input];
  for (const [output, shape] of Object.entries(call.others ?? {})) fetches[output] = onGpu(output, shape);
  return {
    name,
    problem,
    queue: gpu.device.queue,
    async run() {
      await waitForGpu(session.run(feeds, fetches));
    },
    async read() {
      const rec = gpu.record('read');
      const result = rec.read(y);
      await rec.submit();
      return result.f32;
    },
    free() {
      void session.release();
      gpu.destroy(...tensors);
    },
  };
}

/** The weight as a constant [k, n]: how exporters write a linear layer. */
function matmulCall(row: MatmulRow): Call {
  const { m, k, n } = row;
  const { x, weight } = floatsOf(problemOf(row));
  const graph = new OnnxGraph();
  graph.input('x', [m, k]);
  graph.constant('w', [k, n], transposed(weight, n, k));
  graph.node('MatMul', ['x', 'w'], 'y');
  graph.output('y', [m, n]);
  return { graph, inputs: { x: { shape: [m, k], data: x } }, outputShape: [m, n] };
}

/** MatMulNBits stores q4 as we do: two numbers a byte, 8 taken from each, a scale for 32 along k; its scales are f32 for f32 rows. */
function matmulNBitsCall(row: MatmulRow): Call {
  const { m, k, n } = row;
  const inputs = inputsOf(problemOf(row, q4));
  const scales = codec(5).widen(new Uint16Array(inputs.get('weight scales')!.buffer, 0, (n * k) / 32));
  const graph = new OnnxGraph();
  graph.input('x', [m, k]);
  graph.constant('w', [n, k / 32, 16], inputs.get('weight')!);
  graph.constant('scales', [n, k / 32], Float32Array.from(scales));
  graph.node('MatMulNBits', ['x', 'w', 'scales'], 'y', { K: k, N: n, bits: 4, block_size: 32 });
  graph.output('y', [m, n]);
  return {
    graph,
    inputs: { x: { shape: [m, k], data: new Float32Array(inputs.get('x')!.buffer) } },
    outputShape: [m, n],
  };
}

/** Full: MultiHeadAttention. Causal: GroupQueryAttention, with a cache of all keys but the queries' own. */
function attentionCall(row: AttentionRow): Call {
  const { queries, keys, heads, kvHeads, headSize, causal } = row;
  const { q, k, v } = floatsOf(problemOf(row));
  const graph = new OnnxGraph();
  const own = [1, queries, kvHeads * headSize];
  const outputShape = [1, queries, heads * headSize];
  graph.input('q', outputShape);
  graph.input('k', own);
  graph.input('v', own);
  graph.output('y', outputShape);
  const fresh = (values: Float32Array<ArrayBuffer>) => ({
    shape: own,
    data: values.slice((keys - queries) * kvHeads * headSize),
  });
  const inputs = { q: { shape: outputShape, data: q }, k: fresh(k), v: fresh(v) };
  if (!causal) {
    graph.node('MultiHeadAttention', ['q', 'k', 'v'], 'y', { num_heads: heads });
    return { graph, inputs, outputShape };
  }
  const cache = [1, kvHeads, keys, headSize];
  const past = queries === keys ? [1, kvHeads, 0, headSize] : cache;
  graph.input('pastK', past);
  graph.input('pastV', past);
  graph.constant('lastKey', [1], Int32Array.of(keys - 1));
  graph.constant('keys', [], Int32Array.of(keys));
  graph.output('presentK', cache);
  graph.output('presentV', cache);
  graph.node(
    'GroupQueryAttention',
    ['q', 'k', 'v', 'pastK', 'pastV', 'lastKey', 'keys'],
    ['y', 'presentK', 'presentV'],
    { num_heads: heads, kv_num_heads: kvHeads },
  );
  const cached = (values: Float32Array<ArrayBuffer>) => ({
    shape: past,
    data: past === cache ? headsFirst(values, keys, kvHeads) : new Float32Array(),
  });
  return {
    graph,
    inputs: { ...inputs, pastK: cached(k), pastV: cached(v) },
    outputShape,
    ...(past === cache
      ? { inPlace: { presentK: 'pastK', presentV: 'pastV' } }
      : { others: { presentK: cache, presentV: cache } }),
  };
}

function perElementCall(row: PerElementRow): Call {
  const shape = [row.rows, row.columns];
  const { x, weight, bias } = floatsOf(problemOf(row));
  const graph = new OnnxGraph();
  graph.input('x', shape);
  if (weight) graph.constant('weight', [row.columns], weight);
  if (bias) graph.constant('bias', [row.columns], bias);
  const epsilon = { float: 1e-5 };
  if (row.op === 'gelu') graph.node('Gelu', ['x'], 'y');
  else if (row.op === 'layerNorm')
    graph.node('LayerNormalization', ['x', 'weight', 'bias'], 'y', { axis: -1, epsilon });
  else graph.node('SimplifiedLayerNormalization', ['x', 'weight'], 'y', { axis: -1, epsilon });
  graph.output('y', shape);
  return { graph, inputs: { x: { shape, data: x } }, outputShape: shape };
}
