import type { Folder, PixelSize, RgbImage, Video, VideoInfo } from '../../platform/types.ts';
import type { TextConfig } from '../config/text.ts';
import { ConfigError, InputError } from '../errors.ts';
import type { InputShape, ModelInput, Visual, VisualShape } from '../input.ts';
import { ChatTemplate, type ChatTemplateOptions, type ContentPart, type Message } from './chat-template.ts';
import { checkTextLength } from './text-length.ts';
import { Tokenizer } from './tokenizer.ts';
import { type Processing, ProcessorFiles, type VisualProcessor } from './visual-processor.ts';

/** A prompt, and the pictures that belong into it. */
export interface PrepareOptions {
  /** With a placeholder (such as `<image>`) where each image and each video belongs. */
  readonly prompt: string;
  /** In the order of their placeholders; decoded, or as the tower is shown them. */
  readonly images?: readonly (RgbImage | Visual)[];
  readonly videos?: readonly (Video | Visual)[];
  /**
   * Put the tokenizer's own tokens around the prompt. By default, unless the prompt begins with the
   * beginning-of-sequence token already (so does HF's `apply_chat_template`).
   */
  readonly addSpecialTokens?: boolean;
}

/** As `PrepareOptions`, with the sizes of images that are not decoded. */
export interface ShapeOptions extends Pick<PrepareOptions, 'prompt' | 'addSpecialTokens'> {
  readonly images?: readonly PixelSize[];
}

/** What stands for a picture in a prompt. */
export interface Placeholder {
  readonly text: string;
  readonly id: number;
}

/** More than any model has positions, and few enough to write out. */
const maxPlaceholders = 2 ** 20;

/** What a processor is told of its model: `parseConfig` gives it. */
export interface ProcessedModel {
  /** The class in transformers. */
  readonly className: string;
  readonly text: Pick<TextConfig, 'maxPositions'>;
  /** Absent in text-only decoders. */
  readonly vision?: {
    readonly processing: Processing;
    readonly imageTokenId: number;
    readonly videoTokenId?: number;
    /** Tokens that a visual stands for. */
    tokens(visual: VisualShape): number;
  };
}

interface Parts {
  readonly location: string;
  readonly model: ProcessedModel;
  readonly tokenizer: Tokenizer;
  readonly visuals: VisualProcessor | undefined;
  readonly image: Placeholder | undefined;
  readonly video: Placeholder | undefined;
  readonly chatTemplate: ChatTemplate | undefined;
}

/**
 * Prompt, images and videos to what the model runs on, as transformers 5.18's processors do it for each family
 * (../families/): same token ids, same pixel values.
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
  readonly #model: ProcessedModel;

  private constructor(parts: Parts) {
    this.tokenizer = parts.tokenizer;
    this.image = parts.image;
    this.video = parts.video;
    this.#visuals = parts.visuals;
    this.#chatTemplate = parts.chatTemplate;
    this.#location = parts.location;
    this.#model = parts.model;
  }

  /**
   * Reads tokenizer.json, tokenizer_config.json, the image and video processors' settings, processor_config.json and the
   * chat template of a checkpoint.
   * @param model its config.json, parsed.
   * @throws ConfigError naming the file and every setting that is missing, wrong or not supported.
   */
  static async load(folder: Folder, model: ProcessedModel): Promise<Processor> {
    const { vision } = model;
    const processing = vision?.processing;
    const files = await ProcessorFiles.read(folder);
    const tokenizer = await Tokenizer.load(folder, processing?.addTokens);
    return new Processor({
      location: folder.location,
      model,
      tokenizer,
      visuals: processing?.load(files),
      image:
        vision && placeholder('image', vision, vision.processing.imageToken, vision.imageTokenId, files, tokenizer),
      video:
        vision?.processing.videoToken === undefined
          ? undefined
          : placeholder('video', vision, vision.processing.videoToken, vision.videoTokenId, files, tokenizer),
      chatTemplate: await ChatTemplate.load(folder, {
        processorConfig: files.processor,
        tokenizer,
        ofFamily: processing?.chatTemplate,
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
    const say = (content: Message['content']) => this.applyChatTemplate([{ role: 'user', content }]);
    if (this.#visuals) return say(content);
    const joined = this.#textOf(content);
    // Templates of text models join strings; those that go through parts refuse them.
    try {
      return say(joined);
    } catch (refusal) {
      try {
        return say([{ type: 'text', text: joined }]);
      } catch {
        throw refusal;
      }
    }
  }

  /** Whether the checkpoint has a chat template. */
  get hasChatTemplate(): boolean {
    return this.#chatTemplate !== undefined;
  }

  /**
   * The prompt of a conversation.
   * @throws InputError where the checkpoint has no chat template or the template refuses the conversation, and for texts
   *   of more than 128 characters for each of the model's positions (and more than 100,000).
   */
  applyChatTemplate(messages: readonly Message[], options?: ChatTemplateOptions): string {
    if (!this.#chatTemplate)
      throw new InputError(
        `${this.#location} has no chat template; write the prompt out${this.image ? `, with ${this.image.text} where an image belongs` : ''} (--raw-prompt)`,
      );
    let length = 0;
    for (const { content } of messages)
      for (const part of typeof content === 'string' ? [{ type: 'text', text: content } as const] : content)
        if (part.type === 'text') length += part.text.length;
    this.#checkLength('the conversation', length);
    return this.#chatTemplate.render(messages, options);
  }

  #checkLength(what: string, length: number): void {
    checkTextLength(what, length, this.#model.text.maxPositions);
  }

  #textOf(parts: readonly ContentPart[]): string {
    return parts.map((part) => (part.type === 'text' ? part.text : this.#refuse(part.type))).join('');
  }

  /** Which frames of a video file the family takes. @throws InputError for a model that takes no videos. */
  sampleFrames(info: VideoInfo): number[] {
    return this.#visuals?.sampleFrames?.(info) ?? this.#refuse('video');
  }

  /** An image as the tower is shown it. @param among so many images of one prompt. @throws InputError for a text model. */
  show(image: RgbImage, among: number): Visual {
    return this.#visuals?.image(image, among) ?? this.#refuse('image');
  }

  /**
   * Token ids and pixel values of a prompt, its images and its videos.
   * @throws InputError if the placeholders in the prompt are not as many as the images and videos, and for a prompt of more
   *   than 128 characters for each of the model's positions (and more than 100,000).
   */
  prepare({ prompt, images = [], videos = [], addSpecialTokens }: PrepareOptions): ModelInput {
    const left = { images: [...images], videos: [...videos] };
    return this.#layOut({ prompt, images: images.length, videos: videos.length, addSpecialTokens }, (kind) =>
      kind === 'image'
        ? asVisual(left.images.shift()!, (image) => this.show(image, images.length))
        : asVisual(left.videos.shift()!, (video) => this.#visuals!.video!(video)),
    );
  }

  /**
   * What `prepare` gives of a prompt and images of these sizes, without the pixels.
   * @throws InputError as it does.
   */
  shape({ prompt, images = [], addSpecialTokens }: ShapeOptions): InputShape {
    const left = [...images];
    const visual = () => this.#visuals?.imageShape(left.shift()!, images.length) ?? this.#refuse('image');
    return this.#layOut({ prompt, images: images.length, videos: 0, addSpecialTokens }, visual);
  }

  /** @param next the next visual of a kind, in the order of the prompt. */
  #layOut<V extends VisualShape>(
    given: { prompt: string; images: number; videos: number; addSpecialTokens?: boolean },
    next: (kind: Visual['kind']) => V,
  ): { inputIds: Int32Array; visuals: V[] } {
    const { prompt, images, videos, addSpecialTokens } = given;
    this.#checkLength('the prompt', prompt.length);
    const pieces = split(prompt, [this.image?.text, this.video?.text]);
    this.#checkCount(pieces, 'image', images);
    this.#checkCount(pieces, 'video', videos);
    const visuals: V[] = [];
    let placeholders = 0;
    const expanded = pieces.map((piece) => {
      if (piece !== this.image?.text && piece !== this.video?.text) return piece;
      const visual = next(piece === this.image?.text ? 'image' : 'video');
      visuals.push(visual);
      const tokens = this.tokens(visual);
      placeholders += tokens;
      if (placeholders > maxPlaceholders)
        throw new InputError(
          `the pictures of the prompt take more than ${maxPlaceholders} tokens; give fewer or smaller ones`,
        );
      return piece.repeat(tokens);
    });
    const { bos_token: bos } = this.tokenizer.specialTokens;
    const ids = this.tokenizer.encode(expanded.join(''), {
      addSpecialTokens: addSpecialTokens ?? !(bos && prompt.startsWith(bos)),
    });
    return { inputIds: Int32Array.from(ids, (id) => this.#modelId(id)), visuals };
  }

  /** Tokens that a visual stands for in a prompt. */
  tokens(visual: VisualShape): number {
    return this.#model.vision?.tokens(visual) ?? this.#refuse(visual.kind);
  }

  /**
   * What black and white become, by channel: the way back from pixel values to colours, whatever the checkpoint's mean and
   * deviation are.
   * @throws InputError for a model that takes no pictures.
   */
  get blackAndWhite(): readonly [black: readonly number[], white: readonly number[]] {
    const shown = (value: number) => {
      const side = 64;
      const data = new Uint8Array(side * side * 3).fill(value);
      const { pixels, shape } = this.#visuals?.image({ width: side, height: side, data }, 1) ?? this.#refuse('image');
      // The middle of each channel of the first crop, or of a patch: [crops, 3, height, width] or [patches, 3 * …].
      const planes = shape.length === 4 ? shape[2] * shape[3] : shape[1] / 3;
      const middle = shape.length === 4 ? Math.floor(shape[2] / 2) * shape[3] + Math.floor(shape[3] / 2) : 0;
      return [0, 1, 2].map((c) => pixels[c * planes + middle]);
    };
    return [shown(0), shown(255)];
  }

  /** The model's id of a token: a tokenizer of the original repositories may know placeholders under ids of its own. */
  #modelId(id: number): number {
    if (id === this.image?.id) return this.#model.vision!.imageTokenId;
    return id === this.video?.id ? (this.#model.vision!.videoTokenId ?? id) : id;
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
      `${this.#location}: ${this.#model.className} takes ${takes}, but ${kind === 'image' ? 'an image' : 'a video'} was given`,
    );
  }
}

const asVisual = <T extends RgbImage | Video>(picture: T | Visual, show: (picture: T) => Visual): Visual =>
  'pixels' in picture ? picture : show(picture);

/**
 * What stands for pictures in a prompt, or undefined where an older tokenizer does not know videos.
 * @throws ConfigError where the tokenizer lacks images, or numbers a placeholder other than config.json.
 */
function placeholder(
  kind: Visual['kind'],
  { processing }: { readonly processing: Processing },
  usual: string,
  expected: number | undefined,
  { processor, location }: ProcessorFiles,
  tokenizer: Tokenizer,
): Placeholder | undefined {
  const text = tokenizer.specialTokens[`${kind}_token`] ?? processor[`${kind}_token`] ?? usual;
  if (kind === 'video' && tokenizer.id(text) === undefined) return undefined;
  const id = tokenizer.requireId(text);
  // Where the family adds tokens, config.json does not speak of the tokenizer's ids.
  if (expected !== undefined && expected !== id && !processing.addTokens)
    throw new ConfigError(`tokenizer.json: ${text} is token ${id}, config.json says ${expected} (${location})`);
  return { text, id };
}

/** The text cut around the marks; the marks are pieces of their own. */
function split(text: string, marks: readonly (string | undefined)[]): string[] {
  const patterns = marks
    .filter((mark) => mark !== undefined)
    .map((mark) => mark.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  return patterns.length ? text.split(new RegExp(`(${patterns.join('|')})`)) : [text];
}
