// What generation_config.json may say: which of its settings are applied, which change no text, and which are refused.

import { quoteValue } from '../../base/quote.ts';
import * as s from '../../base/schema.ts';
import { parse } from '../config/json.ts';
import { ConfigError, InputError } from '../errors.ts';

const id = s.int(0);
const ids = s.pipe(
  s.union([id, s.list(id, 1)], 'expected a token id, or a list of token ids'),
  s.transform((given) => [given].flat()),
);
/** Does nothing below 1. */
const count = s.int();
const above0 = s.positive();
const share = s.number(0, 1);

/**
 * The settings that are applied, as transformers' `GenerationConfig` names and means them. What a run does not set is what
 * transformers assumes: top_k 50 when sampling, all else nothing.
 */
const entries = {
  do_sample: s.boolean(),
  max_new_tokens: s.int(1),
  max_length: s.int(1),
  min_length: count,
  min_new_tokens: count,
  sequence_bias: s.list(s.tuple([s.list(id, 1), s.number()]), 1),
  encoder_repetition_penalty: above0,
  repetition_penalty: above0,
  no_repeat_ngram_size: count,
  encoder_no_repeat_ngram_size: count,
  bad_words_ids: s.list(s.list(id, 1), 1),
  forced_bos_token_id: id,
  forced_eos_token_id: ids,
  remove_invalid_values: s.boolean(),
  exponential_decay_length_penalty: s.tuple([s.int(), s.number()]),
  suppress_tokens: s.array(s.int()),
  begin_suppress_tokens: s.array(s.int()),
  renormalize_logits: s.boolean(),
  temperature: s.number(0),
  top_h: s.positive(1),
  top_k: s.int(0),
  top_p: share,
  min_p: share,
  typical_p: above0,
  epsilon_cutoff: s.number(),
  eta_cutoff: s.number(),
};
const applied = s.partial(entries);

/** What of generation_config.json changes the text, by transformers’ names. */
export type GenerationSettings = Readonly<s.InferOutput<typeof applied>>;

/** What transformers knows and what makes no other text of one sequence: caches, outputs, and what only beams read. */
const inert = new Set([
  ...['bos_token_id', 'eos_token_id', 'pad_token_id', 'decoder_start_token_id'],
  ...[
    'use_cache',
    'cache_config',
    'max_cache_len',
    'prefill_chunk_size',
    'compile_config',
    'disable_compile',
    'low_memory',
  ],
  ...['output_attentions', 'output_hidden_states', 'output_scores', 'output_logits', 'return_dict_in_generate'],
  ...['early_stopping', 'length_penalty', 'diversity_penalty', 'num_beam_groups', 'continuous_batching_config'],
  ...[
    'num_assistant_tokens',
    'num_assistant_tokens_schedule',
    'assistant_confidence_threshold',
    'max_matching_ngram_size',
  ],
  ...['assistant_lookbehind', 'target_lookbehind', 'assistant_ensemble_weight', 'speculation_type'],
  // These guess tokens ahead, and keep a guess only where the model chooses the same.
  ...['prompt_lookup_num_tokens', 'assistant_early_exit', 'use_mtp'],
  // Not of generating, but in the files of known checkpoints.
  ...['transformers_version', 'attn_implementation', 'torch_dtype', 'dtype', 'model_type', 'trust_remote_code'],
]);

/** What would change the text and is not there, each with the values at which it does nothing. */
const refused: Readonly<Record<string, { readonly what: string; readonly nothing?: (value: unknown) => boolean }>> = {
  num_beams: { what: 'beam search', nothing: (n) => n === 1 },
  num_return_sequences: { what: 'several texts for a prompt', nothing: (n) => n === 1 },
  constraints: { what: 'constrained beam search' },
  force_words_ids: { what: 'constrained beam search' },
  penalty_alpha: { what: 'contrastive search', nothing: (x) => typeof x === 'number' && x <= 0 },
  dola_layers: { what: 'DoLa decoding' },
  guidance_scale: { what: 'classifier-free guidance', nothing: (x) => x === 1 },
  watermarking_config: { what: 'watermarking' },
  token_healing: { what: 'healing of the prompt’s last token', nothing: (x) => x === false },
  stop_strings: { what: 'stopping at strings (end tokens are in eos_token_id)' },
  max_time: { what: 'a limit of time (stop by the signal)' },
  is_assistant: { what: 'generating for another model', nothing: (x) => x === false },
  cache_implementation: { what: 'a quantised cache', nothing: (x) => x !== 'quantized' },
};

/**
 * Checks what a generation_config.json says; null is as absent.
 * @param file names it in messages.
 * @throws ConfigError naming each setting that is not known, not supported where it would change the text, or not of its kind.
 */
export function generationSettings(values: Readonly<Record<string, unknown>>, file: string): GenerationSettings {
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined));
  const samples = given.do_sample === true;
  const problems: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    if (Object.hasOwn(entries, name) || inert.has(name) || name.startsWith('_')) continue;
    const rule = Object.hasOwn(refused, name) ? refused[name] : undefined;
    if (!rule) problems.push(`${name} is no setting of transformers’ generate`);
    // Without sampling only, and of more than one candidate.
    else if (name === 'penalty_alpha' && (samples || Number(given.top_k ?? 50) <= 1)) continue;
    else if (!rule.nothing?.(value)) problems.push(`${name} ${quoteValue(value)} is not supported: ${rule.what}`);
  }
  if (problems.length)
    throw new ConfigError(
      `${file}: ${problems.join('; ')}; take it out, or set it to null in generationConfig (--generation-config)`,
    );
  const settings = parse(applied, given, file);
  checkTogether(settings, file);
  return settings;
}

function checkTogether(settings: GenerationSettings, file: string): void {
  const { do_sample, temperature, suppress_tokens } = settings;
  if (do_sample && temperature === 0)
    throw new ConfigError(`${file}: temperature 0 with do_sample: set do_sample to false for greedy text`);
  for (const name of ['forced_bos_token_id', 'forced_eos_token_id'] as const) {
    const forced = [settings[name] ?? []].flat();
    if (forced.length && forced.every((token) => suppress_tokens?.includes(token)))
      throw new ConfigError(
        `${file}: ${name} ${quoteValue(settings[name])} is also in suppress_tokens: take it out of one of them`,
      );
  }
}

/** What `generate` takes by names of its own. */
export interface SamplingOptions {
  /** 0 is greedy; above, tokens are drawn from softmax(logits / temperature). */
  readonly temperature?: number;
  /** Draw from the likeliest tokens whose probabilities sum to at least this; 1 is all. */
  readonly topP?: number;
  /** Draw from this many likeliest tokens; 0 is all. transformers' default, 50, where neither this nor the file says. */
  readonly topK?: number;
}

/**
 * The options of a call in the place of what the file says.
 * @throws InputError for values that mean nothing, and for those of sampling where the text is greedy.
 */
export function withSampling(settings: GenerationSettings, options: SamplingOptions): GenerationSettings {
  const { temperature, topP, topK } = options;
  const wrong = (name: string, value: number, want: string) => new InputError(`${name} ${value}: give ${want}`);
  if (temperature !== undefined && !(temperature >= 0 && temperature < Number.POSITIVE_INFINITY))
    throw wrong('temperature', temperature, 'a number above 0, or 0 for greedy');
  if (topP !== undefined && !(topP > 0 && topP <= 1)) throw wrong('topP', topP, 'a number above 0 and at most 1');
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 0))
    throw wrong('topK', topK, 'a whole number, 0 for all');
  const do_sample = temperature === undefined ? (settings.do_sample ?? false) : temperature > 0;
  if (!do_sample && ((topP ?? 1) < 1 || topK))
    throw new InputError('topP and topK are of sampling, and this text is greedy: give a temperature above 0 too');
  return {
    ...settings,
    do_sample,
    ...(temperature && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
  };
}
