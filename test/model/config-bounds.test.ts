// A config.json may say anything: every setting that something is counted by has a bound, and is refused by name at once.

import { describe, expect, it } from 'vitest';
import { f32 } from '../../src/gpu/formats/f32.ts';
import { ConfigError } from '../../src/model/errors.ts';
import { parseConfig, parseDualConfig } from '../../src/model/families/index.ts';
import { weightSpecs } from '../../src/model/load-model.ts';
import { dryModel } from '../../src/model/plan/dry-run.ts';
import { readJsonFixture } from '../fixtures.ts';

type Json = Record<string, unknown>;

const families = [
  'checkpoints/llava-f32',
  'families/next-llama-f16',
  'families/onevision-f32',
  'families/qwen2-vl-f32',
  'families/qwen2_5-vl-f32',
  'families/mistral-text-bf16',
  'families/clip-f32',
  'families/siglip-f32',
];
const counted = [
  ...['num_hidden_layers', 'depth', 'num_attention_heads', 'num_key_value_heads', 'num_heads', 'hidden_size'],
  ...['intermediate_size', 'vocab_size', 'max_position_embeddings', 'image_size', 'patch_size', 'embed_dim'],
  ...['head_dim', 'spatial_merge_size', 'temporal_patch_size', 'window_size', 'projection_dim', 'sliding_window'],
];
const wrong = [1e6, 2e4, 1e9, 1e300, 0, -1, 1.5, '12', [], {}, true];

/** Every way to put a value in the place of a counted setting. */
function* changes(json: Json, path: string[] = []): Generator<{ path: string[]; change: (value: unknown) => Json }> {
  for (const [key, value] of Object.entries(json)) {
    const at = [...path, key];
    const change = (replaced: unknown): Json => ({ ...json, [key]: replaced });
    if (counted.includes(key)) yield { path: at, change };
    else if (typeof value === 'object' && value !== null && !Array.isArray(value))
      for (const inner of changes(value as Json, at))
        yield { path: inner.path, change: (v) => change(inner.change(v)) };
  }
}

describe('a config of settings that nothing has', () => {
  it.each(families)('%s is read or refused at once', (name) => {
    const json = readJsonFixture<Json>(`${name}/config.json`);
    const isDual = /clip|siglip/.test(name);
    let [refused, read] = [0, 0];
    for (const { path, change } of changes(json))
      for (const value of wrong) {
        const started = performance.now();
        try {
          const changed = change(value);
          if (isDual) parseDualConfig(changed, 'config.json');
          else {
            const config = parseConfig(changed, 'config.json');
            weightSpecs(config);
            dryModel(config, f32);
          }
          read++;
        } catch (e) {
          expect(e, `${path.join('.')} = ${JSON.stringify(value)}`).toBeInstanceOf(ConfigError);
          expect((e as Error).message).toMatch(/^config\.json: /);
          refused++;
        }
        expect(performance.now() - started, `${path.join('.')} = ${JSON.stringify(value)}`).toBeLessThan(10_000);
      }
    expect(refused).toBeGreaterThan(2 * read);
  });

  it.each([
    ['llava-f32', 'model_type'],
    ['llava-f32', 'projector_hidden_act'],
    ['llava-f32', 'text_config.model_type'],
    ['llava-f32', 'text_config.hidden_act'],
    ['llava-f32', 'vision_config.model_type'],
    ['llava-f32-original', 'mm_projector_type'],
    ['llava-f32-original', 'image_aspect_ratio'],
  ])('%s: a megabyte in %s makes no message of a megabyte', (name, path) => {
    const folder = name.endsWith('original') ? 'families' : 'checkpoints';
    const json = structuredClone(readJsonFixture<Json>(`${folder}/${name}/config.json`));
    const keys = path.split('.');
    const last = keys.pop()!;
    let part = json;
    for (const key of keys) part = part[key] as Json;
    part[last] = 'x'.repeat(1_000_000);
    const message = (() => {
      try {
        parseConfig(json, 'config.json');
        return 'none';
      } catch (e) {
        return (e as Error).message;
      }
    })();
    expect(message).toContain(`xxx… (1000002 characters)`);
    expect(message.length).toBeLessThan(2000);
  });

  it.each([1e6, 20_000])('%i layers are named', (layers) => {
    const json = readJsonFixture<{ text_config: Json }>('checkpoints/llava-f32/config.json');
    const text_config = { ...json.text_config, num_hidden_layers: layers };
    expect(() => parseConfig({ ...json, text_config }, 'config.json')).toThrow(
      /^config\.json: text_config\.num_hidden_layers: .*1000/,
    );
  });
});
