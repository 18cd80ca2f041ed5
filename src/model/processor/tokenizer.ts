import { boundedCall } from '#platform';
import { printableLine } from '../../base/printable.ts';
import * as s from '../../base/schema.ts';
import { BoundError } from '../../platform/errors.ts';
import type { Folder } from '../../platform/types.ts';
import { parse, readJson } from '../config/json.ts';
import { ConfigError, InputError } from '../errors.ts';
import { findAddedTokensAsRust } from './added-tokens.ts';
import { byteOf, HfTokenizer, makeByteFallbackStrict } from './byte-fallback.ts';
import { StreamDecoder } from './stream-decoder.ts';
import { checkModel, checkPart, maxTokenId } from './tokenizer-checks.ts';

const id = s.int(0, maxTokenId);
const addedToken = s.looseObject({ id, content: s.string(1), special: s.optional(s.boolean(), false) });

/** What this file relies on; the library reads the rest. */
const tokenizerSchema = s.looseObject({
  added_tokens: s.optional(s.array(addedToken), []),
  model: s.looseObject({ type: s.oneOf(['BPE', 'Unigram', 'WordPiece']) }),
  normalizer: s.optional(s.unknown(), null),
  pre_tokenizer: s.optional(s.unknown(), null),
  post_processor: s.optional(s.unknown(), null),
  decoder: s.optional(s.unknown(), null),
});

/** A token in tokenizer_config.json: its text, or an object with it. */
const namedToken = s.pipe(
  s.nullish(
    s.union([s.string(), s.looseObject({ content: s.string() })], 'expected a token, or an object with its content'),
  ),
  s.transform((t) => (typeof t === 'object' ? t?.content : t)),
);
const extraTokens = s.nullish(
  s.union([s.array(namedToken), s.record(s.string(), namedToken)], 'expected tokens, or tokens by name'),
);

const configSchema = s.looseObject({
  bos_token: namedToken,
  eos_token: namedToken,
  unk_token: namedToken,
  pad_token: namedToken,
  image_token: namedToken,
  video_token: namedToken,
  additional_special_tokens: extraTokens,
  extra_special_tokens: extraTokens,
  added_tokens_decoder: s.nullish(s.record(s.matching(/^\d+$/, 'token id'), s.looseObject({ content: s.string(1) }))),
  add_bos_token: s.nullish(s.boolean()),
  add_eos_token: s.nullish(s.boolean()),
  clean_up_tokenization_spaces: s.nullish(s.boolean()),
  model_max_length: s.nullish(s.positive()),
  chat_template: s.optional(s.unknown()),
});

type AddedToken = s.InferOutput<typeof addedToken>;
type TokenizerJson = s.InferOutput<typeof tokenizerSchema>;
type TokenizerConfig = s.InferOutput<typeof configSchema>;

/** A token to add where the tokenizer has none of this text. */
export interface NewToken {
  readonly content: string;
  readonly id: number;
}

/** The texts of the tokens that have a name, as chat templates see them. */
export interface SpecialTokens {
  readonly bos_token?: string;
  readonly eos_token?: string;
  readonly unk_token?: string;
  readonly pad_token?: string;
  readonly image_token?: string;
  readonly video_token?: string;
}

export interface EncodeOptions {
  /** Put the tokenizer's own tokens around the text, such as the one that begins a sequence. True by default. */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave out special tokens, such as the one that ends a sequence. True by default. */
  readonly skipSpecialTokens?: boolean;
}

/**
 * Text to token ids and back, as transformers' `TokenizersBackend` does with tokenizer.json and tokenizer_config.json.
 * (transformers uses that class for LLaVA whatever `tokenizer_class` says.)
 */
export class Tokenizer {
  readonly specialTokens: SpecialTokens;
  /** The chat template of tokenizer_config.json, as it is there. */
  readonly chatTemplate: unknown;
  /** The longest text that tokenizer_config.json speaks of (`model_max_length`), which may be none. */
  readonly maxLength: number;
  readonly #hf: HfTokenizer;
  readonly #specialIds: ReadonlySet<number>;
  readonly #cleanUp: boolean;
  /** Tokens such as <0x0A> stand for bytes. */
  readonly #byteFallback: boolean;
  /** Whether decoding may take forever. A bound costs more than the decoding of a token does. */
  readonly #decodesByRegex: boolean;

  private constructor(hf: HfTokenizer, config: TokenizerConfig, special: ReadonlySet<string>, json: TokenizerJson) {
    this.#hf = hf;
    this.#decodesByRegex = checkPart(json.decoder, 'decoder');
    const { bos_token, eos_token, unk_token, pad_token } = config;
    const image_token = config.image_token ?? named(config.extra_special_tokens, 'image_token');
    const video_token = config.video_token ?? named(config.extra_special_tokens, 'video_token');
    this.specialTokens = defined({ bos_token, eos_token, unk_token, pad_token, image_token, video_token });
    this.chatTemplate = config.chat_template;
    this.maxLength = config.model_max_length ?? Number.POSITIVE_INFINITY;
    this.#specialIds = new Set([...special].map((token) => this.requireId(token)));
    // transformers ignores the setting for BPE, whose decoder has already put every space right.
    this.#cleanUp = json.model.type !== 'BPE' && (config.clean_up_tokenization_spaces ?? false);
    this.#byteFallback = makeByteFallbackStrict(hf);
  }

  /**
   * @param newTokens special tokens that are added where they are missing.
   * @throws ConfigError if tokenizer.json is missing, damaged, or of a kind that is not supported.
   */
  static async load(folder: Folder, newTokens: readonly NewToken[] = []): Promise<Tokenizer> {
    const json = await readJson(folder, 'tokenizer.json');
    if (json === undefined)
      throw new ConfigError(
        `tokenizer.json: not in ${folder.location}; tokenizer.model alone is not supported, save the tokenizer with transformers' save_pretrained`,
      );
    return Tokenizer.parse(json, (await readJson(folder, 'tokenizer_config.json')) ?? {}, newTokens);
  }

  /** From the parsed tokenizer.json and tokenizer_config.json. */
  static parse(tokenizerJson: unknown, configJson: unknown = {}, newTokens: readonly NewToken[] = []): Tokenizer {
    const json = parse(tokenizerSchema, tokenizerJson, 'tokenizer.json');
    const config = parse(configSchema, configJson, 'tokenizer_config.json');
    const { added, special } = addedTokens(json, config, newTokens);
    checkModel(json.model, added);
    for (const part of ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const)
      checkPart(json[part], part);
    try {
      return boundedCall('tokenizer.json', () => {
        const hf = new HfTokenizer({ ...json, added_tokens: added, post_processor: postProcessor(json, config) }, {});
        findAddedTokensAsRust(hf, json.model.vocab);
        const tokenizer = new Tokenizer(hf, config, special, json);
        tokenizer.#tryOut();
        return tokenizer;
      });
    } catch (e) {
      throw libraryError(e, 'damaged or not supported');
    }
  }

  /** Token ids of a text. Special tokens written out in it, such as `<image>`, become their ids. */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    const { ids, tokens } = this.#bounded(
      () => this.#hf.encode(text, { add_special_tokens: addSpecialTokens }),
      text.length,
    );
    const unknown = ids.indexOf(undefined);
    if (unknown >= 0) throw new InputError(`the tokenizer has no token for ${JSON.stringify(tokens[unknown])}`);
    return ids as number[];
  }

  /** The text of token ids. Ids without a token, as the padding rows of an embedding have, are left out. */
  decode(ids: ArrayLike<number>, { skipSpecialTokens = true }: DecodeOptions = {}): string {
    const kept = Array.from(ids).filter(
      (i) => this.#hf.id_to_token(i) !== undefined && !(skipSpecialTokens && this.#specialIds.has(i)),
    );
    if (kept.length === 0) return '';
    const decode = () => this.#hf.decode(kept, { clean_up_tokenization_spaces: this.#cleanUp });
    return this.#decodesByRegex ? this.#bounded(decode, kept.length) : decode();
  }

  /** @param length of what goes in: 10 seconds, and one more for each 10,000, which a long text without spaces may need. */
  #bounded<T>(call: () => T, length: number): T {
    try {
      return boundedCall('tokenizer.json', call, 10_000 + Math.ceil(length / 10));
    } catch (e) {
      // The library passes the tokens of a word as arguments.
      if (e instanceof RangeError)
        throw new InputError(`the tokenizer cannot take a text of ${length} characters in one piece; shorten it`);
      throw libraryError(e, `it fails on a text of ${length} characters`);
    }
  }

  /** Most of what is missing in a file shows here, and not only with the first prompt. */
  #tryOut(): void {
    const { tokens } = this.#hf.encode('', { add_special_tokens: true });
    const unknown = tokens.find((token) => this.id(token) === undefined);
    if (unknown !== undefined)
      throw new ConfigError(
        `tokenizer.json: post_processor: it puts ${printableLine(JSON.stringify(unknown))} around a text, which is no token`,
      );
    const words = this.#hf.encode('Is it 1?', { add_special_tokens: true }).ids.filter((i) => i !== undefined);
    if (words.length > 0) this.decode(words, { skipSpecialTokens: false });
  }

  /** Text of a growing sequence of ids, piece by piece; the pieces add up to what `decode` makes of all ids. */
  streamDecoder({ skipSpecialTokens = true }: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder((ids) => this.decode(ids, { skipSpecialTokens: false }), {
      isDropped: (i) => this.#hf.id_to_token(i) === undefined || (skipSpecialTokens && this.#specialIds.has(i)),
      isByte: (i) => this.#byteFallback && byteOf(this.#hf.id_to_token(i)!) !== undefined,
    });
  }

  /** The id of a token, or undefined. */
  id(token: string): number | undefined {
    return this.#hf.token_to_id(token);
  }

  /** The id of a token. @throws ConfigError if there is no such token. */
  requireId(token: string): number {
    const found = this.id(token);
    if (found === undefined) throw new ConfigError(`tokenizer.json: it has no token ${JSON.stringify(token)}`);
    return found;
  }
}

/** What the library throws, as one line that names the file. */
function libraryError(e: unknown, what: string): Error {
  if (e instanceof ConfigError || e instanceof InputError || e instanceof BoundError) return e;
  const message = printableLine(e instanceof Error ? e.message : String(e));
  return new ConfigError(`tokenizer.json: ${what} (${message.length > 300 ? `${message.slice(0, 300)}…` : message})`);
}

const defined = <T extends object>(o: T): T =>
  Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as T;

const named = (tokens: s.InferOutput<typeof extraTokens>, name: string) =>
  tokens && !Array.isArray(tokens) ? tokens[name] : undefined;

/** tokenizer.json's added tokens and those that only tokenizer_config.json has; and which of them are special. */
function addedTokens(json: TokenizerJson, config: TokenizerConfig, newTokens: readonly NewToken[]) {
  const added = new Map(json.added_tokens.map((t) => [t.content, t]));
  for (const [key, token] of Object.entries(config.added_tokens_decoder ?? {}))
    if (!added.has(token.content))
      added.set(
        token.content,
        parse(addedToken, { ...token, id: Number(key) }, 'tokenizer_config.json', `added_tokens_decoder.${key}`),
      );
  addNew(added, json.model.vocab, newTokens);
  const { bos_token, eos_token, unk_token, pad_token, image_token, video_token } = config;
  const names = [bos_token, eos_token, unk_token, pad_token, image_token, video_token];
  for (const extra of [config.additional_special_tokens, config.extra_special_tokens])
    for (const name of Object.values(extra ?? {})) names.push(name);
  for (const name of names) {
    const token = name === undefined ? undefined : added.get(name);
    if (token) added.set(token.content, { ...token, special: true });
  }
  const all = [...added.values()];
  return { added: all, special: new Set(all.filter((t) => t.special).map((t) => t.content)) };
}

/** @param vocab ids by token, or of a Unigram model [token, score] pairs in the order of the ids. */
function addNew(added: Map<string, AddedToken>, vocab: unknown, newTokens: readonly NewToken[]): void {
  if (newTokens.length === 0) return;
  const ids = Object.entries((vocab ?? {}) as object).map(([token, value]): [string, number] =>
    Array.isArray(value) ? [String(value[0]), Number(token)] : [token, Number(value)],
  );
  const known = new Map([...ids, ...[...added.values()].map((t): [string, number] => [t.content, t.id])]);
  const used = new Set(known.values());
  for (const { content, id } of newTokens) {
    if (known.has(content)) continue;
    if (used.has(id))
      throw new ConfigError(
        `config.json gives ${content} the id ${id}, which is ${JSON.stringify([...known].find(([, other]) => other === id)?.[0])} in tokenizer.json`,
      );
    added.set(content, { id, content, special: true });
  }
}

/** `add_bos_token` and `add_eos_token`, where tokenizer_config.json has them, overrule what tokenizer.json puts around a text. */
function postProcessor(json: TokenizerJson, config: TokenizerConfig): unknown {
  const { add_bos_token: bos, add_eos_token: eos } = config;
  if (bos == null && eos == null && json.post_processor !== null) return json.post_processor;
  const special = (token: string | undefined) =>
    token === undefined ? [] : [{ SpecialToken: { id: token, type_id: 0 } }];
  const single = [
    ...(bos ? special(config.bos_token) : []),
    { Sequence: { id: 'A', type_id: 0 } },
    ...(eos ? special(config.eos_token) : []),
  ];
  return { type: 'TemplateProcessing', single, pair: single };
}
