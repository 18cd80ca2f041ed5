import { describe, expect, it } from 'vitest';
import { NotFiniteError } from '../../src/model/errors.ts';
import { batchesOf, PrefixGroups, runBatches } from '../../src/sav/feed.ts';

describe('batches', () => {
  const sizes = (...tokens: (number | undefined)[]) => ({
    indices: tokens.map((_, i) => i),
    sizeOf: (i: number) => (tokens[i] === undefined ? undefined : { tokens: tokens[i], bytes: 0 }),
  });

  it('are of one length over the whole list, in the order of their first examples', () => {
    const { indices, sizeOf } = sizes(7, 5, 7, 6, 5, 7, 7, undefined, 5, undefined);
    expect(batchesOf(indices, sizeOf, 3)).toEqual([[0, 2, 5], [1, 4, 8], [3], [6], [7, 9]]);
    expect(batchesOf(indices, sizeOf, 1)).toEqual(indices.map((i) => [i]));
    expect(batchesOf([], sizeOf, 3)).toEqual([]);
  });

  it('of what is left are those of the whole list, where whole batches are done', () => {
    const { indices, sizeOf } = sizes(...Array.from({ length: 40 }, (_, i) => [5, 6, 5, 7][(i * 7) % 4]));
    const all = batchesOf(indices, sizeOf, 4);
    for (let done = 0; done < all.length; done++) {
      const left = indices.filter((i) => !all.slice(0, done).flat().includes(i));
      expect(batchesOf(left, sizeOf, 4)).toEqual(all.slice(done));
    }
  });

  it('hold no more pixel values than there is memory for', () => {
    const bytes = [100, 100, 100, 300, 10].map((mib) => mib * 2 ** 20);
    const sizeOf = (i: number) => ({ tokens: 5, bytes: bytes[i] });
    expect(batchesOf([0, 1, 2, 3, 4], sizeOf, 16)).toEqual([[0, 1], [2], [3], [4]]);
  });
});

describe('examples that begin alike', () => {
  const ids = (text: string) => Array.from(text, (letter) => letter.charCodeAt(0));
  /** Groups of examples, given as `pictures:tokens`. */
  const groupsOf = (examples: readonly string[]) => {
    const groups = new PrefixGroups();
    return examples.map((example) => groups.add(example.split(':')[0], ids(example.split(':')[1])));
  };

  it('are those with the same pictures and at least half of the tokens of each', () => {
    expect(groupsOf(['p:aaaab', 'q:aaaab', 'p:aaaacc', 'p:aabbbb', 'p:aaaa', 'p:aabbb'])).toEqual([0, 1, 0, 2, 0, 2]);
    expect(groupsOf([':abcd', ':abxy', ':abcx'])).toEqual([0, 0, 0]); // half is enough
    expect(groupsOf([':abcd', ':abxyz', ':abcx'])).toEqual([0, 1, 0]);
    expect(groupsOf([':abcdefgh', ':abcdexyz', ':abcdefghi', ':abcdefghijk'])).toEqual([0, 0, 0, 1]); // five are shared
    expect(groupsOf(['p:a', 'p:a', 'p:b', 'p:'])).toEqual([0, 0, 1, 2]);
  });

  it('are 64 at most, and the others the same where whole groups are missing', () => {
    expect(groupsOf(Array(130).fill('p:ab'))).toEqual([...Array(64).fill(0), ...Array(64).fill(1), 2, 2]);
    const examples = Array.from({ length: 300 }, (_, i) => `${(i * 7) % 3}:${'aaaabbbb'.slice(0, 2 + ((i * 5) % 7))}`);
    const groups = groupsOf(examples);
    const members = (of: readonly number[], left: readonly number[]) =>
      [...new Set(of)].map((group) => left.filter((_, j) => of[j] === group));
    const all = examples.map((_, i) => i);
    for (const gone of new Set(groups)) {
      const left = all.filter((i) => groups[i] !== gone);
      const found = members(groupsOf(left.map((i) => examples[i])), left);
      expect(found).toEqual(members(groups, all).filter(([first]) => groups[first] !== gone));
    }
  });

  it('make a batch, whatever their lengths and pictures; those that are alone go by their length', () => {
    const tokens = [7, 5, 7, 6, 5, 7];
    const groups = [0, 1, 0, 0, 2, 3];
    const sizeOf = (i: number) => ({ tokens: tokens[i], bytes: 2 ** 28, group: groups[i] });
    expect(batchesOf([0, 1, 2, 3, 4, 5], sizeOf, 2)).toEqual([[0, 2, 3], [1], [4], [5]]);
    const small = (i: number) => ({ ...sizeOf(i), bytes: 1 });
    expect(batchesOf([0, 1, 2, 3, 4, 5], small, 1)).toEqual([[0, 2, 3], [1], [4], [5]]);
    expect(batchesOf([0, 1, 2, 3, 4, 5], small, 2)).toEqual([[0, 2, 3], [1, 4], [5]]);
    expect(batchesOf([1, 2, 4, 5], small, 2)).toEqual([
      [1, 4],
      [2, 5],
    ]);
  });
});

describe('runBatches', () => {
  /** Notes what happens; runs wait until they are let go. */
  function watched(batches: number[][]) {
    const events: string[] = [];
    const going: (() => void)[] = [];
    const feed = {
      async prepare(index: number) {
        events.push(`prepare ${index}`);
        return index;
      },
      async run(inputs: readonly number[]) {
        events.push(`run ${inputs}`);
        await new Promise<void>((go) => going.push(go));
        events.push(`ran ${inputs}`);
        return inputs.map((i) => i * 10);
      },
      name: (index: number) => `row ${index}`,
    };
    const found: (readonly [number, number])[] = [];
    const all = (async () => {
      for await (const one of runBatches(batches, feed)) found.push(one);
    })();
    const settled = async () => {
      for (let i = 0; i < 5; i++) await new Promise((r) => setTimeout(r));
    };
    return { events, going, found, all, settled };
  }

  it('makes one batch ready while another runs, and not more', async () => {
    const { events, going, found, all, settled } = watched([[0, 1, 2], [3, 4], [5]]);
    await settled();
    expect(events).toEqual(['prepare 0', 'prepare 1', 'prepare 2', 'run 0,1,2', 'prepare 3', 'prepare 4']);
    going.shift()!();
    await settled();
    expect(events.slice(6)).toEqual(['ran 0,1,2', 'run 3,4', 'prepare 5']);
    expect(found).toEqual([
      [0, 0],
      [1, 10],
      [2, 20],
    ]);
    going.shift()!();
    await settled();
    going.shift()!();
    await all;
    expect(found.map(([i]) => i)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  const collect = async (work: AsyncIterable<readonly [number, number]>) => {
    const found: number[] = [];
    try {
      for await (const [index] of work) found.push(index);
    } catch (e) {
      return { found, error: (e as Error).message };
    }
    return { found };
  };
  const plain = {
    prepare: async (index: number) => index,
    run: async (inputs: readonly number[]) => [...inputs],
    name: (index: number) => `row ${index}`,
  };

  it('gives the results of a batch before it fails for one that cannot be used', async () => {
    const check = (index: number) => {
      if (index === 1) throw new Error('row 1 is bad');
    };
    const batches = [
      [0, 1, 2],
      [3, 4],
    ];
    expect(await collect(runBatches(batches, { ...plain, check }))).toEqual({ found: [0, 2], error: 'row 1 is bad' });
  });

  it('finds whose numbers are not finite, and gives the others', async () => {
    const runs: string[] = [];
    const run = async (inputs: readonly number[]) => {
      runs.push(inputs.join());
      if (inputs.includes(1)) throw new NotFiniteError('NaN');
      return [...inputs];
    };
    expect(await collect(runBatches([[0, 1, 2], [3]], { ...plain, run }))).toEqual({
      found: [0, 2],
      error: 'row 1: NaN',
    });
    expect(runs).toEqual(['0,1,2', '0', '1', '2']);
    expect(await collect(runBatches([[0], [1], [2]], { ...plain, run }))).toEqual({ found: [0], error: 'row 1: NaN' });
  });

  it('gives the batches before one that cannot be made ready, and begins nothing after it', async () => {
    const prepared: number[] = [];
    const prepare = async (index: number) => {
      await new Promise((r) => setTimeout(r));
      if (index === 3) throw new Error('row 3: damaged');
      prepared.push(index);
      return index;
    };
    const batches = [[0, 1], [2, 3, 4, 5, 6, 7], [8]];
    expect(await collect(runBatches(batches, { ...plain, prepare }))).toEqual({
      found: [0, 1],
      error: 'row 3: damaged',
    });
    for (const index of [5, 6, 7, 8]) expect(prepared).not.toContain(index); // 4 was begun beside 3
  });

  it('ends what it makes ready when it is ended', async () => {
    let preparing = 0;
    const prepare = async (index: number) => {
      preparing++;
      await new Promise((r) => setTimeout(r, 5));
      preparing--;
      return index;
    };
    const batches = [[0], [1, 2, 3, 4, 5, 6]];
    for await (const [index] of runBatches(batches, { ...plain, prepare })) {
      expect(index).toBe(0);
      expect(preparing).toBeGreaterThan(0);
      break;
    }
    expect(preparing).toBe(0);
  });

  it('keeps to a signal between batches', async () => {
    const stop = new AbortController();
    const found: number[] = [];
    const run = async () => {
      for await (const [index] of runBatches([[0, 1], [2]], { ...plain, signal: stop.signal })) {
        found.push(index);
        stop.abort();
      }
    };
    await expect(run()).rejects.toThrow('abort');
    expect(found).toEqual([0, 1]);
  });
});
