import type { RopeConfig } from './config.ts';

/**
 * Inverse frequencies of the rotary embedding, [dHead / 2], in float32 steps as HF computes them
 * (`LlamaRotaryEmbedding`, `_compute_linear_scaling_rope_parameters`, `_compute_llama3_parameters`).
 */
export function inverseFrequencies(rope: RopeConfig, dHead: number): Float32Array {
  const frequencies = new Float32Array(dHead / 2);
  for (let i = 0; i < frequencies.length; i++)
    frequencies[i] = 1 / Math.fround(rope.theta ** Math.fround((2 * i) / dHead));
  if (rope.type === 'linear') return frequencies.map((f) => f / rope.factor);
  if (rope.type === 'llama3') {
    const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = rope;
    const longest = originalMaxPositions / lowFreqFactor;
    const shortest = originalMaxPositions / highFreqFactor;
    return frequencies.map((f) => {
      const wavelength = (2 * Math.PI) / f;
      if (wavelength < shortest) return f;
      if (wavelength > longest) return f / factor;
      const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
      return ((1 - smooth) * f) / factor + smooth * f;
    });
  }
  return frequencies;
}

/**
 * The table that the rotary kernel reads: a row per position, dHead/2 cosines, then dHead/2 sines.
 *
 * Made on the host in double precision: WGSL promises sine and cosine to 2^-11 only, and only within ±π.
 * @returns [positions.length, dHead]
 */
export function ropeTable(frequencies: Float32Array, positions: ArrayLike<number>): Float32Array<ArrayBuffer> {
  const half = frequencies.length;
  const table = new Float32Array(positions.length * 2 * half);
  for (let row = 0; row < positions.length; row++)
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(positions[row] * frequencies[i]); // HF's product is float32, and its rounding shows
      table[row * 2 * half + i] = Math.cos(angle);
      table[row * 2 * half + half + i] = Math.sin(angle);
    }
  return table;
}
