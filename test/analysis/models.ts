// The two checkpoints that test/reference/analysis.py has analysed, and its results.
import { afterAll, beforeAll } from 'vitest';
import { openFolder } from '#platform';
import type { ModelInput } from '../../src/model/input.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { type Expected, fixturePath, modelInput, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

export const analysed = ['checkpoints/llava-f32', 'families/qwen2-vl-f32'] as const;

export interface Analysed {
  readonly vlm: VisionLanguageModel;
  readonly clean: ModelInput;
  /** The same with the picture's negative. */
  readonly corrupted: ModelInput;
  expected(name: string): Expected;
  /** a, b of logit differences a - b, and another token. */
  readonly tokens: readonly number[];
}

/** One of them, loaded before a file's tests. */
export function useAnalysed(checkpoint: (typeof analysed)[number]): () => Analysed {
  const gpu = useGpu();
  let found: Analysed;
  beforeAll(async () => {
    const vlm = await VisionLanguageModel.load(await openFolder(fixturePath(checkpoint)), { gpu: gpu() });
    const stored = readTensors(`${checkpoint}/expected.safetensors`);
    const scene = [...stored].filter(([name]) => name.startsWith('scene/'));
    const clean = modelInput(new Map(scene.map(([name, value]) => [name.slice('scene/'.length), value])));
    const corrupted = {
      ...clean,
      visuals: clean.visuals.map((visual) => ({ ...visual, pixels: visual.pixels.map((x) => -x) })),
    };
    const results = readTensors(`analysis/${checkpoint.split('/')[1]}.safetensors`);
    const expected = (name: string) => {
      const value = results.get(name);
      if (!value) throw new Error(`no ${name} among the analyses of ${checkpoint}`);
      return value;
    };
    found = { vlm, clean, corrupted, expected, tokens: Array.from(expected('tokens').data) };
  });
  afterAll(() => found?.vlm.destroy());
  return () => found;
}
