import {
  type GenerationSettings,
  generationSettings,
  withSampling,
} from '../src/model/generation/generation-settings.ts';
import { scoreProcessors } from '../src/model/generation/score-processors.ts';
import type { VisionLanguageModel } from '../src/model/vision-language-model.ts';
import { type Expected, modelInput, readTensors } from './fixtures.ts';

/** Logits, and what transformers makes of them (test/reference/generation.py). */
export interface ScoreCase {
  readonly seed: number;
  readonly vocab: number;
  readonly spread: number;
  readonly prompt: number[];
  /** Generated so far. */
  readonly ids: number[];
  readonly ends: number[];
  /** Most new tokens. */
  readonly new: number;
  readonly settings: Record<string, unknown>;
  readonly cut: string;
  readonly nan: number;
  readonly sum: number;
}

export interface TextCase {
  readonly checkpoint: string;
  readonly input: string;
  readonly settings: Record<string, unknown>;
  readonly new: number;
  readonly ids: number[];
}

/** What ours makes of a case's logits, as the case has it of transformers'. */
export function scoresOf({ seed, vocab, spread, prompt, ids, ends, ...rest }: ScoreCase) {
  const draw = mulberry32(seed);
  const scores = Float32Array.from({ length: vocab }, () => (draw() - 0.5) * spread);
  const settings: GenerationSettings = withSampling(generationSettings(rest.settings, 'a case'), {});
  const run = { prompt, maxLength: prompt.length + rest.new, endTokens: new Set(ends), vocabSize: vocab };
  for (const process of scoreProcessors(settings, run).values()) process(scores, [...prompt, ...ids]);
  let cut = 0n;
  let nan = 0;
  let sum = 0;
  for (const [i, score] of scores.entries()) {
    if (score === Number.NEGATIVE_INFINITY) cut |= 1n << BigInt(i);
    else if (Number.isNaN(score)) nan++;
    else sum += Math.max(-1e9, Math.min(1e9, score)) * (i + 1);
  }
  return { cut: cut.toString(16), nan, sum };
}

const tensors = new Map<string, Map<string, Expected>>();

/** What transformers generated, without the end token that it returns too. */
export function wantedIds(model: VisionLanguageModel, { settings, ids }: TextCase): number[] {
  const { endTokens } = model.generationConfig.with(settings);
  return endTokens.has(ids.at(-1)!) ? ids.slice(0, -1) : ids;
}

/** What ours generates for a case. */
export async function greedyIds(
  model: VisionLanguageModel,
  { checkpoint, input, settings, new: maxNewTokens }: Omit<TextCase, 'ids'>,
): Promise<number[]> {
  const values = tensors.get(checkpoint) ?? readTensors(`${checkpoint}/expected.safetensors`);
  tensors.set(checkpoint, values);
  const own = [...values].filter(([name]) => name.startsWith(`${input}/`));
  const given = modelInput(new Map(own.map(([name, tensor]) => [name.slice(input.length + 1), tensor])));
  const ids: number[] = [];
  const options = { maxNewTokens, generationConfig: settings, onToken: (id: number) => ids.push(id) };
  for await (const _ of model.generate(given, options));
  return ids;
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
