// What runs return: parts of activations, names of kinds, several prompts in one run.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/model/errors.ts';
import { Activation, ActivationCache } from '../../src/model/run/activations.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';
import { open, type Subject } from './subject.ts';

describe('Activation', () => {
  const shape = [2, 3, 4];
  const whole = new Activation(
    Float32Array.from({ length: 24 }, (_, i) => i),
    shape,
  );

  it('gives parts by the indices of the first axes, negative ones from the end, without a copy', () => {
    for (let a = -2; a < 2; a++)
      for (let b = -3; b < 3; b++)
        for (let c = -4; c < 4; c++) {
          const at = (((a + 2) % 2) * 3 + ((b + 3) % 3)) * 4 + ((c + 4) % 4);
          expect(whole.at(a, b, c)).toEqual(new Activation(Float32Array.of(at), []));
          expect(whole.at(a).at(b).at(c).data[0]).toBe(at);
        }
    expect(whole.at(1, -1)).toEqual(new Activation(Float32Array.of(20, 21, 22, 23), [4]));
    expect(whole.at(1).shape).toEqual([3, 4]);
    expect(whole.at()).toEqual(whole);
    expect(whole.at(1).data.buffer).toBe(whole.data.buffer);
  });

  it.each([[[2]], [[-3]], [[0, 3]], [[0, 0, 0.5]], [[Number.NaN]], [[0, 0, 0, 0]]])('refuses %j', (indices) => {
    expect(() => whole.at(...indices)).toThrow(InputError);
    expect(() => whole.at(...indices)).toThrow(`at(${indices.join(', ')}): `);
  });
});

describe('ActivationCache', () => {
  it('names kinds, and says what is there', () => {
    const kinds = {
      'attn.hook_z': 'z',
      'attn.hook_q': 'q',
      'attn.hook_k': 'k',
      'attn.hook_v': 'v',
      'attn.hook_attn_scores': 'scores',
      'attn.hook_pattern': 'pattern',
      'attn.hook_result': 'result',
      hook_resid_pre: 'residPre',
      hook_resid_mid: 'residMid',
      hook_resid_post: 'residPost',
      hook_attn_out: 'attnOut',
      hook_mlp_out: 'mlpOut',
    } as const;
    const names = Object.keys(kinds).flatMap((name) => [`blocks.3.${name}`, `vision.blocks.1.${name}`]);
    const cache = new ActivationCache(
      [...names, 'logits'].map((name, i) => [name, new Activation(Float32Array.of(i), [1])]),
    );
    for (const [name, kind] of Object.entries(kinds)) {
      expect(cache[kind](3)).toBe(cache.get(`blocks.3.${name}`));
      expect(cache[kind](1, 'vision')).toBe(cache.get(`vision.blocks.1.${name}`));
      expect(() => cache[kind](2)).toThrow(`blocks.2.${name} is not in this cache: ask for it by namesFilter`);
    }
    expect(cache.logits).toBe(cache.get('logits'));
    expect(() => new ActivationCache().z(0)).toThrow('there are none');
    expect(() => cache.at('hook_embed')).toThrow(/there are blocks\.3\.attn\.hook_z, .*, 20 more$/);
  });
});

const gpu = useGpu();
describe('several prompts in one run', () => {
  let s: Subject;
  beforeAll(async () => {
    s = await open(gpu(), 'checkpoints/llava-f32', 'scene');
  });
  afterAll(() => s?.loaded.destroy());

  it('have an axis of their own, and each what it has alone', async () => {
    const { model } = s.loaded;
    const other = { ...s.input, visuals: s.input.visuals.map((v) => ({ ...v, pixels: v.pixels.map((x) => -x) })) };
    const namesFilter = ['blocks.*', 'logits', 'vision.hook_embed', 'hook_embed'];
    const inputs = [s.input, other, s.input];
    const together = await model.runWithCache(inputs, { namesFilter, posSlice: [2, 9] });
    for (const [b, input] of inputs.entries()) {
      const alone = await model.runWithCache(input, { namesFilter, posSlice: [2, 9] });
      for (const [name, { data, shape }] of alone) {
        if (name.startsWith('vision')) continue;
        expect(together.at(name).shape, name).toEqual([3, ...shape]);
        expect(relativeError(together.at(name).at(b).data, data), name).toBeLessThan(1e-5);
      }
      const tower = alone.at('vision.hook_embed');
      expect(relativeError(together.at('vision.hook_embed').at(b).data, tower.data)).toBeLessThan(1e-5);
    }
    const first = (name: string, b: number) => together.at(name).at(b).data;
    expect(relativeError(first('blocks.1.attn.hook_z', 1), first('blocks.1.attn.hook_z', 0))).toBeGreaterThan(0.01);
    expect((await model.runWithCache([s.input], { namesFilter: 'logits', posSlice: -1 })).logits.shape).toHaveLength(3);
  });

  it('must be as long', async () => {
    const { model } = s.loaded;
    const short = { inputIds: [5, 7], visuals: [] };
    await expect(model.runWithCache([s.input, short])).rejects.toThrow('tokens cannot run as one batch');
    await expect(model.runWithCache([])).rejects.toThrow(InputError);
  });

  it('say what takes most, where it is too much', async () => {
    const small = s.loaded.model.with({ maxResultBytes: 1000 });
    await expect(small.runWithCache(s.input)).rejects.toThrow(
      /bytes, more than 1000 \([\w.*]+ [\d.]+ MB, [\w.*]+ [\d.]+ MB, [\w.*]+ [\d.]+ MB\): ask for fewer names, give posSlice/,
    );
  });
});
