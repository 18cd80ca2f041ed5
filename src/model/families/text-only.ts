import * as s from '../../base/schema.ts';
import { Settings } from '../config/settings.ts';
import { parseText } from '../config/text.ts';
import type { Family } from './family.ts';

const classNames: Readonly<Record<string, string>> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
};

/** Decoders without a tower: SAVs and hooks on text. */
export const textOnly: Family = {
  name: 'text only',
  modelTypes: Object.keys(classNames),
  parse(json, file) {
    const settings = new Settings(file);
    const { model_type: modelType } = settings.read(s.looseObject({ model_type: s.string() }), json);
    const text = parseText(settings, json, '', { modelType });
    settings.finish();
    return { family: this.name, className: classNames[modelType], text };
  },
};
