/** Seeded numbers in [-1, 1), so that a benchmark sees the same data in every run. */
export function pseudoRandom(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  return new Float32Array(count).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
