// Math.max(...values) and Math.min(...values) overflow the stack where there are some 100,000 values.

/** The greatest of the values and `from`; -Infinity where there are none. NaN where a value is. */
export function greatest(values: Iterable<number>, from = Number.NEGATIVE_INFINITY): number {
  let found = from;
  for (const value of values) found = Math.max(found, value);
  return found;
}

/** The least of the values and `from`; Infinity where there are none. NaN where a value is. */
export function least(values: Iterable<number>, from = Number.POSITIVE_INFINITY): number {
  let found = from;
  for (const value of values) found = Math.min(found, value);
  return found;
}
