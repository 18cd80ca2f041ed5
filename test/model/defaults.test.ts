// A setting that config.json leaves out is what the HF class assumes: an empty file means the same as all of its defaults
// written out (test/reference/defaults.py).
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/model/families/index.ts';
import { readJsonFixture } from '../fixtures.ts';

type Json = Record<string, unknown>;

const defaults = readJsonFixture<Record<string, Json>>('defaults.json');
const towers = Object.keys(defaults).filter((name) => name.endsWith('_vision_model'));

/** What the defaults alone contradict each other in. */
const needed: Readonly<Record<string, Json>> = {
  llava: { text_config: { vocab_size: 32064 } }, // the image token is 32000
  llava_next: { text_config: { vocab_size: 32064 } },
  qwen2_vl: { vision_config: { hidden_size: 8192 } }, // the decoder's width
  qwen2_5_vl: { vision_config: { out_hidden_size: 8192 } },
};

function merged(config: Json, change: Json): Json {
  const parts = Object.entries(change).map(([key, value]) => [key, { ...(config[key] as Json), ...(value as Json) }]);
  return { ...config, ...Object.fromEntries(parts) };
}

function described(config: Json) {
  const { text, vision } = parseConfig(config);
  return { text, vision: vision?.config };
}

it.each(Object.keys(defaults).filter((name) => !towers.includes(name)))('%s', (name) => {
  const change = needed[name] ?? {};
  const empty = described({ model_type: name, ...change });
  expect(empty).toEqual(described({ model_type: name, ...merged(defaults[name], change) }));
  expect(empty.text.mropeSections).toEqual(name.startsWith('qwen2_') ? [16, 24, 24] : undefined);
});

it.each(towers)('%s', (model_type) => {
  const llava = (vision_config: Json) => described({ model_type: 'llava', ...needed.llava, vision_config });
  expect(llava({ model_type })).toEqual(llava(defaults[model_type]));
});
