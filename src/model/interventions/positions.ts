import { InputError } from '../errors.ts';

/** Positions [start, end) of each sequence that hooks of the language model return. */
export interface PositionRange {
  readonly start: number;
  readonly end: number;
}

/** A position, or a half-open range; negative numbers count from the end. */
export type PosSlice = number | readonly [start: number, end?: number];

/** @throws InputError when it leaves the sequence: nothing is clamped. */
export function resolvePosSlice(slice: PosSlice | undefined, length: number): PositionRange {
  if (slice === undefined) return { start: 0, end: length };
  const [from, to] = typeof slice === 'number' ? [slice, slice + 1 || length] : [slice[0], slice[1] ?? length];
  const start = from < 0 ? from + length : from;
  const end = to < 0 ? to + length : to;
  if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= length))
    throw new InputError(`posSlice ${JSON.stringify(slice)} does not lie within the ${length} positions of this input`);
  return { start, end };
}
