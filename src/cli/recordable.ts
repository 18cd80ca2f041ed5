// A model without its weights, and prompts of its: what commands record that run nothing.
import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { checkSpecs } from '../checkpoint/specs.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { readConfig } from '../model/families/read-config.ts';
import type { ModelInput } from '../model/input.ts';
import { unreadTensors, weightSpecs } from '../model/load-model.ts';
import type { Model } from '../model/model.ts';
import { dryModel } from '../model/plan/dry-run.ts';
import { storedFormat } from '../model/plan/price.ts';
import type { Size } from '../model/processor/anyres.ts';
import { Processor } from '../model/processor/processor.ts';
import type { Folder } from '../platform/types.ts';
import { UsageError } from './context.ts';
import type { ModelOptions } from './model.ts';

/** What `--tokens` and `--image-size` say of a prompt. */
export interface RecordedPrompt {
  imageSize?: Size;
  tokens?: number;
}

/** The model without its weights, of which the headers are read: their precision decides on kernels. */
export async function recordable(
  folder: Folder,
  { capabilities, tuning }: Pick<Gpu, 'capabilities' | 'tuning'>,
  { weights, kvCache }: Pick<ModelOptions, 'weights' | 'kvCache'>,
): Promise<Model> {
  const { config } = await readConfig(folder);
  const checkpoint = await openCheckpoint(folder);
  checkSpecs(checkpoint, weightSpecs(config), unreadTensors(config));
  return dryModel(config, storedFormat(checkpoint), capabilities, weights, kvCache, tuning);
}

/** @throws UsageError where both are given: before anything is opened. */
export function checkPrompt({ imageSize, tokens }: RecordedPrompt): void {
  if (imageSize && tokens) throw new UsageError('--image-size and --tokens are two kinds of prompt: give one');
}

/** So many tokens of text, or a question about a picture. */
export const recordedInput = async (
  model: Model,
  folder: Folder,
  { imageSize, tokens }: RecordedPrompt,
): Promise<ModelInput> => (tokens ? textOf(model, tokens) : promptOf(model, folder, imageSize));

/** Some ids that are no placeholders. */
function textOf({ config: { text, vision } }: Model, tokens: number): ModelInput {
  let id = 0;
  while (id === vision?.imageTokenId || id === vision?.videoTokenId) id++;
  if (tokens > text.maxPositions)
    throw new UsageError(`--tokens ${tokens}: this model has ${text.maxPositions} positions`);
  return { inputIds: new Int32Array(tokens).fill(id), visuals: [] };
}

async function promptOf({ config }: Model, folder: Folder, size?: Size): Promise<ModelInput> {
  const processor = await Processor.load(folder, config);
  if (size && !config.vision) throw new UsageError('--image-size: this model takes no images; give --tokens');
  const { width, height } = size ?? { width: 336, height: 336 };
  const images = config.vision ? [{ width, height, data: new Uint8Array(width * height * 3) }] : [];
  const question = 'What is in the image?';
  // A model without a chat template is asked as it is.
  const prompt = processor.hasChatTemplate
    ? processor.chat(images.length, question)
    : `${images.length ? processor.image!.text : ''}${question}`;
  return processor.prepare({ prompt, images });
}
