// Feeding a model: which examples run together, and what is made ready while others run.
import { NotFiniteError } from '../model/errors.ts';

/** What an example takes, known before its pictures are decoded. */
export interface InputSize {
  /** Of its prompt, those of the pictures included. Not known of videos. */
  readonly tokens?: number;
  /** Of its pixel values. */
  readonly bytes: number;
  /** Its number among the groups of examples that begin alike, where these are to share what they begin with. */
  readonly group?: number;
}

/** Pixel values of a batch at most: those of two batches are in memory, of the one that runs and of the next. */
const maxBatchBytes = 2 ** 28;

/** Examples of a group at most: progress and Ctrl-C wait for the whole of it. */
const maxGroup = 64;

interface PrefixGroup {
  readonly number: number;
  /** Tokens of its first example. */
  readonly ids: ArrayLike<number>;
  /** How many of them all of the group begin with. */
  shared: number;
  /** Tokens of its longest example. */
  longest: number;
  count: number;
}

/**
 * Finds examples that begin alike: with the same pictures, and at least half of the tokens of each. An example goes into the first
 * group that it fits, or begins another. So whole groups may be missing, since a store has them, and the others are what they were.
 */
export class PrefixGroups {
  readonly #ofPictures = new Map<string, PrefixGroup[]>();
  #next = 0;

  /**
   * @param pictures what the example shows, as a key.
   * @param ids its tokens; none where they are not known.
   * @returns the number of its group, in which it may be alone.
   */
  add(pictures: string, ids: ArrayLike<number>): number {
    const groups = this.#ofPictures.get(pictures) ?? [];
    this.#ofPictures.set(pictures, groups);
    for (const group of groups) {
      const shared = commonLength(group.ids, ids, group.shared);
      const longest = Math.max(group.longest, ids.length);
      if (group.count === maxGroup || 2 * shared < longest) continue;
      Object.assign(group, { shared, longest, count: group.count + 1 });
      return group.number;
    }
    const number = this.#next++;
    groups.push({ number, ids, shared: ids.length, longest: ids.length, count: 1 });
    return number;
  }
}

function commonLength(a: ArrayLike<number>, b: ArrayLike<number>, most: number): number {
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

/**
 * Batches of examples with equally many tokens, which a model runs together: formed over the whole list, in the order of their
 * first examples. Those whose size is not known make batches of their own, and so does each group of several that begin alike. A pure
 * function: no clock, no randomness.
 */
export function batchesOf(
  indices: readonly number[],
  sizeOf: (index: number) => InputSize | undefined,
  atOnce: number,
): number[][] {
  const batches: number[][] = [];
  const open = new Map<number | undefined, { batch: number[]; bytes: number }>();
  const groups = groupsOf(indices, sizeOf);
  for (const index of indices) {
    const size = sizeOf(index);
    const group = groups.get(size?.group);
    if (group) {
      if (group[0] === index) batches.push(group);
      continue;
    }
    const bytes = size?.bytes ?? 0;
    const last = open.get(size?.tokens);
    if (last && last.batch.length < atOnce && last.bytes + bytes <= maxBatchBytes) {
      last.batch.push(index);
      last.bytes += bytes;
    } else {
      const batch = [index];
      batches.push(batch);
      open.set(size?.tokens, { batch, bytes });
    }
  }
  return batches;
}

/** Examples of each group that has several. */
function groupsOf(indices: readonly number[], sizeOf: (index: number) => InputSize | undefined) {
  const groups = new Map<number | undefined, number[]>();
  for (const index of indices) {
    const group = sizeOf(index)?.group;
    if (group !== undefined) groups.set(group, [...(groups.get(group) ?? []), index]);
  }
  return new Map([...groups].filter(([, members]) => members.length > 1));
}

export interface Feed<Input, Result> {
  /** Reads, decodes and resizes what an example shows. */
  prepare(index: number): Promise<Input>;
  /** @param batch which examples these are. */
  run(inputs: readonly Input[], batch: readonly number[]): Promise<readonly Result[]>;
  /** @throws where the result of an example cannot be used, naming it. */
  check?(index: number, result: Result): void;
  /** What an example is called in errors. */
  name(index: number): string;
  readonly signal?: AbortSignal;
}

/**
 * Runs batches one after the other. While one runs, the next is made ready: so at most one batch is ahead.
 * @yields each example's result, as soon as it is there.
 * @throws where an example fails, naming it; results of its batch that are fine come before.
 */
export async function* runBatches<Input, Result>(
  batches: readonly (readonly number[])[],
  feed: Feed<Input, Result>,
): AsyncGenerator<readonly [index: number, result: Result]> {
  const end = new AbortController(); // of what is made ready, when this ends
  const ready = (batch: readonly number[] | undefined) => {
    const inputs = batch && mapInTwos(batch, feed.prepare, end.signal);
    inputs?.catch(() => {}); // told when they are waited for
    return inputs;
  };
  let next = ready(batches[0]);
  try {
    for (const [i, batch] of batches.entries()) {
      feed.signal?.throwIfAborted();
      const inputs = (await next)!;
      feed.signal?.throwIfAborted();
      const running = settle(batch, inputs, feed);
      next = ready(batches[i + 1]);
      let failed: { readonly reason: unknown } | undefined;
      for (const [j, outcome] of (await running).entries()) {
        if (outcome.status === 'fulfilled') yield [batch[j], outcome.value];
        else failed ??= outcome;
      }
      if (failed) throw failed.reason;
    }
  } finally {
    end.abort();
    await next?.catch(() => {});
  }
}

/**
 * A batch's results, each by itself. Where the batch holds a number that is not finite, its examples run once more, each alone,
 * to find whose it is.
 */
async function settle<Input, Result>(
  batch: readonly number[],
  inputs: readonly Input[],
  feed: Feed<Input, Result>,
): Promise<PromiseSettledResult<Result>[]> {
  const checked = (index: number, value: Result): PromiseSettledResult<Result> => {
    try {
      feed.check?.(index, value);
      return { status: 'fulfilled', value };
    } catch (reason) {
      return { status: 'rejected', reason };
    }
  };
  try {
    const results = await feed.run(inputs, batch);
    return batch.map((index, j) => checked(index, results[j]));
  } catch (error) {
    if (!(error instanceof NotFiniteError)) throw error;
    if (batch.length === 1) throw new NotFiniteError(`${feed.name(batch[0])}: ${error.message}`, { cause: error });
    const outcomes: PromiseSettledResult<Result>[] = [];
    for (const [j, index] of batch.entries()) {
      feed.signal?.throwIfAborted();
      outcomes.push(
        await settle([index], [inputs[j]], feed).then(
          ([outcome]) => outcome,
          (reason: unknown) => ({ status: 'rejected', reason }),
        ),
      );
    }
    if (outcomes.every(({ status }) => status === 'fulfilled')) throw error; // none alone: it is the batch's
    return outcomes;
  }
}

/** Two at a time: one is decoded in the background while another is resized on this thread. Ends with all that it began. */
async function mapInTwos<T, R>(items: readonly T[], make: (item: T) => Promise<R>, signal: AbortSignal): Promise<R[]> {
  const made: R[] = [];
  const rest = items.entries();
  let failed = false;
  const work = async () => {
    for (const [i, item] of rest) {
      signal.throwIfAborted();
      if (failed) return;
      made[i] = await make(item).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  for (const end of await Promise.allSettled([work(), work()])) if (end.status === 'rejected') throw end.reason;
  return made;
}
