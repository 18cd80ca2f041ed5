import { ConfigError } from '../errors.ts';
import type { GenerationConfig } from './generation-config.ts';
import { withSampling } from './generation-settings.ts';
import { scoreProcessors } from './score-processors.ts';

/** What `inspect` says of how a checkpoint's texts are generated. */
export interface GenerationReport {
  readonly text: string;
  readonly sampled?: boolean;
  readonly endTokens: readonly number[];
  /** What changes the scores of tokens, in this order, by transformers' names. */
  readonly applied: Readonly<Record<string, unknown>>;
  /** Why `generate` refuses. */
  readonly refused?: string;
}

/** Of any prompt of several tokens, without options. */
export function describeGeneration(config: GenerationConfig, vocabSize: number): GenerationReport {
  const endTokens = [...config.endTokens];
  try {
    const settings = withSampling(config.settings(), {});
    const run = { prompt: [0, 0], maxLength: 2, endTokens: config.endTokens, vocabSize };
    const names = [...scoreProcessors(settings, run).keys()];
    const applied = Object.fromEntries(names.map((name) => [name, config.values[name] ?? 50]));
    const list = names.map((name) => `${name} ${JSON.stringify(applied[name]).slice(0, 60)}`).join(', ');
    const sampled = settings.do_sample ?? false;
    const ends = `ends at token ${endTokens.join(', ') || '(none is named: only --max-new-tokens ends it)'}`;
    const cost = sampled || names.length ? `, chosen on the CPU (${4 * vocabSize} bytes a token are read back)` : '';
    const mode = sampled ? 'sampled' : 'greedy';
    return { text: `${mode}${list && ` with ${list}`}${cost}; ${ends}`, sampled, endTokens, applied };
  } catch (e) {
    if (!(e instanceof ConfigError)) throw e;
    return { text: `generate refuses: ${e.message}`, endTokens, applied: {}, refused: e.message };
  }
}
