import { z } from 'zod';
import type { Folder, RgbImage } from '../../platform/types.ts';
import { ConfigError, InputError } from '../errors.ts';
import { parse, readJson } from '../json.ts';
import { ChatTemplate, type ChatTemplateOptions, type Message } from './chat-template.ts';
import { type ImageProcessorConfig, type PixelValues, parseImageProcessor, processImage } from './image-processor.ts';
import { Tokenizer } from './tokenizer.ts';

/** What the model runs on. */
export interface ProcessedInput {
  /** Token ids after image-token expansion, [pos]. */
  readonly inputIds: Int32Array;
  /** Where each image's tokens are, in the order of the prompt. */
  readonly imageSpans: readonly ImageSpan[];
  /** One [3, height, width] array per image, normalised. */
  readonly pixelValues: readonly Float32Array[];
}

export interface ImageSpan {
  readonly start: number;
  readonly length: number;
}

export interface PrepareOptions {
  /** With an image token (`<image>`) where each image belongs. */
  readonly prompt: string;
  readonly images?: readonly RgbImage[];
  /**
   * Put the tokenizer's own tokens around the prompt. By default, unless the prompt begins with the
   * beginning-of-sequence token already (so does HF's `apply_chat_template`).
   */
  readonly addSpecialTokens?: boolean;
}

const tokens = z.int().min(0).max(1_000_000);
const processorSchema = z.looseObject({
  patch_size: tokens.min(1).nullish(),
  num_additional_image_tokens: tokens.nullish(),
  vision_feature_select_strategy: z.enum(['default', 'full']).nullish(),
  image_token: z.string().min(1).nullish(),
  image_processor: z.unknown().optional(),
});

const modelSchema = z.looseObject({
  vision_feature_select_strategy: z.enum(['default', 'full']).nullish(),
  image_token_index: tokens.nullish(),
  image_token_id: tokens.nullish(),
  // Without a patch_size, CLIP's own defaults: LLaVA's tower if there is no vision_config at all, CLIPVisionConfig's otherwise.
  vision_config: z.looseObject({ patch_size: tokens.min(1).default(32) }).prefault({ patch_size: 14 }),
});

/** How many tokens an image becomes. */
interface Expansion {
  readonly patchSize: number;
  /** Outputs of the tower that are no patches: CLIP's class token. */
  readonly additionalTokens: number;
  /** `default` drops the first output, the class token. */
  readonly strategy: 'default' | 'full';
}

/**
 * Prompt and images to what the model runs on (HF `LlavaProcessor`, transformers 5.18: same token ids, same pixel values).
 */
export class Processor {
  readonly tokenizer: Tokenizer;
  readonly imageConfig: ImageProcessorConfig;
  /** The text that stands for an image in a prompt, and its id. */
  readonly imageToken: string;
  readonly imageTokenId: number;
  readonly #chatTemplate: ChatTemplate | undefined;
  readonly #expansion: Expansion;
  readonly #location: string;

  private constructor(parts: {
    tokenizer: Tokenizer;
    imageConfig: ImageProcessorConfig;
    imageToken: string;
    imageTokenId: number;
    chatTemplate: ChatTemplate | undefined;
    expansion: Expansion;
    location: string;
  }) {
    this.tokenizer = parts.tokenizer;
    this.imageConfig = parts.imageConfig;
    this.imageToken = parts.imageToken;
    this.imageTokenId = parts.imageTokenId;
    this.#chatTemplate = parts.chatTemplate;
    this.#expansion = parts.expansion;
    this.#location = parts.location;
  }

  /**
   * Reads tokenizer.json, tokenizer_config.json, the image processor's settings, processor_config.json and the chat template
   * of a checkpoint; what older folders leave out of processor_config.json comes from config.json.
   * @throws ConfigError naming the file and every setting that is missing, wrong or not supported.
   */
  static async load(folder: Folder): Promise<Processor> {
    const processorJson = await readJson(folder, 'processor_config.json');
    const config = parse(processorSchema, processorJson ?? {}, 'processor_config.json');
    const model = parse(modelSchema, (await readJson(folder, 'config.json')) ?? {}, 'config.json');
    const tokenizer = await Tokenizer.load(folder);

    const imageToken = tokenizer.specialTokens.image_token ?? config.image_token ?? '<image>';
    const imageTokenId = tokenizer.requireId(imageToken);
    const expected = model.image_token_id ?? model.image_token_index;
    if (expected != null && expected !== imageTokenId)
      throw new ConfigError(
        `tokenizer.json: ${imageToken} is token ${imageTokenId}, config.json says ${expected} (${folder.location})`,
      );
    return new Processor({
      tokenizer,
      imageConfig: await loadImageProcessor(folder, config.image_processor),
      imageToken,
      imageTokenId,
      chatTemplate: await ChatTemplate.load(folder, { processorConfig: processorJson, tokenizer }),
      expansion: {
        patchSize: config.patch_size ?? model.vision_config.patch_size,
        additionalTokens: config.num_additional_image_tokens ?? 1,
        strategy: config.vision_feature_select_strategy ?? model.vision_feature_select_strategy ?? 'default',
      },
      location: folder.location,
    });
  }

  /** The prompt of one question about some images, as the checkpoint's chat template words it. */
  chat(images: number, text: string): string {
    const content = [
      ...Array.from({ length: images }, () => ({ type: 'image' }) as const),
      { type: 'text', text } as const,
    ];
    return this.applyChatTemplate([{ role: 'user', content }]);
  }

  /** Whether the checkpoint has a chat template. */
  get hasChatTemplate(): boolean {
    return this.#chatTemplate !== undefined;
  }

  /**
   * The prompt of a conversation.
   * @throws InputError where the checkpoint has no chat template or the template refuses the conversation.
   */
  applyChatTemplate(messages: readonly Message[], options?: ChatTemplateOptions): string {
    if (!this.#chatTemplate)
      throw new InputError(
        `${this.#location} has no chat template; write the prompt out, with ${this.imageToken} where an image belongs (--raw-prompt)`,
      );
    return this.#chatTemplate.render(messages, options);
  }

  /**
   * Token ids and pixel values of a prompt and its images.
   * @throws InputError if the image tokens in the prompt are not as many as the images.
   */
  prepare({ prompt, images = [], addSpecialTokens }: PrepareOptions): ProcessedInput {
    const segments = prompt.split(this.imageToken);
    const places = segments.length - 1;
    if (places !== images.length)
      throw new InputError(
        `the prompt has ${count(places, this.imageToken)}, but ${count(images.length, 'image')} came with it; write ${this.imageToken} once for each image`,
      );
    const processed = images.map((image) => processImage(image, this.imageConfig));
    const lengths = processed.map((pixels) => this.#tokensOf(pixels));
    const expanded = segments.map((text, i) => text + this.imageToken.repeat(lengths[i] ?? 0)).join('');
    const { bos_token: bos } = this.tokenizer.specialTokens;
    const ids = this.tokenizer.encode(expanded, {
      addSpecialTokens: addSpecialTokens ?? !(bos && prompt.startsWith(bos)),
    });
    return {
      inputIds: Int32Array.from(ids),
      imageSpans: this.#spans(ids, lengths),
      pixelValues: processed.map((pixels) => pixels.data),
    };
  }

  #tokensOf({ height, width }: PixelValues): number {
    const { patchSize, additionalTokens, strategy } = this.#expansion;
    const patches = Math.floor(height / patchSize) * Math.floor(width / patchSize);
    const n = patches + additionalTokens - (strategy === 'default' ? 1 : 0);
    if (n < 1)
      throw new InputError(
        `an image of ${width}x${height} pixels after processing has no patch of ${patchSize}; see ${this.#location}`,
      );
    return n;
  }

  #spans(ids: readonly number[], lengths: readonly number[]): ImageSpan[] {
    let at = 0;
    return lengths.map((length) => {
      const start = ids.indexOf(this.imageTokenId, at);
      at = start + length;
      return { start, length };
    });
  }
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 || what.startsWith('<') ? '' : 's'}`;

/** transformers 5 nests the settings in processor_config.json, which then goes before preprocessor_config.json. */
async function loadImageProcessor(folder: Folder, nested: unknown): Promise<ImageProcessorConfig> {
  if (nested !== undefined) return parseImageProcessor(nested, 'processor_config.json: image_processor');
  const json = await readJson(folder, 'preprocessor_config.json');
  if (json === undefined)
    throw new ConfigError(
      `preprocessor_config.json: not in ${folder.location}, and processor_config.json has no image_processor; download it with the checkpoint`,
    );
  return parseImageProcessor(json, 'preprocessor_config.json');
}
