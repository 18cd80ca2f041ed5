/**
 * Mulberry32, a small seeded generator of numbers in [0, 1): the same sequence everywhere, which users' seeds rely on. Ten lines
 * rather than a library whose next version may draw others.
 */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
