import * as s from '../../base/schema.ts';
import { parse } from '../config/json.ts';
import { ConfigError } from '../errors.ts';
import { type GenerationSettings, generationSettings } from './generation-settings.ts';

const entries = {
  eos_token_id: s.nullish(s.union([s.int(0), s.array(s.int(0))], 'expected a token id or a list of token ids')),
};
const schema = s.looseObject(entries);
const nested = s.looseObject({ ...entries, text_config: s.nullish(schema) });

/** What the HF classes of these decoders assume; those of the others name no end token. */
const assumed: Readonly<Record<string, number>> = {
  llama: 2,
  mistral: 2,
  qwen2_vl_text: 151645,
  qwen2_5_vl_text: 151645,
};

/**
 * All ids that end a text: `eos_token_id` of generation_config.json, or else of config.json or its text_config, or else
 * what the decoder's class assumes. None are left where HF names none either. (HF's `generate` looks no further than a
 * generation_config.json that is there: one without end tokens makes it run on.)
 * @param decoder its model_type. @throws ConfigError when it is neither an id nor a list of ids.
 */
export function endTokens(config: unknown, generationConfig: unknown, decoder: string): ReadonlySet<number> {
  const generation = s.check(schema, generationConfig);
  const model = s.check(nested, config);
  if (generation.problems || model.problems)
    throw new ConfigError(
      'eos_token_id: expected a token id or a list of token ids in generation_config.json and config.json',
    );
  const { eos_token_id: top, text_config } = model.value;
  const ids = generation.value.eos_token_id ?? top ?? text_config?.eos_token_id ?? assumed[decoder] ?? [];
  return new Set([ids].flat());
}

/** How a checkpoint wants its texts to be generated (HF `GenerationConfig`, as `PreTrainedModel.generation_config`). */
export interface GenerationConfig {
  /** What its file says, by transformers' names. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The file that says it, with its folder. */
  readonly file: string;
  /** Ids that end a text. */
  readonly endTokens: ReadonlySet<number>;
  /** With some values changed, or by null taken out. */
  with(changes: Readonly<Record<string, unknown>>): GenerationConfig;
  /** Checked, for use. @throws ConfigError naming each setting that is not known, not supported, or not of its kind. */
  settings(): GenerationSettings;
}

/**
 * What generation_config.json says. Where there is none, config.json and its text_config may say the same, as transformers
 * < 4.26 wrote it (HF `GenerationConfig.from_model_config`); what they have of transformers' defaults is no wish of theirs.
 * Settings are checked when they are asked for: a checkpoint whose text cannot be generated still has activations.
 * @param json config.json
 * @param own generation_config.json, undefined where there is none.
 * @throws ConfigError for what is no object, and for end tokens that are no ids.
 */
export function generationConfig(json: unknown, own: unknown, decoder: string, location: string): GenerationConfig {
  const file = `${location}/${own === undefined ? 'config.json' : 'generation_config.json'}`;
  const values = own === undefined ? legacy(json) : parse(s.looseObject({}), own, file);
  return of(values, file);

  function of(values: Readonly<Record<string, unknown>>, file: string): GenerationConfig {
    return {
      values,
      file,
      endTokens: endTokens(json, values, decoder),
      with: (changes) => of({ ...values, ...changes }, `generationConfig over ${file}`),
      settings: () => generationSettings(values, file),
    };
  }
}

/** The names that transformers took from config.json, with what it wrote there when nobody had chosen anything. */
const defaults: Readonly<Record<string, unknown>> = {
  ...{ max_length: 20, min_length: 0, do_sample: false, num_beams: 1, num_return_sequences: 1, temperature: 1 },
  ...{ top_k: 50, top_p: 1, typical_p: 1, repetition_penalty: 1, no_repeat_ngram_size: 0, bad_words_ids: null },
  ...{ encoder_no_repeat_ngram_size: 0, forced_bos_token_id: null, forced_eos_token_id: null, suppress_tokens: null },
  ...{ remove_invalid_values: false, exponential_decay_length_penalty: null, begin_suppress_tokens: null },
  ...{ min_new_tokens: null, max_new_tokens: null, encoder_repetition_penalty: 1, renormalize_logits: null },
  ...{ sequence_bias: null, min_p: null, epsilon_cutoff: 0, eta_cutoff: 0, penalty_alpha: null, guidance_scale: null },
};

function legacy(json: unknown): Record<string, unknown> {
  const model = s.check(s.looseObject({ text_config: s.nullish(s.looseObject({})) }), json).value ?? {};
  const said = { ...model.text_config, ...Object.fromEntries(Object.entries(model).filter(([, v]) => v !== null)) };
  return Object.fromEntries(
    Object.entries(said).filter(([name, v]) => Object.hasOwn(defaults, name) && v !== null && v !== defaults[name]),
  );
}
