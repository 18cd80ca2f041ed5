/** One invocation per output element (`perElement`): class token or patch, plus its position. */
export const visionEmbeddingBody = (columns: number, patches: number) => /* wgsl */ `
  let column = i % ${columns}u;
  let row = i / ${columns}u;
  let token = row % ${patches + 1}u;
  let image = row / ${patches + 1}u;
  let bias = position[token * ${columns}u + column];
  if (token == 0u) {
    out[i] = classEmbedding[column] + bias;
  } else {
    out[i] = patches[(image * ${patches}u + token - 1u) * ${columns}u + column] + bias;
  }`;
