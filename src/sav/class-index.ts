import { DataError } from './errors.ts';

/** Labels as class indices. A class's index is its place of first appearance, as in the authors' code. */
export interface ClassIndex {
  readonly labels: string[];
  /** Class of each example. */
  readonly classOf: Int32Array;
  /** Examples of each class. */
  readonly counts: number[];
}

/** @throws DataError with fewer than two classes: there is nothing to tell apart. */
export function indexClasses(exampleLabels: readonly string[]): ClassIndex {
  const indexOf = new Map<string, number>();
  const classOf = Int32Array.from(exampleLabels, (label) => {
    if (!indexOf.has(label)) indexOf.set(label, indexOf.size);
    return indexOf.get(label)!;
  });
  const labels = [...indexOf.keys()];
  if (labels.length < 2)
    throw new DataError(`expected examples of at least two labels, got ${labels.length} (${labels})`);
  const counts = new Array<number>(labels.length).fill(0);
  for (const c of classOf) counts[c]++;
  return { labels, classOf, counts };
}
