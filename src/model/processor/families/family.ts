import { z } from 'zod';
import type { Folder, RgbImage, Video, VideoInfo } from '../../../platform/types.ts';
import { ConfigError } from '../../errors.ts';
import type { Visual } from '../../input.ts';
import { parse, readJson } from '../../json.ts';
import type { Settings } from '../settings.ts';
import type { NewToken } from '../tokenizer.ts';

/** What a family of models does to the pictures of a prompt. To add a family is to add one to `table.ts`. */
export interface Family {
  /** The texts that stand for an image and a video in a prompt, unless the checkpoint's files say otherwise. */
  readonly imageToken: string;
  readonly videoToken?: string;
  /** Tokens that the tokenizer is given where it lacks them. */
  readonly addTokens?: readonly NewToken[];
  /** Where only tokenizer_config.json has a chat template, this one is taken instead: that one knows no pictures. */
  readonly chatTemplate?: string;
  /** @throws ConfigError naming the file and every setting that is missing, wrong or not supported. */
  load(files: ProcessorFiles): VisualProcessor;
}

/** Pictures to what the model is shown, for one checkpoint. */
export interface VisualProcessor {
  /** @param among how many images the prompt has. */
  image(image: RgbImage, among: number): Visual;
  /** Absent where the family takes no videos. */
  video?(video: Video): Visual;
  /** Which frames of a video file to take. */
  sampleFrames?(info: VideoInfo): number[];
}

const count = z.int().min(0).max(1_000_000);
const strategy = z.enum(['default', 'full']);
const token = z.string().min(1);

/** processor_config.json, as far as any family reads it. */
const processorSchema = z.looseObject({
  patch_size: count.min(1).nullish(),
  num_additional_image_tokens: count.nullish(),
  num_image_tokens: count.min(1).nullish(),
  vision_feature_select_strategy: strategy.nullish(),
  vision_aspect_ratio: z.string().nullish(),
  image_token: token.nullish(),
  video_token: token.nullish(),
  image_processor: z.unknown().optional(),
  video_processor: z.unknown().optional(),
  chat_template: z.unknown().optional(),
});

/** A checkpoint's files that say how pictures are processed, read once. */
export class ProcessorFiles {
  readonly location: string;
  /** config.json, not checked. */
  readonly config: unknown;
  readonly processor: z.output<typeof processorSchema>;
  readonly #preprocessor: unknown;
  readonly #videoPreprocessor: unknown;

  private constructor(location: string, config: unknown, processor: unknown, preprocessor: unknown, video: unknown) {
    this.location = location;
    this.config = config;
    this.processor = parse(processorSchema, processor ?? {}, 'processor_config.json');
    this.#preprocessor = preprocessor;
    this.#videoPreprocessor = video;
  }

  static async read(folder: Folder, config: unknown): Promise<ProcessorFiles> {
    const names = ['processor_config.json', 'preprocessor_config.json', 'video_preprocessor_config.json'];
    const [processor, image, video] = await Promise.all(names.map((name) => readJson(folder, name)));
    return new ProcessorFiles(folder.location, config, processor, image, video);
  }

  /** transformers 5 nests the settings in processor_config.json, which then goes before preprocessor_config.json. */
  get image(): Settings {
    if (this.processor.image_processor !== undefined)
      return { json: this.processor.image_processor, file: 'processor_config.json: image_processor' };
    if (this.#preprocessor === undefined)
      throw new ConfigError(
        `preprocessor_config.json: not in ${this.location}, and processor_config.json has no image_processor; download it with the checkpoint`,
      );
    return { json: this.#preprocessor, file: 'preprocessor_config.json' };
  }

  /** Where there are none for videos, those for images. */
  get video(): Settings {
    if (this.processor.video_processor !== undefined)
      return { json: this.processor.video_processor, file: 'processor_config.json: video_processor' };
    if (this.#videoPreprocessor !== undefined)
      return { json: this.#videoPreprocessor, file: 'video_preprocessor_config.json' };
    return this.image;
  }
}
