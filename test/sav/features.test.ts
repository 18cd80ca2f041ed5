import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { InputError, NotFiniteError } from '../../src/model/errors.ts';
import type { InputShape } from '../../src/model/input.ts';
import type { VideoSource } from '../../src/platform/types.ts';
import { decodeEntry, encodeEntry, MemoryFeatureStore } from '../../src/sav/feature-cache.ts';
import {
  contentOf,
  extractFeatures,
  featureKey,
  fingerprint,
  type ShownExample,
  show,
} from '../../src/sav/features.ts';
import { findUnreadable } from '../../src/sav/unreadable.ts';
import { example, FakeModel } from './synthetic.ts';

/** One that runs several examples at once, where their prompts are of one length. */
class BatchModel extends FakeModel {
  readonly runs: number[] = [];

  async headVectorsOf(shown: readonly ShownExample[], options: { maxLayer?: number } = {}): Promise<Float32Array[]> {
    this.runs.push(shown.length);
    expect(new Set(shown.map(({ prompt }) => prompt.length)).size).toBe(1);
    return Promise.all(shown.map((each) => this.headVectors(each, options)));
  }

  input?(shown: ShownExample): Promise<ShownExample>;

  async inputShape({ prompt }: ShownExample): Promise<InputShape | undefined> {
    return { inputIds: Array.from(prompt, () => 1), visuals: [] };
  }
}

/** One that can share what prompts begin with. */
class SharingModel extends BatchModel {
  readonly shared: string[][] = [];
  readonly decoded: (string | undefined)[] = [];

  async headVectorsSharingPrefix(shown: readonly ShownExample[], options: { maxLayer?: number } = {}) {
    if (shown.length) this.shared.push(shown.map(({ prompt }) => prompt));
    return Promise.all(shown.map((each) => this.headVectors(each, options)));
  }

  override async input(shown: ShownExample, same?: ShownExample): Promise<ShownExample> {
    this.decoded.push(same?.prompt);
    return shown;
  }

  override async inputShape({ prompt, images, videos }: ShownExample): Promise<InputShape | undefined> {
    if (videos?.length) return undefined;
    return { inputIds: Array.from(prompt, (letter) => letter.charCodeAt(0)), visuals: images.map(() => visual) };
  }
}

const visual = { kind: 'image', shape: [1, 3, 2, 2] } as const;
const image = Uint8Array.of(1, 2, 3);
const examples = [example('one', { 'a.png': image }), example('two', { 'a.png': image })];

describe('extractFeatures', () => {
  it('says what an example is where it is given none', async () => {
    const given = [{ images: ['x.png'], prompt: 'x' }] as never;
    await expect(extractFeatures(new FakeModel(), given)).rejects.toThrow('expected examples as readExamples gives');
  });

  it('runs the model once per example, and not at all for what the cache knows', async () => {
    const model = new FakeModel();
    const store = new MemoryFeatureStore();
    const first = await extractFeatures(model, examples, { store });
    expect(model.forwards).toBe(2);
    const progress: number[][] = [];
    const again = await extractFeatures(model, [...examples, example('three', { 'a.png': image })], {
      store,
      onProgress: (...state) => progress.push(state),
    });
    expect(model.forwards).toBe(3);
    expect(again.vectors.slice(0, 2)).toEqual(first.vectors);
    expect(progress).toEqual([
      [1, 3, 1],
      [2, 3, 2],
      [3, 3, 2],
    ]);
    expect(first).toMatchObject({ modelId: 'fake-model', nLayers: 2, nHeads: 2, dHead: 4 });
  });

  /** An example that writes down when its files are read. */
  const readable = (source: string, reads: string[], bytes = () => image) => {
    const loadImages = async () => {
      reads.push(source);
      return [bytes()];
    };
    return { ...example(source, { 'a.png': image }), loadImages };
  };

  it.each([['in a store'], ['without one']])('reads the files of an example once: %s', async (how) => {
    const reads: string[] = [];
    const read = (source: string) => readable(source, reads);
    const store = how === 'in a store' ? new MemoryFeatureStore() : undefined;
    await extractFeatures(new FakeModel(), [read('one'), read('two')], { store });
    expect(reads).toEqual(['one', 'two']);
    if (!store) return;
    await extractFeatures(new FakeModel(), [read('one'), read('two'), read('three')], { store });
    expect(reads).toEqual(['one', 'two', 'one', 'two', 'three']);
  });

  it('runs prompts of one length together, over the whole list, and gives vectors in its order', async () => {
    const model = new BatchModel();
    const prompts = Array.from({ length: 60 }, (_, i) => 'x'.repeat(1 + (i % 3)));
    const rows = prompts.map((prompt, i) => example(prompt, { 'a.png': Uint8Array.of(i) }));
    const done: number[] = [];
    const { vectors } = await extractFeatures(model, rows, { onProgress: (n) => done.push(n) });
    expect(model.runs).toEqual(
      Array(2)
        .fill([16, 16, 16])
        .flat()
        .map((n, i) => (i < 3 ? n : 4)),
    );
    expect(vectors).toEqual((await extractFeatures(new FakeModel(), rows)).vectors);
    expect(done).toEqual(prompts.map((_, i) => i + 1));
  });

  describe('with a shared prefix', () => {
    const other = Uint8Array.of(7);
    const rows = [
      example('what is it?', { 'a.png': image }),
      example('what is it', { 'b.png': other }),
      example('what is here?', { 'a.png': image }),
      example('is it green', { 'a.png': image }),
      example('what is there?', { 'again.png': image }),
    ];

    it('gives what begins alike to the model together, and the others as ever', async () => {
      const model = new SharingModel();
      const { vectors } = await extractFeatures(model, rows, { sharePrefix: true });
      expect(model.shared).toEqual([['what is it?', 'what is here?', 'what is there?']]);
      expect(model.runs).toEqual([1, 1]);
      expect(vectors).toEqual((await extractFeatures(new FakeModel(), rows)).vectors);
      expect(await extractFeatures(new SharingModel(), rows)).toMatchObject({ vectors });
    });

    it('decodes pictures once that follow one another', async () => {
      const model = new SharingModel();
      await extractFeatures(model, rows, { sharePrefix: true });
      expect(model.decoded).toEqual([undefined, 'what is it?', 'what is it?', undefined, undefined]);
    });

    it('shares a video, whose tokens are not known before, with what stands alone running as ever', async () => {
      const ofVideo = (prompt: string, clip: Uint8Array) => ({
        ...example(prompt, {}),
        loadVideos: async () => [{ frames: [clip] }],
      });
      const videos = [
        ofVideo('what is it?', image),
        ofVideo('who?', other),
        ofVideo('is it green?', image),
        example('who?', { 'a.png': other }),
        ofVideo('where?', image),
      ];
      const model = new SharingModel();
      const { vectors } = await extractFeatures(model, videos, { sharePrefix: true });
      expect(model.shared).toEqual([['what is it?', 'is it green?', 'where?']]);
      expect(model.runs).toEqual([1, 1]);
      expect(vectors).toEqual((await extractFeatures(new FakeModel(), videos)).vectors);
    });

    it('is kept apart from whole runs in a store, goes on where it was stopped, and computes none again', async () => {
      const store = new MemoryFeatureStore();
      await extractFeatures(new SharingModel(), rows, { store });
      expect(store.entries.size).toBe(5);
      const stop = new AbortController();
      const onProgress = (done: number) => {
        if (done === 1) stop.abort();
      };
      const options = { store, sharePrefix: true };
      const stopped = extractFeatures(new SharingModel(), rows, { ...options, signal: stop.signal, onProgress });
      await expect(stopped).rejects.toThrow('abort');
      expect(store.entries.size).toBe(8); // the group that had run
      const rest = new SharingModel();
      await extractFeatures(rest, rows, options);
      expect([rest.shared, rest.runs, store.entries.size]).toEqual([[], [1, 1], 10]);
      const none = new SharingModel();
      await extractFeatures(none, rows, options);
      await extractFeatures(none, rows, { store });
      expect(none.forwards).toBe(0);
    });

    it('names whose numbers are not finite', async () => {
      const model = new SharingModel();
      const run = model.headVectors.bind(model);
      model.headVectors = async (shown, options) => {
        if (shown.prompt === 'what is here?') throw new NotFiniteError('NaN');
        return run(shown, options);
      };
      const store = new MemoryFeatureStore();
      await expect(extractFeatures(model, rows, { sharePrefix: true, store })).rejects.toThrow(
        'memory:what is here?: NaN',
      );
      expect(store.entries.size).toBe(2);
    });

    it('is refused by a source that cannot, before anything runs', async () => {
      const model = new BatchModel();
      await expect(extractFeatures(model, rows, { sharePrefix: true })).rejects.toThrow(
        'sharePrefix: this source of head vectors has no decoder whose prefix could be shared (CLIP and SigLIP',
      );
      const bound = new SharingModel();
      bound.headVectorsSharingPrefix = async () => {
        throw new InputError('bound to edits');
      };
      await expect(extractFeatures(bound, rows.slice(0, 1), { sharePrefix: true })).rejects.toThrow('bound to edits');
      expect([model.forwards, bound.forwards]).toEqual([0, 0]);
    });
  });

  it('keeps and reports what is done of a list that fails or is stopped: the rest is all that is left', async () => {
    const rows = Array.from({ length: 40 }, (_, i) => example(`x${i % 2 ? 'y' : ''}`, { 'a.png': Uint8Array.of(i) }));
    const damaged = { ...rows[39], loadImages: async () => [Uint8Array.of(0)] };
    const model = new BatchModel();
    model.input = async (shown) => {
      if (shown.images[0][0] === 0 && shown.prompt === 'xy') throw new Error(`${shown.source}: damaged`);
      return shown;
    };
    const store = new MemoryFeatureStore();
    const failing = extractFeatures(model, [...rows.slice(0, 39), damaged], { store });
    await expect(failing).rejects.toThrow('memory:xy: damaged');
    expect(store.entries.size).toBe(36);
    expect(model.runs).toEqual([16, 16, 4]);

    const stop = new AbortController();
    const stopped = new MemoryFeatureStore();
    const onProgress = (n: number) => {
      if (n === 3) stop.abort();
    };
    const running = extractFeatures(new BatchModel(), rows, { store: stopped, signal: stop.signal, onProgress });
    await expect(running).rejects.toThrow('abort');
    expect(stopped.entries.size).toBe(16); // the batch that had run
    const rest = new BatchModel();
    await extractFeatures(rest, rows, { store: stopped });
    expect(rest.runs).toEqual([16, 4, 4]);
  });

  it('reads files again that there is no memory for, and refuses them where they have changed', async () => {
    const large = new Uint8Array(24 * 2 ** 20);
    const reads: string[] = [];
    const read = (source: string, changes = false) => ({
      ...example(source, { 'a.png': large }),
      loadImages: async () => {
        const again = reads.includes(source);
        reads.push(source);
        return [again && changes ? Uint8Array.of(1) : large];
      },
    });
    const model = new BatchModel();
    model.headVectors = async () => new Float32Array(16);
    await extractFeatures(
      model,
      ['a', 'b', 'c', 'd'].map((name) => read(name)),
    );
    expect(reads).toEqual(['a', 'b', 'c', 'd', 'c', 'd']);
    expect(model.runs).toEqual([4]);
    reads.length = 0;
    await expect(
      extractFeatures(
        model,
        ['a', 'b', 'c', 'd'].map((name) => read(name, name === 'd')),
      ),
    ).rejects.toThrow('memory:d: its files have changed since they were read first; read the data again');
  });

  it('reads an example that was looked at before once more, and not at all where the store has it', async () => {
    const scene = new Uint8Array(await readFile('test/fixtures/images/scene.png'));
    const reads: string[] = [];
    const store = new MemoryFeatureStore();
    for (const wanted of [['one', 'one'], ['one']]) {
      const looked = readable('one', reads, () => scene);
      expect(await findUnreadable([looked])).toEqual([]);
      const { contents } = await extractFeatures(new FakeModel(), [looked], { store });
      expect(contents).toEqual([await contentOf(readable('one', [], () => scene))]);
      expect(reads.splice(0)).toEqual(wanted);
    }
  });

  it('ends where files have changed between the look and the run', async () => {
    const model = new FakeModel();
    const store = new MemoryFeatureStore();
    let bytes = image;
    const changing = readable('one', [], () => bytes);
    await fingerprint(changing);
    bytes = Uint8Array.of(9);
    for (const options of [{ store }, {}])
      await expect(extractFeatures(model, [changing], options)).rejects.toThrow(
        'memory:one: its files have changed since they were read first; read the data again',
      );
    expect([store.entries.size, model.forwards]).toEqual([0, 0]);
  });

  it('keys depend on model, precision, layers, prompt and image content, and not on file names', async () => {
    const model = new FakeModel();
    const key = await featureKey(model, examples[0]);
    expect(await featureKey(model, example('one', { 'renamed.png': image }))).toBe(key);
    expect(await featureKey(model, examples[0], { maxLayer: 1 })).toBe(key);
    const others = [
      await featureKey(model, examples[1]),
      await featureKey(model, example('one', { 'a.png': Uint8Array.of(1, 2, 4) })),
      await featureKey(model, example('one', { 'a.png': image, 'b.png': image })),
      await featureKey(model, examples[0], { maxLayer: 0 }),
      await featureKey(model, examples[0], { sharePrefix: true }),
      await featureKey(Object.assign(new FakeModel(), { modelId: 'other' }), examples[0]),
      await featureKey(Object.assign(new FakeModel(), { precision: 'f16' }), examples[0]),
    ];
    expect(new Set([key, ...others]).size).toBe(8);
    expect(await featureKey(model, examples[0], { sharePrefix: false })).toBe(key);
  });

  it('keys depend on what videos show, and the model is shown it', async () => {
    const [a, b] = [Uint8Array.of(1), Uint8Array.of(2)];
    const clips: VideoSource<Uint8Array>[][] = [
      [],
      [{ file: a }],
      [{ file: b }],
      [{ frames: [a, b] }],
      [{ frames: [b, a] }],
      [{ frames: [a] }, { frames: [b] }],
      [{ frames: [a] }],
      [{ frames: [a], fps: 2 }],
    ];
    const of = (videos: VideoSource<Uint8Array>[]) => ({ ...example('one', {}), loadVideos: async () => videos });
    const keys = await Promise.all(clips.map((videos) => featureKey(new FakeModel(), of(videos))));
    expect(new Set(keys).size).toBe(clips.length);
    expect(await featureKey(new FakeModel(), of([{ name: 'renamed', file: a }]))).toBe(keys[1]);
    for (const videos of clips) expect((await show(of(videos))).videos).toEqual(videos);
  });

  it('maxLayer shortens the vectors', async () => {
    const features = await extractFeatures(new FakeModel(), examples, { maxLayer: 0 });
    expect(features.nLayers).toBe(1);
    expect(features.vectors[0]).toHaveLength(8);
    await expect(extractFeatures(new FakeModel(), examples, { maxLayer: 2 })).rejects.toThrow('from 0 to 1, got 2');
  });

  it('computes a corrupted entry again, says so, and repairs it', async () => {
    const model = new FakeModel();
    const store = new MemoryFeatureStore();
    const first = await extractFeatures(model, examples, { store });
    const key = await featureKey(model, examples[1]);
    store.entries.get(key)![60] ^= 1;
    const notices: string[] = [];
    const again = await extractFeatures(model, examples, { store, onNotice: (notice) => notices.push(notice) });
    expect(again.vectors).toEqual(first.vectors);
    expect(notices).toEqual([`feature cache entry ${key} fails its checksum; memory:two is computed again`]);
    await extractFeatures(model, examples, { store, onNotice: (notice) => notices.push(notice) });
    expect(notices).toHaveLength(1);
    expect(model.forwards).toBe(3);
  });

  it('refuses values that are not finite, and says where they are', async () => {
    const broken = new FakeModel();
    broken.headVectors = async () => Float32Array.from({ length: 16 }, (_, i) => (i === 13 ? Number.NaN : 0));
    await expect(extractFeatures(broken, examples)).rejects.toThrow(
      'memory:one: blocks.1.attn.hook_z, head 1, holds NaN',
    );
    broken.headVectors = async () => new Float32Array(15);
    await expect(extractFeatures(broken, examples)).rejects.toThrow(
      'memory:one: expected head vectors [2, 2, 4], the model returned 15',
    );
  });

  it('stops when told to', async () => {
    const stop = new AbortController();
    const model = new FakeModel();
    const running = extractFeatures(model, examples, { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(running).rejects.toThrow('abort');
    expect(model.forwards).toBe(1);
  });
});

describe('cache entries', () => {
  const shape = { nLayers: 1, nHeads: 2, dHead: 2 };
  const values = Float32Array.of(1.1, -0, 3e-40, 3.4e38);

  it('give back the same bits, wherever they lie in a buffer', async () => {
    const bytes = await encodeEntry(values, shape);
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(await decodeEntry(shifted.subarray(3), shape)).toEqual({ values });
    expect(await decodeEntry(Buffer.from(shifted).subarray(3), shape)).toEqual({ values });
  });

  it('name what is wrong with them', async () => {
    const bytes = await encodeEntry(values, shape);
    const problem = async (change: (bytes: Uint8Array) => Uint8Array, wanted = shape) => {
      const entry = await decodeEntry(change(bytes.slice()), wanted);
      return 'problem' in entry && entry.problem;
    };
    const set = (at: number) => (copy: Uint8Array) => copy.fill(9, at, at + 1);
    expect(await problem((copy) => copy.slice(0, 30))).toBe('is too short (30 bytes)');
    expect(await problem(set(0))).toBe('is not a feature entry (wrong magic)');
    expect(await problem(set(4))).toBe('has format version 9, this build reads 1');
    expect(await problem((copy) => copy, { ...shape, dHead: 3 })).toBe('has shape [1, 2, 2] instead of [1, 2, 3]');
    expect(await problem((copy) => copy.slice(0, -1))).toBe('has 67 bytes instead of 68');
    for (const at of [20, 51, 52, 67]) expect(await problem(set(at))).toBe('fails its checksum');
  });
});
