import type { DType } from '../tensor.ts';

/**
 * Rows of a stored matrix by number, unpacked to f32; one invocation per output element (`perElement`).
 *
 * Row-split weights take one dispatch per part, each writing the rows whose ids it holds, and the first one the zeros of
 * ids that no part holds. The other way, all parts bound to one dispatch, ends at the eight storage buffers that WebGPU
 * promises (OneVision-7B's table is nine parts of 128 MiB) and needs a shader per number of parts. A dispatch more costs
 * about 45 us on SwiftShader and less on a GPU.
 */
export const embeddingBody = (dtype: DType, columns: number) => ({
  prelude: weightElement[dtype],
  body: /* wgsl */ `
  let id = ids[i / ${columns}u];
  if (id >= params.first && id < params.end) {
    out[i] = element((id - params.first) * ${columns}u + i % ${columns}u);
  } else if (params.first == 0u && id >= params.vocabulary) {
    out[i] = 0.0;
  }`,
});

const weightElement: Record<DType, string> = {
  f32: 'fn element(i: u32) -> f32 { return weight[i]; }',
  f16: 'fn element(i: u32) -> f32 { return unpack2x16float(weight[i / 2u])[i % 2u]; }',
  bf16: 'fn element(i: u32) -> f32 { return bitcast<f32>((weight[i / 2u] >> (16u * (i % 2u))) << 16u); }',
  u32: '',
};
