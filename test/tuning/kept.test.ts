import { describe, expect, it } from 'vitest';
import { guaranteed } from '../../src/gpu/dry-gpu.ts';
import type { KeptTexts } from '../../src/platform/types.ts';
import { keepTuning, keptTuning } from '../../src/tuning/kept.ts';

class MemoryTexts implements KeptTexts {
  readonly texts = new Map<string, string>();
  async get(key: string) {
    return this.texts.get(key);
  }
  async put(key: string, text: string) {
    this.texts.set(key, text);
  }
  location(key: string) {
    return `memory/${key}`;
  }
}

const adapter = { ...guaranteed, vendor: 'a vendor', architecture: 'its first', description: 'driver 1' };
const choices = { matmul: { 'rows up to 16, n 40, k 28, format f32': 'tile 8x4' } };

describe('choices of kernels', () => {
  it('are kept for an adapter with its driver', async () => {
    const store = new MemoryTexts();
    expect(await keptTuning(adapter, { store })).toBeUndefined();
    const location = await keepTuning(adapter, choices, { store });
    expect(location).toMatch(/^memory\/0\.1\.0-[0-9a-f]{16}$/);
    expect([...store.texts.keys()]).toEqual([location.slice('memory/'.length)]);
    expect(await keptTuning(adapter, { store })).toEqual(choices);
    expect(await keptTuning({ ...adapter, description: 'driver 2' }, { store })).toBeUndefined();
    const others = { attention: { x: 'tile 4' } };
    await expect(keepTuning(adapter, others, { store })).resolves.toBe(location); // in the place of the first
    await expect(keptTuning(adapter, { store })).rejects.toThrow(
      `${location}: "choices", "attention", "x": expected one`,
    );
  });

  it('are not used from another version, which is told', async () => {
    const store = new MemoryTexts();
    const notices: string[] = [];
    await keepTuning(adapter, choices, { store });
    const [[key, text]] = store.texts;
    store.texts.set(key, text.replace('"0.1.0"', '"9.9.9"'));
    expect(await keptTuning(adapter, { store, onNotice: (message) => notices.push(message) })).toBeUndefined();
    expect(notices).toEqual([`memory/${key} is of version "9.9.9" and not used; tune again (headlight tune)`]);
  });

  it.each<[string, (text: string) => string, string]>([
    ['no JSON', (text) => text.slice(9), 'not JSON ('],
    ['of another kind', (text) => text.replace('-tuning', ''), 'not what headlight tune keeps'],
    ['of another adapter', (text) => text.replace('driver 1', 'driver 2'), 'it is of another adapter, "driver 2"'],
    ['an unknown candidate', (text) => text.replace('tile 8x4', 'rm -rf'), '"choices", "matmul", "rows up to 16'],
    ['an unknown operation', (text) => text.replace('matmul', 'softmax'), '"choices": Unrecognized key: "softmax"'],
    ['too long', (text) => text + ' '.repeat(2 ** 20), 'characters are too many'],
  ])('are refused where what is kept is %s, with the way out', async (_, change, problem) => {
    const store = new MemoryTexts();
    await keepTuning(adapter, choices, { store });
    const [[key, text]] = store.texts;
    store.texts.set(key, change(text));
    const error = await keptTuning(adapter, { store }).catch((e: Error) => e.message);
    expect(error).toContain(problem);
    expect(error).toContain(`memory/${key}: `);
    expect(error).toMatch(/delete it and tune again \(headlight tune\), or run without it \(--no-tuning\)$/);
  });
});
