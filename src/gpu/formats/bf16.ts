import { halfFormat } from './halves.ts';

/** The upper halves of two words, rounded to the nearest, of two equally near to the even one. NaN stays NaN. */
const roundedHalves = (pair: string) => {
  const half = (component: string) => {
    const bits = `bitcast<u32>((${pair}).${component})`;
    const rounded = `(${bits} + 0x7fffu + ((${bits} >> 16u) & 1u)) >> 16u`;
    return `select(${rounded}, (${bits} >> 16u) | 0x40u, (${bits} & 0x7fffffffu) > 0x7f800000u)`;
  };
  return `(${half('x')} | (${half('y')} << 16u))`;
};

/** bfloat16: the upper half of single precision. */
export const bf16 = halfFormat(
  'bf16',
  8,
  (word) => `vec2f(bitcast<f32>(${word} << 16u), bitcast<f32>(${word} & 0xffff0000u))`,
  roundedHalves,
);
