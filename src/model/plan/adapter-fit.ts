// Whether an adapter's limits suffice for a checkpoint, and what to do where they do not.

import { greatest } from '../../base/extremes.ts';
import type { Capabilities } from '../../gpu/capabilities.ts';
import type { TextConfig } from '../config/text.ts';
import { type CacheFormat, KvCache } from '../layers/kv-cache.ts';
import type { RunPrice } from './dry-run.ts';
import type { TensorPrice, WeightsPrice } from './price.ts';

export interface Check {
  /** `unknown`: WebGPU does not tell. */
  readonly verdict: 'fits' | 'too large' | 'unknown';
  readonly text: string;
}

/** What is to run. */
export interface Load {
  /** Priced with the adapter's `bindable` bytes. */
  readonly weights: WeightsPrice;
  readonly text: TextConfig;
  /** Positions of the key/value cache. */
  readonly length: number;
  readonly cacheFormat: CacheFormat;
  readonly runs: readonly { readonly name: string; readonly price: RunPrice }[];
}

/** Bytes of the largest tensor that an adapter can use. */
export const bindable = (adapter: Capabilities): number =>
  Math.min(adapter.maxStorageBufferBindingSize, adapter.maxBufferSize);

export function showBytes(bytes: number): string {
  const unit = [30, 20, 10].find((power) => bytes >= 2 ** power) ?? 0;
  const number = (bytes / 2 ** unit).toFixed(unit ? 1 : 0).replace(/\.0$/, '');
  return `${number} ${unit ? `${{ 30: 'G', 20: 'M', 10: 'K' }[unit]}iB` : 'bytes'}`;
}

/** @param memory bytes that the adapter can use, where that is known. */
export function checkAdapter(load: Load, adapter: Capabilities, memory?: number): Check[] {
  const limit = bindable(adapter);
  return [
    ...checkWeights(load.weights.tensors, limit),
    checkCache(load, limit),
    ...load.runs.map(({ name, price }) => checkRun(name, price, limit)),
    checkMemory(load, memory),
  ];
}

function checkWeights(tensors: readonly TensorPrice[], limit: number): Check[] {
  // The layers' tensors of one name are of one shape.
  const groups = new Map<string, TensorPrice[]>();
  for (const tensor of tensors) {
    const name = tensor.name.replace(/(\.(?:layers|blocks))\.\d+\./, '$1.*.').replace(/\[\d\/\d\]$/, '');
    if (tensor.parts !== 1) groups.set(name, [...(groups.get(name) ?? []), tensor]);
  }
  if (!groups.size) return [{ verdict: 'fits', text: 'every weight fits one binding' }];
  return [...groups].map(([name, [{ bytes, buffers, shape }, ...others]]): Check => {
    const each = others.length ? `${others.length + 1} tensors of ` : '';
    const what = `${name} (${each}${showBytes(bytes)})`;
    if (buffers) return { verdict: 'fits', text: `${what}: split by rows into ${buffers} buffers` };
    return {
      verdict: 'too large',
      text: `${what}: a row of [${shape}] exceeds the ${showBytes(limit)} that this adapter binds; it needs another adapter`,
    };
  });
}

function checkCache({ text, length, cacheFormat }: Load, limit: number): Check {
  const perPosition = KvCache.price(text, 1, cacheFormat) / (2 * text.nLayers);
  const what = `keys of one layer at ${length} positions (${showBytes(perPosition * length)})`;
  if (perPosition * length <= limit) return { verdict: 'fits', text: what };
  return {
    verdict: 'too large',
    text: `${what}: more than the ${showBytes(limit)} that this adapter binds; keep prompt and answer within ${Math.floor(limit / perPosition)} positions (--length)`,
  };
}

function checkRun(name: string, { tokens, largest }: RunPrice, limit: number): Check {
  const what = `${name}: largest activation ${largest.label} (${showBytes(largest.bytes)})`;
  if (largest.bytes <= limit) return { verdict: 'fits', text: what };
  const advice = /^(vision|projector)\./.test(largest.label)
    ? 'use a smaller image'
    : `keep the prompt within ${Math.floor((limit * tokens) / largest.bytes)} tokens: fewer or smaller images, shorter text`;
  return {
    verdict: 'too large',
    text: `${what}: more than the ${showBytes(limit)} that this adapter binds; ${advice}`,
  };
}

function checkMemory({ weights, text, length, cacheFormat, runs }: Load, memory: number | undefined): Check {
  const cache = KvCache.price(text, length, cacheFormat);
  const arena = greatest(
    runs.map(({ price }) => price.arenaBytes),
    0,
  );
  const total = weights.gpuBytes + cache + arena;
  const what = `${showBytes(total)} in all: weights, key/value cache and activations`;
  if (memory === undefined)
    return { verdict: 'unknown', text: `${what}; WebGPU does not tell how much memory the GPU has` };
  if (total <= memory) return { verdict: 'fits', text: `${what}, of ${showBytes(memory)}` };
  const cause = weights.gpuBytes > memory ? 'a smaller checkpoint or a 16-bit one' : 'fewer positions (--length)';
  return { verdict: 'too large', text: `${what}, of ${showBytes(memory)}; it needs ${cause}` };
}
