import type { Tensor } from '../tensor.ts';
import { bf16 } from './bf16.ts';
import { f16 } from './f16.ts';
import { f32 } from './f32.ts';
import type { Format } from './format.ts';
import { q4 } from './q4.ts';
import { q8 } from './q8.ts';

/** The storage formats by name. */
export const formats = {
  f32,
  f16,
  bf16,
  q8,
  q4,
} satisfies Record<string, Format>;
/** The name of a storage format. */
export type FormatName = keyof typeof formats;

/** The format of a tensor of numbers, which has its name for a dtype: those that take one buffer. */
export const formatOf = ({ dtype }: Tensor): Format => formats[dtype as 'f32' | 'f16' | 'bf16'];
