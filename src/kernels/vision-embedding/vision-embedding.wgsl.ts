import type { Width } from '../elementwise/per-element.ts';

/** For `perElement`: class token (where there is one) or patch, plus its position. */
export function visionEmbeddingBody(columns: number, patches: number, classToken: boolean, width: Width): string {
  const n = `${columns / width}u`;
  if (!classToken)
    return /* wgsl */ `
  out[i] = patches[i] + position[i % ${patches * (columns / width)}u];`;
  return /* wgsl */ `
  let column = i % ${n};
  let row = i / ${n};
  let token = row % ${patches + 1}u;
  let image = row / ${patches + 1}u;
  let bias = position[token * ${n} + column];
  if (token == 0u) {
    out[i] = classEmbedding[column] + bias;
  } else {
    out[i] = patches[(image * ${patches}u + token - 1u) * ${n} + column] + bias;
  }`;
}
