import { describe, expect, it } from 'vitest';
import { extraRow, keepText, splice } from '../../src/kernels/splice/splice.ts';
import { useGpu } from '../gpu.ts';
import { guarded, random, readGuarded } from './check.ts';

const gpu = useGpu();

describe('splice', () => {
  it.each([
    [1, 1, 1],
    [7, 3, 5],
    [65, 36, 128],
    [13, 13, 131],
  ])('of %i tokens and %i feature rows, %i wide', async (tokens, count, columns) => {
    const text = random(tokens * columns, 1);
    const features = random(count * columns, 2);
    // Features backwards and more than once, text between them, and one row that does not exist.
    const source = Uint32Array.from({ length: tokens }, (_, t) => (t % 3 === 1 ? keepText : count - 1 - (t % count)));
    if (tokens > 2) source[2] = count;
    const recorder = gpu().record('splice', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [tokens, columns]);
    splice(recorder, {
      text: recorder.input('text', 'f32', [tokens, columns], text),
      features: recorder.input('features', 'f32', [count, columns], features),
      source: recorder.input('source', 'u32', [tokens], source),
      label: 'splice',
      out,
    });
    const expected = Float32Array.from({ length: tokens * columns }, (_, i) => {
      const row = source[Math.floor(i / columns)];
      if (row === keepText) return text[i];
      return row < count ? features[row * columns + (i % columns)] : 0;
    });
    expect(await readGuarded(recorder, out)).toEqual(expected);
    gpu().destroy(out);
  });

  it.each([
    [8, 4, 16],
    [13, 5, 37],
  ])('puts the extra row among the features: %i tokens, %i feature rows, %i wide', async (tokens, count, columns) => {
    const [text, features, extra] = [tokens * columns, count * columns, columns].map((n, i) => random(n, i));
    // An image of two rows of two features, a newline after each, in the middle of text; rows 4 and on do not exist.
    const rows = [keepText, 0, 1, extraRow, 2, 3, extraRow, keepText];
    const source = Uint32Array.from({ length: tokens }, (_, t) => rows[t] ?? count + t);
    const run = async (withExtra: boolean) => {
      const recorder = gpu().record('splice', { bindToEnd: true });
      const out = guarded(gpu(), 'out', 'f32', [tokens, columns]);
      splice(recorder, {
        text: recorder.input('text', 'f32', [tokens, columns], text),
        features: recorder.input('features', 'f32', [count, columns], features),
        source: recorder.input('source', 'u32', [tokens], source),
        extra: withExtra ? recorder.input('newline', 'f32', [columns], extra) : undefined,
        label: 'splice',
        out,
      });
      const result = await readGuarded(recorder, out);
      gpu().destroy(out);
      return result;
    };
    const expected = (newline: Float32Array) =>
      Float32Array.from({ length: tokens * columns }, (_, i) => {
        const row = source[Math.floor(i / columns)];
        if (row === keepText) return text[i];
        if (row === extraRow) return newline[i % columns];
        return row < count ? features[row * columns + (i % columns)] : 0;
      });
    expect(await run(true)).toEqual(expected(extra));
    expect(await run(false)).toEqual(expected(new Float32Array(columns)));
  });

  it('names the tensor of the wrong shape', () => {
    const recorder = gpu().record('wrong');
    const text = recorder.temp('text', 'f32', [4, 8]);
    const features = recorder.temp('features', 'f32', [2, 6]);
    const source = recorder.temp('source', 'u32', [4]);
    expect(() => splice(recorder, { text, features, source, label: 'splice' })).toThrow(
      'features: expected [?,8], got [2,6] (in splice)',
    );
    const rest = { text, features: text, source, label: 'splice' };
    const extra = (dtype: 'f32' | 'f16', shape: number[]) => recorder.temp('newline', dtype, shape);
    expect(() => splice(recorder, { ...rest, extra: extra('f32', [1, 8]) })).toThrow(
      'newline: expected [8], got [1,8]',
    );
    expect(() => splice(recorder, { ...rest, extra: extra('f16', [8]) })).toThrow('newline: expected f32, got f16');
  });
});
