// What a page keeps of checkpoints, in a file system in memory. The real one: test/browser/kept.test.ts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CheckpointStore } from '../../src/platform/checkpoint-store.ts';
import type { Folder, StoreNote } from '../../src/platform/types.ts';
import { visiting } from '../../src/platform/visiting.ts';
import { type Intercept, MemoryDirectory } from './memory-directory.ts';

const weights = 'model.safetensors';
const chunk = 1000;

/** A checkpoint behind a network that may break off, and may have another version the next time. */
class Source implements Folder {
  readonly location = 'https://there/model/';
  /** Of each file its content, every byte of which depends on the version. */
  readonly lengths: Record<string, number> = { 'config.json': 50, [weights]: 10_500, empty: 0 };
  content = 1;
  hasVersions = true;
  /** Bytes of weights that still come before the connection breaks off. */
  left = Infinity;
  /** What was asked for: `has config.json`, `model.safetensors 0 1000`. */
  asked: string[] = [];

  get bytesOfWeights(): number {
    return this.asked
      .map((line) => line.split(' '))
      .reduce((sum, [name, start, end]) => (name === weights ? sum + Number(end) - Number(start) : sum), 0);
  }

  at = (name: string, i: number) => (this.content * 31 + i + name.length) % 251;

  async has(name: string): Promise<boolean> {
    this.asked.push(`has ${name}`);
    return name in this.lengths;
  }

  async size(name: string): Promise<number> {
    this.asked.push(`size ${name}`);
    if (!(name in this.lengths)) throw new Error(`${name}: no such file`);
    return this.lengths[name];
  }

  async read(name: string, start = 0, end = this.lengths[name]): Promise<Uint8Array> {
    this.asked.push(`${name} ${start} ${end}`);
    if (name === weights) this.left -= end - start;
    if (this.left < 0) throw new Error('the connection broke off');
    return Uint8Array.from({ length: end - start }, (_, i) => this.at(name, start + i));
  }

  async version(name: string): Promise<string | undefined> {
    return this.hasVersions && name === weights ? `"${this.content}"` : undefined;
  }
}

/** What a load asks for, and the weights. */
const load = (folder: Folder): Promise<Uint8Array> =>
  visiting(folder, undefined, async (visit) => {
    expect(await visit.has('config.json')).toBe(true);
    expect(await visit.has('chat_template.jinja')).toBe(false);
    expect(await visit.read('config.json')).toEqual(await visit.read('config.json'));
    expect(await visit.read('empty')).toHaveLength(0);
    const size = await visit.size(weights);
    await visit.read(weights, 0, 8); // as a header is
    const parts: Uint8Array[] = [];
    for (let at = 0; at < size; at += chunk) parts.push(await visit.read(weights, at, Math.min(size, at + chunk)));
    return new Uint8Array(Buffer.concat(parts));
  });

async function opened(intercept?: Intercept) {
  const notes: StoreNote[] = [];
  const directory = new MemoryDirectory('root', intercept);
  const onNote = (note: StoreNote) => notes.push(note);
  const store = await CheckpointStore.open({ directory: directory.handle, onNote });
  return { store, directory, notes };
}

const plain = (source: Source): Uint8Array =>
  Uint8Array.from({ length: source.lengths[weights] }, (_, i) => source.at(weights, i));

async function* pieces(...sizes: number[]): AsyncGenerator<Uint8Array> {
  for (const [i, size] of sizes.entries()) yield new Uint8Array(size).fill(i + 1);
}

describe('a checkpoint that is kept', () => {
  it('is asked for once: the second load needs no source, and gives the same', async () => {
    const { store, notes } = await opened();
    const source = new Source();
    expect(await load(store.keep(source))).toEqual(plain(source));
    expect(source.bytesOfWeights).toBeLessThanOrEqual(10_500 + 8);
    expect(await store.list()).toEqual([{ name: source.location, bytes: 10_550, whole: true }]);

    source.asked = [];
    const again = store.keep(source);
    expect(again.location).toBe(source.location);
    expect(await load(again)).toEqual(plain(source));
    expect(await again.read(weights, 990, 2010)).toEqual(plain(source).slice(990, 2010));
    await expect(again.read(weights, 0, 10_501)).rejects.toThrow('bytes 0 to 10501 were asked for, the file has 10500');
    await expect(again.read('../x')).rejects.toThrow('is not a file name inside');
    expect(source.asked).toEqual([]);

    const alone = (await store.open(source.location))!;
    expect(await load(alone)).toEqual(plain(source));
    await expect(alone.size('none')).rejects.toThrow('none: there is no such file');
    expect(notes).toEqual([]);
  });

  it('is begun anew once it is freed', async () => {
    const { store, directory } = await opened();
    const source = new Source();
    await load(store.keep(source));
    await store.free(source.location);
    await store.free(source.location);
    expect(await store.list()).toEqual([]);
    expect(directory.files).toEqual({});
    expect(await store.open(source.location)).toBeUndefined();
    source.content = 2;
    expect(await load(store.keep(source))).toEqual(plain(source));
  });

  it('goes on where it broke off', async () => {
    const { store } = await opened();
    const source = new Source();
    source.left = 4100;
    await expect(load(store.keep(source))).rejects.toThrow('the connection broke off');
    expect(await store.list()).toEqual([{ name: source.location, bytes: 4050, whole: false }]);
    expect(await store.open(source.location)).toBeUndefined();

    source.left = Infinity;
    source.asked = [];
    expect(await load(store.keep(source))).toEqual(plain(source));
    expect(source.bytesOfWeights).toBe(10_500 - 4000);
    expect(await store.list()).toEqual([{ name: source.location, bytes: 10_550, whole: true }]);
  });

  it.each<[string, (source: Source) => void]>([
    ['another version', (source) => source.content++],
    [
      'another size and version',
      (source) => {
        source.content++;
        source.lengths[weights] = 9000;
      },
    ],
    ['no version that could be compared', (source) => (source.hasVersions = false)],
  ])('is begun anew where the source has %s after it broke off', async (_, change) => {
    const { store, directory } = await opened();
    const source = new Source();
    source.left = 4100;
    await expect(load(store.keep(source))).rejects.toThrow('the connection broke off');
    change(source);
    source.left = Infinity;
    source.asked = [];
    expect(await load(store.keep(source))).toEqual(plain(source));
    expect(source.bytesOfWeights).toBeGreaterThanOrEqual(source.lengths[weights]);
    const stored = Object.entries(directory.files).filter(([path]) => !path.endsWith('kept.json'));
    expect(stored.reduce((sum, [, { bytes }]) => sum + bytes.length, 0)).toBe(source.lengths[weights] + 50);
  });

  it('that a page was writing when it was closed is not there', async () => {
    const { store, directory } = await opened();
    const source = new Source();
    const visit = store.keep(source).visit!();
    await visit.read('config.json');
    for (let at = 0; at < 4000; at += chunk) await visit.read(weights, at, at + chunk);
    await new Promise((done) => setTimeout(done, 20));
    expect(Object.keys(directory.files).length).toBeGreaterThan(0);
    expect(await store.open(source.location)).toBeUndefined();

    const next = await CheckpointStore.open({ directory: directory.handle });
    expect(await load(next.keep(source))).toEqual(plain(source));
    const pieces = Object.keys(directory.files);
    expect(await next.list()).toEqual([{ name: source.location, bytes: 10_550, whole: true }]);
    expect(pieces.filter((path) => !path.endsWith('kept.json'))).toHaveLength(2);
  });

  it('has what a page that was closed had written of a large file, by whole pieces', async () => {
    const size = 70 << 20;
    const source: Folder & { from: number } = {
      location: 'large',
      from: Infinity,
      has: async () => true,
      size: async () => size,
      read: async (_, start = 0, end = size) => {
        source.from = Math.min(source.from, start);
        return new Uint8Array(end - start).fill(start >> 20);
      },
      version: async () => 'one',
    };
    const { directory } = await opened();
    const read = async (folder: Folder) => {
      const found: number[] = [];
      for (let at = 0; at < size; at += 2 << 20) found.push((await folder.read(weights, at, at + (2 << 20)))[0]);
      return found;
    };
    for (const from of [0, 64 << 20]) {
      source.from = Infinity;
      const store = await CheckpointStore.open({ directory: directory.handle });
      const found = await read(store.keep(source).visit!()); // and it is never closed
      expect(found).toEqual(Array.from({ length: 35 }, (_, i) => 2 * i));
      expect(source.from).toBe(from);
    }
  });

  it('has nothing of a read that ends after its visit', async () => {
    const { store, directory } = await opened();
    const source = new Source();
    let go = () => {};
    const { read } = source;
    source.read = async (...range) => {
      await new Promise<void>((done) => (go = done));
      return read.apply(source, range);
    };
    const visit = store.keep(source).visit!();
    const late = visit.read(weights, 0, 10);
    await expect.poll(() => source.asked).toContain(`size ${weights}`);
    await visit.close();
    go();
    expect(await late).toEqual(plain(source).slice(0, 10));
    await new Promise((done) => setTimeout(done, 20));
    expect(Object.keys(directory.files)).toEqual([]);
  });

  it('and is damaged is asked for again, if it is still the same', async () => {
    const { store, directory } = await opened();
    const source = new Source();
    await load(store.keep(source));
    const damage = () => {
      const [path] = Object.keys(directory.files).filter((name) => directory.files[name].bytes.length > 9000);
      directory.files[path].bytes = new Uint8Array(5);
    };
    damage();
    expect(await load(store.keep(source))).toEqual(plain(source));
    source.asked = [];
    expect(await load(store.keep(source))).toEqual(plain(source));
    expect(source.asked).toEqual([]);

    damage();
    const alone = (await store.open(source.location))!;
    await expect(load(alone)).rejects.toThrow('what is kept of it is damaged; free it, and load or write it again');

    source.content++;
    await expect(load(store.keep(source))).rejects.toThrow('it has changed, and not all that is asked for was kept');
    expect(await load(store.keep(source))).toEqual(plain(source));
  });

  it.each(['', '{', '{"version":2}', JSON.stringify({ version: 1, name: 'x', whole: true, files: {}, absent: [] })])(
    'whose record is %j is begun anew',
    async (record) => {
      const { store, directory } = await opened();
      const source = new Source();
      await load(store.keep(source));
      const [path] = Object.keys(directory.files).filter((name) => name.endsWith('kept.json'));
      directory.files[path].bytes = new TextEncoder().encode(record);
      source.content++;
      expect(await load(store.keep(source))).toEqual(plain(source));
      directory.files[path].bytes = new TextEncoder().encode(record);
      expect(await store.list()).toEqual([]);
      expect(directory.files).toEqual({});
    },
  );

  it('never is a mixture of two versions, however loads end', async () => {
    const step = fc.record({
      left: fc.option(fc.integer({ min: 0, max: 12_000 }), { nil: Infinity }),
      isOther: fc.boolean(),
      hasVersions: fc.boolean(),
      fails: fc.option(fc.integer({ min: 0, max: 30 }), { nil: Infinity }),
      damages: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 6 }), async (steps) => {
        let actions = Infinity;
        const { store, directory } = await opened((action) => {
          if (action !== 'read' && --actions < 0) throw new DOMException('no', 'QuotaExceededError');
        });
        const source = new Source();
        for (const { left, isOther, hasVersions, fails, damages } of steps) {
          if (isOther) source.content++;
          Object.assign(source, { left, hasVersions });
          actions = fails;
          const [file] = damages ? Object.values(directory.files).filter(({ bytes }) => bytes.length > 3000) : [];
          if (file) file.bytes = file.bytes.slice(0, 100);
          const found = await load(store.keep(source)).catch((e: Error) => e);
          if (found instanceof Error) {
            expect(found.message).toMatch(/broke off|it has changed/);
            continue;
          }
          const content = Array.from({ length: source.content }, (_, i) => i + 1).filter(
            (version) => (version * 31 + weights.length) % 251 === found[0],
          );
          expect(content).toHaveLength(1);
          const of = Object.assign(new Source(), { content: content[0] });
          expect(Buffer.compare(found, plain(of))).toBe(0);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('where nothing can be kept, a load goes on and is told once', () => {
  const refuse = (kind: string, when: (action: string, name: string) => boolean): Intercept => {
    return (action, name) => {
      if (when(action, name)) throw new DOMException('no', kind);
    };
  };
  let count = 0;
  it.each<[string, Intercept, StoreNote['code']]>([
    ['the browser refuses storage', refuse('SecurityError', (_, name) => name === 'headlight'), 'unavailable'],
    [
      'no directory can be made',
      refuse('SecurityError', (action, name) => action === 'make' && name.length === 32),
      'unavailable',
    ],
    [
      'no file can be made',
      refuse('QuotaExceededError', (action, name) => action === 'make' && name.length > 32),
      'full',
    ],
    ['nothing can be opened for writing', refuse('InvalidStateError', (action) => action === 'open'), 'unavailable'],
    ['the disk is full half-way', refuse('QuotaExceededError', (action) => action === 'write' && ++count > 5), 'full'],
    [
      'a piece cannot be closed',
      refuse('QuotaExceededError', (action, name) => action === 'close' && name !== 'kept.json'),
      'full',
    ],
    [
      'the record cannot be written',
      refuse('QuotaExceededError', (action, name) => action === 'close' && name === 'kept.json'),
      'full',
    ],
  ])('%s', async (_, intercept, code) => {
    count = 0;
    const { store, notes } = await opened(intercept);
    const source = new Source();
    expect(await load(store.keep(source))).toEqual(plain(source));
    expect(notes.map((note) => note.code)).toEqual([code]);
    expect(notes[0].message).toMatch(/^(checkpoints|https:\/\/there\/model\/): not kept, as .*\(no\)/);
    expect((await store.list()).some(({ whole }) => whole)).toBe(false);
    expect(await load(store.keep(source))).toEqual(plain(source));
    await expect(store.write('x', (write) => write('y', pieces(1)))).rejects.toThrow('cannot be written');
    await store.free(source.location);
  });

  it('Node keeps nothing', async () => {
    const notes: StoreNote[] = [];
    const store = await CheckpointStore.open({ onNote: (note) => notes.push(note) });
    const source = new Source();
    expect(store.keep(source)).toBe(source);
    expect(await store.list()).toEqual([]);
    expect(await store.open('x')).toBeUndefined();
    await store.free('x');
    expect(notes.map(({ code }) => code)).toEqual(['unavailable']);
  });
});

describe('a checkpoint that is written', () => {
  it('is there once all of it is', async () => {
    const { store, directory } = await opened();
    const result = await store.write('small', async (write) => {
      await write(weights, pieces(3, 0, 2));
      await write('sub/empty', pieces());
      expect(await store.open('small')).toBeUndefined();
      await write('config.json', pieces(2));
      return 'done';
    });
    expect(result).toBe('done');
    const folder = (await store.open('small'))!;
    expect(folder.location).toBe('small');
    expect([...(await folder.read(weights))]).toEqual([1, 1, 1, 3, 3]);
    expect([...(await folder.read(weights, 2, 4))]).toEqual([1, 3]);
    expect(await folder.read('sub/empty')).toHaveLength(0);
    expect([await folder.has('config.json'), await folder.has('none')]).toEqual([true, false]);
    expect(await store.list()).toEqual([{ name: 'small', bytes: 7, whole: true }]);

    const before = Object.keys(directory.files).sort();
    const failing = store.write('small', async (write) => {
      await write(weights, pieces(9));
      throw new Error('enough');
    });
    await expect(failing).rejects.toThrow('enough');
    expect(Object.keys(directory.files).sort()).toEqual(before);
    expect([...(await folder.read(weights))]).toEqual([1, 1, 1, 3, 3]);

    await store.write('small', (write) => write('config.json', pieces(1)));
    expect(await (await store.open('small'))!.has(weights)).toBe(false);
    expect(Object.keys(directory.files)).toHaveLength(2);
    await expect(store.write('other', (write) => write('../x', pieces(1)))).rejects.toThrow('is not a file name');
    expect(await store.list()).toEqual([{ name: 'small', bytes: 1, whole: true }]);
  });

  it('is refused in a line where there is no room', async () => {
    const { store, directory } = await opened((action) => {
      if (action === 'write') throw new DOMException('no', 'QuotaExceededError');
    });
    await expect(store.write('small', (write) => write(weights, pieces(3)))).rejects.toThrow(
      `small: ${weights}: cannot be written: this site has no more room (no); free what is kept of other checkpoints`,
    );
    expect(directory.files).toEqual({});
  });
});
