import { bf16 } from '../gpu/formats/bf16.ts';
import { f16 } from '../gpu/formats/f16.ts';
import { f32 } from '../gpu/formats/f32.ts';
import type { Format } from '../gpu/formats/format.ts';
import type { SafetensorsDType } from './safetensors-dtypes.ts';

/** The storage formats whose bytes are those of a tensor in a safetensors file, by its dtype there: weights can be of these. */
export const storedFormats: Readonly<Partial<Record<SafetensorsDType, Format>>> = { F32: f32, F16: f16, BF16: bf16 };

/** Whether a matrix of this format is more than one tensor of a file (packed.ts). */
export const isPacked = (format: Format): boolean => !Object.values(storedFormats).includes(format);

/** The dtype that a format is in files; undefined for one that is packed. */
export const dtypeOf = (format: Format): SafetensorsDType | undefined =>
  (Object.keys(storedFormats) as SafetensorsDType[]).find((dtype) => storedFormats[dtype] === format);
