import { z } from 'zod';
import type { Folder, RgbImage, Video, VideoInfo } from '../../platform/types.ts';
import { ConfigError, InputError } from '../errors.ts';
import type { ModelInput, Visual } from '../input.ts';
import { parse, readJson } from '../json.ts';
import { ChatTemplate, type ChatTemplateOptions, type ContentPart, type Message } from './chat-template.ts';
import { type Family, ProcessorFiles, type VisualProcessor } from './families/family.ts';
import { familyOf } from './families/table.ts';
import { Tokenizer } from './tokenizer.ts';

export interface PrepareOptions {
  /** With a placeholder (such as `<image>`) where each image and each video belongs. */
  readonly prompt: string;
  /** In the order of their placeholders. */
  readonly images?: readonly RgbImage[];
  readonly videos?: readonly Video[];
  /**
   * Put the tokenizer's own tokens around the prompt. By default, unless the prompt begins with the
   * beginning-of-sequence token already (so does HF's `apply_chat_template`).
   */
  readonly addSpecialTokens?: boolean;
}

/** What stands for a picture in a prompt. */
export interface Placeholder {
  readonly text: string;
  readonly id: number;
}

const tokenId = z.int().nullish();
const modelSchema = z.looseObject({
  model_type: z.string(),
  image_token_index: tokenId,
  image_token_id: tokenId,
  video_token_index: tokenId,
  video_token_id: tokenId,
});

/** More than any model has positions, and few enough to write out. */
const maxPlaceholders = 2 ** 20;

interface Parts {
  readonly location: string;
  readonly modelType: string;
  readonly tokenizer: Tokenizer;
  readonly visuals: VisualProcessor | undefined;
  readonly image: Placeholder | undefined;
  readonly video: Placeholder | undefined;
  readonly chatTemplate: ChatTemplate | undefined;
}

/**
 * Prompt, images and videos to what the model runs on, as transformers 5.18's processors do it for the families in
 * families/table.ts: same token ids, same pixel values.
 */
export class Processor {
  readonly tokenizer: Tokenizer;
  /** What stands for an image in a prompt; undefined for a model that reads text only. */
  readonly image: Placeholder | undefined;
  /** What stands for a video; undefined for a model that takes none. */
  readonly video: Placeholder | undefined;
  readonly #visuals: VisualProcessor | undefined;
  readonly #chatTemplate: ChatTemplate | undefined;
  readonly #location: string;
  readonly #modelType: string;

  private constructor(parts: Parts) {
    this.tokenizer = parts.tokenizer;
    this.image = parts.image;
    this.video = parts.video;
    this.#visuals = parts.visuals;
    this.#chatTemplate = parts.chatTemplate;
    this.#location = parts.location;
    this.#modelType = parts.modelType;
  }

  /**
   * Reads config.json, tokenizer.json, tokenizer_config.json, the image and video processors' settings,
   * processor_config.json and the chat template of a checkpoint.
   * @throws ConfigError naming the file and every setting that is missing, wrong or not supported.
   */
  static async load(folder: Folder): Promise<Processor> {
    const config = (await readJson(folder, 'config.json')) ?? {};
    const model = parse(modelSchema, config, 'config.json');
    const family = familyOf(config, model.model_type);
    const files = await ProcessorFiles.read(folder, config);
    const tokenizer = await Tokenizer.load(folder, family?.addTokens);
    // where the family adds tokens, the tokenizer has the last word on their ids
    const expected = family?.addTokens
      ? {}
      : {
          image: model.image_token_id ?? model.image_token_index,
          video: model.video_token_id ?? model.video_token_index,
        };
    return new Processor({
      location: folder.location,
      modelType: model.model_type,
      tokenizer,
      visuals: family?.load(files),
      ...findPlaceholders(family, files, tokenizer, expected),
      chatTemplate: await ChatTemplate.load(folder, {
        processorConfig: files.processor,
        tokenizer,
        ofFamily: family?.chatTemplate,
      }),
    });
  }

  /** The prompt of one question about some images, as the checkpoint's chat template words it. */
  chat(images: number, text: string): string;
  /** The prompt of one message of text, images and videos in any order. */
  chat(parts: readonly ContentPart[]): string;
  chat(parts: number | readonly ContentPart[], text = ''): string {
    const content: readonly ContentPart[] =
      typeof parts === 'number'
        ? [...Array<ContentPart>(parts).fill({ type: 'image' }), { type: 'text', text }]
        : parts;
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
        `${this.#location} has no chat template; write the prompt out${this.image ? `, with ${this.image.text} where an image belongs` : ''} (--raw-prompt)`,
      );
    // Templates of text models join strings and know no parts.
    const worded = this.#visuals ? messages : messages.map((m) => ({ ...m, content: this.#textOf(m) }));
    return this.#chatTemplate.render(worded, options);
  }

  #textOf({ content }: Message): string {
    if (typeof content === 'string') return content;
    return content.map((part) => (part.type === 'text' ? part.text : this.#refuse(part.type))).join('');
  }

  /** Which frames of a video file the family takes. @throws InputError for a model that takes no videos. */
  sampleFrames(info: VideoInfo): number[] {
    return this.#visuals?.sampleFrames?.(info) ?? this.#refuse('video');
  }

  /**
   * Token ids and pixel values of a prompt, its images and its videos.
   * @throws InputError if the placeholders in the prompt are not as many as the images and videos.
   */
  prepare({ prompt, images = [], videos = [], addSpecialTokens }: PrepareOptions): ModelInput {
    const pieces = split(prompt, [this.image?.text, this.video?.text]);
    this.#checkCount(pieces, 'image', images.length);
    this.#checkCount(pieces, 'video', videos.length);
    const visuals: Visual[] = [];
    let placeholders = 0;
    const left = { images: [...images], videos: [...videos] };
    const expanded = pieces.map((piece) => {
      if (piece !== this.image?.text && piece !== this.video?.text) return piece;
      const visual =
        piece === this.image?.text
          ? this.#visuals!.image(left.images.shift()!, images.length)
          : this.#visuals!.video!(left.videos.shift()!);
      visuals.push(visual);
      placeholders += visual.tokens;
      if (placeholders > maxPlaceholders)
        throw new InputError(
          `the pictures of the prompt become more than ${maxPlaceholders} tokens; give fewer or smaller ones`,
        );
      return piece.repeat(visual.tokens);
    });
    const { bos_token: bos } = this.tokenizer.specialTokens;
    const ids = this.tokenizer.encode(expanded.join(''), {
      addSpecialTokens: addSpecialTokens ?? !(bos && prompt.startsWith(bos)),
    });
    return { inputIds: Int32Array.from(ids), visuals };
  }

  #checkCount(pieces: readonly string[], kind: Visual['kind'], given: number): void {
    const placeholder = this[kind];
    if (!placeholder) {
      if (given > 0) this.#refuse(kind);
      return;
    }
    const { text } = placeholder;
    const places = pieces.filter((piece) => piece === text).length;
    if (places !== given)
      throw new InputError(
        `the prompt has ${places} ${text}, but ${given} ${kind}${given === 1 ? '' : 's'} came with it; write ${text} once for each ${kind}`,
      );
  }

  #refuse(kind: Visual['kind']): never {
    const takes = this.image ? 'images and text only' : 'text only';
    throw new InputError(
      `${this.#location}: a model of type ${this.#modelType} takes ${takes}, but ${kind === 'image' ? 'an image' : 'a video'} was given`,
    );
  }
}

/** What stands for pictures in a prompt. @throws ConfigError where the tokenizer and config.json number them differently. */
function findPlaceholders(
  family: Family | undefined,
  { processor, location }: ProcessorFiles,
  tokenizer: Tokenizer,
  expected: { readonly image?: number | null; readonly video?: number | null },
) {
  const checked = (text: string, id: number, inConfig?: number | null): Placeholder => {
    if (inConfig != null && inConfig !== id)
      throw new ConfigError(`tokenizer.json: ${text} is token ${id}, config.json says ${inConfig} (${location})`);
    return { text, id };
  };
  const { image_token, video_token } = tokenizer.specialTokens;
  const imageText = family && (image_token ?? processor.image_token ?? family.imageToken);
  const videoText = family?.videoToken && (video_token ?? processor.video_token ?? family.videoToken);
  // a tokenizer may be older than the family's videos
  const videoId = videoText ? tokenizer.id(videoText) : undefined;
  return {
    image: imageText ? checked(imageText, tokenizer.requireId(imageText), expected.image) : undefined,
    video: videoText && videoId !== undefined ? checked(videoText, videoId, expected.video) : undefined,
  };
}

/** The text cut around the marks; the marks are pieces of their own. */
function split(text: string, marks: readonly (string | undefined)[]): string[] {
  const patterns = marks
    .filter((mark) => mark !== undefined)
    .map((mark) => mark.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  return patterns.length ? text.split(new RegExp(`(${patterns.join('|')})`)) : [text];
}
