import type { DType } from '../../gpu/tensor.ts';
import type { Width } from '../elementwise/per-element.ts';

/**
 * Rows of a stored matrix by number, unpacked to f32 (for `perElement`).
 *
 * Row-split weights take one dispatch per part, each writing the rows whose ids it holds, and the first one the zeros of
 * ids that no part holds. The other way, all parts bound to one dispatch, ends at the eight storage buffers that WebGPU
 * promises (OneVision-7B's table is nine parts of 128 MiB) and needs a shader per number of parts. A dispatch more costs
 * about 45 us on SwiftShader and less on a GPU.
 */
export function embeddingBody(dtype: DType, columns: number, width: Width) {
  const n = `${columns / width}u`;
  return {
    prelude: unpackWgsl(dtype, width),
    body: /* wgsl */ `
  let id = ids[i / ${n}];
  if (id >= params.first && id < params.end) {
    out[i] = element((id - params.first) * ${n} + i % ${n});
  } else if (params.first == 0u && id >= params.vocabulary) {
    out[i] = T();
  }`,
  };
}

/** `fn element(i: u32) -> T`, number i of the binding `weight`, or numbers 4 i to 4 i + 3. */
function unpackWgsl(dtype: DType, width: Width): string {
  if (dtype === 'f32') return 'fn element(i: u32) -> T { return weight[i]; }';
  const pair =
    dtype === 'f16'
      ? 'fn pair(w: u32) -> vec2f { return unpack2x16float(w); }'
      : 'fn pair(w: u32) -> vec2f { return bitcast<vec2f>(vec2u(w << 16u, w & 0xffff0000u)); }';
  const element =
    width === 4
      ? 'fn element(i: u32) -> T { let w = weight[i]; return vec4f(pair(w.x), pair(w.y)); }'
      : 'fn element(i: u32) -> T { return pair(weight[i / 2u])[i % 2u]; }';
  return `${pair}\n${element}`;
}
