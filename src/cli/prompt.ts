// One prompt with its images, for the commands that run one.

import type { Command } from 'commander';
import { readFileBytes } from '#platform';
import type { ModelInput } from '../model/input.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import type { Context } from './context.ts';
import { collect, type ModelOptions, openModel, withCommonOptions } from './model.ts';

export interface PromptOptions extends ModelOptions {
  image?: string[];
  prompt: string;
  rawPrompt?: boolean;
}

export function withPromptOptions(command: Command): Command {
  return withCommonOptions(command)
    .requiredOption('--prompt <text>', 'the question; wrapped in the checkpoint’s chat template')
    .option('--image <file>', 'an image; give it again for several', collect)
    .option('--raw-prompt', 'take the prompt as it is: it holds <image> itself');
}

/** Reads the images before the model, so that a misspelt name costs no loading. */
export async function openPrompt(
  context: Context,
  options: PromptOptions,
): Promise<{ model: VisionLanguageModel; input: ModelInput }> {
  const { image = [], prompt, rawPrompt: raw } = options;
  const images = await Promise.all(image.map((file) => readFileBytes(file)));
  const model = await openModel(context, options);
  return { model, input: await model.input({ images, imageNames: image, prompt, raw }) };
}
