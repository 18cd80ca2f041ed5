// What all parts of config.json are read with.

import { quoteValue } from '../../base/quote.ts';
import * as s from '../../base/schema.ts';
import { isOurs } from '../../checkpoint/packed.ts';
import type { ActivationFunction } from '../../kernels/activation/activation.wgsl.ts';
import { ConfigError } from '../errors.ts';
import { parse } from './json.ts';

export const count = s.int(1, 1_000_000);
/** More than any model has by far, and few enough to go through one by one whatever is done with them. */
export const layerCount = s.int(1, 1000);
export const headCount = s.int(1, 4096);
/** Of an image in pixels, as the processors' settings have it. */
export const imageSide = s.int(1, 16384);
export const epsilon = s.positive(1);
export const tokenId = s.int(0, 10_000_000);

/** The settings of CLIP's and SigLIP's blocks. @param defaults of the HF class. */
export const towerBlocks = (defaults: {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_attention_heads: number;
  readonly hidden_act: string;
  readonly layer_norm_eps: number;
}) => ({
  hidden_size: s.optional(count, defaults.hidden_size),
  intermediate_size: s.optional(count, defaults.intermediate_size),
  num_hidden_layers: s.optional(layerCount, 12),
  num_attention_heads: s.optional(headCount, defaults.num_attention_heads),
  hidden_act: s.optional(s.string(), defaults.hidden_act),
  layer_norm_eps: s.optional(epsilon, defaults.layer_norm_eps),
  quantization_config: s.optional(s.unknown()),
});

const activations: Record<string, ActivationFunction> = {
  quick_gelu: 'quick_gelu',
  gelu: 'gelu',
  gelu_pytorch_tanh: 'gelu_pytorch_tanh',
  gelu_new: 'gelu_pytorch_tanh', // the same function under its older name
  silu: 'silu',
  swish: 'silu',
  relu: 'relu',
};

/** A config.json being read: gathers every problem, so that they can be named at once. */
export class Settings {
  /** For messages. */
  readonly file: string;
  readonly #problems: string[] = [];

  constructor(file: string) {
    this.file = file;
  }

  problem(text: string): void {
    this.#problems.push(text);
  }

  /** The part of the file under `where` (the file itself by default), checked. @throws ConfigError at once. */
  read<T extends s.GenericSchema>(schema: T, json: unknown, where?: string): s.InferOutput<T> {
    return parse(schema, json, this.file, where);
  }

  act(name: string, where: string): ActivationFunction {
    if (!Object.hasOwn(activations, name))
      this.problem(`${where}: ${quoteValue(name)} is not supported; supported: ${Object.keys(activations).join(', ')}`);
    return activations[name];
  }

  divides(what: string, whole: number, parts: string, n: number): void {
    if (whole % n) this.problem(`${what} ${whole} is not a multiple of ${parts} ${n}`);
  }

  /** A setting for which there is a choice in HF's class, but none here; it may be left out. */
  only<T extends string | number | boolean>(where: string, found: T | null | undefined, ...supported: T[]): void {
    if (found != null && !supported.includes(found))
      this.problem(`${where} ${quoteValue(found)} is not supported; supported: ${supported.join(', ')}`);
  }

  unquantised(config: { quantization_config?: unknown }, where: string): void {
    if (config.quantization_config != null && !isOurs(config.quantization_config))
      this.problem(`${where}quantization_config is not supported; use the F32, F16 or BF16 checkpoint`);
  }

  /** @throws ConfigError naming every problem there was. */
  finish(): void {
    if (this.#problems.length) throw new ConfigError(`${this.file}: ${this.#problems.join('; ')}`);
  }
}
