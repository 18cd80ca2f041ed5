import { z } from 'zod';
import { ConfigError } from './errors.ts';

const schema = z.looseObject({ eos_token_id: z.union([z.int().min(0), z.array(z.int().min(0))]).nullish() });
const nested = schema.extend({ text_config: schema.nullish() });

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
  const generation = schema.safeParse(generationConfig);
  const model = nested.safeParse(config);
  if (!generation.success || !model.success)
    throw new ConfigError(
      'eos_token_id: expected a token id or a list of token ids in generation_config.json and config.json',
    );
  const { eos_token_id: top, text_config } = model.data;
  const ids = generation.data.eos_token_id ?? top ?? text_config?.eos_token_id ?? assumed[decoder] ?? [];
  return new Set([ids].flat());
}
