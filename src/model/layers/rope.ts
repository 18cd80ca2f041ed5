import type { RopeConfig } from '../config/text.ts';

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
 * @param positions [axes][rows]: one axis for text; time, height and width (Qwen2-VL's decoder) or height and width (its tower).
 * @param axisOf for each frequency, the axis it turns with; the first by default.
 * @returns [rows, dHead]
 */
export function ropeTable(
  frequencies: Float32Array,
  positions: readonly ArrayLike<number>[],
  axisOf: ArrayLike<number> = new Uint8Array(frequencies.length),
): Float32Array<ArrayBuffer> {
  const half = frequencies.length;
  const count = positions[0].length;
  const table = new Float32Array(count * 2 * half);
  for (let row = 0; row < count; row++)
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(positions[axisOf[i]][row] * frequencies[i]); // HF's product is float32, and its rounding shows
      table[row * 2 * half + i] = Math.cos(angle);
      table[row * 2 * half + half + i] = Math.sin(angle);
    }
  return table;
}

/** The axis of each frequency, where `sections` of them turn with time, height and width (HF `mrope_section`). */
export function mropeAxes(sections: readonly number[]): Uint8Array {
  return Uint8Array.from(sections.flatMap((count, axis) => new Array<number>(count).fill(axis)));
}
