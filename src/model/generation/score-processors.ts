// What generation_config.json makes of the logits before the next token is chosen, in the order and with the meaning of
// transformers 5.18 (generation/logits_process.py, `_get_logits_processor`). Each changes the scores of one sequence in place.
import { ConfigError } from '../errors.ts';
import type { GenerationSettings } from './generation-settings.ts';
import { logSumExp } from './sampling.ts';
import { warpers } from './score-warpers.ts';

/** @param ids the prompt's, its pictures' tokens included, and those generated so far. */
export type ScoreProcessor = (scores: Float32Array, ids: readonly number[]) => void;

/** What the processors of one prompt depend on beside the settings. */
export interface PromptScores {
  readonly prompt: readonly number[];
  /** Prompt and new tokens at most. */
  readonly maxLength: number;
  readonly endTokens: ReadonlySet<number>;
  readonly vocabSize: number;
}

const never = Number.NEGATIVE_INFINITY;

/**
 * The processors that some settings ask for, by the setting that asks.
 * @throws ConfigError for token ids that the vocabulary does not have, and for a length penalty without end tokens.
 */
export function scoreProcessors(settings: GenerationSettings, run: PromptScores): Map<string, ScoreProcessor> {
  const { prompt, maxLength, vocabSize } = run;
  const ends = [...run.endTokens].filter((id) => id < vocabSize);
  const found = new Map<string, ScoreProcessor>();
  const add = <K extends keyof GenerationSettings>(
    name: K,
    make: (value: NonNullable<GenerationSettings[K]>) => ScoreProcessor | undefined,
  ) => {
    const value = settings[name];
    const processor = value === undefined ? undefined : make(value as NonNullable<GenerationSettings[K]>);
    if (processor) found.set(name, processor);
  };
  const inVocabulary = (name: string, ids: readonly number[]) => {
    const outside = ids.filter((id) => id >= vocabSize);
    if (outside.length)
      throw new ConfigError(`${name}: the vocabulary of ${vocabSize} has no token ${outside.join(', ')}`);
  };

  add('sequence_bias', (list) => {
    inVocabulary(
      'sequence_bias',
      list.flatMap(([ids]) => ids),
    );
    return biasSequences(list);
  });
  add('encoder_repetition_penalty', (p) => (p === 1 ? undefined : (scores) => penalise(scores, prompt, 1 / p)));
  add('repetition_penalty', (p) => (p === 1 ? undefined : (scores, ids) => penalise(scores, ids, p)));
  add('no_repeat_ngram_size', (n) => (n > 0 ? (scores, ids) => banNgrams(scores, ids, ids, n) : undefined));
  add('encoder_no_repeat_ngram_size', (n) => (n > 0 ? (scores, ids) => banNgrams(scores, prompt, ids, n) : undefined));
  add('bad_words_ids', (words) => {
    inVocabulary('bad_words_ids', words.flat());
    return biasSequences(
      words.filter((ids) => ids.length > 1 || !run.endTokens.has(ids[0])).map((ids) => [ids, never]),
    );
  });
  const until = (length: number): ScoreProcessor | undefined =>
    length > 0 && ends.length
      ? (scores, ids) => {
          if (ids.length < length) suppress(scores, ends);
        }
      : undefined;
  add('min_length', until);
  add('min_new_tokens', (n) => until(n > 0 ? prompt.length + n : 0));
  add('forced_bos_token_id', (id) => {
    inVocabulary('forced_bos_token_id', [id]);
    return prompt.length === 1 ? (scores, ids) => void (ids.length === 1 && force(scores, [id])) : undefined;
  });
  add('forced_eos_token_id', (forced) => {
    inVocabulary('forced_eos_token_id', forced);
    return (scores, ids) => void (ids.length === maxLength - 1 && force(scores, forced));
  });
  add('remove_invalid_values', (on) => (on ? removeInvalid : undefined));
  add('exponential_decay_length_penalty', ([start, factor]) => {
    if (!run.endTokens.size)
      throw new ConfigError('exponential_decay_length_penalty: this checkpoint names no end token; add eos_token_id');
    return (scores, ids) => {
      const over = ids.length - start - prompt.length;
      if (over > 0)
        for (const id of ends) scores[id] += Math.fround(Math.abs(scores[id]) * Math.fround(factor ** over - 1));
    };
  });
  add('suppress_tokens', (ids) => (ids.length ? (scores) => suppress(scores, ids) : undefined));
  add('begin_suppress_tokens', (ids) => {
    const begin = prompt.length > 1 || settings.forced_bos_token_id === undefined ? prompt.length : prompt.length + 1;
    return ids.length ? (scores, all) => void (all.length === begin && suppress(scores, ids)) : undefined;
  });
  if (settings.do_sample) {
    for (const [name, warp] of warpers(settings)) found.set(name, warp);
    // Of greedy text, a constant added to all scores changes nothing.
    add('renormalize_logits', (on) => (on ? normalise : undefined));
  }
  return found;
}

/** `RepetitionPenaltyLogitsProcessor`: each token once, however often it was there. */
function penalise(scores: Float32Array, ids: readonly number[], penalty: number): void {
  const by = Math.fround(penalty);
  for (const id of new Set(ids))
    if (id < scores.length) scores[id] = scores[id] < 0 ? scores[id] * by : scores[id] / by;
}

/** `NoRepeatNGramLogitsProcessor`: what followed in `text` after the last n - 1 of `ids`. */
function banNgrams(scores: Float32Array, text: readonly number[], ids: readonly number[], n: number): void {
  const start = ids.length + 1 - n;
  if (start < 0) return;
  for (let at = 0; at + n <= text.length; at++) {
    let same = 0;
    while (same < n - 1 && text[at + same] === ids[start + same]) same++;
    const next = text[at + n - 1];
    if (same === n - 1 && next < scores.length) scores[next] = never;
  }
}

/** `SequenceBiasLogitsProcessor`: a bias for the last token of each sequence, where the others stand before it. */
function biasSequences(list: readonly (readonly [readonly number[], number])[]): ScoreProcessor | undefined {
  const biases = [...new Map(list.map((entry) => [entry[0].join(), entry])).values()]; // the last of equal ones, as in a dict
  if (!biases.length) return undefined;
  // Single tokens first, then in order: sums are of f32.
  const inOrder = [...biases.filter(([ids]) => ids.length === 1), ...biases.filter(([ids]) => ids.length > 1)];
  return (scores, ids) => {
    const sums = new Map<number, number>();
    for (const [sequence, bias] of inOrder) {
      const last = sequence.length - 1;
      const from = ids.length - last;
      if (from < 0 || !sequence.every((id, i) => i === last || id === ids[from + i])) continue;
      sums.set(sequence[last], Math.fround((sums.get(sequence[last]) ?? 0) + Math.fround(bias)));
    }
    for (const [id, bias] of sums) scores[id] += bias;
  };
}

function suppress(scores: Float32Array, ids: readonly number[]): void {
  for (const id of ids) if (id >= 0 && id < scores.length) scores[id] = never;
}

function force(scores: Float32Array, ids: readonly number[]): void {
  scores.fill(never);
  for (const id of ids) scores[id] = 0;
}

const greatest = Math.fround(3.4028234663852886e38);

/** `InfNanRemoveLogitsProcessor` */
function removeInvalid(scores: Float32Array): void {
  for (let i = 0; i < scores.length; i++)
    scores[i] = Number.isNaN(scores[i]) ? 0 : Math.min(greatest, Math.max(-greatest, scores[i]));
}

/** `LogitNormalization` */
function normalise(scores: Float32Array): void {
  const total = logSumExp(scores);
  for (let i = 0; i < scores.length; i++) scores[i] -= total;
}
