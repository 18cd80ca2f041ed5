/** Rows normalised in float64, and what they were divided by: what the kernels are compared with. */
export function referenceNorm(kind: 'layer' | 'rms', x: Float32Array, columns: number, eps: number) {
  const normalized = new Float64Array(x.length);
  const scales = new Float64Array(x.length / columns);
  for (let r = 0; r < scales.length; r++) {
    const row = Float64Array.from(x.subarray(r * columns, (r + 1) * columns));
    const mean = kind === 'layer' ? row.reduce((s, v) => s + v, 0) / columns : 0;
    scales[r] = Math.sqrt(row.reduce((s, v) => s + (v - mean) ** 2, 0) / columns + eps);
    for (let c = 0; c < columns; c++) normalized[r * columns + c] = (row[c] - mean) / scales[r];
  }
  return { normalized, scales };
}
