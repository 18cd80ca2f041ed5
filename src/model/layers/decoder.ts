import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { TextConfig } from '../config/text.ts';
import type { Hooks, Site } from '../interventions/hooks.ts';
import { bindable } from './bindable.ts';
import type { KvCache } from './kv-cache.ts';
import { block, norm } from './transformer.ts';
import type { DecoderWeights } from './weights.ts';

export interface DecoderRun {
  /** Merged embeddings, [batch * length, dModel]: `batch` independent sequences of equal length. */
  readonly x: Tensor;
  readonly batch: number;
  /** `ropeTable` of every row's position, [batch * length, dHead]. */
  readonly rope: Tensor;
  /** Keys and values of the positions before these, and where theirs are put. */
  readonly cache?: KvCache;
  /** It is a step of a generation, which is to run again with a position more in the cache. */
  readonly moves?: boolean;
  readonly hooks: Hooks;
  /** Blocks to run. */
  readonly layers: number;
  /** Stop in the last block as soon as its head outputs are there, computing them for the hooks' positions alone. */
  readonly stopAtHeads: boolean;
}

/**
 * The blocks of a decoder (HF `LlamaModel`, `MistralModel`, `Qwen2Model` without the final norm).
 * @returns the residual stream [batch * length, dModel], or nothing with `stopAtHeads`.
 */
export function decoder(
  rec: Recorder,
  weights: DecoderWeights,
  config: TextConfig,
  { x: embeddings, batch, rope, cache, moves, hooks, layers, stopAtHeads }: DecoderRun,
): Tensor | undefined {
  let x: Tensor | undefined = embeddings;
  for (let l = 0; l < layers && x; l++)
    x = block(rec, weights.blocks[l], config, x, {
      name: `blocks.${l}`,
      site: hooks,
      batch,
      mask: { causal: true, window: config.windows[l] },
      rope,
      moves,
      cache: cache && { keys: cache.keys[l], values: cache.values[l], start: cache.length },
      headsAlone: stopAtHeads && l === layers - 1,
    });
  return x;
}

/**
 * The final norm and the LM head (HF `LlamaForCausalLM`).
 * @param x rows of the residual stream, [n, dModel].
 * @param site of these rows.
 * @returns [n, vocab]
 */
export function unembed(rec: Recorder, weights: DecoderWeights, config: TextConfig, x: Tensor, site: Site): Tensor {
  const rows = bindable(rec, x);
  const normed = norm(rec, weights.lnFinal, config, rows, 'ln_final', site);
  return site.pass('logits', matmul(rec, { x: normed, weight: weights.lmHead, label: 'lm_head' }));
}
