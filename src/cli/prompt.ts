// One prompt with its pictures, for the commands that run one.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { readFileBytes } from '#platform';
import type { ModelInput } from '../model/input.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import type { VideoSource } from '../platform/types.ts';
import { type Context, UsageError } from './context.ts';
import { type InterventionOptions, readInterventions, withInterventionOptions } from './interventions.ts';
import { collect, type ModelOptions, openModel, withCommonOptions } from './model.ts';

export interface PictureOptions {
  image?: string[];
  video?: string[];
}

export interface PromptOptions extends ModelOptions, PictureOptions, InterventionOptions {
  prompt: string;
  rawPrompt?: boolean;
}

export function withPictureOptions(command: Command): Command {
  return command
    .option('--image <file>', 'an image; give it again for several', collect)
    .option('--video <path>', 'a video file (ffmpeg must be on the PATH), or a folder with its frames', collect);
}

export function withPromptOptions(command: Command): Command {
  return withInterventionOptions(withPictureOptions(withCommonOptions(command)))
    .requiredOption(
      '--prompt <text>',
      'the question; <image> and <video> in it say where the pictures belong; the checkpoint’s chat template wraps it',
    )
    .option(
      '--raw-prompt',
      'use the prompt as it is, without the chat template; it holds the checkpoint’s own placeholders',
    );
}

/**
 * The model bound to the edits and kernels of the command line, and the prompt. Their files are read before the model, so that a
 * misspelt name costs no loading.
 */
export async function openPrompt(
  context: Context,
  options: PromptOptions,
): Promise<{ model: VisionLanguageModel; input: ModelInput }> {
  const { prompt, rawPrompt: raw } = options;
  const pictures = await readPictures(options);
  const interventions = await readInterventions(options);
  const model = (await openModel(context, options)).with(interventions);
  return { model, input: await model.input({ ...pictures, prompt, raw }) };
}

export async function readPictures({ image = [], video = [] }: PictureOptions) {
  return {
    images: await Promise.all(image.map((file) => readFileBytes(file))),
    imageNames: image,
    videos: await Promise.all(video.map(readVideo)),
  };
}

/** A file, or a folder of images in the order of their names (frame-2 before frame-10). */
async function readVideo(path: string): Promise<VideoSource<Uint8Array>> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory();
  if (!isFolder) return { name: path, file: await readFileBytes(path) };
  const files = (await readdir(path)).filter((name) => /\.(png|jpe?g|webp|gif)$/i.test(name));
  if (!files.length) throw new UsageError(`${path}: no images in it; --video takes a video file or a folder of frames`);
  files.sort(new Intl.Collator('en', { numeric: true }).compare);
  return { name: path, frames: await Promise.all(files.map((name) => readFileBytes(join(path, name)))) };
}
