import { expect, it } from 'vitest';
import { openFolder } from '#platform';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { bits } from './subject.ts';

const gpu = useGpu();
const wgsl = '@compute @workgroup_size(64) fn main() {}';

it.each(['checkpoints/llava-f32', 'families/onevision-f32', 'families/qwen2_5-vl-f32'])(
  '%s: kept pictures do not run the tower again, and change no bit',
  async (checkpoint) => {
    const model = await VisionLanguageModel.load(await openFolder(fixturePath(checkpoint)), { gpu: gpu() });
    const image = { width: 50, height: 40, data: Uint8Array.from({ length: 6000 }, (_, i) => (37 * i) % 256) };
    const input = await model.input({ prompt: 'What is this?', images: [image] });
    const names = ['blocks.*.attn.hook_z', 'logits'];
    const edits = {
      none: [],
      decoder: [{ at: 'blocks.0.attn.hook_z', heads: [1], scale: 0 }],
      merged: [{ at: 'hook_merged_embed', scale: 0.5 }],
      tower: [{ at: 'vision.blocks.0.hook_resid_post', scale: 0.5 }],
    };
    const all = async () => {
      const found: Record<string, string> = {};
      for (const [name, list] of Object.entries(edits)) {
        const cache = await model.with({ edits: list }).runWithCache(input, { namesFilter: names, posSlice: -1 });
        found[name] = [...cache.values()].map(({ data }) => bits(data)).join();
      }
      found.text = '';
      for await (const piece of model.generate(input, { maxNewTokens: 3 })) found.text += piece;
      return found;
    };
    const ofTower = (of: VisionLanguageModel, namesFilter: string | string[]) =>
      of
        .recorded([input], { namesFilter })
        .recorded.filter(({ label }) => /^(vision|projector|multi_modal|visual)/.test(label)).length;
    const before = await all();
    expect(new Set(Object.values(before)).size).toBe(5);
    const whole = ofTower(model, 'logits');
    expect(whole).toBeGreaterThan(5);

    // Of the model as it is, whatever is bound to what keeps them.
    const free = await model.with({ edits: edits.tower }).keepPictures(input);
    expect(ofTower(model, 'logits')).toBe(0);
    expect(await all()).toEqual(before);
    expect(await all()).toEqual(before); // an edit leaves what is kept as it is
    expect(ofTower(model.with({ edits: edits.tower }), 'logits')).toBeGreaterThanOrEqual(whole);
    expect(ofTower(model, ['logits', 'hook_embed'])).toBe(whole);
    expect(ofTower(model.with({ kernels: { rmsNorm: { name: 'mine.wgsl', wgsl } } }), 'logits')).toBeGreaterThanOrEqual(
      whole,
    );
    expect(model.recorded([{ ...input }], { namesFilter: 'logits' }).recorded.length).toBeGreaterThan(whole);
    free();
    expect(ofTower(model, 'logits')).toBe(whole);
    expect((await all()).none).toBe(before.none);
    model.destroy();
  },
);
