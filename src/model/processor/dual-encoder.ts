import { z } from 'zod';
import type { Folder, RgbImage } from '../../platform/types.ts';
import { ConfigError, InputError } from '../errors.ts';
import { parse, readJson, requireJson } from '../json.ts';
import { type Crops, type ImageProcessorConfig, parseImageProcessor, processImage } from './image-processor.ts';
import { Tokenizer } from './tokenizer.ts';
import { ProcessorFiles } from './visual-processor.ts';

const length = z.int().min(1).max(100_000);
const schema = z.looseObject({
  model_type: z.enum(['clip', 'siglip'], { error: 'supported: "clip", "siglip"' }),
  text_config: z.looseObject({ max_position_embeddings: length.nullish() }).nullish(),
});
const tokenizerSchema = z.looseObject({ tokenizer_class: z.string().nullish() });

/** ASCII punctuation, which SigLIP's texts go without (Python's `string.punctuation`). */
const punctuation = /[!-/:-@[-`{-~]/g;

/** Images and texts of a model that compares them, CLIP or SigLIP (HF `CLIPProcessor`, `SiglipProcessor`). */
export class DualEncoderProcessor {
  readonly tokenizer: Tokenizer;
  readonly #kind: 'clip' | 'siglip';
  readonly #imageConfig: ImageProcessorConfig;
  readonly #maxLength: number;
  readonly #padId: number;

  private constructor(kind: 'clip' | 'siglip', tokenizer: Tokenizer, imageConfig: ImageProcessorConfig, max: number) {
    this.#kind = kind;
    this.tokenizer = tokenizer;
    this.#imageConfig = imageConfig;
    this.#maxLength = max;
    const { pad_token, eos_token } = tokenizer.specialTokens;
    this.#padId = tokenizer.requireId(pad_token ?? eos_token ?? '</s>');
  }

  /** @throws ConfigError naming the file and every setting that is missing, wrong or not supported. */
  static async load(folder: Folder): Promise<DualEncoderProcessor> {
    const json = await requireJson(folder, 'config.json');
    const { model_type: kind, text_config: text } = parse(schema, json, 'config.json');
    const named = parse(
      tokenizerSchema,
      (await readJson(folder, 'tokenizer_config.json')) ?? {},
      'tokenizer_config.json',
    );
    if (kind === 'siglip' && !/^SiglipTokenizer(Fast)?$/.test(named.tokenizer_class ?? 'SiglipTokenizer'))
      throw new ConfigError(
        `tokenizer_config.json: tokenizer_class ${JSON.stringify(named.tokenizer_class)} is not supported with SigLIP; supported: SiglipTokenizer`,
      );
    const { image } = await ProcessorFiles.read(folder);
    return new DualEncoderProcessor(
      kind,
      await Tokenizer.load(folder),
      parseImageProcessor(image, kind === 'siglip' ? 'SiglipImageProcessor' : 'CLIPImageProcessor'),
      text?.max_position_embeddings ?? { clip: 77, siglip: 64 }[kind],
    );
  }

  /** Pixel values [1, 3, height, width]. */
  encodeImage(image: RgbImage): Crops {
    return processImage(image, this.#imageConfig);
  }

  /**
   * Token ids of a text. CLIP's begin and end with its tokens for that (the model reads what it makes of the first end token);
   * SigLIP's are in lower case, without punctuation, and padded to all positions that the model has, as it was trained.
   * @throws InputError for a text of more tokens than the model has positions.
   */
  encodeText(text: string): Int32Array {
    const ids = this.tokenizer.encode(this.#kind === 'clip' ? lowerCaseEach(text) : canonical(text));
    if (ids.length > this.#maxLength)
      throw new InputError(
        `${JSON.stringify(`${text.slice(0, 40)}…`)}: the text has ${ids.length} tokens, ${this.#maxLength} are the most`,
      );
    if (this.#kind === 'clip') return Int32Array.from(ids);
    return new Int32Array(this.#maxLength).fill(this.#padId).map((pad, i) => ids[i] ?? pad);
  }
}

/** Letter by letter, as HF's tokenizers do it; otherwise a sigma at the end of a word becomes another letter. */
const lowerCaseEach = (text: string) => Array.from(text.normalize('NFC'), (letter) => letter.toLowerCase()).join('');

/** HF `SiglipTokenizer.tokenize` and `canonicalize_text`; ▁ is what SentencePiece writes for a space. */
const canonical = (text: string) =>
  text.replaceAll('▁', ' ').toLowerCase().replace(punctuation, '').replace(/\s+/g, ' ').trim();
