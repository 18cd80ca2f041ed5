/** `source` of a row that keeps its text embedding. */
export const keepText = 0xffffffff;

/** One invocation per output element (`perElement`): a text row, or the row of features that `source` names. */
export const spliceBody = (columns: number) => /* wgsl */ `
  let row = source[i / ${columns}u];
  if (row == ${keepText}u) {
    out[i] = text[i];
  } else if (row < params.features) {
    out[i] = features[row * ${columns}u + i % ${columns}u];
  } else {
    out[i] = 0.0;
  }`;
