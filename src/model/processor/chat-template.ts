import { boundedCall } from '#platform';
import { printableLine } from '../../base/printable.ts';
import * as s from '../../base/schema.ts';
import type { Folder } from '../../platform/types.ts';
import { parse, readJson, readText } from '../config/json.ts';
import { ConfigError, InputError } from '../errors.ts';
import { JinjaTemplate } from './jinja/template.ts';
import { JinjaError } from './jinja/values.ts';
import type { SpecialTokens } from './tokenizer.ts';

/** A part of a message, in Hugging Face's format; images and videos themselves travel beside the text. */
export type ContentPart =
  | { readonly type: 'image' }
  | { readonly type: 'video' }
  | { readonly type: 'text'; readonly text: string };

/** One turn of a conversation. */
export interface Message {
  readonly role: string;
  readonly content: string | readonly ContentPart[];
}

/** How a conversation becomes one text. */
export interface ChatTemplateOptions {
  /** End with what makes the assistant speak. True by default. */
  readonly addGenerationPrompt?: boolean;
  /** Further variables of the template. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

const templateList = s.array(s.object({ name: s.string(), template: s.string() }));
const templateSchema = s.union(
  [s.string(), templateList, s.record(s.string(), s.string())],
  'expected a template, or templates by name',
);

/** A checkpoint's Jinja template, which makes one text of a conversation (HF `apply_chat_template`). */
export class ChatTemplate {
  readonly #file: string;
  readonly #template: JinjaTemplate;
  readonly #specialTokens: SpecialTokens;

  /** @param file names the source in errors. @throws ConfigError for a template that does not parse. */
  constructor(source: string, file: string, specialTokens: SpecialTokens = {}) {
    this.#file = file;
    this.#specialTokens = specialTokens;
    try {
      this.#template = boundedCall(`${file}: the chat template`, () => new JinjaTemplate(source));
    } catch (e) {
      if (!(e instanceof JinjaError)) throw e;
      throw new ConfigError(`${file}: the chat template does not parse (${printableLine(e.message)})`);
    }
  }

  /**
   * Finds the template where transformers 5 does: processor_config.json, chat_template.json, chat_template.jinja,
   * tokenizer_config.json, in this order.
   * @param ofFamily taken instead of the last.
   * @returns undefined where the checkpoint has none.
   */
  static async load(
    folder: Folder,
    sources: { processorConfig: unknown; tokenizer: TemplateSource; ofFamily?: string },
  ): Promise<ChatTemplate | undefined> {
    const { processorConfig, tokenizer, ofFamily } = sources;
    const fromJson = (json: unknown, file: string) => {
      const found = (json as { chat_template?: unknown } | undefined | null)?.chat_template;
      return found == null ? undefined : { source: defaultTemplate(found, file), file };
    };
    const jinja = async (file: string) => {
      const source = await readText(folder, file);
      return source === undefined ? undefined : { source, file };
    };
    const found =
      fromJson(processorConfig, 'processor_config.json') ??
      fromJson(await readJson(folder, 'chat_template.json'), 'chat_template.json') ??
      (await jinja('chat_template.jinja')) ??
      (ofFamily === undefined
        ? fromJson({ chat_template: tokenizer.chatTemplate }, 'tokenizer_config.json')
        : { source: ofFamily, file: 'config.json' });
    return found && new ChatTemplate(found.source, found.file, tokenizer.specialTokens);
  }

  /**
   * The prompt of a conversation.
   * @throws InputError with the template's own message, where it refuses the conversation.
   */
  render(
    messages: readonly Message[],
    { addGenerationPrompt = true, variables = {} }: ChatTemplateOptions = {},
  ): string {
    try {
      const all = {
        ...this.#specialTokens,
        messages,
        tools: null,
        documents: null,
        add_generation_prompt: addGenerationPrompt,
        ...variables,
      };
      return boundedCall(`${this.#file}: the chat template`, () => this.#template.render(all));
    } catch (e) {
      if (!(e instanceof JinjaError)) throw e;
      throw new InputError(`${this.#file}: the chat template refuses the conversation: ${printableLine(e.message)}`);
    }
  }
}

interface TemplateSource {
  readonly chatTemplate: unknown;
  readonly specialTokens: SpecialTokens;
}

/** One template, or the one named "default" of several. */
function defaultTemplate(json: unknown, file: string): string {
  const found = parse(templateSchema, json, `${file}: chat_template`);
  if (typeof found === 'string') return found;
  const byName = new Map(Array.isArray(found) ? found.map((t) => [t.name, t.template]) : Object.entries(found));
  const template = byName.get('default');
  if (template === undefined)
    throw new ConfigError(`${file}: several chat templates, none named "default": ${[...byName.keys()].join(', ')}`);
  return template;
}
