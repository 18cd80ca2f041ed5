import { bf16 } from './bf16.ts';
import { f16 } from './f16.ts';
import { f32 } from './f32.ts';
import type { Format } from './format.ts';

/** The storage formats by name. */
export const formats = {
  f32,
  f16,
  bf16,
} satisfies Record<string, Format>;
export type FormatName = keyof typeof formats;
