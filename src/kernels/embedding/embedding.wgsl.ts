import type { Width } from '../elementwise/per-element.ts';

/**
 * Rows of a stored matrix by number, unpacked to f32 (for `perElement`).
 *
 * Row-split weights take one dispatch per part, each writing the rows whose ids it holds, and the first one the zeros of
 * ids that no part holds. The other way, all parts bound to one dispatch, ends at the eight storage buffers that WebGPU
 * promises (OneVision-7B's table is nine parts of 128 MiB) and needs a shader per number of parts. A dispatch more costs
 * about 45 us on SwiftShader and less on a GPU.
 */
export function embeddingBody(columns: number, width: Width): string {
  const n = `${columns / width}u`;
  return /* wgsl */ `
  let id = ids[i / ${n}];
  if (id >= params.first && id < params.end) {
    out[i] = weightAt((id - params.first) * ${n} + i % ${n});
  } else if (params.first == 0u && id >= params.vocabulary) {
    out[i] = T();
  }`;
}
