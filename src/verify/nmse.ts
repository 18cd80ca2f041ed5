import { ShapeError } from '../gpu/errors.ts';

/** Normalised mean squared error, Σ(a-b)² / Σb². NaN anywhere gives NaN, which no bound lets through. */
export function nmse(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new ShapeError(`${actual.length} numbers, expected ${expected.length}`);
  let error = 0;
  let power = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    power += expected[i] ** 2;
  }
  return power === 0 ? error : error / power;
}
