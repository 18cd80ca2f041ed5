import type { Family } from './family.ts';
import { llava } from './llava.ts';
import { llavaNext } from './llava-next.ts';
import { llavaOnevision } from './llava-onevision.ts';
import { qwen2Vl, qwen25Vl } from './qwen2-vl.ts';

/** By config.json's `model_type`; undefined where a model reads text only. */
export const families: ReadonlyMap<string, Family | undefined> = new Map([
  ['llava', llava],
  ['llava_next', llavaNext],
  ['llava_onevision', llavaOnevision],
  ['qwen2_vl', qwen2Vl],
  ['qwen2_5_vl', qwen25Vl],
  ['llama', undefined],
  ['mistral', undefined],
  ['qwen2', undefined],
]);
