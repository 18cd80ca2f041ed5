// How alike heads behave in two tasks. Plain maths on head vectors, [layers, nHeads, dHead] an example.

import { type Head, headName } from '../base/heads.ts';
import { InputError } from '../model/errors.ts';

interface Shape {
  readonly nHeads: number;
  readonly dHead: number;
}

/**
 * For each head, the cosine of the angle between its mean output in one task and in the other.
 * @returns [layers * nHeads]; NaN for a head whose mean is zero.
 */
export function centroidCosines(
  a: readonly Float32Array[],
  b: readonly Float32Array[],
  { dHead }: Shape,
): Float64Array {
  check(a, b);
  const [x, y] = [mean(a), mean(b)];
  return Float64Array.from({ length: x.length / dHead }, (_, h) => {
    const [u, v] = [x, y].map((m) => m.subarray(h * dHead, (h + 1) * dHead));
    return dot(u, v) / Math.sqrt(dot(u, u) * dot(v, v));
  });
}

/**
 * For each head, linear CKA (Kornblith et al. 2019) between its outputs for the same examples in two settings, such as two
 * questions about each picture: 1 where one is a rotation and scaling of the other.
 * @param b row i belongs to row i of `a`.
 * @returns [layers * nHeads]; NaN for a head that does the same for every example.
 */
export function linearCka(a: readonly Float32Array[], b: readonly Float32Array[], { dHead }: Shape): Float64Array {
  check(a, b);
  if (a.length !== b.length)
    throw new InputError(`CKA compares the same examples in two tasks: got ${a.length} and ${b.length}`);
  const [x, y] = [centred(a), centred(b)];
  return Float64Array.from({ length: x[0].length / dHead }, (_, h) => {
    const [p, q] = [x, y].map((rows) => rows.map((row) => row.subarray(h * dHead, (h + 1) * dHead)));
    return crossNorm(p, q, dHead) / Math.sqrt(crossNorm(p, p, dHead) * crossNorm(q, q, dHead));
  });
}

/** What two selections of heads have in common. */
export interface Overlap {
  /** Heads that are in both, in the order of the first. */
  readonly shared: readonly Head[];
  /** Shared heads, of all that either has. */
  readonly jaccard: number;
}

/** Heads that two selections have in common, in the order of the first. */
export function headOverlap(a: readonly Head[], b: readonly Head[]): Overlap {
  const names = new Set(b.map(headName));
  const shared = a.filter((head) => names.has(headName(head)));
  const all = new Set([...a, ...b].map(headName)).size;
  return { shared, jaccard: all ? shared.length / all : 0 };
}

function check(a: readonly Float32Array[], b: readonly Float32Array[]): void {
  if (!a.length || !b.length) throw new InputError('a task without examples has no head vectors to compare');
  if (a[0].length !== b[0].length)
    throw new InputError(`head vectors of ${a[0].length} and ${b[0].length} numbers: two models, or two layer limits`);
}

function mean(vectors: readonly Float32Array[]): Float64Array {
  const sum = new Float64Array(vectors[0].length);
  for (const vector of vectors) for (let i = 0; i < sum.length; i++) sum[i] += vector[i];
  return sum.map((x) => x / vectors.length);
}

function centred(vectors: readonly Float32Array[]): Float64Array[] {
  const centre = mean(vectors);
  return vectors.map((vector) => Float64Array.from(vector, (x, i) => x - centre[i]));
}

/** ‖pᵀq‖², p and q [examples][dHead]. */
function crossNorm(p: readonly Float64Array[], q: readonly Float64Array[], dHead: number): number {
  let total = 0;
  for (let i = 0; i < dHead; i++)
    for (let j = 0; j < dHead; j++) {
      let sum = 0;
      for (let n = 0; n < p.length; n++) sum += p[n][i] * q[n][j];
      total += sum ** 2;
    }
  return total;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
