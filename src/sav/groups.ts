// Examples that are left out together. A picture that occurs twice in a training set is judged, when one row is left out,
// by centroids that still hold the other: leave-one-out then measures memory. So rows with equal content form one group.
import { InputError } from '../model/errors.ts';
import type { ClassIndex } from './class-index.ts';
import type { HeadFeatures } from './features.ts';
import { twinsOf } from './same-vectors.ts';

/** A partition of the examples; every example is in one group. */
export interface Groups {
  /** Group of each example, by first appearance. */
  readonly of: Int32Array;
  /** Examples of each group, ascending. */
  readonly members: readonly (readonly number[])[];
}

/** Every example for itself. */
export function singles(n: number): Groups {
  return { of: Int32Array.from({ length: n }, (_, i) => i), members: Array.from({ length: n }, (_, i) => [i]) };
}

/**
 * Groups of examples that show the same: equal `features.contents` where there are any (hashes of the pictures, or of the text
 * where there are none), equal `given` keys where a caller knows more (frames of one video, pictures of one patient), or
 * vectors that are equal but for rounding (the same pixels in another file). What is linked by any of the three is one group.
 * @throws InputError where there is not one key an example.
 */
export function groupExamples(features: HeadFeatures, given?: readonly (string | number)[]): Groups {
  const { vectors, contents } = features;
  const n = vectors.length;
  const parent = Int32Array.from({ length: n }, (_, i) => i);
  const root = (i: number): number => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]];
    return i;
  };
  const link = (keys: readonly (string | number)[] | undefined, what: string) => {
    if (!keys) return;
    if (keys.length !== n) throw new InputError(`${what}: expected one for each of ${n} examples, got ${keys.length}`);
    const first = new Map<string | number, number>();
    for (const [i, key] of keys.entries()) {
      const twin = first.get(key);
      if (twin === undefined) first.set(key, i);
      else {
        const [a, b] = [root(twin), root(i)];
        parent[Math.max(a, b)] = Math.min(a, b);
      }
    }
  };
  link(given, 'groups');
  link(contents, 'features.contents');
  link([...twinsOf(vectors)], 'vectors');

  return groupsFrom(Int32Array.from({ length: n }, (_, i) => root(i)));
}

/** Groups of the examples with equal numbers. */
export function groupsFrom(numbers: Int32Array): Groups {
  const index = new Map<number, number>();
  const members: number[][] = [];
  const of = numbers.map((number, i) => {
    if (!index.has(number)) index.set(number, members.push([]) - 1);
    const g = index.get(number)!;
    members[g].push(i);
    return g;
  });
  return { of, members };
}

/** A group's examples of one class. */
export interface Share {
  readonly group: number;
  readonly class: number;
  readonly members: readonly number[];
}

/** The groups cut by class (a group may show one picture under two labels), and the shares of each group. */
export function sharesOf(groups: Groups, { classOf }: ClassIndex): { shares: Share[]; ofGroup: number[][] } {
  const shares: Share[] = [];
  const ofGroup = groups.members.map((members, group) => {
    const byClass = new Map<number, number[]>();
    for (const i of members) byClass.set(classOf[i], [...(byClass.get(classOf[i]) ?? []), i]);
    return [...byClass].map(([c, own]) => shares.push({ group, class: c, members: own }) - 1);
  });
  return { shares, ofGroup };
}

/** A row, for messages. */
interface Row {
  readonly source: string;
  readonly prompt: string;
  readonly label?: string;
}

/** What the user should know of rows that repeat a picture, and of equal rows whose labels differ: a line each, or none. */
export function describeRepeats(groups: Groups, rows: readonly Row[]): string[] {
  const repeated = groups.members.filter((members) => members.length > 1);
  if (repeated.length === 0) return [];
  const list = (shown: readonly string[]) =>
    `${shown.slice(0, 3).join(', ')}${shown.length > 3 ? `, and ${shown.length - 3} more` : ''}`;
  const equal = (members: readonly number[]) =>
    `${members
      .slice(0, 4)
      .map((i) => rows[i].source)
      .join(' = ')}${members.length > 4 ? ' = …' : ''}`;
  const again = repeated.reduce((sum, members) => sum + members.length - 1, 0);
  const what = `${again} of ${rows.length} rows repeat a picture: ${list(repeated.map(equal))}`;
  const lines = [`${what}; rows with the same picture are left out together`];
  const disputed = repeated.flatMap((members) => {
    const first = new Map<string, number>();
    for (const i of members) {
      const twin = first.get(rows[i].prompt) ?? i;
      first.set(rows[i].prompt, twin);
      if (rows[twin].label !== rows[i].label)
        return [`${rows[twin].source} (${rows[twin].label}) = ${rows[i].source} (${rows[i].label})`];
    }
    return [];
  });
  if (disputed.length > 0) lines.push(`the same picture and text under different labels: ${list(disputed)}`);
  return lines;
}
