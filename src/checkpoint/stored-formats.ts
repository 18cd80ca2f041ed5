import { bf16 } from '../gpu/formats/bf16.ts';
import { f16 } from '../gpu/formats/f16.ts';
import { f32 } from '../gpu/formats/f32.ts';
import type { Format } from '../gpu/formats/format.ts';
import type { SafetensorsDType } from './safetensors.ts';

/** The storage formats whose bytes are those of a tensor in a safetensors file, by its dtype there: weights can be of these. */
export const storedFormats: Readonly<Partial<Record<SafetensorsDType, Format>>> = { F32: f32, F16: f16, BF16: bf16 };
