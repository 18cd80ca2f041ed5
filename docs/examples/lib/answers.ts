// What the examples ask the model, and how they read its answers. Colours and shapes are one token each, so the likeliest
// next token is the whole answer.
import type { Activation, ModelInput, VisionLanguageModel } from 'headlight-vlm';
import { draw, type Scene, type Thing } from './scenes.ts';

export interface Query {
  readonly input: ModelInput;
  /** The token that is right. */
  readonly answer: number;
}

export const ask = ({ processor }: VisionLanguageModel, scene: Scene, question: string): ModelInput =>
  processor.prepare({ prompt: processor.chat(1, question), images: [draw(scene)] });

export const askColor = (model: VisionLanguageModel, scene: Scene, { shape, color }: Thing): Query => ({
  input: ask(model, scene, `What color is the ${shape}?`),
  answer: wordId(model, color),
});

export const askShape = (model: VisionLanguageModel, scene: Scene, { shape, color }: Thing): Query => ({
  input: ask(model, scene, `What shape is the ${color} object?`),
  answer: wordId(model, shape),
});

/** @throws Error for a word of several tokens. */
export function wordId({ processor }: VisionLanguageModel, word: string): number {
  const ids = processor.tokenizer.encode(word, { addSpecialTokens: false });
  if (ids.length !== 1) throw new Error(`${word} is ${ids.length} tokens`);
  return ids[0];
}

/** Where in the prompt the picture's 36 patches begin; they stand together, row by row. */
export const firstPatch = ({ config }: VisionLanguageModel, { inputIds }: ModelInput): number =>
  Array.from(inputIds).indexOf(config.vision!.imageTokenId);

/** The likeliest token. */
export function likeliest({ data }: Activation): number {
  let best = 0;
  for (let i = 1; i < data.length; i++) if (data[i] > data[best]) best = i;
  return best;
}

/** Natural log of a token's probability. */
export function logProbability(logits: Activation, id: number): number {
  const { data } = logits;
  const most = data[likeliest(logits)];
  return data[id] - most - Math.log(data.reduce((sum, x) => sum + Math.exp(x - most), 0));
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
