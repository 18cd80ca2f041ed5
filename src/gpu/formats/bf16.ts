import { halfFormat } from './halves.ts';

/** bfloat16: the upper half of single precision. */
export const bf16 = halfFormat(
  'bf16',
  8,
  (word) => `vec2f(bitcast<f32>(${word} << 16u), bitcast<f32>(${word} & 0xffff0000u))`,
);
