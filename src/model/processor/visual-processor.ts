import * as s from '../../base/schema.ts';
import type { Folder, PixelSize, RgbImage, Video, VideoInfo } from '../../platform/types.ts';
import { parse, readJson } from '../config/json.ts';
import { ConfigError } from '../errors.ts';
import type { Visual, VisualShape } from '../input.ts';
import type { Settings } from './settings.ts';
import type { NewToken } from './tokenizer.ts';

/** How a family's prompts name pictures, and what is done to these. */
export interface Processing {
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
  /** What `image` gives of a picture of this size, without the pixels. @throws InputError as it does. */
  imageShape(size: PixelSize, among: number): VisualShape;
  /** Absent where the family takes no videos. */
  video?(video: Video): Visual;
  /** Which frames of a video file to take. */
  sampleFrames?(info: VideoInfo): number[];
}

const token = s.string(1);

/**
 * processor_config.json, as far as it is read. How many tokens an image becomes follows from config.json alone: HF's models
 * stop where processor_config.json counts otherwise.
 */
const processorSchema = s.looseObject({
  image_token: s.nullish(token),
  video_token: s.nullish(token),
  image_processor: s.optional(s.unknown()),
  video_processor: s.optional(s.unknown()),
  chat_template: s.optional(s.unknown()),
});

/** A checkpoint's files that say how pictures are processed, read once. */
export class ProcessorFiles {
  readonly location: string;
  readonly processor: s.InferOutput<typeof processorSchema>;
  readonly #preprocessor: unknown;
  readonly #videoPreprocessor: unknown;

  private constructor(location: string, processor: unknown, preprocessor: unknown, video: unknown) {
    this.location = location;
    this.processor = parse(processorSchema, processor ?? {}, 'processor_config.json');
    this.#preprocessor = preprocessor;
    this.#videoPreprocessor = video;
  }

  static async read(folder: Folder): Promise<ProcessorFiles> {
    const names = ['processor_config.json', 'preprocessor_config.json', 'video_preprocessor_config.json'];
    const [processor, image, video] = await Promise.all(names.map((name) => readJson(folder, name)));
    return new ProcessorFiles(folder.location, processor, image, video);
  }

  /** transformers 5 nests the settings in processor_config.json, which then goes before preprocessor_config.json. */
  get image(): Settings {
    const found = this.imageIfThere;
    if (!found)
      throw new ConfigError(
        `preprocessor_config.json: not in ${this.location}, and processor_config.json has no image_processor; download it with the checkpoint`,
      );
    return found;
  }

  get imageIfThere(): Settings | undefined {
    if (this.processor.image_processor !== undefined)
      return { json: this.processor.image_processor, file: 'processor_config.json: image_processor' };
    return this.#preprocessor === undefined
      ? undefined
      : { json: this.#preprocessor, file: 'preprocessor_config.json' };
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
