import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import type { Recorder } from '../../src/gpu/recorder.ts';
import { generationConfig } from '../../src/model/generation/generation-config.ts';
import { describeGeneration } from '../../src/model/generation/generation-report.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import type { Folder } from '../../src/platform/types.ts';
import { fixturePath, modelInput, readJsonFixture, readTensors } from '../fixtures.ts';
import { greedyIds, type TextCase, wantedIds } from '../generation.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const texts = readJsonFixture<TextCase[]>('generation/texts.json');

describe.each([...new Set(texts.map(({ checkpoint }) => checkpoint))])('%s', (checkpoint) => {
  let model: VisionLanguageModel;
  beforeAll(async () => {
    model = await VisionLanguageModel.load(await openFolder(fixturePath(checkpoint)), { gpu: gpu() });
  });
  afterAll(() => model?.destroy());

  it('greedy text under generation_config.json’s settings is transformers’', async () => {
    const own = texts.filter((text) => text.checkpoint === checkpoint);
    expect(own.length).toBeGreaterThan(5);
    for (const text of own) expect(await greedyIds(model, text), JSON.stringify(text)).toEqual(wantedIds(model, text));
  });
});

describe('the file of a checkpoint', () => {
  const folder = 'checkpoints/llava-f32';
  const values = readTensors(`${folder}/expected.safetensors`);
  const text = modelInput(new Map([['input_ids', values.get('text/input_ids')!]]));
  const [plain, banned] = [{}, { suppress_tokens: [100] }].map((settings) => ({
    ...{ checkpoint: folder, input: 'text', new: 4 },
    settings,
  }));

  /** The fixture with another generation_config.json, or none. */
  async function load(file: object | undefined, config: object = {}): Promise<VisionLanguageModel> {
    const disk = await openFolder(fixturePath(folder));
    const files = new Map<string, string | undefined>([['generation_config.json', file && JSON.stringify(file)]]);
    const json = JSON.parse(new TextDecoder().decode(await disk.read('config.json')));
    files.set('config.json', JSON.stringify({ ...json, ...config }));
    const bytes = (name: string) => new TextEncoder().encode(files.get(name));
    const changed: Folder = {
      location: 'there',
      has: async (name) => (files.has(name) ? files.get(name) !== undefined : disk.has(name)),
      size: async (name) => (files.has(name) ? bytes(name).length : disk.size(name)),
      read: async (name, ...range) => (files.has(name) ? bytes(name).slice(...range) : disk.read(name, ...range)),
    };
    return VisionLanguageModel.load(changed, { gpu: gpu() });
  }
  async function use<T>(model: VisionLanguageModel, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } finally {
      model.destroy();
    }
  }

  it('holds in generate and in answers, is overridden by options, and without it texts are chosen on the GPU', async () => {
    const model = await load({ eos_token_id: 2, do_sample: true, top_k: 1, max_new_tokens: 3 });
    await use(model, async () => {
      const ids = await greedyIds(model, plain);
      const suppressed = await greedyIds(model, { ...plain, settings: { suppress_tokens: ids.slice(0, 1) } });
      expect(suppressed[0]).not.toBe(ids[0]);
      // A file's sampling: of one candidate here, then of all.
      const sampled = async (options: object) => {
        const drawn: number[] = [];
        for await (const _ of model.generate(text, { ...options, onToken: (id) => drawn.push(id) }));
        return drawn;
      };
      expect(await sampled({})).toEqual(ids.slice(0, 3)); // max_new_tokens
      expect(await sampled({ maxNewTokens: 4 })).toEqual(ids);
      expect(await sampled({ temperature: 0, maxNewTokens: 4 })).toEqual(ids);
      const warm = { temperature: 50, topK: 0, maxNewTokens: 4 };
      expect(await sampled({ ...warm, seed: 1 })).not.toEqual(await sampled({ ...warm, seed: 2 }));
      // Answers are greedy, with the rest.
      const ask = { images: [], prompt: 'How many?' };
      const answer = (settings?: Record<string, unknown>) =>
        model.answers([ask, ask], { maxNewTokens: 3, labels: ['yes'], generationConfig: settings });
      const [first, second] = await answer();
      expect(first.text).toBe(second.text);
      const own: number[] = [];
      const input = await model.input(ask);
      for await (const _ of model.generate(input, { temperature: 0, onToken: (id) => own.push(id) }));
      const [other] = await answer({ suppress_tokens: own });
      expect(other.text).not.toBe(first.text);
      expect(other.labelScores).toEqual(first.labelScores);
    });
  });

  it('reads logits back only where something needs them', async () => {
    const model = await load({ eos_token_id: 2, repetition_penalty: 1, renormalize_logits: true, max_length: 4096 });
    const read = async (of: typeof plain) => {
      const record = gpu().record.bind(gpu());
      const runs: Recorder[] = [];
      gpu().record = (...args) => {
        runs.push(record(...args));
        return runs.at(-1)!;
      };
      try {
        await greedyIds(model, of);
      } finally {
        gpu().record = record;
      }
      return Math.max(...runs.map((run) => run.resultBytes));
    };
    await use(model, async () => {
      expect(await read(plain)).toBe(4);
      expect(await read(banned)).toBe(4 * model.config.text.vocabSize);
    });
  });

  it('may be config.json in old checkpoints, whose defaults are no wishes', async () => {
    const model = await load(undefined, { max_length: 20, temperature: 1, suppress_tokens: [7], top_k: 50 });
    model.destroy();
    expect(model.generationConfig.values).toEqual({ suppress_tokens: [7] });
  });

  it('is refused when text is generated, not when the checkpoint is loaded', async () => {
    const model = await load({ eos_token_id: 2, num_beams: 4 });
    await use(model, async () => {
      const beams = /^there\/generation_config.json: num_beams 4 is not supported: beam search; take it out/;
      await expect(model.generate(text).next()).rejects.toThrow(beams);
      await expect(model.answers([], { maxNewTokens: 1, labels: [] })).rejects.toThrow(beams);
      expect(await greedyIds(model, { ...plain, settings: { num_beams: null } })).toHaveLength(4);
      const short = { num_beams: 1, max_length: 5 };
      await expect(model.generate(text, { generationConfig: short }).next()).rejects.toThrow(
        /max_length 5, and the prompt alone has 18 tokens: give maxNewTokens/,
      );
    });
  });
});

describe('generation_config.json', () => {
  const settings = (values: object) => generationConfig({}, values, 'llama', 'here').settings();

  it.each([
    [{ repitition_penalty: 2 }, /repitition_penalty is no setting of transformers’ generate/],
    [{ guidance_scale: 2 }, /guidance_scale 2 is not supported: classifier-free guidance/],
    [{ penalty_alpha: 0.6 }, /contrastive search/],
    [{ stop_strings: ['.'], watermarking_config: {} }, /stop_strings .* watermarking_config/],
    [{ cache_implementation: 'quantized' }, /quantised cache/],
    [{ repetition_penalty: 0 }, /repetition_penalty: /],
    [{ repetition_penalty: '1.2' }, /repetition_penalty: .*expected number/],
    [{ do_sample: true, temperature: 0 }, /temperature 0 with do_sample/],
    [{ bad_words_ids: [] }, /bad_words_ids: /],
    [{ suppress_tokens: [5], forced_eos_token_id: 5 }, /forced_eos_token_id \[5\] is also in suppress_tokens/],
  ])('%j is refused by name', (values, message) => {
    expect(() => settings(values)).toThrow(message);
    expect(() => settings(values)).toThrow(/^here\/generation_config.json: /);
  });

  it('takes what changes no text', () => {
    const harmless = { num_beams: 1, use_cache: false, transformers_version: '4.31.0', _from_model_config: true };
    expect(settings({ ...harmless, penalty_alpha: 0.6, top_k: 1, guidance_scale: null })).toEqual({ top_k: 1 });
  });

  it('is told as it applies', () => {
    const told = (values: object) => describeGeneration(generationConfig({}, values, 'llama', 'here'), 1000).text;
    expect(told({})).toBe('greedy; ends at token 2');
    expect(told({ temperature: 0.5, repetition_penalty: 1.2 })).toBe(
      'greedy with repetition_penalty 1.2, chosen on the CPU (4000 bytes a token are read back); ends at token 2',
    );
    expect(told({ do_sample: true, temperature: 0.5 })).toMatch(
      /^sampled with temperature 0.5, top_k 50, chosen on the CPU/,
    );
    expect(told({ num_beams: 2 })).toMatch(/^generate refuses: here\/generation_config.json: num_beams 2/);
  });
});
