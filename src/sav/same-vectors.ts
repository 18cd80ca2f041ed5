// Which head vectors are of the same picture and text. Not bit for bit: a run of one prompt and a run of sixteen add up in
// other orders, so the same pixels have other last bits in a last, shorter batch, or beside what a cache holds.

/** Relative distance up to which two vectors differ by rounding alone. Pictures that look alike are a hundred times farther. */
const rounding = 1e-5;

const normOf = (vector: Float32Array): number => Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));

/** Whether two vectors are equal but for rounding. */
export function sameVectors(a: Float32Array, b: Float32Array, norm = normOf(a)): boolean {
  const limit = (rounding * norm) ** 2;
  let square = 0;
  for (let i = 0; i < a.length; i++) {
    square += (a[i] - b[i]) ** 2;
    if (square > limit) return false; // for most, after a few numbers
  }
  return a.length === b.length;
}

/** For each vector the index of one that it equals but for rounding, the same for all that are linked so; its own, if none. */
export function twinsOf(vectors: readonly Float32Array[]): Int32Array {
  const norms = vectors.map(normOf);
  const twins = Int32Array.from(vectors.keys());
  // Equal vectors have equal norms: only neighbours in that order are compared.
  const order = [...vectors.keys()].sort((a, b) => norms[a] - norms[b] || a - b);
  for (const [at, i] of order.entries())
    for (let before = at - 1; before >= 0; before--) {
      const j = order[before];
      if (norms[i] - norms[j] > rounding * norms[i]) break;
      if (!sameVectors(vectors[i], vectors[j], norms[i])) continue;
      twins[i] = twins[j];
      break;
    }
  return twins;
}
