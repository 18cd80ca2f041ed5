import { ShapeError } from '../../gpu/errors.ts';
import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { cachedText } from '../cached-text.ts';
import { convertTensor } from '../convert/convert.ts';
import { foldWorkgroups, vectorWidth } from '../vectors.ts';
import { attentionValuesContract, attentionValuesWgsl } from './attention-values.wgsl.ts';

const text = cachedText(attentionValuesWgsl);

const attentionValuesCost = (pairs: number, headSize: number): Cost => ({
  flops: 2 * pairs * headSize,
  bytes: 4 * pairs,
});

/**
 * pattern · v per head: head outputs from an attention pattern that is there as a matrix.
 * @param pattern [batch * H, T, keys] f32, as `attentionPattern` makes it
 * @param v [batch * S, KV, D] f32, S >= keys (of 16 bits in a cache); head h reads key/value head floor(h / (H / KV))
 * @returns z, [batch * T, H, D]
 * @throws ShapeError
 */
export function attentionValues(
  rec: Recorder,
  args: { pattern: Tensor; v: Tensor; heads: number; batch?: number; label: string; out?: Tensor },
): Tensor {
  const { pattern, heads, batch = 1, label } = args;
  const v = convertTensor(rec, args.v, 'f32');
  const where = 'attentionValues';
  expectShape(where, pattern, [batch * heads, -1, -1]);
  expectShape(where, v, [-1, -1, -1]);
  const [, queries, keys] = pattern.shape;
  const [valueRows, kvHeads, headSize] = v.shape;
  const keyRows = valueRows / batch;
  if (!(Number.isInteger(keyRows) && keyRows >= keys && heads % kvHeads === 0))
    throw new ShapeError(
      `${label}: ${v.label} [${v.shape}] does not fit ${pattern.label} [${pattern.shape}] of ${batch} sequences and ${heads} heads (in ${where})`,
    );
  const z = args.out ?? rec.temp(label, 'f32', [batch * queries, heads, headSize]);
  expectShape(where, z, [batch * queries, heads, headSize]);
  for (const t of [pattern, v, z]) expectDType(where, t, 'f32');
  const width = vectorWidth(headSize);
  const shape = { heads, kvHeads, headSize, width };
  const vectors = (batch * queries * heads * headSize) / width;
  rec.dispatch({
    kernel: where,
    label,
    code: text(shape),
    bindings: [read(pattern), read(v), readWrite(z)],
    params: [queries, keys, keyRows, vectors],
    workgroups: foldWorkgroups(Math.ceil(vectors / 64), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: attentionValuesCost(batch * heads * queries * keys, headSize),
    header: () => attentionValuesContract(shape),
    sizes: { batch, queries, keys, keyRows, ...shape },
  });
  return z;
}
