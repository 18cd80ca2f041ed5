import type { Problem } from '../../src/kernels/problem.ts';
import { errorOf } from '../../src/verify/solve.ts';

/** One library's way to do a row. */
export interface Candidate {
  readonly name: string;
  readonly problem: Problem;
  /** Where it computes. */
  readonly queue: GPUQueue;
  /** One call of the library on inputs that are on the GPU; what it gives stays there. */
  run(): Promise<void>;
  /** What the last run gave. */
  read(): Promise<Float32Array>;
  free(): void;
}

export interface Comparison {
  /** NMSE against float64. */
  readonly nmse: number;
  /** Largest difference of an element, as a part of the largest element. */
  readonly worst: number;
}

/** Of each output so many elements, evenly spread, are computed in float64. */
const samples = 1000;

/** The bar of our own kernels' tests. */
export const tolerance = 1e-7;

export function compared(output: Float32Array, { shape, expected }: Problem): Comparison {
  const length = shape.reduce((a, b) => a * b, 1);
  if (output.length !== length) throw new Error(`an output of ${output.length} elements, expected [${shape}]`);
  const { at } = expected();
  let [difference, largest] = [0, 0];
  const known = (index: number) => {
    const right = at(index);
    difference = Math.max(difference, Math.abs(output[index] - right));
    largest = Math.max(largest, Math.abs(right));
    return right;
  };
  return { nmse: errorOf(output, known, samples), worst: difference / largest };
}
