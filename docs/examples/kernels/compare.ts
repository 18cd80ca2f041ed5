import type { ActivationCache } from 'headlight-vlm';

/** max |a - b| / max |b| over all activations of two runs. */
export function relativeDifference(a: ActivationCache, b: ActivationCache): number {
  let difference = 0;
  let size = 0;
  for (const [name, { data }] of a) {
    const other = b.get(name)!.data;
    for (let i = 0; i < data.length; i++) {
      difference = Math.max(difference, Math.abs(data[i] - other[i]));
      size = Math.max(size, Math.abs(other[i]));
    }
  }
  return difference / size;
}
