// TensorFlow.js with its WebGPU backend, on our device: its tensors are there before anything is timed.
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import type { Gpu } from '../../src/gpu/gpu.ts';
import type { Candidate } from './candidate.ts';
import { type AttentionRow, floatsOf, headsFirst, problemOf, type Row, transposed } from './rows.ts';

let backend: WebGPUBackend;

/** Once, before the first row. */
export async function startTfjs(gpu: Gpu): Promise<void> {
  backend = new WebGPUBackend(gpu.device, gpu.device.adapterInfo);
  tf.registerBackend('webgpu', () => backend);
  await tf.setBackend('webgpu');
}

/** What has no kernel of its own there is composed of those that there are, as its users do. */
export async function tfjs(row: Row): Promise<Candidate> {
  const problem = problemOf(row);
  const before = tf.memory().numTensors;
  const { operation, inputs } = prepared(row);
  // The first use of a tensor uploads it.
  for (const input of inputs) tf.dispose(tf.tidy(() => tf.add(input, 0)));
  let y: tf.Tensor | undefined;
  return {
    name: 'tfjs',
    problem,
    queue: backend.device.queue,
    async run() {
      y?.dispose();
      y = tf.tidy(operation);
      backend.endComputePassEncoder();
      backend.submitQueue();
    },
    read: async () => Float32Array.from(await y!.data()),
    free() {
      tf.dispose([y!, ...inputs]);
      if (tf.memory().numTensors !== before) throw new Error('tfjs: tensors were left');
    },
  };
}

interface Prepared {
  readonly operation: () => tf.Tensor;
  readonly inputs: readonly tf.Tensor[];
}

function prepared(row: Row): Prepared {
  const { x, weight, bias, ...others } = floatsOf(problemOf(row));
  if (row.op === 'attention') return preparedAttention(row, others);
  if (row.op === 'matmul') {
    const { m, k, n } = row;
    const [a, b] = [tf.tensor(x, [m, k]), tf.tensor(transposed(weight, n, k), [k, n])];
    return { operation: () => tf.matMul(a, b), inputs: [a, b] };
  }
  const input = tf.tensor(x, [row.rows, row.columns]);
  if (row.op === 'gelu') {
    const half = () => tf.add(tf.erf(tf.mul(input, Math.SQRT1_2)), 1);
    return { operation: () => tf.mul(tf.mul(input, 0.5), half()), inputs: [input] };
  }
  const scale = tf.tensor(weight);
  if (row.op === 'rmsNorm') {
    const inverse = () => tf.rsqrt(tf.add(tf.mean(tf.square(input), -1, true), 1e-5));
    return { operation: () => tf.mul(tf.mul(input, inverse()), scale), inputs: [input, scale] };
  }
  const shift = tf.tensor(bias);
  return {
    inputs: [input, scale, shift],
    operation() {
      const { mean, variance } = tf.moments(input, -1, true);
      return tf.add(tf.mul(tf.mul(tf.sub(input, mean), tf.rsqrt(tf.add(variance, 1e-5))), scale), shift);
    },
  };
}

/** Heads come first in its batched products: a prompt's queries, keys and values are turned within the call, a cache is kept so. */
function preparedAttention(row: AttentionRow, { q, k, v }: Record<string, Float32Array<ArrayBuffer>>): Prepared {
  const { queries, keys, heads, kvHeads, headSize, causal } = row;
  const group = heads / kvHeads;
  const cached = queries < keys;
  const query = tf.tensor(q, [queries, kvHeads, group, headSize]);
  const stored = (values: Float32Array<ArrayBuffer>) =>
    cached
      ? tf.tensor(headsFirst(values, keys, kvHeads), [kvHeads, keys, headSize])
      : tf.tensor(values, [keys, kvHeads, headSize]);
  const [key, value] = [stored(k), stored(v)];
  const heading = (x: tf.Tensor) => (cached ? x : tf.transpose(x, [1, 0, 2]));
  const hidden = new Float32Array(queries * keys).map((_, i) =>
    i % keys > keys - queries + Math.floor(i / keys) ? -1e30 : 0,
  );
  const mask = causal && queries > 1 ? tf.tensor(hidden, [1, queries, keys]) : undefined;
  return {
    inputs: [query, key, value, ...(mask ? [mask] : [])],
    operation() {
      const rows = tf.reshape(tf.transpose(query, [1, 2, 0, 3]), [kvHeads, group * queries, headSize]);
      const scores = tf.mul(tf.matMul(rows as tf.Tensor3D, heading(key) as tf.Tensor3D, false, true), headSize ** -0.5);
      const pattern = tf.softmax(mask ? tf.add(scores, mask) : scores);
      const z = tf.matMul(pattern as tf.Tensor3D, heading(value) as tf.Tensor3D);
      return tf.transpose(tf.reshape(z, [kvHeads, group, queries, headSize]), [2, 0, 1, 3]);
    },
  };
}
