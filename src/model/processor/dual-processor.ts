import type { Folder, RgbImage } from '../../platform/types.ts';
import type { TextTowerConfig } from '../config/text-tower.ts';
import { InputError } from '../errors.ts';
import type { Visual } from '../input.ts';
import { type ImageProcessorConfig, parseImageProcessor, processImage } from './image-processor.ts';
import { checkTextLength } from './text-length.ts';
import { Tokenizer } from './tokenizer.ts';
import { ProcessorFiles } from './visual-processor.ts';

/** A text as the text tower takes it. */
export interface TokenizedText {
  readonly ids: readonly number[];
  /** Tokens that the text had beyond what the tower takes; they were cut off, as was asked for. */
  readonly cut: number;
}

/** What a processor is told of its encoder: `parseDualConfig` gives it. */
export interface ProcessedEncoder {
  readonly text: Pick<TextTowerConfig, 'maxPositions'>;
  readonly family: {
    readonly name: string;
    /** The class of the image processor, where its file names none. */
    readonly imageProcessor: 'CLIPImageProcessor' | 'SiglipImageProcessor';
    /** A text as the tokenizer is given it. */
    writtenAs(text: string): string;
    /** Every text is filled up to the tower's positions with the padding token. */
    readonly padsTexts: boolean;
  };
}

/**
 * Images and texts to what the towers of a dual encoder run on (HF `CLIPProcessor` with `padding=True`, `SiglipProcessor`
 * with `padding="max_length"`).
 */
export class DualProcessor {
  readonly tokenizer: Tokenizer;
  readonly imageConfig: ImageProcessorConfig;
  readonly #config: ProcessedEncoder;
  /** What fills up texts, where the family does that. */
  readonly #padId: number | undefined;

  private constructor(tokenizer: Tokenizer, imageConfig: ImageProcessorConfig, config: ProcessedEncoder) {
    this.tokenizer = tokenizer;
    this.imageConfig = imageConfig;
    this.#config = config;
    this.#padId = config.family.padsTexts
      ? tokenizer.requireId(tokenizer.specialTokens.pad_token ?? '</s>')
      : undefined;
  }

  /** @throws ConfigError naming the file and every setting that is missing, wrong or not supported. */
  static async load(folder: Folder, config: ProcessedEncoder): Promise<DualProcessor> {
    const { image } = await ProcessorFiles.read(folder);
    const images = parseImageProcessor(image, config.family.imageProcessor);
    return new DualProcessor(await Tokenizer.load(folder), images, config);
  }

  /** A picture as the image tower takes it: resized, cropped, normalised. */
  image(image: RgbImage): Visual {
    return { kind: 'image', ...processImage(image, this.imageConfig) };
  }

  /**
   * The token ids of a text, filled up where the family does that.
   * @param truncate cut a text that is longer than the tower's positions, or than what the tokenizer says a text is, before
   *   its last token, as HF does with `truncation=True`.
   * @throws InputError for such a text otherwise, and for one of more than 100,000 characters (128 for each position, if
   *   that is more).
   */
  text(text: string, truncate = false): TokenizedText {
    checkTextLength('the text', text.length, this.#config.text.maxPositions);
    // HF pads and truncates to the tokenizer's own length; the tower has no positions beyond its table.
    const maxPositions = Math.min(this.#config.text.maxPositions, this.tokenizer.maxLength);
    const ids = this.tokenizer.encode(this.#config.family.writtenAs(text));
    const cut = Math.max(0, ids.length - maxPositions);
    if (cut && !truncate)
      throw new InputError(
        `a text of ${ids.length} tokens does not fit the ${maxPositions} positions of this ${this.#config.family.name}: ${JSON.stringify(excerpt(text))}; shorten it, or have it truncated`,
      );
    if (cut) ids.splice(maxPositions - 1, cut);
    if (this.#padId !== undefined) while (ids.length < maxPositions) ids.push(this.#padId);
    return { ids, cut };
  }
}

const excerpt = (text: string) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
